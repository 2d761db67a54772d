"""What a search has found out: which configuration, how good it is, and what helped."""

from __future__ import annotations
