"""tuner: one search over regularization, normalization, schedules, optimizers and architecture.

Every name is imported when it is first used, so that ``tuner --help`` need not load torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from tuner.answers.ablate import Ablation, Effect
    from tuner.answers.confirm import Confirmation, Measured
    from tuner.answers.estimate import Estimate
    from tuner.errors import TunerError
    from tuner.exports import Exported, export, load, predict
    from tuner.reports import Comparison, Report, best, compare, report
    from tuner.run import Retrained, RunOptions, ablate, confirm, objective, optimize, retrain
    from tuner.space import Choice, Option, Range
    from tuner.storage import open_storage
    from tuner.study import Study, define_study, load_study
    from tuner.training.plain import Epoch, Trainer
    from tuner.views.recommended import Recommendation

_HOME = {
    "Ablation": "tuner.answers.ablate",
    "Choice": "tuner.space",
    "Comparison": "tuner.reports",
    "Confirmation": "tuner.answers.confirm",
    "Effect": "tuner.answers.ablate",
    "Epoch": "tuner.training.plain",
    "Estimate": "tuner.answers.estimate",
    "Exported": "tuner.exports",
    "Measured": "tuner.answers.confirm",
    "Option": "tuner.space",
    "Range": "tuner.space",
    "Recommendation": "tuner.views.recommended",
    "Report": "tuner.reports",
    "Retrained": "tuner.run",
    "RunOptions": "tuner.run",
    "Study": "tuner.study",
    "Trainer": "tuner.training.plain",
    "TunerError": "tuner.errors",
    "ablate": "tuner.run",
    "best": "tuner.reports",
    "compare": "tuner.reports",
    "confirm": "tuner.run",
    "define_study": "tuner.study",
    "export": "tuner.exports",
    "load": "tuner.exports",
    "load_study": "tuner.study",
    "objective": "tuner.run",
    "open_storage": "tuner.storage",
    "optimize": "tuner.run",
    "predict": "tuner.exports",
    "report": "tuner.reports",
    "retrain": "tuner.run",
}

__all__ = [
    "Ablation",
    "Choice",
    "Comparison",
    "Confirmation",
    "Effect",
    "Epoch",
    "Estimate",
    "Exported",
    "Measured",
    "Option",
    "Range",
    "Recommendation",
    "Report",
    "Retrained",
    "RunOptions",
    "Study",
    "Trainer",
    "TunerError",
    "ablate",
    "best",
    "compare",
    "confirm",
    "define_study",
    "export",
    "load",
    "load_study",
    "objective",
    "open_storage",
    "optimize",
    "predict",
    "report",
    "retrain",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import_module("tuner.errors").check_platform(sys.platform)
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("tuner")
    raise AttributeError(f"module 'tuner' has no attribute {name!r}")
