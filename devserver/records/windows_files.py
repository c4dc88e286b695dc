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
_PLAIN = "\\\\?\\"  # what stands before a path that is to be taken as it is
_NO_HANDLE = ctypes.c_void_p(-1).value
_UNIX_EPOCH = 116_444_736_000_000_000  # in the system's units of 100 ns
_READ_ATTRIBUTES, _SHARE_ALL, _OPEN_EXISTING = 0x80, 0x7, 3
_FOLDERS_TOO, _LINKS_THEMSELVES = 0x02000000, 0x00200000
_BASIC_INFO = 0

_kernel = ctypes.WinDLL("kernel32")
_kernel.FindFirstFileW.argtypes = (wintypes.LPCWSTR, ctypes.c_void_p)
_kernel.FindFirstFileW.restype = wintypes.HANDLE
_kernel.FindClose.argtypes = _kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel.CreateFileW.argtypes = (
    *(wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD),
    wintypes.HANDLE,
)
_kernel.CreateFileW.restype = wintypes.HANDLE
_kernel.GetFileInformationByHandleEx.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)


class _BasicInfo(ctypes.Structure):
    _fields_ = [
        ("created", ctypes.c_int64),
        ("read", ctypes.c_int64),
        ("written", ctypes.c_int64),
        ("changed", ctypes.c_int64),
        ("attributes", wintypes.DWORD),
    ]


def _entry(path: str) -> wintypes.WIN32_FIND_DATAW | None:
    """What its folder says of it; None where nothing is."""
    if _is_pattern(path.removeprefix(_PLAIN)):
        return None
    found = wintypes.WIN32_FIND_DATAW()
    handle = _kernel.FindFirstFileW(path, ctypes.byref(found))
    if handle == _NO_HANDLE or handle is None:
        return None
    _kernel.FindClose(handle)
    return found


def _is_pattern(path: str) -> bool:
    """Whether it would be taken for all the files that it matches."""
    return "*" in path or "?" in path


def spelled(path: str) -> str:
    """The absolute path with each name as its folder has it, whatever the case and length in which it was given.

    What is not there stays as it was given.
    """
    drive, rest = os.path.splitdrive(path)
    found = (drive.upper() if len(drive) == 2 else drive) + os.sep
    for name in filter(None, rest.split(os.sep)):
        entry = _entry(os.path.join(found, name))
        found = os.path.join(found, name if entry is None else entry.cFileName)
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


def changed_at(path: str) -> int | None:
    """When a file was last written or put where it is (ns), or the link that leads to it; None where nothing is.

    Python's `st_ctime` is the time at which it was made.
    """
    times = [_changed_at(path, _FOLDERS_TOO), _changed_at(path, _FOLDERS_TOO | _LINKS_THEMSELVES)]
    return None if None in times else max(filter(None, times))


def _changed_at(path: str, flags: int) -> int | None:
    handle = _kernel.CreateFileW(path, _READ_ATTRIBUTES, _SHARE_ALL, None, _OPEN_EXISTING, flags, None)
    if handle == _NO_HANDLE or handle is None:
        return None
    info = _BasicInfo()
    told = _kernel.GetFileInformationByHandleEx(handle, _BASIC_INFO, ctypes.byref(info), ctypes.sizeof(info))
    _kernel.CloseHandle(handle)
    latest = info.changed or max(info.created, info.written)  # some file systems note no change
    return (latest - _UNIX_EPOCH) * 100 if told else None
