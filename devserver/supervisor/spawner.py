"""Where generations come from: a briefing comes in, a `Child` goes out, from a warm process or started cold."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence

from devserver.process.child import Child
from devserver.process.listener import Listener
from devserver.process.platform import System
from devserver.process.wire import Briefing, LaunchOrder, WarmOrder
from devserver.supervisor.warm_process import WarmProcess

GO = b"!"


class Spawner:
    """Starts generations, warm where it can be. All is called from the supervisor's thread.

    The warm process forks them, on Linux; where that is not possible and `becomes` says that the server forks nothing
    later, it becomes the next one itself, and another one takes its place.
    `say` gets one line for each new reason why a start was cold, and `warmed` the libraries that were imported ahead;
    both are called from that thread or another.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        environ: dict[str, str],
        path: Sequence[str],
        deliver: Callable[[int, object], None],
        say: Callable[[str], None],
        warmed: Callable[[Sequence[str]], None],
        warm: bool,
        becomes: bool = False,
    ) -> None:
        self._listeners = listeners
        self._environ = environ
        self._path = tuple(path)
        self._deliver = deliver
        self._say = say
        self._tell_warmed = warmed
        self._becomes = becomes
        self._wanted = warm
        self._warm: WarmProcess | None = None
        self._modules: dict[str, None] = {}
        self._said = ""

    @property
    def pids(self) -> set[int]:
        """The warm process, where there is one."""
        return {self._warm.process.pid} if self._warm is not None else set()

    def launch(self, briefing: Briefing, recorder: Sequence[int], cold: bool = False) -> Child:
        """A process for this generation. Errors: OSError where none can be made."""
        if cold:
            self._give_up()
        child = self._launch_warm(briefing, recorder) if self._warm is not None and self._warm.is_ready else None
        return child or Child.start(briefing, self._listeners, self._environ, self._path, self._deliver, recorder)

    def _launch_warm(self, briefing: Briefing, recorder: Sequence[int]) -> Child | None:
        assert self._warm is not None
        if self._warm.refusal is not None:
            return None
        listeners = tuple(listener.socket.fileno() for listener in self._listeners)
        order = LaunchOrder(dataclasses.replace(briefing, warm=True, listeners=listeners), self._path)
        hear, heard = os.pipe()
        told, tell = os.pipe()
        process = self._warm.launch(order, (heard, *recorder, told))
        os.close(heard)
        os.close(told)
        if isinstance(process, str):
            os.close(hear)
            os.close(tell)  # unless it was told before, this ends a process that comes too late
            self._explain(process)
            self._give_up()
            return None
        try:
            os.write(tell, GO)
        except BrokenPipeError:
            pass  # it is gone already; `Gone` tells
        os.close(tell)
        if process is self._warm.process:
            self._warm.let_go()
            self._warm = None
        self._said = ""
        return Child.adopt(process, briefing.generation, hear, self._deliver)

    def learned(
        self,
        modules: Sequence[str],
        warm: bool,
        user_folders: Sequence[str],
        settings: dict[str, str],
        refusal: str | None,
    ) -> None:
        """What a load has taught: the libraries to keep warm, or why they cannot be.

        `modules` are all that the script imported, or after a `warm` start those that were not imported yet. `settings`
        are the variables that the configuration adds to the environment.
        """
        if not self._wanted:
            return
        refusal = refusal or _why_never(self._becomes)
        self._modules = {**(self._modules if warm else {}), **dict.fromkeys(modules)}
        if refusal is not None:
            self._give_up()
            self._explain(refusal)
            return
        try:
            self._warm_up(tuple(user_folders), settings)
        except OSError as error:
            self._give_up()
            self._explain(f"the libraries cannot be imported ahead ({error.strerror})")

    def _warm_up(self, user_folders: tuple[str, ...], settings: dict[str, str]) -> None:
        warm, wanted = self._warm, self._modules.keys()
        if warm is not None and warm.refusal is not None and wanted != warm.modules:
            self._give_up()
            warm = None
        missing = tuple(name for name in wanted if warm is None or name not in warm.modules)
        order = WarmOrder(self._path, user_folders, missing, tuple(sys.argv), self._becomes)
        if warm is None:
            self._warm = WarmProcess(order, self._listeners, {**self._environ, **settings})
            self._warm.listen(self._warmed)
        elif missing and warm.is_ready and warm.refusal is None:
            warm.extend(order)

    def _warmed(self) -> None:
        warm = self._warm
        if warm is None or not warm.is_ready:
            return
        if warm.refusal is not None:
            self._explain(warm.refusal)
        else:
            self._tell_warmed(sorted(warm.modules))

    def _explain(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._say(f"starting cold: {reason}")

    def _give_up(self) -> None:
        if self._warm is not None:
            self._warm.close()
        self._warm = None

    def close(self) -> None:
        """Ends the warm process."""
        self._give_up()


def _why_never(becomes: bool) -> str | None:
    """What speaks against a warm process on this system, whatever the script does."""
    if not System.lends_descriptors:
        return "on Windows each generation imports the libraries anew"
    if not System.forks_safely and not becomes:
        return "gunicorn forks, which is not safe on this system once libraries are imported (try --server waitress)"
    return None
