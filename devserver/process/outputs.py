"""Which files the tool itself writes: its events, and what its output is sent to. They are no changes, wherever they
lie.
"""

from __future__ import annotations

import os
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file, by whatever path it is reached."""


class Outputs:
    """The files behind the standard streams of this process, which its children inherit, and those at `paths`."""

    def __init__(self, *paths: str | None) -> None:
        self._paths = [path for path in paths if path]
        streams = {_identity_of(stream) for stream in (1, 2)}
        self._streams = {found for found in streams if found is not None}

    def hold(self, path: str) -> bool:
        """Whether this is one of them."""
        found = _identity_of(path)
        return found is not None and (found in self._streams or found in map(_identity_of, self._paths))


def _identity_of(place: str | int) -> Identity | None:
    """None for what is no regular file: a terminal, a pipe, nothing."""
    try:
        found = os.stat(place)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if (found.st_mode & 0o170000) == 0o100000 else None
