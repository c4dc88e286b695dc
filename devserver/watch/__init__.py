"""What is to be watched comes in; a `ChangeSet` goes out each time when something in it has really changed."""

from __future__ import annotations

from devserver.watch.targets import Targets
from devserver.watch.watcher import Watch

__all__ = ["Targets", "Watch"]
