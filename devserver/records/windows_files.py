"""A file of Windows looked at without opening it: nobody can replace a file that is open, not even for a glance, and
who looks while editors save would make their saves fail."""

from __future__ import annotations

import ctypes
import msvcrt  # noqa: F401  # elsewhere there is none, and nothing of the rest is loaded
import os
import stat
from contextlib import suppress
from ctypes import wintypes

_LINK = 0x400  # of the attributes: something that leads elsewhere
_FOLDER = 0x10
_NO_HANDLE = ctypes.c_void_p(-1).value
_UNIX_EPOCH = 116_444_736_000_000_000  # in the system's units of 100 ns

_kernel = ctypes.WinDLL("kernel32")
_kernel.FindFirstFileW.argtypes = (wintypes.LPCWSTR, ctypes.c_void_p)
_kernel.FindFirstFileW.restype = wintypes.HANDLE
_kernel.FindClose.argtypes = (wintypes.HANDLE,)


def _entry(path: str) -> wintypes.WIN32_FIND_DATAW | None:
    """What its folder says of it; None where nothing is."""
    found = wintypes.WIN32_FIND_DATAW()
    handle = _kernel.FindFirstFileW(path, ctypes.byref(found))
    if handle == _NO_HANDLE or handle is None:
        return None
    _kernel.FindClose(handle)
    return found


def is_link(path: str) -> bool:
    """Whether it leads elsewhere."""
    found = _entry(path)
    return found is not None and bool(found.dwFileAttributes & _LINK)


def read_link(path: str) -> str:
    """What the link says. Errors: OSError where there is none."""
    if not is_link(path):
        raise FileNotFoundError(path)
    return os.readlink(path)


def glance(path: str) -> tuple[int, int, int] | None:
    """Mode, time of the last write (ns) and size (bytes); None where nothing is, or something that leads elsewhere."""
    found = _entry(path)
    if found is None or found.dwFileAttributes & _LINK:
        return None
    written = (found.ftLastWriteTime.dwHighDateTime << 32) + found.ftLastWriteTime.dwLowDateTime
    mode = stat.S_IFDIR if found.dwFileAttributes & _FOLDER else stat.S_IFREG
    return mode, (written - _UNIX_EPOCH) * 100, (found.nFileSizeHigh << 32) + found.nFileSizeLow


def listing(folder: str) -> dict[str, tuple[int, int]]:
    """Time of the last write (ns) and size (bytes) of all that is in a folder and leads nowhere else, at the price of
    one look; by `os.path.normcase` of the names. Empty where there is no such folder."""
    found = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink():
                seen = entry.stat()
                found[os.path.normcase(entry.name)] = seen.st_mtime_ns, seen.st_size
    return found
