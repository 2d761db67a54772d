"""Runs studies: with own workers, as a worker for submitted studies, or a single trial again."""
