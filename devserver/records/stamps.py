"""What a file is at a moment, so that two moments can be compared."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

try:
    from _blake2 import blake2b  # what hashlib gives, without the 4 MB of OpenSSL that hashlib loads
except ImportError:
    from hashlib import blake2b


glance: Callable[[str], tuple[int, int, int] | None] | None
listing: Callable[[str], dict[str, tuple[int, int]]] | None
changed_at: Callable[[str], int | None]
is_link: Callable[[str], bool]
read_link: Callable[[str], str]
try:
    from devserver.records.windows_files import changed_at, glance, is_link, listing, read_link
except ImportError:  # elsewhere to look hinders nobody, and costs little
    glance, is_link, listing, read_link = None, os.path.islink, None, os.readlink

    def changed_at(path: str) -> int | None:
        """When a file was last written or put where it is (ns), or the link that leads to it; None where nothing is."""
        try:
            return max(os.stat(path).st_ctime_ns, os.lstat(path).st_ctime_ns)
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Stamp:
    """The identity of one version of a file.

    `mtime_ns`, `size` (bytes) and `inode` come from one stat; `digest` is the hash of the content, or None where the
    content was not read (big model files).
    """

    mtime_ns: int
    size: int
    inode: int
    digest: str | None = None

    def same_stat(self, other: Stamp | None) -> bool:
        """True when a stat alone shows no difference; any difference counts, also an older time."""
        return other is not None and (self.mtime_ns, self.size, self.inode) == (
            other.mtime_ns,
            other.size,
            other.inode,
        )

    def same_content(self, other: Stamp | None) -> bool:
        """True when both are the same content as far as is known: by digest, else by stat."""
        if other is not None and self.digest is not None and other.digest is not None:
            return self.digest == other.digest
        return self.same_stat(other)


def digest_of(content: bytes) -> str:
    """The digest that a `Stamp` holds for this content."""
    return blake2b(content, digest_size=16).hexdigest()


def _stat(path: str) -> tuple[int, int, int, int]:
    found = glance(path) if glance is not None else None
    if found is not None:
        return *found, 0
    seen = os.stat(path)  # on Windows a link, or nothing
    return seen.st_mode, seen.st_mtime_ns, seen.st_size, 0 if glance is not None else seen.st_ino


def stat_stamp(path: str) -> Stamp | None:
    """The stamp of `path` by one stat, links followed; None where there is no such regular file."""
    try:
        mode, mtime_ns, size, inode = _stat(path)
    except (OSError, ValueError):
        return None
    return Stamp(mtime_ns, size, inode) if (mode & 0o170000) == 0o100000 else None


def read_stamped(path: str) -> tuple[bytes, Stamp]:
    """The content of `path` and the stamp of exactly that content.

    The stat is taken before the read, where it can be from the open descriptor, so a write that comes between is seen
    later as a difference. Errors: OSError as `open` raises it.
    """
    before = stat_stamp(path) if _READING_HINDERS else None
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        content = file.read()
    stamp = before or Stamp(found.st_mtime_ns, found.st_size, 0 if _READING_HINDERS else found.st_ino)
    return content, dataclasses.replace(stamp, digest=digest_of(content))


def full_stamp(path: str) -> Stamp | None:
    """The stamp of `path` with its digest; None where it cannot be read as a regular file.

    Where an open file cannot be replaced, one that was written a moment ago is left alone until it stands still, or an
    editor's next save would fail; of one that goes on moving the stamp has no digest.
    """
    if _READING_HINDERS:
        return _read_once(path)
    if stat_stamp(path) is None:
        return None
    try:
        return read_stamped(path)[1]
    except OSError:
        return None


_READING_HINDERS = glance is not None
_YOUNG_NS = 40_000_000  # editors and formatters that save again at once do so in less than that
_TICK_NS = 1_000_000  # a time of whole ticks is of a coarse clock, or was set: two versions may have it
_KEPT = 5.0  # seconds: for one reload
_MOVING = 0.1  # seconds for which a file that goes on moving is waited for
_read_before: dict[str, tuple[float, Stamp]] = {}  # when, on the monotonic clock
_UNREAD, _MOST_UNREAD = 5.0, 1000  # seconds, and paths
_unread: dict[str, float] = {}  # since when
_noting = threading.Lock()


def leave_unread(path: str) -> None:
    """A program writes this file, or in this folder, and may go on: for a while its content is not looked at.

    Where an open file cannot be replaced or removed, the program's next write would fail. Its stamps have no digest.
    """
    if not _READING_HINDERS:
        return
    with _noting:
        _unread.pop(path, None)
        _unread[path] = time.monotonic()
        if len(_unread) > _MOST_UNREAD:
            del _unread[next(iter(_unread))]


def _is_left_unread(path: str) -> bool:
    since = time.monotonic() - _UNREAD
    return any(_unread.get(place, since) > since for place in upwards(path))


def upwards(path: str) -> Iterator[str]:
    """The path and the folders above it."""
    while True:
        yield path
        above = os.path.dirname(path)
        if above == path:
            return
        path = above


def _read_once(path: str) -> Stamp | None:
    """Each version is read once, and none that is not standing still."""
    found = stat_stamp(path)
    if _is_left_unread(path):
        return found
    end = time.monotonic() + _MOVING
    while found is not None and (rest := _YOUNG_NS - _age(found)) > 0:
        if time.monotonic() > end:
            return found
        time.sleep(rest / 1e9)
        found = stat_stamp(path)
    if found is None:
        return None
    at, known = _read_before.get(path, (-math.inf, None))
    if time.monotonic() - at < _KEPT and found.same_stat(known):
        assert known is not None
        return known
    try:
        stamp = read_stamped(path)[1]
    except OSError:
        return None
    if stamp.mtime_ns % _TICK_NS and _age(stamp) >= _YOUNG_NS:
        _read_before[path] = (time.monotonic(), stamp)
    return stamp


def _age(stamp: Stamp) -> int:
    """Nanoseconds since it was written; a time that has yet to come says nothing, and counts as long ago."""
    age = time.time_ns() - stamp.mtime_ns
    return age if age >= 0 else _YOUNG_NS


Versions: TypeAlias = dict[str, Stamp | None]
"""Files by their absolute paths as they were at some time; None for one that was not there."""


def versions(paths: Iterable[str]) -> Versions:
    """These files as they are now."""
    return {path: full_stamp(path) for path in paths}


SMALL = 1 << 20  # bytes: up to here content is compared, and one write is taken for the whole file


def data_stamp(path: str) -> Stamp | None:
    """The stamp of a data file: with its digest where it is small; None where there is no such regular file."""
    found = stat_stamp(path)
    return found if found is None or found.size > SMALL else full_stamp(path)


def link_stamp(path: str) -> Stamp | None:
    """The stamp of a symbolic link itself, by what it says; None where there is no link."""
    try:
        text, found = read_link(path), os.lstat(path)
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino, digest_of(os.fsencode(text)))


def folder_stamp(path: str) -> Stamp | None:
    """The stamp of a folder as an entry of another one: it is there, whatever it holds; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return Stamp(0, 0, found.st_ino, "folder") if (found.st_mode & 0o170000) == 0o040000 else None


Identity: TypeAlias = tuple[int, int, int]
"""Time of the last write (ns), size (bytes) and inode of a file, of any kind."""


def identity(path: str) -> Identity | None:
    """What tells by one look whether it is another version; None where nothing is."""
    try:
        return _stat(path)[1:]
    except (OSError, ValueError):
        return None


def identities(paths: Collection[str]) -> dict[str, Identity | None]:
    """Those of many files, most of which lie side by side."""
    if listing is None:
        return {path: identity(path) for path in paths}
    listed = {folder: listing(folder) for folder in {os.path.dirname(path) for path in paths}}
    found = {path: listed[os.path.dirname(path)].get(os.path.normcase(os.path.basename(path))) for path in paths}
    return {path: (*seen, 0) if seen is not None else identity(path) for path, seen in found.items()}
