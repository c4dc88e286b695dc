"""The dev loop in a terminal, which POSIX lets a test make up; `Loop` is the same without one."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from live import DEADLINE, environment
from loop import Loop

TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)

# What a shell does that has job control: the command gets the keyboard on SIGUSR1, and loses it on SIGUSR2.
BACKGROUND = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
mode = termios.tcgetattr(0)
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.execv(sys.executable, sys.argv[1:])

def take_back(*_):
    os.tcsetpgrp(0, os.getpgrp())
    termios.tcsetattr(0, termios.TCSADRAIN, mode)

signal.signal(signal.SIGUSR1, lambda *_: os.tcsetpgrp(0, pid))
signal.signal(signal.SIGUSR2, take_back)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def transcript(*command: str, columns: int, cwd: Path, env: Mapping[str, str | None] | None = None) -> tuple[int, str]:
    """What a command that ends by itself shows in a terminal this wide, stdout and stderr together; its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {**environment({"COLUMNS": None, "NO_COLOR": "1", **(env or {})}), "TERM": "xterm"}
    process = subprocess.Popen(
        command, cwd=cwd, env=variables, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown, end = bytearray(), time.monotonic() + DEADLINE
    try:
        while select.select([master], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = _read(master)
            if not piece:
                return process.wait(DEADLINE), shown.decode("utf-8", "replace").replace("\r\n", "\n")
            shown += piece
        raise AssertionError(f"{command} did not end in {DEADLINE:g} s: {shown!r}")
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # on Linux, when nobody has the other end any more
        return b""


class AtTerminal(Loop):
    """The command in a terminal of its own, as if a person sat there; `output` is what is shown."""

    starter = TAKE_TERMINAL
    columns = 150

    def __enter__(self) -> AtTerminal:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, self.columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self._output.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.starter, sys.executable, *self._argv[1:]],
            cwd=self._cwd,
            env={**self._env, "TERM": "xterm", "INPUTRC": os.devnull},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )
        self._over = threading.Event()
        self._shown = threading.Thread(target=self._copy, daemon=True)
        self._shown.start()
        try:
            self.port = self.wait_for("listening")["port"]
            self.wait_for(self._until or "listening")
        except BaseException:
            self._kill()
            self.hang_up()
            raise
        return self

    def _copy(self) -> None:
        with self._output.open("ab", buffering=0) as file:
            while not self._over.is_set():
                try:
                    if select.select([self.master], [], [], 0.02)[0]:
                        file.write(os.read(self.master, 65536))
                except OSError:
                    return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            super().__exit__(kind, error, at)
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the window."""
        if self._over.is_set():
            return
        self._over.set()
        self._shown.join(5)
        os.close(self.slave)
        os.close(self.master)

    def press(self, text: str) -> None:
        """Type this."""
        os.write(self.master, text.encode())

    def sees(self, text: str, times: int = 1) -> None:
        """Wait until it was shown so many times."""
        self.wait_until(lambda: self.output().count(text) >= times, f"{text!r} is shown")

    def shown(self) -> str:
        """What was shown, with the carriage returns that `output` takes for newlines."""
        return self._output.read_bytes().decode("utf-8", "replace")

    def mode(self) -> list[Any]:
        """The settings of the terminal."""
        return termios.tcgetattr(self.slave)


class InBackground(AtTerminal):
    """The command in the background of a shell, which is `process`."""

    starter = BACKGROUND

    def foreground(self, wanted: bool) -> None:
        """As `fg` does, or the shell when it wants the keyboard back."""
        self.process.send_signal(signal.SIGUSR1 if wanted else signal.SIGUSR2)
