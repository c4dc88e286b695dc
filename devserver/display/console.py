"""The only writer of the tool's own lines on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from devserver import lifecycle
from devserver.config.settings import Config
from devserver.display import banner, events, lines
from devserver.display.counting import Repeats, Slowness
from devserver.display.events import Event, event
from devserver.display.feed import Feed
from devserver.display.readers import Readers
from devserver.display.reasons import Whys
from devserver.display.reports import Reports
from devserver.display.screen import Screen
from devserver.process import table
from devserver.records.changes import ChangeSet, Role
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

FIRST_SLOW = 1.0  # seconds after which a terminal shows that it goes on


class Console:
    """The only writer of the tool's own lines. Each message is one write, so that no other output comes between."""

    def __init__(
        self, config: Config, colour: bool, clock: Callable[[], float] = time.monotonic, for_editor: bool = False
    ) -> None:
        self._config = config
        self._colour = colour
        self._clock = clock
        self._begun = clock()
        self._on = Listening("", 0, "")
        self._has_keys = self._has_begun = self._has_offered = False
        self._is_lent = False
        self._repeats = Repeats()
        self._slowness = Slowness()
        self._noted: set[str] = set()
        self._serving: int | None = None  # the generation that answers new requests
        self._targets: Targets | None = None
        self._kept: Callable[[], Kept | None] = lambda: None
        self._whys = Whys()
        self._readers = Readers(config.events, Feed() if config.reload else None)
        self._page = ""
        self._screen = Screen()
        self._reports = Reports(config, self._screen, colour, for_editor)

    def share_line(self, take: Callable[[], bool]) -> None:
        """The script writes here, too; `take` says whether it has left a line unfinished, which we finish then."""
        self._screen.share_line(take)

    # --- from the supervisor

    def show(self, message: object) -> None:
        """One message of the lifecycle, or `Listening`."""
        match message:
            case Listening():
                self._on = message
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
                self._screen.write(lines.command_ran(ran, colour=self._colour, width=self._screen.width))
            case PageAt(url):
                self._page = url
                self._tell(event("page", url=url))
            case Look():
                self._look(message)
            case lifecycle.Overran(generation):
                self._tell(event("overran", generation=generation))
                self._screen.write(lines.overran(self._config.graceful_timeout, colour=self._colour))
            case lifecycle.Slow():
                self._slow(message)
            case lifecycle.Stopping():
                self._tell(event("stopping"))
                self._screen.write(lines.stopping(colour=self._colour))

    def note(self, text: str) -> None:
        """A plain line for the person."""
        self._tell(event("note", text=text))
        self._screen.write(self._line(text))

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self.note(text)

    def config_kept(self, error: Diagnostic) -> None:
        """The deployment cannot be used as it is now, and its values from before stay."""
        self._reports.standing.config(error)
        self._tell(event("config_kept", error=error))
        self._reports.keep(error)
        self._screen.write(self._reports.block(error), self._line("the values from before stay", "warning"))

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
        """What is served where, once, before anything is loaded; with `--reload` in short, unless all is logged."""
        if self._config.reload:
            self._screen.write(banner.short(self._config, self._on, self._has_keys, self._page))
        if not self._config.reload or self._config.log_level == "DEBUG":
            self._screen.write(self._details())
        self._has_begun = True
        for note in self._config.notes:
            self.note(note)

    def _details(self) -> str:
        width = self._screen.width if self._screen.is_terminal else None
        return banner.banner(self._config, self._on.address, self._on.health, self._page, width)

    # --- each kind

    def starting(self) -> None:
        """The first load begins; says the settings and where to call."""
        self._begun = self._clock()
        self.facts()
        self._tell(event("starting", generation=1))
        self._screen.report(lines.starting(self._config.script or "main", colour=self._colour))

    def _restarting(self, changes: ChangeSet) -> None:
        self._begin_again()
        if any(change.role is Role.CONFIG for change in changes.changes):
            self._reports.standing.config(None)  # it is read again; `config_kept` is called if it is not well yet
        self._tell(events.restarting(changes))
        self._screen.report(lines.restarting(changes, self._config.base, colour=self._colour))

    def _retrying(self) -> None:
        self._begin_again()
        self._tell(events.restarting(ChangeSet(), retry=True))
        self._screen.report(lines.retrying(colour=self._colour))

    def _begin_again(self) -> None:
        self._begun = self._clock()
        self._repeats.forget()
        self._reports.standing.load()
        self._serving = None

    def _ready(self, loaded: LoadReport, generation: int | None) -> None:
        seconds = self._clock() - self._begun
        self._reports.load_went_well()
        self._tell(events.ready(loaded, generation, seconds, self._url()))
        why = self._whys.of(loaded, self._config.base)
        self._serving = generation
        self._screen.write(*self._reports.others(), lines.ready(loaded, seconds, self._url(), why, colour=self._colour))
        self._offer()

    def _offer(self) -> None:
        """Once: the sample that could be sent."""
        text = banner.offer(self._config) if self._has_keys and not self._has_offered else None
        self._has_offered |= self._has_keys
        if text is not None:
            self._screen.write(self._line(text))

    def _not_ready(self, error: Diagnostic, generation: int | None, again: bool = False) -> None:
        seconds = self._clock() - self._begun
        self._tell(events.not_ready(error, generation, seconds, again))
        waits = generation is not None
        end = (
            lines.not_ready(error, seconds, again, colour=self._colour)
            if waits
            else lines.given_up(error, colour=self._colour)
        )
        self._reports.keep(error)
        self._reports.standing.tell(error)
        self._screen.write(self._reports.block(error), *self._reports.others(), end)

    def _failed(self, error: Diagnostic, generation: int | None) -> None:
        count = self._repeats.count(error, generation)
        self._tell(events.failed(error, generation, count))
        self._reports.keep(error)
        serves = generation is not None and generation == self._serving
        self._reports.standing.report()
        self._reports.standing.tell(error, stays=serves or generation is None)
        begin = lines.request_failed(error, colour=self._colour)
        end = lines.end_of_report(serves, colour=self._colour)
        self._screen.report(begin, self._reports.block(error, count), *self._reports.others(), end)

    def _died(self, died: lifecycle.Died) -> None:
        self._serving = None
        self._repeats.forget()
        error = died.death.report
        self._tell(events.died(died))
        if died.holding:
            return  # the generation that holds shows it
        self._reports.standing.report()
        block = [self._reports.block(error)] if isinstance(error, Diagnostic) else []
        if isinstance(error, Diagnostic):
            self._reports.keep(error)
            self._reports.standing.tell(error)
        self._screen.report(lines.restarting_after_death(died.again_in, colour=self._colour), *block)
        self._begun = self._clock() + died.again_in

    def _worker_died(self, error: Diagnostic) -> None:
        """Where there is no supervisor: gunicorn starts another, unless it died while it was loading."""
        self._reports.keep(error)
        self._repeats.forget()
        self._reports.standing.report()
        self._reports.standing.tell(error)
        if error.phase == "run":
            begin = lines.request_failed(error, colour=self._colour)
            end = lines.end_of_report(False, colour=self._colour)
            self._screen.report(begin, self._reports.block(error), *self._reports.others(), end)
        else:
            self._screen.write(self._reports.block(error), lines.given_up(error, colour=self._colour))
        self._begun = self._clock()

    def _slow(self, slow: lifecycle.Slow) -> None:
        if self._is_lent:
            return  # the person knows what it waits for
        due = self._slowness.due(slow)
        if due is not None:
            self._tell(event("slow", generation=slow.generation, seconds=due, phase=slow.phase))
        if self._screen.is_terminal and slow.seconds >= FIRST_SLOW:
            self._screen.move(lines.still(slow.phase, slow.seconds, colour=self._colour))
        elif due is not None:
            self._screen.write(lines.still(slow.phase, due, colour=self._colour))

    def _sample(self, sent: SampleSent, generation: int) -> None:
        self._tell(events.sample(sent, generation))
        self._screen.write(lines.sample_sent(sent, colour=self._colour, width=self._screen.width))

    def _replayed(self, replayed: ReplayReport, generation: int) -> None:
        self._tell(events.replayed(replayed, generation))
        if replayed.sent > 1:
            self._screen.write(lines.replayed(replayed, colour=self._colour))

    # --- what people ask for

    def _look(self, look: Look) -> None:
        match look.what:
            case "clear":
                self._repeats.forget()  # what was shown whole is gone
                self._screen.raw("\x1b[H\x1b[2J\x1b[3J")
            case "keys":
                self._has_keys = True  # the banner says so, if it is to come yet
                if self._has_begun:
                    self._screen.write(self._line(banner.KEYS))
            case "help":
                self._screen.report(lines.bracket("", "keys:", False), look.text, self._details())
            case "watched" if self._targets is not None:
                self._screen.report(lines.watched(self._targets, self._config.base), *self._kept_lines())
            case "traceback":
                self._screen.report(self._reports.last_in_full())
            case "samples" if look.text:
                self._screen.write(self._line(look.text))

    def _kept_lines(self) -> list[str]:
        kept = self._kept()
        memory = table.own_memory(kept.pid) if kept is not None else None
        return [lines.kept(kept, memory, self._config.base)] if self._config.keep else []

    # --- writing

    def _url(self) -> str:
        return f"http://{self._on.address}/score"

    def _line(self, text: str, role: str = "") -> str:
        return lines.bracket(role, text, self._colour)

    def _tell(self, what: Event) -> None:
        failure = self._readers.tell(what)
        if failure is not None:
            self._screen.write(self._line(failure, "warning"))
