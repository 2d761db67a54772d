"""Reports on studies, and comparisons of studies."""
