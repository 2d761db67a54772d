"""optuna-dashboard on the database of a team: behind a guard, with its health and metrics."""
