"""Makes the JSON schema of a study file from the catalogue, for editors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuner.data.spec import APART, OF_TEXT, TABLES, TASKS
from tuner.metrics import METRICS
from tuner.search.options import Option
from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.space import Leaf
from tuner.study.catalogue import DATA_LEAVES, FAMILY, SECTIONS, model_leaves
from tuner.study.objective import DIRECTIONS
from tuner.study.parse import suggested
from tuner.study.settings import DURATION

# What the JSON schema of a study file is put together from.


Schema = dict[str, Any]
TYPES: Mapping[type, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
REFERENCE = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"
"""Of "package.module:function"."""


def table(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = required
    return {**found, "additionalProperties": False}


def scalar(leaf: Leaf) -> Schema:
    """One value of a leaf."""
    if leaf.name == FAMILY.name:
        return {"anyOf": [{"enum": list(leaf.options or {})}, NAMED]}
    if leaf.options is not None:
        return {"enum": list(leaf.options)}
    found: Schema = {"type": TYPES[leaf.kind]}
    low, high = ("exclusiveM" if leaf.exclusive else "m") + "inimum", "maximum"
    high = "exclusiveMaximum" if leaf.exclusive else high
    if leaf.minimum is not None:
        found[low] = leaf.minimum
    if leaf.maximum is not None:
        found[high] = leaf.maximum
    return found


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
"""``[model]`` that names a factory of somebody's own."""


def own_leaf() -> Schema:
    """A parameter of somebody's own factory, of which only its file knows more."""
    number: Schema = {"type": "number"}
    plain: Schema = {"type": ["number", "string", "boolean"]}
    listed: Schema = {"type": "array", "items": plain, "minItems": 1, "uniqueItems": True}
    bounds = {"low": number, "high": number, "step": number, "off": number}
    bounds["log"] = {"type": "boolean"}
    return {
        "description": "a parameter of the factory",
        "anyOf": [plain, table(bounds, ["low", "high"]), table({"choices": listed}, ["choices"])],
    }


# The JSON schema of ``[data]``.


_NAMED = {"pattern": f"({'|'.join(map(re.escape, TABLES))})(\\.gz)?$"}
_FOLDS: dict[str, Any] = {
    "type": "object",
    "properties": {"folds": {"type": "integer", "minimum": 2}},
    "required": ["folds"],
    "additionalProperties": False,
}
_VALIDATION: dict[str, Any] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, _FOLDS],
    "default": 0.2,
    "description": "fraction of rows for validation, or folds, over which a trial takes the mean",
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


def data_keys() -> dict[str, Any]:
    """A schema for each key."""
    share = {"type": "number", "exclusiveMaximum": 1, "default": 0.2}
    side = {"type": "integer", "minimum": 1}
    names = {"type": "array", "items": {"type": "string"}}
    text = {"type": "string"}
    return {
        "source": {**text, "description": '"module:function", called without arguments'},
        "path": {**text, "description": "a file or folder; $NAME is an environment variable"},
        "target": {**text, "description": "the column to predict"},
        "features": {**text, "description": "the array of features in an NPZ file"},
        "task": {"enum": list(TASKS), "default": "auto"},
        "validation": _VALIDATION,
        "test": {
            **share,
            "minimum": 0,
            "description": "fraction of rows for the test, which the search never sees",
        },
        "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "of the split"},
        "shape": {"type": "array", "items": side, "minItems": 1, "description": "of one row"},
        "group": {**text, "description": "a column whose groups are never divided"},
        "time": {**text, "description": "a column: train before validation before test"},
        "split": {
            **text,
            "description": "a column that says train, validation or test, or 'folder'",
        },
        "test_path": {**text, "description": "a second file or folder, with the test rows"},
        "text": {**text, "description": "a column of text, then the only feature"},
        "vectors": {
            **text,
            "description": "pretrained word vectors, in the text format of GloVe or word2vec",
        },
        "vocabulary": {**side, "default": 20000, "description": "largest size of the vocabulary"},
        "min_count": {
            **side,
            "default": 1,
            "description": "smallest count of a word in the vocabulary",
        },
        "max_length": {
            **side,
            "default": 256,
            "description": "longest text, in words; longer ones are cut",
        },
        "drop": {**names, "description": "columns to drop from the features"},
        "keep": {**names, "description": "columns to keep although they look like identifiers"},
    }


# The JSON schema of ``[search]``, with tuner's networks and with an objective of one's own.


def of_objective(sections: list[str]) -> Schema:
    """An objective brings what the sections say, and knows its parameters only when it runs."""
    without: Schema = {"anyOf": [{"required": [name]} for name in sections]}
    names = {"enum": [name for name in SAMPLERS if name != "grid"]}
    sampler = {"anyOf": [names, {"type": ["object"], "properties": {"name": names}}]}
    queue: Schema = {"type": "array", "items": {"type": ["object"]}}
    wanted = {"properties": {"baseline": False, "duplicates": False, "enqueue": queue}}
    wanted["properties"]["sampler"] = sampler
    return {"required": ["direction"], "not": without, "properties": {"search": wanted}}


def of_metric() -> Schema:
    """What tuner knows by name: metrics, and leaves unless a family of somebody's own has more."""
    known = _configuration()
    wanted = {"properties": {"baseline": known, "enqueue": {"type": "array", "items": known}}}
    return {
        "properties": {"metric": {"enum": list(METRICS)}},
        "if": {"required": ["model"], "properties": {"model": OWN_FAMILY}},
        "else": {"properties": {"search": wanted}},
    }


def search() -> Schema:
    seconds: Schema = {"type": "number", "exclusiveMinimum": 0}
    words: Schema = {"type": "string", "pattern": f"^\\s*{DURATION.pattern}\\s*$"}
    duration: Schema = {"anyOf": [seconds, words]}
    samplers = {name: entry.options for name, entry in SAMPLERS.items()}
    pruners = {name: entry.options for name, entry in PRUNERS.items()}
    properties: dict[str, Schema] = {
        "trials": {"type": "integer", "minimum": 1, "default": 60, "description": "the budget"},
        "sampler": {**_chosen(samplers), "default": "tpe"},
        "pruner": {**_chosen(pruners), "default": "hyperband"},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "timeout": {**duration, "description": 'of one run, such as "90s", "10m", "2h", "1d"'},
        "trial_timeout": {**duration, "description": "after which a trial is ended as pruned"},
        "duplicates": {
            "type": "boolean",
            "default": False,
            "description": "retrain the same configuration",
        },
        "baseline": {"type": ["object"], "description": "of trial 0, where not the default"},
        "enqueue": {"type": "array", "description": "configurations to try first"},
    }
    return table(properties)


def _chosen(entries: Mapping[str, tuple[Option, ...]]) -> Schema:
    """A name, or a table with the name and its options."""
    tables = [
        table({"name": {"const": name}, **{o.name: _option(o) for o in own}}, ["name"])
        for name, own in entries.items()
    ]
    return {"anyOf": [{"enum": list(entries)}, *tables]}


def _option(option: Option) -> Schema:
    found: Schema = {"description": option.doc}
    if option.default is not None:
        found["default"] = option.default
    if option.kind is dict:
        return {**found, "type": ["string", "object"]}
    found["type"] = TYPES[option.kind]
    bounds = {"minimum": option.low, "maximum": option.high, "enum": list(option.choices) or None}
    return {**found, **{key: bound for key, bound in bounds.items() if bound is not None}}


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
    """A schema, draft 2020-12, for what a study file says as JSON values.

    It cannot say that low is at most high, nor that a metric fits the data; ``tuner check`` can.
    """
    sections = {name: _section(name, leaves) for name, leaves in SECTIONS.items()}
    metric = {
        "type": "string",
        "examples": list(METRICS),
        "description": "metric to optimize; default: accuracy, or rmse for regression",
    }
    about = {"type": "string", "description": "one-line description"}
    data = {**data_keys(), **{leaf.name: leaf_schema(leaf) for leaf in DATA_LEAVES}}
    properties: dict[str, Schema] = {
        "description": about,
        "metric": metric,
        "objective": {**NAMED, "description": "a function of your own, called with a trial"},
        "direction": {"enum": list(DIRECTIONS), "description": "of what the objective returns"},
        "data": {**table(data), **DATA_RULES},
    }
    return {
        "$schema": DRAFT,
        "title": "tuner study",
        "description": "a trial's configuration in which any parameter may be a range or a choice",
        **table({**properties, **sections, "search": search()}),
        "if": {"required": ["objective"]},
        "then": of_objective([*sections, "data"]),
        "else": {"required": ["data"], "not": {"required": ["direction"]}, **of_metric()},
        "$defs": {leaf.name: {"anyOf": _options(leaf)} for leaf in _with_options()},
    }


def _section(name: str, leaves: tuple[Leaf, ...]) -> Schema:
    found = model_leaves() if name == "model" else {}
    found |= {leaf.name: leaf for leaf in leaves}
    made = table({key: leaf_schema(each) for key, each in found.items()})
    return _with_own(made) if name == "model" else made


def _with_own(model: Schema) -> Schema:
    """``[model]``, in which a family of somebody's own has leaves of its own beside it."""
    known = dict.fromkeys(model["properties"], True)
    return {
        "type": ["object"],
        "properties": model["properties"],
        "if": OWN_FAMILY,
        "then": {"properties": known, "additionalProperties": own_leaf()},
        "else": {"propertyNames": {"enum": list(known)}},
    }


def leaf_schema(leaf: Leaf) -> Schema:
    """What may stand at a leaf: a value, a range, a switch, a choice, an option with its leaves."""
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


def _about(leaf: Leaf) -> Schema:
    unit = f" ({leaf.unit})" if leaf.unit not in ("", "none", "name") else ""
    source = f"; {leaf.source}" if leaf.source else ""
    return {"description": f"{leaf.doc}{unit}{source}"}


def _with_options() -> list[Leaf]:
    """The leaves whose values are names that bring leaves; one name is one leaf."""
    leaves = [
        *model_leaves().values(),
        *(x for own in SECTIONS.values() for x in own),
        *DATA_LEAVES,
    ]
    return [leaf for leaf in leaves if leaf.options is not None]


def _options(leaf: Leaf) -> list[Schema]:
    """The tables of an option: its name and leaves of its own."""
    tables = [
        table({"name": {"const": name}, **{x.name: leaf_schema(x) for x in own}}, ["name"])
        for name, own in (leaf.options or {}).items()
    ]
    if leaf.name == FAMILY.name:
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
