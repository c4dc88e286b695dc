"""The border between two processes, both ends of the wire: briefings go to a child, records come back."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from devserver.process.listener import Listener
from devserver.process.platform import Process, System
from devserver.process.wire import Briefing, Inbox
from devserver.records.messages import Gone

RUN_VARIABLE = "AZMLINFSRV_RUN"  # stands in the environment of every process of one run, to find them again
LAUNCHER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker", "launch")


def interpreter_command() -> list[str]:
    """The command for another interpreter like this one."""
    return [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]


class Child:
    """The parent's handle of one generation's process."""

    def __init__(self, process: Process, generation: int, control: int) -> None:
        self.process = process
        self.generation = generation
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def start(
        cls,
        briefing: Briefing,
        listeners: Sequence[Listener],
        environ: dict[str, str],
        path: Sequence[str],
        deliver: Callable[[int, object], None],
        recorder: Sequence[int],
    ) -> Child:
        """Start the process; `deliver` gets its records and at last `Gone`, each with the generation's number.

        `recorder` are the descriptors of the recorder that it shall keep. Errors: OSError where no process can be made.
        """
        told, tell = os.pipe()
        hear, heard = os.pipe()
        arguments = [told, heard, *recorder]
        sockets = [listener.socket.fileno() for listener in listeners]
        try:
            process = System.start([*interpreter_command(), LAUNCHER], arguments, sockets, environ)
        except OSError:
            for descriptor in (told, tell, hear, heard):
                os.close(descriptor)
            raise
        os.close(told)
        os.close(heard)
        child = cls(process, briefing.generation, tell)
        threading.Thread(target=child._listen, args=(hear, deliver), daemon=True, name="listen").start()
        child._brief(briefing, listeners, path)
        return child

    @classmethod
    def adopt(cls, process: Process, generation: int, hear: int, deliver: Callable[[int, object], None]) -> Child:
        """The handle of a process that was started by another; `hear` is where its link ends."""
        child = cls(process, generation, -1)
        threading.Thread(target=child._listen, args=(hear, deliver), daemon=True, name="listen").start()
        return child

    def _brief(self, briefing: Briefing, listeners: Sequence[Listener], path: Sequence[str]) -> None:
        import dataclasses

        shared = tuple(System.share(listener.socket, self.process.pid) for listener in listeners)
        text = json.dumps(list(path)).encode() + b"\n"
        try:
            with os.fdopen(os.dup(self._control), "wb") as pipe:
                pipe.write(text + pickle.dumps(dataclasses.replace(briefing, listeners=shared)))
        except BrokenPipeError:
            pass  # it is gone already; `Gone` tells

    def _listen(self, hear: int, deliver: Callable[[int, object], None]) -> None:
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
