"""Jobs of Windows: groups of processes that nobody leaves unasked, and that end when nobody knows them any more.

They are there because Windows has neither process groups nor a parent that adopts orphans: a generation is a job, so
that what its script starts ends with it, and the tool with all its generations is another one, which the system ends
with the tool, however that goes.
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import wintypes

_EXTENDED_LIMITS = 9  # of the kinds of information on a job
_KILL_ON_JOB_CLOSE = 0x2000
_BREAKAWAY_OK = 0x800
_PROCESS_SET_QUOTA, _PROCESS_TERMINATE = 0x100, 0x1
_KILLED = 9  # exit code

_PROCESS_SUSPEND_RESUME = 0x800
SUSPENDED_IN_NEW_GROUP = 0x4 | 0x200  # flags of a process that is to be put into a job before it starts others

_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.CreateJobObjectW.restype = wintypes.HANDLE
_kernel.OpenProcess.restype = wintypes.HANDLE


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("minimum", ctypes.c_size_t),
        ("maximum", ctypes.c_size_t),
        ("processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", wintypes.DWORD),
        ("scheduling", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (("basic", _BasicLimits), ("io", ctypes.c_uint64 * 6), ("memory", ctypes.c_size_t * 4))


class Job:
    """A job of which all processes end when this object, or the process that has it, is gone.

    `may_leave`: a process in it may start another one outside, if it asks for that. Errors: OSError where the system
    makes none.
    """

    def __init__(self, may_leave: bool) -> None:
        handle = _kernel.CreateJobObjectW(None, None)
        if not handle:
            raise ctypes.WinError(ctypes.get_last_error())
        self._handle = wintypes.HANDLE(handle)
        weakref.finalize(self, _kernel.CloseHandle, self._handle).atexit = False
        limits = _ExtendedLimits()
        limits.basic.flags = _KILL_ON_JOB_CLOSE | (_BREAKAWAY_OK if may_leave else 0)
        size = ctypes.sizeof(limits)
        if not _kernel.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size):
            raise ctypes.WinError(ctypes.get_last_error())

    def take(self, pid: int) -> None:
        """This process, and all that it starts from now on. Errors: OSError where it is gone or may not be touched."""
        found = _kernel.OpenProcess(_PROCESS_SET_QUOTA | _PROCESS_TERMINATE, False, pid)
        if not found:
            raise ctypes.WinError(ctypes.get_last_error())
        process = wintypes.HANDLE(found)
        try:
            if not _kernel.AssignProcessToJobObject(self._handle, process):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            _kernel.CloseHandle(process)

    def end(self) -> None:
        """Ends all that is in it now; may be called more than once, from any thread."""
        _kernel.TerminateJobObject(self._handle, _KILLED)


def resume(pid: int) -> None:
    """Lets a process begin that was started suspended. The documented way needs its thread, which Popen closes."""
    process = wintypes.HANDLE(_kernel.OpenProcess(_PROCESS_SUSPEND_RESUME, False, pid))
    ctypes.WinDLL("ntdll").NtResumeProcess(process)
    _kernel.CloseHandle(process)


def is_console(handle: int) -> bool:
    """Whether a person may sit there: Python's isatty() is true for the null device, too."""
    mode = wintypes.DWORD()
    return bool(_kernel.GetConsoleMode(wintypes.HANDLE(handle), ctypes.byref(mode)))


def is_same_object(one: int, other: int) -> bool:
    """Whether both handles lead to the same pipe, or to consoles."""
    if is_console(one) or is_console(other):
        return is_console(one) and is_console(other)
    return bool(ctypes.WinDLL("kernelbase").CompareObjectHandles(wintypes.HANDLE(one), wintypes.HANDLE(other)))
