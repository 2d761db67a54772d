"""Running studies: with workers of our own, as a worker for others, or one trial again."""

from tuner.run.crew import serve_with
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.plain import objective
from tuner.run.prepare import submit
from tuner.run.replicate import ablate, confirm
from tuner.run.retrain import Retrained, retrain
from tuner.run.serve import serve

__all__ = [
    "Retrained",
    "RunOptions",
    "ablate",
    "confirm",
    "objective",
    "optimize",
    "retrain",
    "serve",
    "serve_with",
    "submit",
]
