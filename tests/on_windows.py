"""What tests need of Windows that Python does not have: jobs, which know their processes, and Ctrl-C for others."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from ctypes import wintypes
from typing import Any

CREATE_SUSPENDED = 0x4
CREATE_NO_WINDOW = 0x08000000  # a console of its own, which nobody sees: Ctrl-C there is not for the tests
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
SYNCHRONIZE = 0x100000
STILL_THERE = 0x102
ROOM = 1024  # processes
PATIENCE = 10.0  # seconds

_kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
_kernel.CreateJobObjectW.restype = wintypes.HANDLE
_kernel.OpenProcess.restype = wintypes.HANDLE

PRESS = """
import ctypes, sys
kernel = ctypes.WinDLL("kernel32", use_last_error=True)
kernel.FreeConsole()
kernel.SetConsoleCtrlHandler(None, True)
if not (kernel.AttachConsole(int(sys.argv[1])) and kernel.GenerateConsoleCtrlEvent(int(sys.argv[2]), 0)):
    sys.exit(ctypes.get_last_error() or 1)
"""
CTRL_C, CTRL_BREAK = 0, 1


class _Members(ctypes.Structure):
    _fields_ = (("assigned", wintypes.DWORD), ("listed", wintypes.DWORD), ("pids", ctypes.c_size_t * ROOM))


class Job:
    """A job around a command: whatever the command starts, and these start, belongs to it."""

    def __init__(self) -> None:
        self._handle = wintypes.HANDLE(_kernel.CreateJobObjectW(None, None))

    def start(self, command: list[str], **named: Any) -> subprocess.Popen[bytes]:
        """The process, which is in the job before its first instruction; with a console of its own."""
        process = subprocess.Popen(command, creationflags=CREATE_SUSPENDED | CREATE_NO_WINDOW, **named)
        handle = wintypes.HANDLE(int(process._handle))  # type: ignore[attr-defined,unused-ignore]
        assert _kernel.AssignProcessToJobObject(self._handle, handle)
        ctypes.WinDLL("ntdll").NtResumeProcess(handle)  # type: ignore[attr-defined,unused-ignore]
        return process

    def processes(self) -> list[int]:
        """Who lives, without the processes that draw the consoles."""
        members = _Members()
        kind, size = 3, ctypes.sizeof(members)  # JobObjectBasicProcessIdList
        assert _kernel.QueryInformationJobObject(self._handle, kind, ctypes.byref(members), size, None)
        return [pid for pid in members.pids[: members.listed] if not program(pid).endswith("conhost.exe")]

    def end(self) -> None:
        """Kill them all."""
        _kernel.TerminateJobObject(self._handle, 9)


def program(pid: int) -> str:
    """The path of what the process runs, in lower case; empty where it is gone."""
    handle = _opened(pid)
    if handle is None:
        return ""
    text, size = ctypes.create_unicode_buffer(1024), wintypes.DWORD(1024)
    found = _kernel.QueryFullProcessImageNameW(handle, 0, text, ctypes.byref(size))
    _kernel.CloseHandle(handle)
    return text.value.lower() if found else ""


def is_alive(pid: int) -> bool:
    """Whether the process has not ended."""
    handle = _opened(pid)
    if handle is None:
        return False
    alive = _kernel.WaitForSingleObject(handle, 0) == STILL_THERE
    _kernel.CloseHandle(handle)
    return bool(alive)


def _opened(pid: int) -> wintypes.HANDLE | None:
    handle = _kernel.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, False, pid)
    return wintypes.HANDLE(handle) if handle else None


def press(pid: int, key: int = CTRL_C) -> None:
    """Ctrl-C or Ctrl-Break in the console of this process, by one that has no console to lose."""
    python = getattr(sys, "_base_executable", sys.executable)
    command = [python, "-I", "-S", "-c", PRESS, str(pid), str(key)]
    try:
        subprocess.run(command, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:  # Wine may forget one that attaches itself while the other is being started
        subprocess.run(command, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
