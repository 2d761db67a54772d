"""Exports a trained configuration as a folder, and loads it for prediction."""
