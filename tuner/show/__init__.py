"""What people see: pure functions from what is known to lines and tables."""

from __future__ import annotations
