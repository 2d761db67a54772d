"""Formats results as lines and tables, by pure functions."""

from __future__ import annotations
