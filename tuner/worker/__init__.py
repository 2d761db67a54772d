"""A worker: lease a trial, train it, report and prune, tell the result; until nothing is left."""
