"""`--check`: loads the script in a process of its own, sends it the samples, and judges what came of it."""

from __future__ import annotations

import dataclasses
import math
import os
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from devserver.config.settings import Config
from devserver.diagnostics import azure_advice, exits
from devserver.diagnostics.exits import ending_of
from devserver.display import verdicts
from devserver.display.verdicts import SampleVerdict, Verdict
from devserver.process.child import Child, Origin
from devserver.process.command import Command, environment
from devserver.process.lifeline import Lifeline
from devserver.process.listener import Listener
from devserver.process.platform import System
from devserver.process.reaper import Reaper
from devserver.process.systems import RUN_VARIABLE
from devserver.process.wire import Briefing
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import Gone, LastWords, LoadReport, Note, Told, WorkerDied
from devserver.records.samples import Sample, SampleSent, Unusable
from devserver.replay.client import Wire, limit_of, send_all
from devserver.replay.reader import read_sample

REPORT_LIMIT = 1.0  # seconds in which the report of a failed sample follows its answer
MOST_ERRORS = 10  # that are shown with a command that failed
LOOK = 0.2  # seconds without news after which Ctrl-C is heard on Windows
END_LIMIT = 3.0  # seconds for the script's process to end


@dataclass
class _Heard:
    """What the process has told so far."""

    loaded: LoadReport | None = None
    errors: list[Diagnostic] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    ending: WorkerDied | None = None
    gone: Gone | None = None
    words: LastWords = dataclasses.field(default_factory=lambda: LastWords("start"))
    sent: SampleSent | None = None


def run(config: Config, environ: dict[str, str], colour: bool) -> int:
    """Check, write the verdict to stdout, and return the exit code: 0, 3 (load or init()) or 4 (a sample failed).

    In the formats for programs, what the script itself writes goes to stderr.
    """
    write = _keep_stdout() if config.check_format in ("json", "junit", "github") else _to_stdout
    verdict = _Check(config, environ).verdict()
    write(verdicts.render_verdict(verdict, config, colour))
    return verdict.exit_code


def _to_stdout(text: str) -> None:
    print(text, flush=True)


def _to_terminal(output: bytes) -> None:
    """What the command writes, as it comes; to stderr in the formats for programs."""
    while output:
        output = output[os.write(1, output) :]


def _keep_stdout() -> Callable[[str], None]:
    """From now on everything that is written to stdout, also by child processes, goes to stderr."""
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def write(text: str) -> None:
        with kept:
            kept.write(text + "\n")

    return write


class _Check:
    def __init__(self, config: Config, environ: dict[str, str]) -> None:
        self._mark = uuid.uuid4().hex
        self._config = dataclasses.replace(config, reload=False, worker_count=1, separate_health=False)
        self._environ = {**environ, RUN_VARIABLE: self._mark}
        self._arrivals: queue.SimpleQueue[Told | Gone | SampleSent] = queue.SimpleQueue()
        self._heard = _Heard()
        self._meanwhile: list[Diagnostic] = []  # what was reported while the command ran

    def verdict(self) -> Verdict:
        """Load the script in a process of its own, and send it the samples."""
        begun = time.monotonic()
        with ExitStack() as stack:
            lifeline = stack.enter_context(closing(Lifeline()))
            guard = Reaper.start(self._mark)
            if guard is not None:
                stack.callback(guard.close)
            chosen = self._config.port if self._config.run and "port" in self._config.sources else 0
            listener = Listener.bind("127.0.0.1", chosen)
            stack.callback(listener.close)
            self._origin = Origin([listener], self._environ, lifeline.descriptor)
            stack.callback(self._end)
            self._start(listener)
            load_seconds = time.monotonic() - begun
            loads = self._heard.loaded is not None and self._heard.loaded.ok
            samples = tuple(self._samples(listener)) if loads else ()
            ran = self._run_command(listener) if loads and self._config.run else None
        skipped = () if loads else tuple(self._read(path).name for path in self._config.samples)
        verdict = self._judge(samples, skipped, load_seconds, time.monotonic() - begun)
        meanwhile = tuple(dict.fromkeys(self._meanwhile))[:MOST_ERRORS] if ran is not None and not ran.ok else ()
        not_run = None if loads else self._config.run
        return dataclasses.replace(verdict, command=ran, not_run=not_run, meanwhile=meanwhile)

    def _run_command(self, listener: Listener) -> CommandRan | None:
        """With the server as it is now; when the command has ended it, it is started again."""
        config = self._config
        seen = config.check_format == "human" and os.isatty(1)  # by a person: it may colour what it writes
        command = Command(
            config.run or "",
            environment(self._environ, listener.address),
            config.base,
            None if seen else _to_terminal,
        )
        self._heard.errors.clear()  # of the samples
        ran = command.run(config.run_timeout, lambda: self._look_after(listener))
        self._hear(lambda: False, 0.0 if ran is None or ran.ok else REPORT_LIMIT / 4)
        self._look_after(listener)
        return ran

    def _look_after(self, listener: Listener) -> None:
        """What the process tells is not kept waiting; when a request of the command's has ended it, another serves."""
        self._hear(lambda: False, 0.0)
        self._meanwhile += self._heard.errors
        self._heard.errors.clear()
        if self._heard.gone is not None:
            self._meanwhile.append(self._death())
            self._start(listener)

    def _start(self, listener: Listener) -> None:
        """A process that has loaded the script, or has told why not."""
        config = dataclasses.replace(self._config, port=listener.port)
        briefing = Briefing(generation=1, config=config, arguments=tuple(sys.argv), path=tuple(sys.path))
        self._heard = _Heard(notes=self._heard.notes)
        self._child = Child.start(briefing, self._origin, self._deliver)
        self._hear(lambda: self._heard.loaded is not None, None)

    def _deliver(self, _generation: int, record: Told | Gone) -> None:
        self._arrivals.put(record)

    def _hear(self, enough: Callable[[], bool], seconds: float | None) -> None:
        """Take what the process tells until it is enough, it has ended, or the time is over."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        while not enough() and self._heard.gone is None:
            left = end - time.monotonic()
            try:
                self._note(self._arrivals.get(timeout=max(0.0, min(left, LOOK))))
            except queue.Empty:
                if left <= LOOK:
                    return

    def _note(self, record: Told | Gone | SampleSent) -> None:
        heard = self._heard
        match record:
            case LoadReport():
                heard.loaded = record
            case Diagnostic():
                heard.errors.append(record)
            case Note(text):
                heard.notes.append(text)
            case WorkerDied():
                heard.ending = heard.ending or record
            case SampleSent():
                heard.sent = record
            case Gone():
                heard.gone, heard.words = record, self._child.scoreboard.last_words()
                self._child.close()

    def _samples(self, listener: Listener) -> Iterator[SampleVerdict]:
        for path in self._config.samples:
            before = len(self._heard.errors)
            sent = self._send(self._read(path), Wire(listener.address, cut=System.cut))
            self._hear(partial(self._has_more_than, before), self._patience(sent))
            yield SampleVerdict(sent, tuple(self._heard.errors[before:]) + self._last_words())
            if self._heard.gone is not None:
                self._start(listener)

    def _read(self, path: str) -> Sample | Unusable:
        return read_sample(path, self._config.request_content_type, self._config.base)

    def _send(self, sample: Sample | Unusable, wire: Wire) -> SampleSent:
        """In a thread, so that nobody waits for the answer of a process that is gone."""

        def send() -> None:
            for sent in send_all([sample], wire, limit_of(self._config), {}):
                self._arrivals.put(sent)

        threading.Thread(target=send, daemon=True, name="sample").start()
        self._heard.sent = None
        self._hear(lambda: self._heard.sent is not None, None)
        if self._heard.sent is None:
            wire.cut()
            while self._heard.sent is None:
                self._note(self._arrivals.get())
        return self._heard.sent

    def _has_more_than(self, errors: int) -> bool:
        return len(self._heard.errors) > errors

    def _last_words(self) -> tuple[Diagnostic, ...]:
        """What the sample has killed is reported with it."""
        return (self._death(),) if self._heard.gone is not None else ()

    def _patience(self, sent: SampleSent) -> float:
        """Reports follow the answer; where none is due, only what is there already is taken."""
        return 0.02 if sent.ok else REPORT_LIMIT

    def _end(self) -> None:
        for end in (self._child.retire, self._child.kill):
            if self._heard.gone is None:
                end()
                self._hear(lambda: False, END_LIMIT)

    def _judge(
        self, samples: tuple[SampleVerdict, ...], skipped: tuple[str, ...], load_seconds: float, seconds: float
    ) -> Verdict:
        heard = self._heard
        error = heard.loaded.error if heard.loaded is not None else self._death()
        config, notes = self._config, [*self._config.notes, *heard.notes]
        if heard.loaded is not None and config.script:
            notes += azure_advice.on_load(heard.loaded.modules, os.path.dirname(config.script), config.deployed)
        told = tuple(dict.fromkeys(notes))
        return Verdict(error, heard.loaded, samples, told, seconds, load_seconds, skipped)

    def _death(self) -> Diagnostic:
        heard = self._heard
        code = heard.gone.code if heard.gone is not None else 1
        ending = ending_of(heard.ending, heard.words, code, self._config.script)
        return ending.error or exits.died(ending.phase, ending.code, script=self._config.script)
