"""Training one trial: the step, its state, and the plain trainer."""
