"""What is to be watched comes in; a `ChangeSet` goes out each time when something in it has really changed."""

from __future__ import annotations

__all__ = ["Targets", "Watch", "exclude_pattern"]
