"""The one file that asks for the platform.

What the systems do differently stands in two classes with one name, `System`, with the same members, in `posix.py` and
`windows.py`; everybody else uses these and asks nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import NoReturn

from devserver.process.systems import Process as Process
from devserver.process.systems import SharedSocket as SharedSocket
from devserver.process.systems import unless_ignored as unless_ignored

if sys.platform == "win32":
    from devserver.process.windows import System as System
else:
    from devserver.process.posix import System as System

THREADS_GRACE = 0.5  # seconds that a leaving process gives to the script's own threads


def leave(code: int, with_group: bool = False) -> NoReturn:
    """Ends this process although threads of the script may run for ever: they get a moment, then they are cut off.

    `with_group`: it leads its process group, and nobody of that shall be left.
    """
    try:
        end = time.monotonic() + THREADS_GRACE
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        # sys.exit() would wait for those threads, os._exit() alone skips what the script registered: no public way
        # runs the one without the other
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass
        if with_group:
            System.end_followers()
    finally:
        os._exit(code)  # also where another signal raised in the midst of this
