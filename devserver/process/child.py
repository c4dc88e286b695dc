"""The parent's handle of a generation's process: it briefs it, hears what it tells and how it ends, and can end it."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TypeAlias, TypeVar

from devserver.process import threads
from devserver.process.listener import Listener
from devserver.process.platform import Process, System
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import GO, TURN, Briefing, Inbox, KeptOrder, Outbox
from devserver.records.messages import Gone, Refused, Told
from devserver.records.reasons import Reason
from devserver.records.record import record

LAUNCHER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker", "launch")

Refusal = TypeVar("Refusal", Refused, Reason)
Deliver: TypeAlias = Callable[[int, Told | Gone], None]


@record(frozen=True)
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


def launcher_command() -> list[str]:
    """What another Python like this one is to do: its options, and our launcher."""
    # nothing public gives the options back; multiprocessing, too, starts its processes with those from here
    return [*subprocess._args_from_interpreter_flags(), LAUNCHER]  # type: ignore[attr-defined]


class Child:
    """The parent's handle of one generation's process."""

    def __init__(
        self, process: Process, generation: int, scoreboard: Scoreboard, control: Outbox | None = None
    ) -> None:
        self.process = process
        self.generation = generation
        self.scoreboard = scoreboard
        self._control = control or Outbox()

    @classmethod
    def start(cls, briefing: Briefing, origin: Origin, deliver: Deliver) -> Child:
        """Start the process; `deliver` gets its records and at last `Gone`, each with the generation's number.

        Errors: OSError where no process can be made.
        """
        passed = [briefing.channel] if briefing.channel >= 0 else []
        child = cls._spawn(briefing.generation, [], origin, None, deliver, passed)
        child.tell(json.dumps(briefing.path).encode() + b"\n")  # apart: what the rest is made of is imported from there
        child.brief(briefing, origin.listeners)
        return child

    @classmethod
    def spare(cls, origin: Origin, folder: str, deliver: Deliver) -> Child:
        """A process that becomes a generation later, by `brief`. Errors: OSError where none can be made."""
        return cls._spawn(0, ["spare"], origin, folder, deliver)

    @classmethod
    def _spawn(
        cls,
        generation: int,
        words: Sequence[str],
        origin: Origin,
        folder: str | None,
        deliver: Deliver,
        passed: Sequence[int] = (),
    ) -> Child:
        with ExitStack() as undo:
            scoreboard = undo.enter_context(closing(Scoreboard()))
            told, tell = pipe(undo)
            hear, heard = pipe(undo)
            descriptors = [told, heard, *scoreboard.descriptors, origin.lifeline]
            command = [*launcher_command(), *words]
            process = System.start(command, descriptors, [*origin.sockets, *passed], origin.environ, folder)
            undo.callback(process.wait)
            undo.callback(System.kill_group, process)
            control = Outbox(tell)
            undo.pop_all()
        os.close(told)
        os.close(heard)
        child = cls(process, generation, scoreboard, control)
        child._attend(hear, deliver)
        return child

    @classmethod
    def ask_for(
        cls,
        generation: int,
        ask: Callable[[tuple[int, ...]], Process | Refusal],
        deliver: Deliver,
        *,
        stands_by: bool = False,
    ) -> Child | Refusal:
        """The handle of a process that another one makes. Errors: OSError.

        `ask` hands on the descriptors of a link, a scoreboard and the pipe on which it is told that it counts: unless
        it was told before, the end of that ends a process that comes too late. One that `stands_by` is told more there.
        """
        with ExitStack() as undo:
            scoreboard: Scoreboard = undo.enter_context(closing(Scoreboard()))
            hear, heard = pipe(undo)
            told, tell = pipe(undo)
            process = ask((heard, *scoreboard.descriptors, told))
            if isinstance(process, (Refused, Reason)):
                return process
            undo.pop_all()
        os.close(heard)
        os.close(told)
        control = Outbox(tell)
        control.put(GO)
        if not stands_by:
            control.close()
        return cls.adopt(process, generation, scoreboard, hear, deliver, control)

    @classmethod
    def adopt(
        cls,
        process: Process,
        generation: int,
        scoreboard: Scoreboard,
        hear: int,
        deliver: Deliver,
        control: Outbox | None = None,
    ) -> Child:
        """The handle of a process that was started by another; `hear` is where its link ends."""
        child = cls(process, generation, scoreboard, control)
        child._attend(hear, deliver)
        return child

    def close(self) -> None:
        """After `Gone`: gives back what was kept of it."""
        self.scoreboard.close()

    def brief(self, briefing: Briefing, listeners: Sequence[Listener]) -> None:
        """Tell it which generation it is; nothing happens where it is gone, `Gone` tells."""
        self.generation = briefing.generation
        try:
            shared = tuple(System.share(listener.socket, self.process.pid) for listener in listeners)
        except OSError:
            self._control.close()  # also the end of a process to which nothing can be shared
            return
        self.tell(pickle.dumps(dataclasses.replace(briefing, listeners=shared)))

    def tell(self, content: bytes) -> None:
        """Write to the pipe on which it is briefed; nothing happens where it is gone, `Gone` tells."""
        self._control.put(content)

    def _attend(self, hear: int, deliver: Deliver) -> None:
        """From now on it is heard, and known when it ends. Errors: OSError where that cannot be; it is ended then."""
        with ExitStack() as undo:
            undo.callback(self.close)
            undo.callback(self._control.close)
            undo.callback(os.close, hear)
            undo.callback(self._end)
            ended, end = pipe(undo)
            ends = undo.enter_context(ExitStack())
            ends.callback(os.close, own := os.dup(end))  # the thread closes it
            threads.start("wait", self._wait, own)
            ends.pop_all()
            threads.start("listen", self._listen, hear, ended, deliver)
            undo.pop_all()
        os.close(end)

    def _end(self) -> None:
        self.kill()
        self.process.wait()

    def _listen(self, hear: int, ended: int, deliver: Deliver) -> None:
        """Until the process has ended; a grandchild that holds the pipe open does not count."""
        inbox = Inbox()
        sources = [hear, ended]
        while True:
            ready = System.readable(sources)
            content = os.read(hear, 1 << 16) if hear in ready else b""
            for told in inbox.feed(content):
                deliver(self.generation, told)
            if not content and ended in ready:
                break
            if not content:
                sources = [ended]  # the script has closed what is not its own
        code = self.process.wait()
        for descriptor in (hear, ended):
            os.close(descriptor)
        self.kill()  # what it left behind in its group
        self._control.close()
        deliver(self.generation, Gone(code))

    def _wait(self, end: int) -> None:
        self.process.wait()
        if not System.can_ask_pipes:
            self.kill()  # whoever else holds the pipe, so that it comes to its end
        os.close(end)

    def give_turn(self, order: KeptOrder) -> None:
        """To one that stands by: it is this generation now, if it can be."""
        self.generation = order.briefing.generation
        self.tell(TURN + pickle.dumps(order))

    def let_go(self) -> None:
        """It is not told anything any more."""
        self._control.close()

    def retire(self) -> None:
        """It stops accepting at once, finishes what it has, and ends."""
        System.ask_to_end(self.process, self.tell)

    def kill(self) -> None:
        """Ends it now, with its process group."""
        System.kill_group(self.process)
