"""tuner: one search over regularization, normalization, schedules, optimizers and architecture."""
