"""optuna-dashboard on the database of a team: behind a guard, with its health and metrics."""

from tuner.dashboard.serve import Options, serve

__all__ = ["Options", "serve"]
