"""Formats the best configuration as JSON, as a table and as a snippet of a study file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tuner.output import one_line, toml_table
from tuner.results.best import Best, recommended
from tuner.show.answers import document, verdict
from tuner.show.text import difference, duration, number
from tuner.space import Config
from tuner.study.trials import LeftOut, left_out_words

if TYPE_CHECKING:
    from tuner.storage import Storage
    from tuner.study import Study


ATTRIBUTES = ("epochs", "seconds", "seed", "parameters", "train_loss", "validation_loss", "device")


def record(storage: Storage, study: Study, study_id: int) -> dict[str, Any]:
    """The recommended configuration and its numbers; errors as ``recommended``."""
    choice = recommended(storage, study, study_id)
    confirmed = choice.confirmed
    return {
        "study": study.name,
        "metric": choice.metric,
        "direction": choice.direction,
        "number": choice.number,
        "chosen_by": "search" if confirmed is None else "confirm",
        "best_of_search": choice.first,
        "value": choice.value,
        "model": None if choice.believed is None else asdict(choice.believed),
        "baseline": None if choice.baseline is None else _baseline(choice.baseline),
        "confirmed": confirmed and {**document(confirmed), "verdict": verdict(confirmed)},
        **{name: choice.facts.get(name) for name in ATTRIBUTES},
        "configuration": choice.configuration,
        "measured_on": study.measured_on,
        "toml": pasted(study, choice.configuration),
        "left_out": [asdict(each) for each in choice.left_out],
    }


def _baseline(baseline: Best) -> dict[str, Any]:
    return {"number": baseline.number, "value": baseline.value, "configuration": baseline.config}


def view(best: Mapping[str, Any]) -> str:
    """The numbers as comments and then the snippet, so that all of it may be pasted."""
    numbers = _numbers(best)
    width = max(len(name) for name, _ in numbers)
    comments = [f"# {name:{width}}  {one_line(value)}" for name, value in numbers]
    return "\n".join([*comments, "", best["toml"].rstrip()])


def _numbers(best: Mapping[str, Any]) -> list[tuple[str, str]]:
    baseline = best["baseline"]
    place = best.get("measured_on", "validation split")
    rows = [
        ("study", str(best["study"])),
        ("trial", _trial(best)),
        (
            one_line(best["metric"]),
            f"{number(best['value'])} on the {place}",
        ),
    ]
    if baseline is not None:
        gain = difference(best["value"], baseline["value"])
        text = f"{number(baseline['value'])} (trial {baseline['number']}), {gain}"
        rows.append(("baseline", text))
    if best.get("model") is not None:
        rows.insert(3, ("model", _believed(best["model"])))
    if best.get("confirmed") is not None:
        rows.append(("confirmed", best["confirmed"]["verdict"]))
        if best["confirmed"].get("ensemble"):
            rows.append(("ensemble", best["confirmed"]["ensemble"]["line"]))
    if words := left_out_words([LeftOut(**each) for each in best.get("left_out", ())]):
        rows.append(("left out", words))
    known = [(name, best[name]) for name in ATTRIBUTES if best[name] is not None]
    return rows + [(name.replace("_", " "), _attribute(name, value)) for name, value in known]


def _believed(belief: Mapping[str, Any]) -> str:
    mean, sd = number(belief["mean"]), number(belief["sd"])
    return f"{mean} (standard deviation {sd}), expected by a model of the trials"


def _trial(best: Mapping[str, Any]) -> str:
    if best.get("chosen_by") != "confirm":
        return str(best["number"])
    first = best["best_of_search"]
    other = "" if first == best["number"] else f"; trial {first} was the best of the search"
    return f"{best['number']}, chosen by confirm{other}"


def _attribute(name: str, value: Any) -> str:
    """An attribute as text; those of a user's objective may be anything."""
    if isinstance(value, float):
        return duration(value) if name == "seconds" else number(value)
    return str(value)


def snippet(config: Config) -> str:
    """A configuration as the sections of a study file, every value fixed.

    Techniques that are off and data settings at their defaults are left out.
    """
    from tuner.models import FAMILIES
    from tuner.study.catalogue import DATA_LEAVES, SECTIONS

    lines: list[str] = []
    for section, leaves in {**SECTIONS, "data": DATA_LEAVES}.items():
        rows = []
        for leaf in leaves:
            value = config.get(leaf.name, leaf.default)
            if leaf.name == "family":
                if value not in FAMILIES:  # a user's own
                    rows += [("family", with_leaves(config, value)), *_own_parameters(config)]
                    continue
                own = [x.name for x in FAMILIES[value].leaves]
                nested = {x: config.get(f"{value}.{x}", config.get(x)) for x in own}
                rows += [("family", value), *((k, v) for k, v in nested.items() if v is not None)]
            elif value != (leaf.default if section == "data" else leaf.off):
                rows.append((leaf.name, with_leaves(config, value) if leaf.options else value))
        if rows:
            lines += [toml_table(section, dict(rows)), ""]
    return "\n".join(lines)


def pasted(study: Study, config: Config) -> str:
    """A configuration for a study file; for a user's objective, as the first trial to run."""
    if study.nodes:
        return snippet(config)
    known = {name: value for name, value in config.items() if value is not None}
    comments = [
        f"# {one_line(name)} is None, for which TOML has no value" for name in config.keys() - known
    ]
    return "\n".join([*sorted(comments), toml_table("search", {"enqueue": [known]}), ""])


def _own_parameters(config: Config) -> list[tuple[str, Any]]:
    """The parameters beside the name of a user's family."""
    from tuner.study.catalogue import OTHERS

    return [(k, v) for k, v in config.items() if "." not in k and k not in OTHERS]


def with_leaves(config: Config, name: str) -> Any:
    """An option's name, or its table where it has parameters."""
    own = {k.removeprefix(f"{name}."): v for k, v in config.items() if k.startswith(f"{name}.")}
    return {"name": name, **own} if own else name
