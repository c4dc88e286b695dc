"""Threads that end with the process, started where the system may allow no more of them."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any


def start(name: str, target: Callable[..., object], *arguments: Any) -> threading.Thread:
    """Run `target` in a thread of this name. Errors: OSError where no thread can be started."""
    thread = threading.Thread(target=target, args=arguments, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None
    return thread
