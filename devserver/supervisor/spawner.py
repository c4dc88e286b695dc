"""Where generations come from: a process that has the libraries imported already, or else a new interpreter."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from devserver.process.child import Child, Deliver, Origin
from devserver.process.platform import System
from devserver.process.wire import Briefing, WarmOrder
from devserver.records.messages import LoadReport, Refused, Warmed
from devserver.supervisor.spare_process import SpareProcess
from devserver.supervisor.warm_process import WarmProcess

Warm: TypeAlias = WarmProcess | SpareProcess

WARM_UP = 10.0  # seconds in which a process imports all that is not the script's, also on a busy machine
NOTICED = 0.5  # seconds for which people wonder what a start waits for
WAITS = (
    "the start waits for libraries that are being imported already: that is sooner than to import them once more beside"
)
APART = (
    "{} starts threads when it is imported, which a fork would lose: each start imports it anew, and no other library "
    "(with --server waitress that is not done again, either)"
)
MOST_APART = 10  # libraries that are left out, each at the cost of another import of the rest
TOO_LONG = "the libraries take much longer to import ahead of the script than in it"


class Spawner:
    """Starts generations, warm where it can be. All is called from the supervisor's thread.

    The warm process forks them, on Linux; where that is not possible and `becomes` says that the server forks nothing
    later, it becomes the next one itself, and another one takes its place. On Windows it is a spare from its start on.

    `deliver` takes what the generations tell, and `deliver_warmed` what `warmed` wants to know, both from threads.
    A start that comes while libraries are imported waits for them, as long as `patience` says: two processes that
    import the same beside each other take twice the time, and the one that has begun is ahead.

    `say` gets one line for each new reason why a start was cold, and `tell_warmed` the libraries that were imported
    ahead.
    """

    def __init__(
        self,
        origin: Origin,
        path: Sequence[str],
        deliver: Deliver,
        deliver_warmed: Callable[[Warm, Warmed], None],
        say: Callable[[str], None],
        tell_warmed: Callable[[Sequence[str]], None],
        warm: bool,
        becomes: bool = False,
    ) -> None:
        self._origin = origin
        self._path = tuple(path)
        self._deliver = deliver
        self._deliver_warmed = deliver_warmed
        self._say = say
        self._tell_warmed = tell_warmed
        self._becomes = becomes
        self._wanted = warm
        self._warm: Warm | None = None
        self._modules: dict[str, None] = {}
        self._lazy: dict[str, None] = {}
        self._apart: set[str] = set()  # libraries that are not imported ahead, for they start threads
        self._surroundings: tuple[tuple[str, ...], dict[str, str]] = ((), {})
        self._said = ""
        self._cost = 0.0  # seconds in which a script has imported the libraries
        self._due = 0.0  # when those that are being imported ahead should be there
        self._has_said_waits = False

    @property
    def pids(self) -> set[int]:
        """The warm process, where there is one."""
        return {self._warm.pid} if self._warm is not None else set()

    def patience(self) -> float:
        """Seconds that a start may wait for what is being imported; 0 where there is no reason to."""
        is_coming = self._warm is not None and not self._warm.is_ready
        return max(0.0, self._due - time.monotonic()) if is_coming else 0.0

    def tell_wait(self) -> None:
        """A start does wait; that is said once, where it is long enough to be noticed."""
        if self._cost >= NOTICED and not self._has_said_waits:
            self._has_said_waits = True
            self._say(WAITS)

    def launch(self, briefing: Briefing, cold: bool = False, deliver: Deliver | None = None) -> Child:
        """A process for this generation; what it tells goes to `deliver`. Errors: OSError where none can be made."""
        is_next, deliver = deliver is None, deliver or self._deliver
        briefing = dataclasses.replace(briefing, path=self._path)
        if cold:
            self._give_up()
        elif is_next and briefing.hold is None and self._warm is not None and not self._warm.is_ready:
            self._refuse(TOO_LONG)  # nothing is imported beside this start
        warm, ahead = self._warm, dataclasses.replace(briefing, warm=True)
        is_usable = warm is not None and warm.is_ready and not warm.refusal
        child = self._launch_warm(warm, ahead, deliver) if warm is not None and is_usable else None
        return child or Child.start(briefing, self._origin, deliver)

    def _launch_warm(self, warm: Warm, briefing: Briefing, deliver: Deliver) -> Child | None:
        child = warm.launch(briefing, deliver)
        if isinstance(child, Refused):
            self._refuse(child.reason)
            return None
        if warm.has_become:
            self._warm = None
        self._said = ""
        return child

    def learned(self, loaded: LoadReport, user_folders: Sequence[str], settings: dict[str, str]) -> None:
        """What a load has taught: the libraries to keep warm, or why they cannot be.

        A warm start tells only those libraries that were not imported yet. `settings` are the variables that the
        configuration adds to the environment.
        """
        if not self._wanted:
            return
        self._cost = max(self._cost, _import_seconds(loaded))
        named = dict.fromkeys(name for name in loaded.modules if name not in loaded.indirect)
        self._modules = {**(self._modules if loaded.warm else {}), **named}
        self._lazy = {**(self._lazy if loaded.warm else {}), **dict.fromkeys(loaded.lazy)}
        refusal = _why_not(loaded.environment) or _why_never(self._becomes)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._surroundings = (tuple(user_folders), settings)
        self._try_warm_up()

    def _try_warm_up(self) -> None:
        try:
            self._warm_up(*self._surroundings)
        except OSError as error:
            self._refuse(f"the libraries cannot be imported ahead ({error.strerror})")

    def too_early(self, variables: Sequence[str]) -> None:
        """The script sets these before it imports libraries which the warm process had imported already."""
        if self._wanted and (refusal := _why_not(variables)) is not None:
            self._refuse(refusal)

    def _refuse(self, reason: str) -> None:
        self._give_up()
        self._explain(reason)

    def _warm_up(self, user_folders: tuple[str, ...], settings: dict[str, str]) -> None:
        warm, wanted = self._warm, self._kept_of(self._modules)
        if warm is not None and warm.refusal is not None and set(wanted) != warm.modules:
            self._give_up()
            warm = None
        missing = self._kept_of(self._modules, warm.modules if warm is not None else ())
        lazy = self._kept_of(self._lazy, warm.lazy if warm is not None else ())
        order = WarmOrder(self._path, user_folders, missing, tuple(sys.argv), self._becomes, lazy)
        if warm is None:
            environ = {**self._origin.environ, **settings}
            kind = WarmProcess if System.lends_descriptors else SpareProcess
            self._warm = kind(order, dataclasses.replace(self._origin, environ=environ))
            self._warm.listen(self._deliver_warmed)
            self._expect()
        elif (missing or lazy) and warm.is_ready and warm.refusal is None:
            warm.extend(order)
            self._expect()

    def _expect(self) -> None:
        self._due = time.monotonic() + WARM_UP + 2 * self._cost
        self._has_said_waits = False

    def warmed(self, process: Warm, told: Warmed) -> None:
        """It has imported what it was told to, or is gone."""
        if process is not self._warm:
            return
        if process.is_ready and process.refusal is None and told.refusal is not None:
            self._refuse(told.refusal)  # somebody has ended it; the next load brings another one
            return
        process.is_ready, process.refusal = True, told.refusal
        if told.threaded and len(self._apart) < MOST_APART:
            self._leave_apart(told.threaded)
        elif told.refusal is not None:
            self._explain(told.refusal)
        else:
            self._tell_warmed(sorted(process.modules))

    def _leave_apart(self, library: str) -> None:
        """For all the time to come: a process with its threads cannot be forked, so another one is made without it."""
        self._apart.add(library)
        self._say(APART.format(library))
        self._give_up()
        self._try_warm_up()

    def _kept_of(self, modules: Iterable[str], known: Collection[str] = ()) -> tuple[str, ...]:
        return tuple(name for name in modules if name not in known and name.partition(".")[0] not in self._apart)

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


def _import_seconds(loaded: LoadReport) -> float:
    """At most; how long it takes what libraries import late is not known apart."""
    times = loaded.times
    return (times.imports_ms + (times.script_ms + times.init_ms if loaded.lazy else 0)) / 1000


def _why_not(variables: Sequence[str]) -> str | None:
    """A library that reads them while it is imported must not be imported ahead of the script."""
    return f"the script sets {', '.join(variables)} before it imports libraries" if variables else None


def _why_never(becomes: bool) -> str | None:
    """What speaks against a warm process on this system, whatever the script does."""
    if not System.forks_safely and not becomes:
        return "gunicorn forks, which is not safe on this system once libraries are imported (try --server waitress)"
    return None
