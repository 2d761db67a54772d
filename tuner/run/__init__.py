"""Running studies: with workers of our own, as a worker for others, or one trial again."""
