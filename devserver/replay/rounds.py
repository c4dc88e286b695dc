"""Sends the samples to each new generation, in a thread; a newer round ends the one before."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Protocol

from devserver.config.settings import Config
from devserver.records.changes import ChangeSet, Role
from devserver.records.commands import CommandRan
from devserver.records.samples import ReplayReport, Sample, SampleSent
from devserver.replay.client import Cut, Wire, limit_of, send_all, shut_down
from devserver.replay.compare import Reply
from devserver.replay.reader import SAMPLE_REQUEST, offered, read_sample

NOTHING_YET = {
    None: f"nothing to send yet: send a request, put a {SAMPLE_REQUEST} beside the script, or give --request FILE",
    "last": "nothing to send again: no request has come yet",
    "failed": "nothing to send again: no request has failed",
}

# --- in the dev loop


class Command(Protocol):
    """A program that is run against the server."""

    def run(self, limit: float) -> CommandRan | None:
        """Until it has ended, or its time in seconds is over; None where it was cancelled."""

    def cancel(self) -> None: ...


class Replays:
    """Sends what there is to each new generation, in a thread; a newer round ends the one before.

    `deliver` gets the generation's number and a `SampleSent`, `ReplayReport` or `CommandRan`, from that thread. Unless
    only samples changed, the command of --run follows them; `command` makes it for the server's address.
    """

    def __init__(
        self,
        deliver: Callable[[int, SampleSent | ReplayReport | CommandRan], None],
        command: Callable[[Config, str], Command] | None = None,
        cut: Cut = shut_down,
    ) -> None:
        self._deliver = deliver
        self._cut = cut
        self._make_command = command
        self._command: Command | None = None
        self._answers: dict[str, Reply] = {}
        self._remembered: Sample | None = None
        self._latest: Sample | None = None
        self._is_asked = False
        self._unsent: set[str | None] = set()  # of the round that is under way; None stands for what is remembered
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def remember(self, request: Sample) -> None:
        """This one is sent, too, from the next round on."""
        self._remembered = request

    def heard(self, request: Sample, goes_along: bool) -> None:
        """This request was answered, and is what `ask` sends again; `goes_along`: so does each round from now on."""
        self._latest = request
        if goes_along:
            self.remember(request)

    def ask(self, config: Config, is_ready: bool) -> str | None:
        """A person asked for the next round: what was sent last goes along. Returns what to tell, if anything."""
        self._is_asked = bool(config.samples or config.run or self._latest or offered(config.script))
        if not self._is_asked:
            return NOTHING_YET[config.replay]
        return None if is_ready else "the script is not ready: it is sent when it is"

    def start(self, generation: int, changes: ChangeSet, config: Config, address: str) -> None:
        """Send to the server at `address`: everything, or where nothing but samples changed these only."""
        self.cancel()
        changed = [change.path for change in changes.changes]
        if changed and all(change.role is Role.SAMPLE for change in changes.changes):
            wanted = self._unsent.union(changed)
        else:
            wanted = {None, *config.samples}
        paths = [path for path in config.samples if path in wanted]
        remembered = self._remembered if None in wanted else None
        if self._is_asked and None in wanted:
            self._is_asked = False
            remembered = remembered or self._latest
            beside = offered(config.script) if remembered is None and not paths else None
            paths += [beside] if beside is not None else []
        runs = config.run is not None and self._make_command is not None and None in wanted
        if not paths and remembered is None and not runs:
            return
        self._unsent = wanted
        self._wire = wire = Wire(address, True, self._cut)
        work = (generation, config, paths, remembered, wire)
        try:
            threading.Thread(target=self._run, args=work, daemon=True, name="replay").start()
        except RuntimeError:  # the system allows no more threads
            self._wire = None  # they are unsent still

    def cancel(self) -> None:
        """The generation is no longer the newest: nothing of its round is told from now on."""
        with self._lock:
            if self._wire is not None:
                self._wire.cut()
            if self._command is not None:
                self._command.cancel()
            self._wire = self._command = None

    def _run(self, generation: int, config: Config, paths: list[str], remembered: Sample | None, wire: Wire) -> None:
        import http.client  # noqa: F401  # not before it is needed, nor while a sample is timed

        begun = time.monotonic()
        read = (read_sample(path, config.request_content_type, config.base) for path in paths)
        samples = itertools.chain([remembered] if remembered else [], read)  # one after the other: they may be large
        count = failed = 0
        answers = dict(self._answers)
        for sent in send_all(samples, wire, limit_of(config), answers):
            count += 1
            failed += not sent.ok
            if not self._note(sent, wire, answers):
                return
            if sent.path is None and sent.ok and config.replay == "failed" and self._remembered is remembered:
                self._remembered = None
            self._deliver(generation, sent)
        if count:
            self._deliver(generation, ReplayReport(count, failed, time.monotonic() - begun))
        self._run_command(generation, config, wire)

    def _run_command(self, generation: int, config: Config, wire: Wire) -> None:
        """Once per load: it is no part of what a changed sample asks for."""
        with self._lock:
            if self._wire is not wire or None not in self._unsent or not config.run or self._make_command is None:
                return
            self._command = command = self._make_command(config, wire.address)
        ran = command.run(config.run_timeout)
        with self._lock:
            if ran is None or self._command is not command:
                return
            self._command = None
            self._unsent.discard(None)
        self._deliver(generation, ran)

    def _note(self, sent: SampleSent, wire: Wire, answers: dict[str, Reply]) -> bool:
        """Whether the round still counts; if so, what it has brought does, too."""
        with self._lock:
            if self._wire is not wire:
                return False
            self._answers = dict(answers)
            self._unsent.discard(sent.path)
            return True
