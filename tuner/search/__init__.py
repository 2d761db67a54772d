"""Samplers and pruners of Optuna: they propose configurations and end trials early."""
