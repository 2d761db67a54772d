"""tuner: one search over regularization, normalization, schedules, optimizers and architecture.

Every name is imported when it is first used, so that ``tuner --help`` need not load torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from tuner.errors import TunerError
    from tuner.exports.folder import Exported
    from tuner.exports.predict import predict
    from tuner.exports.read import load
    from tuner.exports.write import export
    from tuner.reports.compare import Comparison
    from tuner.reports.report import Report, best, compare, report
    from tuner.results.ablate import Ablation, Effect
    from tuner.results.best import Recommendation
    from tuner.results.confirm import Confirmation, Measured
    from tuner.results.ensemble import Ensemble
    from tuner.results.estimate import Estimate
    from tuner.results.yardsticks import Rival
    from tuner.run.optimize import optimize
    from tuner.run.options import RunOptions
    from tuner.run.plain import objective
    from tuner.run.replicate import ablate, confirm
    from tuner.run.retrain import Retrained, retrain
    from tuner.search.sampler import Sampler
    from tuner.space import Choice, Option, Range
    from tuner.storage import open_storage
    from tuner.study import Study, define_study, load_study
    from tuner.training.trainer import Epoch, Trainer
    from tuner.worker.objective import checkpoint, seed

_HOME = {
    "Ablation": "tuner.results.ablate",
    "Choice": "tuner.space",
    "Comparison": "tuner.reports.compare",
    "Confirmation": "tuner.results.confirm",
    "Effect": "tuner.results.ablate",
    "Ensemble": "tuner.results.ensemble",
    "Epoch": "tuner.training.trainer",
    "Estimate": "tuner.results.estimate",
    "Exported": "tuner.exports.folder",
    "Measured": "tuner.results.confirm",
    "Option": "tuner.space",
    "Range": "tuner.space",
    "Recommendation": "tuner.results.best",
    "Report": "tuner.reports.report",
    "Retrained": "tuner.run.retrain",
    "Rival": "tuner.results.yardsticks",
    "RunOptions": "tuner.run.options",
    "Sampler": "tuner.search.sampler",
    "Study": "tuner.study",
    "Trainer": "tuner.training.trainer",
    "TunerError": "tuner.errors",
    "ablate": "tuner.run.replicate",
    "best": "tuner.reports.report",
    "checkpoint": "tuner.worker.objective",
    "compare": "tuner.reports.report",
    "confirm": "tuner.run.replicate",
    "define_study": "tuner.study",
    "export": "tuner.exports.write",
    "load": "tuner.exports.read",
    "load_study": "tuner.study",
    "objective": "tuner.run.plain",
    "open_storage": "tuner.storage",
    "optimize": "tuner.run.optimize",
    "predict": "tuner.exports.predict",
    "report": "tuner.reports.report",
    "retrain": "tuner.run.retrain",
    "seed": "tuner.worker.objective",
}

__all__ = [
    "Ablation",
    "Choice",
    "Comparison",
    "Confirmation",
    "Effect",
    "Ensemble",
    "Epoch",
    "Estimate",
    "Exported",
    "Measured",
    "Option",
    "Range",
    "Recommendation",
    "Report",
    "Retrained",
    "Rival",
    "RunOptions",
    "Sampler",
    "Study",
    "Trainer",
    "TunerError",
    "ablate",
    "best",
    "checkpoint",
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
    "seed",
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
