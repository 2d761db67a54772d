"""Makes the JSON schema of a study file from the catalogue, for editors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuner.data.spec import APART, FOLDS, OF_TEXT, TABLES
from tuner.losses import LOSS
from tuner.metrics import METRICS
from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.space import Leaf
from tuner.study.catalogue import DATA, DATA_LEAVES, FAMILY, SEARCH, SECTIONS, TOP, model_leaves
from tuner.study.parse import suggested
from tuner.study.settings import DURATION

# Parts of the JSON schema of a study file.


Schema = dict[str, Any]
TYPES: Mapping[type, Any] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    dict: ["object"],
    object: ["string", "object"],
}
KEYWORDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
}
"""The keyword of a schema for each bound of a leaf."""
OWN = (FAMILY.name, LOSS.name)
"""Leaves that may name a function of the user's."""
REFERENCE = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"
"""Of "package.module:function"."""


def table(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    object_schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        object_schema["required"] = required
    return {**object_schema, "additionalProperties": False}


def scalar(leaf: Leaf) -> Schema:
    """One value of a leaf."""
    if leaf.name in OWN:
        return {"anyOf": [{"enum": list(leaf.options or {})}, NAMED]}
    if leaf.options is not None:
        return {"enum": [*leaf.options, *leaf.aliases]}
    if leaf.items is not None:
        return {"type": "array", "items": scalar(leaf.item)}
    return {"type": TYPES[leaf.kind], **{KEYWORDS[k]: bound for k, bound in leaf.bounds.items()}}


def setting(leaf: Leaf, form: Schema | None = None) -> Schema:
    """A key that is no parameter: its form is that of one value, unless another is given."""
    default = {} if leaf.default in (None, "", (), {}) else {"default": leaf.default}
    return {**default, **_about(leaf), **(form or scalar(leaf))}


def _about(leaf: Leaf) -> Schema:
    unit = f" ({leaf.unit})" if leaf.unit not in ("", "none", "name") else ""
    source = f"; {leaf.source}" if leaf.source else ""
    return {"description": f"{leaf.doc}{unit}{source}"}


NAMED: Schema = {"type": "string", "pattern": REFERENCE}
_ALONE: list[Schema] = [
    NAMED,
    {"type": ["object"], "required": ["name"], "properties": {"name": NAMED}},
]
_AMONG: Schema = {"choices": {"type": "array", "contains": {"anyOf": _ALONE}}}
OWN_FAMILY: Schema = {
    "required": ["family"],
    "properties": {
        "family": {
            "anyOf": [*_ALONE, {"type": ["object"], "required": ["choices"], "properties": _AMONG}]
        }
    },
}
"""``[model]`` that names a user's factory."""


def own_leaf() -> Schema:
    """A parameter of a user's function, about which a schema knows nothing else."""
    number: Schema = {"type": "number"}
    plain: Schema = {"type": ["number", "string", "boolean"]}
    listed: Schema = {"type": "array", "items": plain, "minItems": 1, "uniqueItems": True}
    bounds = {"low": number, "high": number, "step": number, "off": number}
    bounds["log"] = {"type": "boolean"}
    return {
        "description": "a parameter of the function",
        "anyOf": [plain, table(bounds, ["low", "high"]), table({"choices": listed}, ["choices"])],
    }


# The JSON schema of ``[data]``.


_NAMED = {"pattern": f"({'|'.join(map(re.escape, TABLES))})(\\.gz)?$"}
_FOLDS = table({FOLDS.name: setting(FOLDS)}, [FOLDS.name])
SEVERAL: Schema = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 2,
    "uniqueItems": True,
}
DATA_RULES: dict[str, Any] = {
    "oneOf": [{"required": ["source"]}, {"required": ["path"]}],
    "allOf": [
        *({"not": {"required": list(pair)}} for pair in APART),
        {"not": {"required": ["split", "validation"], "properties": {"validation": _FOLDS}}},
    ],
    "if": {"properties": {"path": _NAMED}, "required": ["path"]},
    "then": {"required": ["target"]},
    "dependentRequired": {key: ["text"] for key in OF_TEXT},
}
"""Which keys go together."""


def data() -> Schema:
    """A schema of each key, and of which go together."""
    forms = {
        "validation": {"anyOf": [scalar(DATA["validation"]), _FOLDS]},
        "target": {"anyOf": [scalar(DATA["target"]), SEVERAL]},
        "shape": {**scalar(DATA["shape"]), "minItems": 1},
    }
    keys = {name: setting(leaf, forms.get(name)) for name, leaf in DATA.items()}
    keys |= {leaf.name: leaf_schema(leaf) for leaf in DATA_LEAVES}
    return {**table(keys), **DATA_RULES}


# The JSON schema of ``[search]``, with tuner's networks and with an objective of one's own.


def objective_rules(sections: list[str]) -> Schema:
    """The rules with an objective: no other sections, and no parameters known before it runs."""
    without: Schema = {"anyOf": [{"required": [name]} for name in sections]}
    names = {"enum": [name for name in SAMPLERS if name != "grid"]}
    sampler = {"anyOf": [names, {"type": ["object"], "properties": {"name": names}}]}
    queue: Schema = {"type": "array", "items": {"type": ["object"]}}
    wanted = {"properties": {"baseline": False, "duplicates": False, "enqueue": queue}}
    wanted["properties"]["sampler"] = sampler
    keys = {"search": wanted, "metric": {"type": "string"}}
    return {"required": ["direction"], "not": without, "properties": keys}


def network_rules() -> Schema:
    """The rules with tuner's networks: known metrics, and known leaves without a user's factory."""
    known = _configuration()
    wanted = {"properties": {"baseline": known, "enqueue": {"type": "array", "items": known}}}
    own = {"required": ["metric"], "properties": {"metric": {"anyOf": _ALONE}}}
    metrics = {name: metric.leaves for name, metric in METRICS.items()}
    return {
        "allOf": [
            {
                "if": own,
                "then": {"required": ["direction"]},
                "else": {
                    "properties": {"metric": _chosen(metrics)},
                    "not": {"required": ["direction"]},
                },
            },
            {
                "if": {"required": ["model"], "properties": {"model": OWN_FAMILY}},
                "else": {"properties": {"search": wanted}},
            },
        ]
    }


def search() -> Schema:
    seconds: Schema = {"type": "number", "exclusiveMinimum": 0}
    words: Schema = {"type": "string", "pattern": f"^\\s*{DURATION.pattern}\\s*$"}
    duration: Schema = {"anyOf": [seconds, words]}
    samplers = {name: entry.options for name, entry in SAMPLERS.items()}
    pruners = {name: entry.options for name, entry in PRUNERS.items()}
    forms = {
        "sampler": {**_chosen(samplers), "default": SEARCH["sampler"].default[0]},
        "pruner": {**_chosen(pruners), "default": SEARCH["pruner"].default[0]},
        "timeout": duration,
        "trial_timeout": duration,
    }
    return table({name: setting(leaf, forms.get(name)) for name, leaf in SEARCH.items()})


def _chosen(entries: Mapping[str, tuple[Leaf, ...]]) -> Schema:
    """A name, or a table with the name and its options."""
    tables = [
        table({"name": {"const": name}, **{leaf.name: setting(leaf) for leaf in own}}, ["name"])
        for name, own in entries.items()
    ]
    return {"anyOf": [{"enum": list(entries)}, *tables]}


def _configuration() -> Schema:
    """Values by leaf name; a nested leaf carries its option's name."""
    leaves = dict(model_leaves())
    for section in (*SECTIONS.values(), DATA_LEAVES):
        for leaf in section:
            leaves[leaf.name] = leaf
            for name, own in (leaf.options or {}).items():
                leaves |= {f"{name}.{each.name}": each for each in own}
    return table({name: scalar(leaf) for name, leaf in leaves.items()})


# The JSON schema of a study file, made from the catalogue: editors complete and check with it.


DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> Schema:
    """A schema, draft 2020-12, for the JSON values of a study file.

    It cannot say that low is at most high, nor that a metric fits the data; ``tuner check`` can.
    """
    sections = {name: _section(name, leaves) for name, leaves in SECTIONS.items()}
    forms = {
        "metric": {"type": ["string", "object"], "examples": list(METRICS)},
        "objective": NAMED,
    }
    properties = {
        n: setting(leaf, forms.get(n)) for n, leaf in TOP.items() if leaf.kind is not dict
    }
    return {
        "$schema": DRAFT,
        "title": "tuner study",
        "description": "a trial's configuration in which any parameter may be a range or a choice",
        **table({**properties, "data": data(), **sections, "search": search()}),
        "if": {"required": ["objective"]},
        "then": objective_rules([*sections, "data"]),
        "else": {"required": ["data"], **network_rules()},
        "$defs": {leaf.name: {"anyOf": _options(leaf)} for leaf in _with_options()},
    }


def _section(name: str, leaves: tuple[Leaf, ...]) -> Schema:
    properties = model_leaves() if name == "model" else {}
    properties |= {leaf.name: leaf for leaf in leaves}
    section = table({key: leaf_schema(each) for key, each in properties.items()})
    return _with_factory(section) if name == "model" else section


def _with_factory(model: Schema) -> Schema:
    """``[model]``, in which a user's factory has its parameters beside it."""
    known = dict.fromkeys(model["properties"], True)
    return {
        "type": ["object"],
        "properties": model["properties"],
        "if": OWN_FAMILY,
        "then": {"properties": known, "additionalProperties": own_leaf()},
        "else": {"propertyNames": {"enum": list(known)}},
    }


def leaf_schema(leaf: Leaf) -> Schema:
    """The forms of a leaf: a value, a range, a switch, a choice, an option with its leaves."""
    forms = [scalar(leaf)]
    if leaf.options is not None:
        forms.append({"$ref": f"#/$defs/{leaf.name}"})
    each = {"anyOf": list(forms)} if leaf.options else scalar(leaf)
    if leaf.kind in (int, float):
        forms.append(_range(leaf))
    listed = {"type": "array", "items": each, "minItems": 1, "uniqueItems": True}
    forms.append(table({"choices": listed}, required=["choices"]))
    examples = [] if leaf.search is None else [suggested(leaf)]
    return {**_about(leaf), "default": leaf.default, "examples": examples, "anyOf": forms}


def _with_options() -> list[Leaf]:
    """The leaves whose values are names that bring leaves; one name is one leaf."""
    waiting = [
        *model_leaves().values(),
        *(x for own in SECTIONS.values() for x in own),
        *DATA_LEAVES,
    ]
    named: dict[str, Leaf] = {}
    while waiting:
        leaf = waiting.pop(0)
        if leaf.options is not None:
            named[leaf.name] = leaf
            waiting += [inner for own in leaf.options.values() for inner in own]
    return list(named.values())


def _options(leaf: Leaf) -> list[Schema]:
    """The tables of an option: its name and leaves of its own."""
    options = dict(leaf.options or {})
    options |= {alias: options[name] for alias, (name, _) in leaf.aliases.items()}
    tables = [
        table({"name": {"const": name}, **{x.name: leaf_schema(x) for x in own}}, ["name"])
        for name, own in options.items()
    ]
    if leaf.name in OWN:
        own = {"type": ["object"], "properties": {"name": NAMED}, "required": ["name"]}
        tables.append({**own, "additionalProperties": own_leaf()})
    return tables


def _range(leaf: Leaf) -> Schema:
    bound = scalar(leaf)
    properties: dict[str, Schema] = {
        "low": {**bound, "description": "the lowest value, included"},
        "high": {**bound, "description": "the highest value, included"},
        "log": {"type": "boolean", "default": False, "description": "uniform in the logarithm"},
        "step": {
            "type": TYPES[leaf.kind],
            "exclusiveMinimum": 0,
            "description": "distance between values",
        },
    }
    if leaf.off is not None:
        properties["off"] = {"const": leaf.off, "description": "a switch: off, or in the range"}
    logarithmic = {"properties": {"log": {"const": True}}, "required": ["log"]}
    return {
        **table(properties, required=["low", "high"]),
        "if": logarithmic,
        "then": {"properties": {"low": {"exclusiveMinimum": 0}}, "not": {"required": ["step"]}},
    }
