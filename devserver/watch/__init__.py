"""Tells of each real and finished change of the files that are watched, once."""

from __future__ import annotations

__all__ = ["Targets", "Watch", "exclude_pattern"]
