"""The parent's handle of a generation's process: it briefs it, hears what it tells and how it ends, and can end it."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeAlias

from devserver.process.listener import Listener
from devserver.process.platform import Process, System
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Briefing, Inbox
from devserver.records.messages import Gone, Told

RUN_VARIABLE = "AZMLINFSRV_RUN"  # stands in the environment of every process of one run, to find them again
LAUNCHER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker", "launch")


Deliver: TypeAlias = Callable[[int, Told | Gone], None]


@dataclass(frozen=True)
class Origin:
    """What every process of the tool gets from it: its listeners, its environment, and what it ends with."""

    listeners: Sequence[Listener]
    environ: dict[str, str]
    lifeline: int

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors of the listeners."""
        return tuple(listener.socket.fileno() for listener in self.listeners)


def pipe(undo: ExitStack) -> tuple[int, int]:
    """A new pipe, reading end first; `undo` closes it."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends


def interpreter_command() -> list[str]:
    """The command for another interpreter like this one."""
    # nothing public gives the options back; multiprocessing, too, starts its processes with those from here
    return [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]


class Child:
    """The parent's handle of one generation's process."""

    def __init__(self, process: Process, generation: int, scoreboard: Scoreboard, control: int = -1) -> None:
        self.process = process
        self.generation = generation
        self.scoreboard = scoreboard
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def start(cls, briefing: Briefing, origin: Origin, deliver: Deliver) -> Child:
        """Start the process; `deliver` gets its records and at last `Gone`, each with the generation's number.

        Errors: OSError where no process can be made.
        """
        with ExitStack() as undo:
            scoreboard = undo.enter_context(closing(Scoreboard()))
            told, tell = pipe(undo)
            hear, heard = pipe(undo)
            descriptors = [told, heard, *scoreboard.descriptors, origin.lifeline]
            process = System.start([*interpreter_command(), LAUNCHER], descriptors, origin.sockets, origin.environ)
            undo.pop_all()
        os.close(told)
        os.close(heard)
        child = cls(process, briefing.generation, scoreboard, tell)
        child._brief(briefing, origin.listeners)
        child._hear(hear, deliver)
        return child

    @classmethod
    def adopt(cls, process: Process, generation: int, scoreboard: Scoreboard, hear: int, deliver: Deliver) -> Child:
        """The handle of a process that was started by another; `hear` is where its link ends."""
        child = cls(process, generation, scoreboard)
        child._hear(hear, deliver)
        return child

    def close(self) -> None:
        """After `Gone`: gives back what was kept of it."""
        self.scoreboard.close()

    def _brief(self, briefing: Briefing, listeners: Sequence[Listener]) -> None:
        shared = tuple(System.share(listener.socket, self.process.pid) for listener in listeners)
        text = json.dumps(briefing.path).encode() + b"\n"  # apart: what the rest is made of is imported from there
        try:
            with os.fdopen(os.dup(self._control), "wb") as pipe:
                pipe.write(text + pickle.dumps(dataclasses.replace(briefing, listeners=shared)))
        except BrokenPipeError:
            pass  # it is gone already; `Gone` tells

    def _hear(self, hear: int, deliver: Deliver) -> None:
        threading.Thread(target=self._listen, args=(hear, deliver), daemon=True, name="listen").start()

    def _listen(self, hear: int, deliver: Deliver) -> None:
        """Until the process has ended; a grandchild that holds the pipe open does not count."""
        ended, end = os.pipe()
        threading.Thread(target=self._wait, args=(end,), daemon=True, name="wait").start()
        inbox = Inbox()
        sources = [hear, ended]
        while True:
            ready = System.readable(sources)
            content = os.read(hear, 1 << 16) if hear in ready else b""
            for record in inbox.feed(content):
                deliver(self.generation, record)
            if not content and ended in ready:
                break
            if not content:
                sources = [ended]  # the script has closed what is not its own
        code = self.process.wait()
        for descriptor in (hear, ended):
            os.close(descriptor)
        self.kill()  # what it left behind in its group
        with self._lock:
            if self._control >= 0:
                os.close(self._control)
            self._control = -1
        deliver(self.generation, Gone(code))

    def _wait(self, end: int) -> None:
        self.process.wait()
        os.close(end)

    def retire(self) -> None:
        """It stops accepting at once, finishes what it has, and ends."""
        with self._lock:
            System.ask_to_end(self.process, self._control)

    def kill(self) -> None:
        """Ends it now, with its process group."""
        System.kill_group(self.process)
