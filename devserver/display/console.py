"""The only writer of the tool's own lines on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from devserver import lifecycle
from devserver.config.settings import Config
from devserver.display import banner, blocks, events, lines
from devserver.display.counting import Repeats, Slowness
from devserver.display.events import Event, event
from devserver.display.feed import Feed
from devserver.display.readers import Readers
from devserver.display.reasons import Whys
from devserver.display.writer import Writer
from devserver.process import table
from devserver.records.changes import ChangeSet
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import (
    Kept,
    Listening,
    LoadReport,
    Look,
    Note,
    PageAt,
    RequestsAnswered,
    WorkerDied,
    WorkerReplaced,
)
from devserver.records.samples import ReplayReport, SampleSent

if TYPE_CHECKING:
    from devserver.records.changes import Targets

FIRST_SLOW = 2.0  # seconds after which a terminal shows that it goes on


class Console:
    """The only writer of the tool's own lines. Each message is one write, so that no other output comes between."""

    def __init__(self, config: Config, colour: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._colour = colour
        self._clock = clock
        self._begun = clock()
        self._address = self._health = ""
        self._is_lent = False
        self._repeats = Repeats()
        self._slowness = Slowness()
        self._last: Diagnostic | None = None
        self._is_past = False  # whether a load has gone well since the last error
        self._noted: set[str] = set()
        self._serving: int | None = None  # the generation that answers new requests
        self._targets: Targets | None = None
        self._kept: Callable[[], Kept | None] = lambda: None
        self._whys = Whys()
        self._readers = Readers(config.events, Feed() if config.reload else None)
        self._page = ""
        self._writer = Writer()

    def share_line(self, take: Callable[[], bool]) -> None:
        """The script writes here, too; `take` says whether it has left a line unfinished, which we finish then."""
        self._writer.share_line(take)

    # --- from the supervisor

    def show(self, message: object) -> None:
        """One message of the lifecycle, or `Listening`."""
        match message:
            case Listening(_, _, address, health):
                self._address, self._health = address, health
                self._tell(events.listening(message))
            case lifecycle.Starting():
                self.starting()
            case lifecycle.Restarting(changes):
                self._restarting(changes)
            case lifecycle.Ready(generation, LoadReport() as loaded):
                self._ready(loaded, generation)
            case lifecycle.Retrying():
                self._retrying()
            case lifecycle.NotReady(generation, LoadReport() as loaded, again) if loaded.error is not None:
                self._not_ready(loaded.error, generation, again)
            case lifecycle.Died():
                self._died(message)
            case lifecycle.Noted(generation, Diagnostic() as error):
                self._failed(error, generation)
            case lifecycle.Noted(_, Note(text)):
                self._note_once(text)
            case lifecycle.Noted(generation, SampleSent() as sent):
                self._sample(sent, generation)
            case lifecycle.Noted(generation, RequestsAnswered(requests)):
                for answered in requests:
                    self._tell(events.request(answered, generation))
            case lifecycle.Noted(generation, ReplayReport() as replayed):
                self._replayed(replayed, generation)
            case Kept():
                self._tell(event("kept", pid=message.pid, init_ms=message.init_ms, files=message.files))
            case lifecycle.Noted(generation, CommandRan() as ran):
                self._tell(events.command(ran, generation))
                self._write(lines.command_ran(ran, colour=self._colour, width=self._width()))
            case PageAt(url):
                self._page = url
                self._tell(event("page", url=url))
            case Look():
                self._look(message)
            case lifecycle.Overran(generation):
                self._tell(event("overran", generation=generation))
                self._write(lines.overran(self._config.graceful_timeout, colour=self._colour))
            case lifecycle.Slow():
                self._slow(message)
            case lifecycle.Stopping():
                self._tell(event("stopping"))
                self._write(lines.stopping(colour=self._colour))

    def note(self, text: str) -> None:
        """A plain line for the person."""
        self._tell(event("note", text=text))
        self._write(self._line(text))

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self.note(text)

    def config_kept(self, error: Diagnostic) -> None:
        """The deployment cannot be used as it is now, and its values from before stay."""
        self._tell(event("config_kept", error=error))
        self._last = error
        self._write(self._block(error), self._line("the values from before stay", "warning"))

    def keyboard(self, lent: bool) -> None:
        """A debugger or input() in the script took, or gave back, the keyboard."""
        self._is_lent = lent
        self._tell(event("keyboard", lent=lent))

    def warmed(self, modules: Sequence[str]) -> None:
        """These libraries were imported ahead."""
        self._tell(event("warm", modules=modules))

    def keeps(self, kept: Callable[[], Kept | None]) -> None:
        """Whom to ask what is kept of init()."""
        self._kept = kept

    def watching(self, targets: Targets) -> None:
        """What is watched from now on."""
        self._targets = targets

    @property
    def feed(self) -> Feed:
        """What is told, for a reader that may come later; only with `--reload`."""
        assert self._readers.feed is not None
        return self._readers.feed

    def stopped(self) -> None:
        """The last event: nothing is left."""
        self._tell(event("stopped"))

    # --- from a generation outside of the dev loop

    def tell(self, record: object) -> None:
        """What a generation tells, where there is no supervisor."""
        match record:
            case LoadReport(ok=True):
                self._ready(record, None)
            case LoadReport(error=Diagnostic() as error):
                self._not_ready(error, None)
            case Diagnostic():
                self._failed(record, None)
            case Note(text):
                self._note_once(text)
            case WorkerReplaced():
                self._begun = self._clock()
            case WorkerDied(phase, code, Diagnostic() as error):
                self._tell(event("died", phase=phase, code=code, error=error))
                self._worker_died(error)

    def facts(self) -> None:
        """The server's settings and routes, once, before anything is loaded."""
        self._write(banner.banner(self._config, self._address, self._health, self._page))
        for note in self._config.notes:
            self.note(note)

    # --- each kind

    def starting(self) -> None:
        """The first load begins; says the settings and where to call."""
        self._begun = self._clock()
        self.facts()
        self._tell(event("starting", generation=1))
        self._write(lines.starting(self._config.script or "main", colour=self._colour))

    def _restarting(self, changes: ChangeSet) -> None:
        self._begin_again()
        self._tell(events.restarting(changes))
        self._write(lines.restarting(changes, self._config.base, colour=self._colour))

    def _retrying(self) -> None:
        self._begin_again()
        self._tell(events.restarting(ChangeSet(), retry=True))
        self._write(lines.retrying(colour=self._colour))

    def _begin_again(self) -> None:
        self._begun = self._clock()
        self._repeats.forget()
        self._serving = None

    def _ready(self, loaded: LoadReport, generation: int | None) -> None:
        seconds = self._clock() - self._begun
        self._is_past = True
        self._tell(events.ready(loaded, generation, seconds, self._url()))
        why = self._whys.of(loaded, self._config.base)
        self._serving = generation
        self._write(lines.ready(loaded, seconds, self._url(), why, colour=self._colour))

    def _keep(self, error: Diagnostic) -> None:
        self._last, self._is_past = error, False

    def _not_ready(self, error: Diagnostic, generation: int | None, again: bool = False) -> None:
        seconds = self._clock() - self._begun
        self._tell(events.not_ready(error, generation, seconds, again))
        waits = generation is not None
        end = (
            lines.not_ready(error, seconds, again, colour=self._colour)
            if waits
            else lines.given_up(error, colour=self._colour)
        )
        self._keep(error)
        self._write(self._block(error), end)

    def _failed(self, error: Diagnostic, generation: int | None) -> None:
        count = self._repeats.count(error, generation)
        self._tell(events.failed(error, generation, count))
        self._keep(error)
        serves = generation is not None and generation == self._serving
        begin = lines.request_failed(error, colour=self._colour)
        self._write(begin, self._block(error, count), lines.end_of_report(serves, colour=self._colour))

    def _died(self, died: lifecycle.Died) -> None:
        self._serving = None
        self._repeats.forget()
        error = died.death.report
        self._tell(events.died(died))
        if died.holding:
            return  # the generation that holds shows it
        block = [self._block(error)] if isinstance(error, Diagnostic) else []
        if isinstance(error, Diagnostic):
            self._keep(error)
        self._write(lines.restarting_after_death(died.again_in, colour=self._colour), *block)
        self._begun = self._clock() + died.again_in

    def _worker_died(self, error: Diagnostic) -> None:
        """Where there is no supervisor: gunicorn starts another, unless it died while it was loading."""
        self._keep(error)
        self._repeats.forget()
        if error.phase == "run":
            begin, end = (
                lines.request_failed(error, colour=self._colour),
                lines.end_of_report(False, colour=self._colour),
            )
            self._write(begin, self._block(error), end)
        else:
            self._write(self._block(error), lines.given_up(error, colour=self._colour))
        self._begun = self._clock()

    def _slow(self, slow: lifecycle.Slow) -> None:
        if self._is_lent:
            return  # the person knows what it waits for
        due = self._slowness.due(slow)
        if due is not None:
            self._tell(event("slow", generation=slow.generation, seconds=due, phase=slow.phase))
        if self._writer.is_terminal and slow.seconds >= FIRST_SLOW:
            self._writer.write_moving(lines.still(slow.phase, slow.seconds))
        elif due is not None:
            self._write(lines.still(slow.phase, due, colour=self._colour))

    def _sample(self, sent: SampleSent, generation: int) -> None:
        self._tell(events.sample(sent, generation))
        self._write(lines.sample_sent(sent, colour=self._colour, width=self._width()))

    def _replayed(self, replayed: ReplayReport, generation: int) -> None:
        self._tell(events.replayed(replayed, generation))
        if replayed.sent > 1:
            self._write(lines.replayed(replayed, colour=self._colour))

    # --- what people ask for

    def _look(self, look: Look) -> None:
        match look.what:
            case "clear":
                self._repeats.forget()  # what was shown whole is gone
                self._writer.clear()
            case "help":
                self._write(look.text)
            case "watched" if self._targets is not None:
                self._write(lines.watched(self._targets, self._config.base), *self._kept_lines())
            case "traceback":
                self._write(self._full_traceback())
            case "samples" if not (self._config.request or self._config.replay):
                self._write(self._line("nothing to send: name a sample with --request FILE, or give --replay last"))

    def _kept_lines(self) -> list[str]:
        kept = self._kept()
        memory = table.own_memory(kept.pid) if kept is not None else None
        return [lines.kept(kept, memory, self._config.base)] if self._config.keep else []

    def _full_traceback(self) -> str:
        if self._last is None:
            return self._line("there was no error yet")
        block = self._block(self._last, full=True)
        return f"{lines.past(self._last, colour=self._colour)}\n{block}" if self._is_past else block

    # --- writing

    def _url(self) -> str:
        return f"http://{self._address}/score"

    def _line(self, text: str, role: str = "") -> str:
        return lines.bracket(role, text, self._colour)

    def _width(self) -> int:
        return self._writer.width

    def _block(self, error: Diagnostic, count: int = 1, full: bool = False) -> str:
        width = self._width()
        full, folder = full or self._config.full_traceback, self._config.base
        return blocks.block(error, colour=self._colour, width=width, cwd=folder, full_traceback=full, count=count)

    def _write(self, *texts: str) -> None:
        self._writer.write(*texts)

    def _tell(self, what: Event) -> None:
        failure = self._readers.tell(what)
        if failure is not None:
            self._write(self._line(failure, "warning"))
