"""A study file for somebody's own data: what a practitioner would begin with, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tuner.study.describe import balance
from tuner.study.leaves import Line, model, regularization, training
from tuner.study.survey import Survey, some_of
from tuner.values import quoted

HEAVY = 8.0
"""A value so many deviations from the mean says that a column has a long tail."""
RARE = 0.5
"""A class with less than this part of an even share is rare."""
SIZES = (
    (1_000, 60, 32, (16, 32, 64)),
    (10_000, 40, 64, (32, 64, 128)),
    (100_000, 20, 256, (64, 128, 256)),
)
"""Up to so many rows to train on: epochs, batch size and widths."""
NAMED = 20
"""Columns left out that the file names, each in a line of its own."""
LARGEST = (8, 1024, (128, 256, 512))


def draft(found: Survey, named: Callable[[str], str]) -> tuple[Line, ...]:
    """The lines of a study file, in order.

    Args:
        found: what is in the data.
        named: how the study file should name a path.
    """
    epochs, batch, widths = _sizes(len(found.data.train))
    rare = _rare(found)
    return (
        *_metric(found, rare),
        *_data(found, named),
        *model(found, widths),
        *regularization(found),
        *training(found, epochs, batch, rare),
        Line("search", "trials", "30" if len(found.data.train) > 10_000 else "60"),
    )


def written(name: str, found: Survey, lines: Sequence[Line]) -> str:
    """The study file's text."""
    rows = f"{found.rows:,} rows"
    text = [f"# Written by tuner init from {rows}. Change what you know better; then:"]
    text += [f"# tuner check --study {name}; tuner optimize --study {name}"]
    section = ""
    for line in lines:
        if line.section != section:
            section = line.section
            text += ["", f"[{section}]"]
        text.append(str(line))
    return "\n".join(text) + "\n"


def _sizes(rows: int) -> tuple[int, int, tuple[int, ...]]:
    for most, epochs, batch, widths in SIZES:
        if rows <= most:
            return epochs, batch, widths
    return LARGEST


def _rare(found: Survey) -> str:
    """The rarest class in words, where it is far below an even share; else nothing."""
    counts = balance(found.data)
    if not counts:
        return ""
    name = min(counts, key=lambda each: counts[each])
    share = counts[name] / sum(counts.values())
    return f"{name} is {share:.1%} of the rows" if share * len(counts) < RARE else ""


def _metric(found: Survey, rare: str) -> tuple[Line, ...]:
    if found.data.target.task == "regression":
        return (Line("", "metric", '"rmse"', "in the target's unit"),)
    if rare:
        why = f"each class counts alike: {rare}, which accuracy would forget"
        return (Line("", "metric", '"balanced_accuracy"', why),)
    return (Line("", "metric", '"accuracy"', "classes are of similar size"),)


def _data(found: Survey, named: Callable[[str], str]) -> list[Line]:
    spec, say = found.spec, json.dumps
    lines = [Line("data", "path", quoted(named(spec.path or "")))]
    if spec.test_path is not None:
        why = "kept for the final number"
        lines.append(Line("data", "test_path", quoted(named(spec.test_path)), why))
    if spec.split is not None:
        why = "its folders say what is for training, validation and the test"
        return [*lines, Line("data", "split", quoted(spec.split), why), *_preprocessing(found)]
    if spec.target is not None:
        lines.append(Line("data", "target", quoted(spec.target)))
    if spec.text is not None:
        lines.append(Line("data", "text", quoted(spec.text), "the only feature: its words"))
    lines.append(Line("data", "validation", say(spec.validation), "the search sees these rows"))
    if len(found.data.train) <= SIZES[0][0]:
        why = f"instead: {len(found.data.validation)} rows decide little; five trainings a trial"
        lines.append(Line("data", "validation", "{ folds = 5 }", why, active=False))
    if found.data.test is not None:
        lines.append(Line("data", "test", say(spec.test), "kept for the final number"))
    if found.dropped:
        why = some_of([f"{name}: {reason}" for name, reason in found.dropped.items()], "; ")
        value = f"[{', '.join(map(quoted, found.dropped))}]"
        lines.append(Line("data", "drop", value, _one_line(why)))
    for name, reason in _left_out(found)[:NAMED]:
        value = f"[{quoted(name)}]"
        lines.append(Line("data", "keep", value, _one_line(f"dropped: {reason}"), active=False))
    for key, column, why in found.hints[:NAMED]:
        why += "; take it out of drop then"
        lines.append(Line("data", key, quoted(column), why, active=False))
    return [*lines, *_preprocessing(found)]


def _left_out(found: Survey) -> list[tuple[str, str]]:
    """Columns that are dropped by themselves and may be kept."""
    return [
        (each.name, each.reason)
        for each in found.data.columns
        if each.decision == "dropped" and "an identifier" in each.reason
        if each.name not in found.dropped
    ]


def _preprocessing(found: Survey) -> list[Line]:
    data = found.data
    if data.vocabulary is not None:
        return []
    if len(data.shape) > 1 or not data.features:
        why = "mean 0 and deviation 1, by the training rows"
        return [Line("data", "preprocessing", '"standard"', why)]
    far = data.train.x[:].abs().amax(0)
    heavy = [name for name, most in zip(data.features, far.tolist(), strict=True) if most > HEAVY]
    if not heavy:
        why = "mean 0 and deviation 1: no column has a long tail"
        return [Line("data", "preprocessing", '"standard"', why)]
    why = f"ranks, for the long tail of {', '.join(heavy[:3])}"
    return [Line("data", "preprocessing", '"quantile"', _one_line(why))]


def _one_line(text: str) -> str:
    """A comment, in which nothing stands that a study file cannot hold."""
    words = " ".join(text.split())
    return "".join(sign for sign in words if sign.isprintable())
