"""Which configuration to try next, and which trial to end early: Optuna's samplers and pruners."""
