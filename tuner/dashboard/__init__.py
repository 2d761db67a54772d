"""Serves optuna-dashboard behind a guard, with health checks and metrics."""
