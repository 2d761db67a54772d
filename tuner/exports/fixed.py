"""The study file of an export: every leaf fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuner.study.catalogue import DATA_LEAVES
from tuner.views.best import snippet, toml, with_leaves

if TYPE_CHECKING:
    from tuner.exports.write import Trained


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
