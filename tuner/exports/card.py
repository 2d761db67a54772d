"""What goes with an export for people: a model card, and the study file with every leaf fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuner.exports.folder import ONNX, PREPROCESSING, PROGRAM, STUDY, VERSIONS, WEIGHTS
from tuner.models import FAMILIES
from tuner.study.catalogue import DATA_LEAVES
from tuner.views.best import snippet, toml, with_leaves
from tuner.views.format import number

if TYPE_CHECKING:
    from tuner.answers.estimate import Estimate
    from tuner.exports.write import Trained

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

## Files
| file | holds |
| :-- | :-- |
| `{weights}` | weights and running averages of the network |
| `{program}` | the network as a program of torch.export; any number of rows |
{onnx}| `{preprocessing}` | from a raw row to the network's input, and what its outputs mean |
| `{study}` | the study file with every value fixed |
| `{versions}` | the versions it was made with, and the seed |
"""


def study_file(made: Trained) -> str:
    """The study with one configuration in place of its ranges."""
    study, trial = made.job.study, made.chosen.trial.number
    leaves = [leaf.name for leaf in DATA_LEAVES]
    lines = [
        f"# Trial {trial} of {study.name!r}, trained with the seed {made.seed}.",
        f"description = {toml(study.description)}",
        f"metric = {toml(made.job.metric.name)}",
        "",
        "[data]",
        *(f"{key} = {toml(value)}" for key, value in _fixed_data(made).items()),
        "",
        snippet({k: v for k, v in made.config.items() if k not in leaves}),
        "[search]",
        "trials = 1",
    ]
    return "\n".join(lines) + "\n"


def _fixed_data(made: Trained) -> dict[str, Any]:
    """``[data]`` with the configuration's values at its leaves."""
    config = made.config
    leaves = {
        leaf.name: with_leaves(config, config[leaf.name]) if leaf.options else config[leaf.name]
        for leaf in DATA_LEAVES
    }
    return {**made.job.study.document["data"], **leaves}


def card(made: Trained, onnx: bool = False) -> str:
    """README.md."""
    study = made.job.study
    title = f"# {study.name}\n"
    about = [study.description + "\n"] if study.description else []
    family = FAMILIES.get(made.config["family"])
    network = made.config["family"] + (f", {family.doc}" if family else "")
    facts = [
        f"- Network: {network}; {_parameters(made):,} parameters.",
        f"- Task: {_task(made)}.",
        f"- Data: {_data(made)}.",
        f"- Made by tuner: trial {made.chosen.trial.number} of the study, {made.chosen.why}, "
        f"trained with the seed {made.seed} for {made.epochs} epochs on {_rows(made)}.",
    ]
    return "\n".join(
        [
            *(title, *about, "## What it is", *facts, ""),
            *("## How good it is", *_numbers(made), ""),
            *("## Intended use", *_intended(made), ""),
            *("## Configuration", "```toml", snippet(made.config).rstrip(), "```", ""),
            _use(made, onnx),
        ]
    )


def _use(made: Trained, onnx: bool) -> str:
    shape, words = list(made.data.shape), made.data.vocabulary is not None
    kind = "int32 numbers of words, 0 at the end" if words else "float32"
    target = made.data.target
    outputs = (
        "`outputs.softmax(1)` are the probabilities of the classes in their order."
        if target.classes
        else f"`outputs * {target.scale!r} + {target.mean!r}` is the value in the target's unit."
    )
    return USE.format(
        rows=f"{kind}, [N, {', '.join(map(str, shape))}]",
        outputs=outputs,
        onnx=f"| `{ONNX}` | the same for ONNX runtimes: `rows` to `outputs` |\n" if onnx else "",
        weights=WEIGHTS,
        program=PROGRAM,
        preprocessing=PREPROCESSING,
        study=STUDY,
        versions=VERSIONS,
    )


def _parameters(made: Trained) -> int:
    return sum(parameter.numel() for parameter in made.network.parameters())


def _task(made: Trained) -> str:
    target = made.data.target
    if not target.classes:
        return "regression"
    shown = ", ".join(f"`{name}`" for name in target.classes[:20])
    return f"classification into {len(target.classes)} classes: {shown}" + (
        ", …" if len(target.classes) > 20 else ""
    )


def _data(made: Trained) -> str:
    data = made.job.spec
    column = f", target `{data.target}`" if data.target else ""
    return f"`{data.source or data.path}`{column}; rows of shape {list(made.data.shape)}"


def _rows(made: Trained) -> str:
    kind = "training and validation" if made.final else "training"
    return f"{len(made.data.train):,} rows for {kind}"


def _numbers(made: Trained) -> list[str]:
    metric = made.job.metric
    recorded = made.chosen.trial.values[0]
    better = "higher" if metric.direction == "maximize" else "lower"
    found = [f"{metric.name}, of which {better} is better:", ""]
    count = len(made.data.validation)
    if made.final:
        found.append(f"- {number(made.value)} on {count:,} test rows, this training")
        place = made.job.study.measured_on.replace("validation split", "validation rows")
        found.append(f"- {number(recorded)} on the {place}, in the search")
    else:
        found.append(f"- {number(made.value)} on {count:,} validation rows, this training")
    measured = made.chosen.confirmed
    if measured is not None:
        found.append(f"- {_estimate(measured.validation)} on the validation rows")
        if measured.test is not None:
            found.append(f"- {_estimate(measured.test)} on the test rows")
    else:
        found.append("- The search chose by the validation rows, so that their number flatters.")
    return found


def _estimate(found: Estimate) -> str:
    seeds = len(found.values)
    if seeds < 2:
        return f"{number(found.mean)}, one training of the configuration,"
    return (
        f"{number(found.mean)} (95% interval {number(found.low)} to {number(found.high)}) over "
        f"{seeds} trainings of the configuration"
    )


def _intended(made: Trained) -> list[str]:
    what = "classes" if made.data.target.classes else "values"
    return [
        f"To predict {what} of rows that come from where its training rows came from. What it says "
        "of other rows, and how it treats groups of people, was not measured."
    ]
