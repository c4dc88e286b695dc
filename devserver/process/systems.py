"""What both kinds of systems share: the small parts of which the two classes `System` are made."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from typing import Protocol, TypeAlias

RUN_VARIABLE = "AZMLINFSRV_RUN"  # stands in the environment of every process of one run, to find them again
THREADS_GRACE = 0.5  # seconds that a leaving process gives to the script's own threads
DEFER_SECONDS = 600
RETIRE = b"retire\n"
KILLED = 9  # exit code where no signal can be told
WSAEACCES = 10013

SharedSocket: TypeAlias = int | bytes  # what another process needs to open a listening socket of ours


class Process(Protocol):
    """What is needed of a process that was started."""

    pid: int

    def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


def unless_ignored(numbers: Iterable[int]) -> list[int]:
    """Those of these signals that are not ignored: nohup, and a shell's `&` in a script, want them to stay so."""
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def shut_down(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


def temporary_file() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
