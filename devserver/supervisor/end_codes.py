"""How processes ended that another process has forked, as that one tells; and what the loop needs of such a process."""

from __future__ import annotations

import os
import select
import signal
import threading

CODE_LIMIT = 1.0  # seconds in which the parent tells how a process ended that has ended


class EndCodes:
    """The codes that a parent has told, until somebody asks. Safe from any thread."""

    def __init__(self) -> None:
        self._codes: dict[int, int] = {}
        self._is_over = False
        self._change = threading.Condition()

    def tell(self, pid: int, code: int) -> None:
        """It has ended so; a negative code is the number of a signal."""
        with self._change:
            self._codes[pid] = code
            self._change.notify_all()

    def end(self) -> None:
        """The parent is gone: nothing more will be told."""
        with self._change:
            self._is_over = True
            self._change.notify_all()

    def of(self, pid: int) -> int:
        """Only its parent learns how a process ended; where that is gone, nobody knows, and it counts as killed."""
        with self._change:
            self._change.wait_for(lambda: pid in self._codes or self._is_over, CODE_LIMIT)
            return self._codes.pop(pid, -signal.SIGKILL)


class ForkedProcess:
    """The part of `subprocess.Popen` that a `Child` needs, for a process that another one has forked."""

    def __init__(self, pid: int, descriptor: int, codes: EndCodes) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._codes = codes
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        with self._lock:
            if self._code is None:
                select.select([self._descriptor], [], [])
                self._code = self._codes.of(self.pid)
                os.close(self._descriptor)
            return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)
