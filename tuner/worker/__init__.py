"""The worker: leases a trial, trains it, reports, prunes, and writes the result."""
