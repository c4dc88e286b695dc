"""Which files and settings count, as last known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from devserver.records.stamps import Stamp, full_stamp

Versions: TypeAlias = dict[str, Stamp | None]  # None: not there


def versions(paths: Iterable[str]) -> Versions:
    return {path: full_stamp(path) for path in paths}
