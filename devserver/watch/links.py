"""The links on the way to a path, and the real place behind them: wherever one of these changes, the path may mean
something else."""

from __future__ import annotations

import os

from devserver.records.record import record
from devserver.records.spelling import spelled
from devserver.records.stamps import read_link

_MOST_LINKS = 40  # as the kernel: more is a circle


@record(frozen=True)
class ResolvedPath:
    """A path with its links followed.

    `links`: where each link on the way lies, its own folders resolved. `real`: the path behind all of them.
    """

    links: tuple[str, ...]
    real: str

    def marks(self) -> tuple[str, ...]:
        """Every place of which a change can change what the path means."""
        return (*self.links, self.real)


def resolve(path: str) -> ResolvedPath:
    """Follow `path`, whether or not it exists, and remember each link."""
    here, todo = _split(os.path.abspath(path))
    links: list[str] = []
    while todo:
        step = os.path.join(here, todo.pop())
        target = _target(step) if len(links) < _MOST_LINKS else None
        if target is None:
            here = step
            continue
        links.append(step)
        here, more = _split(os.path.normpath(os.path.join(here, target)))
        todo += more
    return ResolvedPath(tuple(map(spelled, links)), spelled(here))


def nearest(folder: str) -> str:
    """`folder` itself, or the nearest folder above it that exists."""
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def identity(folder: str) -> tuple[int, int] | None:
    """Which folder this path names at the moment: device and inode; None when there is no folder."""
    try:
        found = os.stat(folder)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if (found.st_mode & 0o170000) == 0o040000 else None


def within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it; both real."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _split(path: str) -> tuple[str, list[str]]:
    drive, tail = os.path.splitdrive(path)
    return drive + os.sep, [name for name in reversed(tail.split(os.sep)) if name]


def _target(step: str) -> str | None:
    try:
        return read_link(step)
    except (OSError, ValueError):
        return None
