"""Results of a search: the configuration to use, its performance, and the effect of techniques."""

from __future__ import annotations
