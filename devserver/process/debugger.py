"""Debugging with debugpy: settings come in; a port is listened on, and whether a debugger is attached goes out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from devserver.config.files import ConfigError

PIP = "pip install debugpy"
LOOK_EVERY = 0.25  # seconds
QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else debugpy prints four lines about frozen modules at each start


def is_loaded() -> bool:
    """Whether this process runs under debugpy, be it started by it, listening, or the child of such a process."""
    return "pydevd" in sys.modules


def is_attached() -> bool:
    """Whether a debugger is attached to this process now."""
    debugpy = sys.modules.get("debugpy")
    return is_loaded() and debugpy is not None and bool(debugpy.is_client_connected())


def listen(port: int) -> str:
    """Listen for a debugger on this machine; returns a line for the person. Errors: ConfigError."""
    if is_loaded():
        return "--debug has no effect: the command runs under a debugger already"
    os.environ.update(QUIET)  # debugpy takes it from nowhere else
    try:
        import debugpy
    except ImportError:
        raise ConfigError(f"argument --debug: debugpy is not installed; run: {PIP}") from None
    try:
        debugpy.listen(("127.0.0.1", port))
    except RuntimeError as error:
        raise ConfigError(f"argument --debug: cannot listen on port {port}: {error}") from None
    return f"a debugger may attach to 127.0.0.1:{port}"


def watch(changed: Callable[[bool], None]) -> None:
    """From now on `changed` is called, from a thread, whenever a debugger has come or gone."""
    rest = threading.Event()

    def look() -> None:
        was = False
        while not rest.wait(LOOK_EVERY):
            if (now := is_attached()) != was:
                was = now
                changed(now)

    threading.Thread(target=look, daemon=True, name="debugger").start()


def stand_back() -> None:
    """A debugger lists none of this process's threads but the main one, which says what it is.

    The threads of the script, in their own processes, are what the person looks for. The main thread has to stay: a
    process that shows none is over for the debugger.
    """
    if not is_loaded():
        return
    main = threading.main_thread()
    main.name = "azmlinfsrv (waits for saves)"
    threading.Thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]  # of all, and of those to come
    main.is_pydev_daemon_thread = False  # type: ignore[attr-defined]


@contextmanager
def unseen() -> Iterator[None]:
    """A process that is forked in this context is no matter of the debugger."""
    pydevd = sys.modules.get("pydevd")
    if pydevd is None:
        yield
        return
    with pydevd.skip_subprocess_arg_patch():
        yield
