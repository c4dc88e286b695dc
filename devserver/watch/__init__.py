"""Tells of each real change of what is to be watched, once and when it is complete."""

from __future__ import annotations

__all__ = ["Targets", "Watch", "exclude_pattern"]
