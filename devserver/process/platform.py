"""The one file that asks for the platform."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import NoReturn

WINDOWS = sys.platform == "win32"
LINUX = sys.platform == "linux"
THREADS_GRACE = 0.5  # seconds that a leaving process gives to the script's own threads


def inherited_descriptor(argument: str, flags: int = os.O_RDWR) -> int:
    """The descriptor that the parent passed as this argument; `flags` as for os.open."""
    if not WINDOWS:
        return int(argument)
    import msvcrt

    return msvcrt.open_osfhandle(int(argument), flags)  # type: ignore[attr-defined,unused-ignore,no-any-return]


def lead_own_group() -> None:
    """Makes this process the leader of a process group, so that all it starts can be ended together."""
    if not WINDOWS:
        os.setpgid(0, 0)


def adopt_orphans() -> None:
    """From now on each descendant whose parent ends becomes a child of this process, where the system can do that."""
    if LINUX:
        import ctypes

        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def leave(code: int) -> NoReturn:
    """Ends this process although threads of the script may run for ever: they get a moment, then they are cut off."""
    try:
        end = time.monotonic() + THREADS_GRACE
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass
    finally:
        os._exit(code)  # also where another signal raised in the midst of this
