"""The searches that hints share: files of the project, names that are near, lists in words."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from devserver.diagnostics.hints.facts import Facts
from devserver.process.platform import System
from devserver.text import nearest, shown

_WALK = 0.006  # seconds of this thread for one look through the project's folders
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "env", "mlruns"}


def files_below(root: str, depth: int = 4, most: int = 3000) -> Iterator[str]:
    """The files below a folder, the nearest first; hidden folders and environments are left out."""
    level, end, count = [root], time.thread_time() + _WALK + System.clock_tick, 0
    for _ in range(depth + 1):
        deeper: list[str] = []
        for folder in level:
            for entry in entries(folder):
                count += 1
                if count > most or time.thread_time() > end:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        deeper.append(entry.path)
                elif not entry.name.startswith("."):
                    yield entry.path
        level = deeper


def entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def project_folders(facts: Facts) -> list[str]:
    """The folders that are the project: the working directory and the script's own."""
    cwd, folder = os.getcwd(), facts.folder
    return [cwd] if (folder + os.sep).startswith(cwd.rstrip(os.sep) + os.sep) else [cwd, folder]


def find(facts: Facts, tail: Sequence[str], roots: Iterable[str] | None = None) -> tuple[str, int] | None:
    """The file whose path ends most like `tail` (its parts), and how many parts agree; the file's name must."""
    best: tuple[str, int] | None = None
    for root in project_folders(facts) if roots is None else roots:
        for path in files_below(root):
            agree = _agreement(path, tail)
            if agree and (best is None or agree > best[1]):
                best = path, agree
    return best


def _agreement(path: str, tail: Sequence[str]) -> int:
    count = 0
    for mine, wanted in zip(reversed(os.path.normpath(path).split(os.sep)), reversed(tail), strict=False):
        if mine != wanted:
            break
        count += 1
    return count


def listed(names: Iterable[object], most: int = 8) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    texts = [repr(name)[:40] for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def nearest_of(name: object, names: Collection[object]) -> str:
    """`. Nearest: 'data'`; "" where none is near, or there is only one anyway."""
    if len(names) < 2:
        return ""
    near = nearest(str(name), [item for item in names if isinstance(item, str)], 0.6)
    return f". Nearest: {near!r}" if near else ""


def short(path: str) -> str:
    """The path for people: relative where it lies below the working directory."""
    path = os.path.abspath(path)
    return "." if path == os.getcwd() else shown(path).replace("\\", "/")
