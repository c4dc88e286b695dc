"""What is to be watched comes in; a `ChangeSet` goes out each time when something in it has really changed."""

from __future__ import annotations

from devserver.watch.targets import Targets, exclude_pattern
from devserver.watch.watcher import Watch

__all__ = ["Targets", "Watch", "exclude_pattern"]
