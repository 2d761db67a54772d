"""Reports on studies, and studies side by side."""
