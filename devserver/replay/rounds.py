"""Sends the samples to each new generation, in a thread; a newer round ends the one before."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from devserver.config.settings import Config
from devserver.records.changes import ChangeSet, Role
from devserver.records.samples import ReplayReport, Sample, SampleSent
from devserver.replay.client import Wire, limit_of, send_all
from devserver.replay.compare import Reply
from devserver.replay.reader import read_sample

"""Sends one sample; the number is how many seconds it may take. Errors: `NoAnswer`."""


# --- in the dev loop


class Replays:
    """Sends what there is to each new generation, in a thread; a newer round ends the one before.

    `deliver` gets the generation's number and a `SampleSent` or `ReplayReport`, from that thread.
    """

    def __init__(self, deliver: Callable[[int, SampleSent | ReplayReport], None]) -> None:
        self._deliver = deliver
        self._answers: dict[str, Reply] = {}
        self._remembered: Sample | None = None
        self._unsent: set[str | None] = set()  # of the round that is under way; None stands for what is remembered
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def remember(self, request: Sample) -> None:
        """This one is sent, too, from the next round on."""
        self._remembered = request

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
        if not paths and remembered is None:
            return
        self._unsent = wanted
        self._wire = wire = Wire(address, mark=config.replay is not None)
        work = (generation, config, paths, remembered, wire)
        threading.Thread(target=self._run, args=work, daemon=True, name="replay").start()

    def cancel(self) -> None:
        """The generation is no longer the newest: nothing of its round is told from now on."""
        with self._lock:
            if self._wire is not None:
                self._wire.cut()
            self._wire = None

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
        self._deliver(generation, ReplayReport(count, failed, time.monotonic() - begun))

    def _note(self, sent: SampleSent, wire: Wire, answers: dict[str, Reply]) -> bool:
        """Whether the round still counts; if so, what it has brought does, too."""
        with self._lock:
            if self._wire is not wire:
                return False
            self._answers = dict(answers)
            self._unsent.discard(sent.path)
            return True
