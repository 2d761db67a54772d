"""Writes the model card of an export."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tuner.data import Target
from tuner.data.labels import SCALES
from tuner.data.recipe import OfArray, OfColumns, OfText, Recipe
from tuner.data.target import Each
from tuner.exports.choose import Trained, TrainedEnsemble
from tuner.exports.folder import (
    ONNX,
    PREPROCESSING,
    PROGRAM,
    VERSIONS,
    WEIGHTS,
    study_name,
)
from tuner.exports.network import averaged
from tuner.models import FAMILIES
from tuner.models.factory import is_factory
from tuner.results.estimate import Estimate
from tuner.show.best import snippet
from tuner.show.text import code, fenced, number, plain, several

USE = """\
## Use
With tuner, from raw rows:

```bash
tuner predict --model . --input rows.csv --output predictions.csv
```

```python
import tuner

network = tuner.load(".")  # a torch.nn.Module of plain layers, in evaluation mode
predictions = tuner.predict(".", frame)  # a pandas frame of raw rows
```

With torch alone, from rows that are prepared as `{preprocessing}` says ({rows}):

```python
import torch

network = torch.export.load("{program}").module()
outputs = network(rows)
```

{outputs}

Use a folder only as far as you trust whoever made it. {trust}

## Files
| file | holds |
| :-- | :-- |
| `{weights}` | weights and running averages of the network |
| `{program}` | the network as a program of torch.export; any number of rows |
{onnx}| `{preprocessing}` | from a raw row to the network's input, and what its outputs mean |
{ensemble}| {studies} | the study file with {each} fixed |
| `{versions}` | the versions it was made with, and the seed |
"""

OF_MEMBERS = "| `ensemble.json` | the members of the ensemble and their weights |\n"
VALUES = """tuner reads only values from this one: JSON, TOML and \
safetensors. `torch.export.load` may run code that a program brings."""
OWN = """Its network is not of tuner's own families: `tuner predict` \
runs the program, and `torch.export.load` may run code that a program brings; `tuner.load` imports \
the module that makes the network, from this folder or the working directory."""


def card(trained: Trained, onnx: bool = False, together: TrainedEnsemble | None = None) -> str:
    """README.md of a configuration, or of an ensemble whose first member it is."""
    study = trained.job.study
    title = f"# {plain(study.name)}\n"
    about = [plain(study.description) + "\n"] if study.description else []
    facts = [
        *([_network(trained)] if together is None else _networks(together)),
        f"- Task: {_task(trained)}.",
        f"- Data: {_data(trained)}.",
        _made(trained) if together is None else _made_together(together),
        *_probabilities((together or trained).probabilities),
    ]
    numbers = _numbers(trained) if together is None else _numbers_together(together)
    return "\n".join(
        [
            *(title, *about, "## Description", *facts, ""),
            *("## Performance", *numbers, ""),
            *("## Intended use", *_intended(trained), ""),
            *("## Limits", *_limits(trained), ""),
            *_configurations([trained] if together is None else _of_each(together)),
            _use(trained, onnx, together),
        ]
    )


def _kind(trained: Trained) -> str:
    family = FAMILIES.get(trained.config["family"])
    return plain(trained.config["family"]) + (f", {family.doc}" if family else "")


def _network(trained: Trained) -> str:
    return f"- Network: {_kind(trained)}; {size_of(trained.network):,} parameters."


def _made(trained: Trained) -> str:
    return (
        f"- Made by tuner: trial {trained.chosen.trial.number} of the study, {trained.chosen.why}, "
        f"trained with the seed {trained.seed} for {trained.epochs} epochs on {_rows(trained)}."
    )


def _probabilities(words: str) -> list[str]:
    return [f"- {words[0].upper()}{words[1:]}."] if words else []


def _networks(together: TrainedEnsemble) -> list[str]:
    count, size = len(together.members), size_of(together.network)
    return [
        f"- Network: the average of {several(count, 'network')}, an ensemble; {size:,} parameters.",
        f"- Cost: {cost(together.slowdown)}",
        *(
            f"- Member of weight {number(weight)}: trial {each.chosen.trial.number}, "
            f"{_kind(each)}, with the seed {each.seed} and {each.epochs} epochs."
            for each, weight in zip(together.members, together.weights, strict=True)
        ),
    ]


def cost(slowdown: float) -> str:
    """The time that an ensemble takes, in words."""
    return f"a batch of rows took {slowdown:.1f} times as long as its heaviest member alone."


def _made_together(together: TrainedEnsemble) -> str:
    return (
        "- Made by tuner: networks that `tuner confirm` trained were picked by the rows of the "
        f"search, and trained again on {_rows(together.members[0])}."
    )


def _numbers_together(together: TrainedEnsemble) -> list[str]:
    first = together.members[0]
    rows = "test" if first.final else "validation"
    count = len(first.data.validation)
    return [
        *_heading(first),
        f"- {number(together.value)} on {count:,} {rows} rows, {_this(first, 'these networks')}",
        f"- `tuner confirm`: {together.line}.",
    ]


def _of_each(together: TrainedEnsemble) -> list[Trained]:
    return [members[0] for members in together.configurations.values()]


def _configurations(configurations: Sequence[Trained]) -> list[str]:
    lines = []
    for each in configurations:
        more = f" of trial {each.chosen.trial.number}" if len(configurations) > 1 else ""
        text = fenced(snippet(each.config).rstrip(), "toml")
        lines += [f"## Configuration{more}", text, ""]
    return lines


def _use(trained: Trained, onnx: bool, together: TrainedEnsemble | None) -> str:
    configurations = [trained] if together is None else _of_each(together)
    names = ", ".join(f"`{study_name(i)}`" for i in range(len(configurations)))
    shape = list(trained.data.shape if together is None else together.shape)
    words = trained.data.vocabulary is not None
    kind = "int32 numbers of words, 0 at the end" if words else "float32"
    kind += ", NaN after the end of a row" * trained.data.padded
    target = trained.data.target
    if together is not None:
        target = averaged(target)
    return USE.format(
        rows=f"{kind}, [N, {', '.join(map(str, shape))}]",
        outputs=_meaning(target),
        trust=OWN if any(is_factory(c.config["family"]) for c in configurations) else VALUES,
        onnx=f"| `{ONNX}` | the same for ONNX runtimes: `rows` to `outputs` |\n" if onnx else "",
        weights=WEIGHTS,
        program=PROGRAM,
        preprocessing=PREPROCESSING,
        studies=names,
        each="its configuration" if len(configurations) > 1 else "every value",
        ensemble=OF_MEMBERS if together is not None else "",
        versions=VERSIONS,
    )


def size_of(network: nn.Module) -> int:
    """The number of a network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def _meaning(target: Target) -> str:
    """What the outputs of the program are."""
    if target.task == "classification":
        return "`outputs.softmax(1)` are the probabilities of the classes in their order."
    if target.task == "multilabel":
        return "`outputs.sigmoid()` are the probabilities of the labels in their order."
    one = "is the value in the target's unit"
    return f"`{_value(target)}` {'are the values in their units' if target.names else one}."


def _literal(number: Each) -> str:
    """A number in an expression, or one for each output."""
    return f"torch.tensor({list(number)})" if isinstance(number, tuple) else repr(number)


def _value(target: Target) -> str:
    """The expression for a value in the target's unit."""
    plain_output = all(
        set(given if isinstance(given, tuple) else (given,)) == {plain}
        for given, plain in ((target.mean, 0.0), (target.scale, 1.0))
    )
    numbers = f"outputs * {_literal(target.scale)} + {_literal(target.mean)}"
    value = "outputs" if plain_output else numbers
    if target.form != "linear":
        value = f"({value}).{SCALES[target.form].inverse}()"
    elif target.limits is not None and not plain_output:
        value = f"({value})"
    if target.limits is None:
        return value
    return f"{value}.clamp({', '.join(map(_literal, target.limits))})"


def _task(trained: Trained) -> str:
    target = trained.data.target
    names = target.classes or target.names
    if not names:
        return "regression"
    shown = ", ".join(code(str(name)) for name in names[:20]) + (", …" if len(names) > 20 else "")
    kinds = {"classification": "classification into", "multilabel": "multilabel of"}
    what = {"classification": "classes", "multilabel": "labels"}.get(target.task, "quantities")
    return f"{kinds.get(target.task, 'regression of')} {len(names)} {what}: {shown}"


def _data(trained: Trained) -> str:
    data = trained.job.spec
    names = [code(name) for name in data.targets]
    column = f", target{'s' * (len(names) > 1)} {', '.join(names)}" if names else ""
    source, shape = code(str(data.source or data.path)), list(trained.data.shape)
    weights = "" if trained.data.train.weight is None else ", which have weights"
    return f"{source}{column}; rows of shape {shape}{weights}"


def _rows(trained: Trained) -> str:
    if trained.job.everything:
        return f"all {len(trained.data.train):,} rows, those for the test too"
    kind = "training and validation" if trained.final else "training"
    return f"{len(trained.data.train):,} rows for {kind}"


def _this(trained: Trained, made: str) -> str:
    """Which training or networks the metric is of."""
    return "the same, trained without these rows" if trained.job.everything else made


def _numbers(trained: Trained) -> list[str]:
    recorded = trained.chosen.trial.values[0]
    lines = _heading(trained)
    count = len(trained.data.validation)
    if trained.final:
        this = _this(trained, "this training")
        lines.append(f"- {number(trained.value)} on {count:,} test rows, {this}")
        place = trained.job.study.measured_on.replace("validation split", "validation rows")
        lines.append(f"- {number(recorded)} on the {place}, in the search")
    else:
        lines.append(f"- {number(trained.value)} on {count:,} validation rows, this training")
    measured = trained.chosen.confirmed
    if measured is not None:
        lines.append(f"- {_estimate(measured.validation)} on the validation rows")
        if measured.test is not None:
            lines.append(f"- {_estimate(measured.test)} on the test rows")
        if trained.chosen.unfinished:
            lines.append(f"- `tuner confirm` is {trained.chosen.unfinished}.")
    else:
        lines.append("- The search selected by the validation rows, so this number is optimistic.")
    return lines


def _heading(trained: Trained) -> list[str]:
    """What beats the winner of `confirm`, if anything does, and the metric."""
    metric = trained.job.metric
    better = "higher" if metric.direction == "maximize" else "lower"
    lines = [f"{metric.name}, of which {better} is better:", ""]
    if not trained.chosen.beaten:
        return lines
    text = plain(trained.chosen.beaten)
    return [f"**{text[0].upper()}{text[1:]}.**", "", *lines]


def _estimate(estimate: Estimate) -> str:
    seeds = len(estimate.values)
    if seeds < 2:
        return f"{number(estimate.mean)}, one training of the configuration,"
    low, high = number(estimate.low), number(estimate.high)
    return (
        f"{number(estimate.mean)} (95% interval {low} to {high}) over "
        f"{seeds} trainings of the configuration"
    )


def _intended(trained: Trained) -> list[str]:
    task = trained.data.target.task
    kind = {"classification": "classes", "multilabel": "labels"}.get(task, "values")
    return [f"To predict {kind} of rows from the same source as its training rows."]


def _limits(trained: Trained) -> list[str]:
    return [
        "- Its performance on rows from other sources, and on groups of people, was not measured.",
        *(f"- {each}" for each in _row_limits(trained.data.recipe)),
        *(f"- {each}" for each in _value_limits(trained.data.target)),
    ]


def _value_limits(target: Target) -> list[str]:
    if target.limits is None:
        return []
    low, high = (each if isinstance(each, tuple) else (each,) for each in target.limits)
    ranges = [f"{number(a)} to {number(b)}" for a, b in zip(low, high, strict=True)]
    named = [f"{code(name)}: {each}" for name, each in zip(target.names, ranges, strict=False)]
    within = ", ".join(named or ranges)
    return [f"No prediction is outside of {within}, the range of its training rows."]


def _row_limits(recipe: Recipe | None) -> list[str]:
    """What happens to rows that differ from those of the training."""
    if isinstance(recipe, OfText):
        return [
            f"It reads the first {recipe.vocabulary.length} words and signs of a text, and knows "
            f"{len(recipe.vocabulary.words):,} words; all others are one unknown word."
        ]
    if isinstance(recipe, OfColumns) and len(recipe.shape) == 1:  # else no gap is filled
        return [
            "A number that is missing becomes the median of the training rows, and a category that "
            "they did not have is none of theirs.",
            "A column that is missing, and a number that is not finite, is refused.",
        ]
    if isinstance(recipe, OfArray) and recipe.resize is not None:
        height, width = recipe.resize
        return [f"Images of another size are resized to {height} x {width} pixels, whole."]
    if isinstance(recipe, OfArray) and recipe.padded:
        return [
            f"A row is a sequence of at most {recipe.shape[0]} steps. Numbers that are missing "
            "before its end, or not finite, are refused."
        ]
    return ["Numbers that are missing or not finite are refused, and so are rows of another size."]
