"""The lifecycle of generations as a pure table: `step` says what an event makes of the model, and what to do."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Literal, TypeAlias

from devserver.records.announcements import Death as Death
from devserver.records.announcements import Died as Died
from devserver.records.announcements import NotReady as NotReady
from devserver.records.announcements import Overran as Overran
from devserver.records.announcements import Ready as Ready
from devserver.records.announcements import Restarting as Restarting
from devserver.records.announcements import Retrying as Retrying
from devserver.records.announcements import Starting as Starting
from devserver.records.announcements import Stopping as Stopping
from devserver.records.changes import ChangeSet, ReloadPlan, Scope
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import LoadReport, Note, RequestsAnswered
from devserver.records.record import record
from devserver.records.samples import ReplayReport, SampleSent

PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before the next start, by the number of deaths in a row
NOTHING_CHANGED = ChangeSet()


class State(Enum):
    """What the current generation does for a request that comes in now."""

    STARTING = "starting"  # nothing yet: it loads, or it died and the next one waits for its start
    RUNNING = "running"  # answers
    HOLDING = "holding"  # answers with the error, until the next change; where no process can, the tool itself does
    STOPPING = "stopping"  # there is no current generation any more; the retired ones finish
    STOPPED = "stopped"  # nobody lives


class Retry(Enum):
    """Whether a load is tried again of which the failure may have been another generation's doing."""

    NONE = "none"
    DUE = "due"  # as soon as the retired ones are gone
    LEAVING = "leaving"  # they are; the generation that failed leaves, too, and then the next one is launched


@record(frozen=True)
class Model:
    """All that is known of the generations; `Model()` is the world before the first one.

    A generation is current from its launch until it is retired or has died. RUNNING has a current generation, and so
    has HOLDING unless the tool stands in for it; STOPPING and STOPPED have none.
    """

    state: State = State.STARTING
    generation: int = 0  # the number of the latest launch
    alive: bool = False  # the latest generation is current
    retired: frozenset[int] = frozenset()  # told to end, and not gone yet
    hold: Death | None = None  # why the latest generation, or the one that waits for its start, shall not load
    deaths: int = 0  # in a row
    unreplayed: ChangeSet | None = NOTHING_CHANGED  # what changed since the last replay; None: no replay is due
    retry: Retry = Retry.NONE

    @property
    def living(self) -> frozenset[int]:
        """The numbers of all generations that are not gone yet."""
        return self.retired | {self.generation} if self.alive else self.retired


# Events: what people and timers ask for, and what is heard of one generation.


@record(frozen=True)
class StartAsked:
    """The tool is ready for its first generation."""


@record(frozen=True)
class Changed:
    """Files changed."""

    plan: ReloadPlan


@record(frozen=True)
class ReloadAsked:
    """Somebody wants a new generation although nothing changed; `cold`: one without the warm process."""

    cold: bool = False


@record(frozen=True)
class StopAsked:
    """Somebody wants the tool to end; asked again, to end at once."""


@record(frozen=True)
class LaunchDue:
    """The pause of a `LaunchLater` is over."""


@record(frozen=True)
class News:
    """Something heard of one generation; it may come late, and twice."""

    generation: int


@record(frozen=True)
class Loaded(News):
    """It answers; with several workers, one of them does. `report` is handed through."""

    report: LoadReport | None = None


@record(frozen=True)
class LoadFailed(News):
    """It answers with the error: the code could not be loaded, or it was told to hold. `report` is handed through.

    `contended`: another process may have been the reason.
    """

    report: LoadReport | None = None
    contended: bool = False


@record(frozen=True)
class Exited(News):
    """Its process is gone; `death` is None where it ended as if all was well."""

    death: Death | None = None


@record(frozen=True)
class NotLaunched(News):
    """No process could be made for it. `report` is handed through; `contended`: others may have been the reason."""

    report: LoadReport | None = None
    contended: bool = False


@record(frozen=True)
class Settled(News):
    """It has answered for some seconds without dying."""


@record(frozen=True)
class Overdue(News):
    """The time of its `SetDeadline` is up and it still lives."""


@record(frozen=True)
class Noted(News):
    """It tells something to show."""

    note: Diagnostic | Note | SampleSent | ReplayReport | RequestsAnswered | CommandRan


@record(frozen=True)
class Slow(News):
    """It still loads, or is in init(), `seconds` after its launch; or a call of run() goes on since then."""

    seconds: float
    phase: Literal["load", "init", "run"] = "load"


Asked: TypeAlias = StartAsked | Changed | ReloadAsked | StopAsked | LaunchDue
Event: TypeAlias = Asked | News


# Messages: what to show; `Noted` and `Slow` are shown as they came.


Message: TypeAlias = Starting | Restarting | Retrying | Ready | NotReady | Died | Overran | Stopping | Noted | Slow


# Actions: what to do, in the order given.


@record(frozen=True)
class Launch:
    """Start this generation; the `LaunchLater` that is pending, if any, is void. `hold`: do not load, answer with that.

    `Exited` must follow once, however it ends, or `NotLaunched` where it could not be started.
    """

    generation: int
    scope: Scope
    hold: Death | None = None


@record(frozen=True)
class StandIn:
    """Answer with this in the tool's own process, until the next `Launch` or the end."""

    generation: int
    report: LoadReport | None = None


@record(frozen=True)
class LaunchLater:
    """Send `LaunchDue` in so many seconds."""

    seconds: float


@record(frozen=True)
class Retire:
    """Let it stop accepting at once, finish what it has, and end."""

    generation: int


@record(frozen=True)
class SetDeadline:
    """Send `Overdue` if it still lives when the time of this kind is up; replaces its earlier deadline."""

    generation: int
    kind: Literal["graceful", "stop"]


@record(frozen=True)
class Kill:
    """End its process group now; `Exited` must follow."""

    generation: int


@record(frozen=True)
class Replay:
    """Send the samples to this generation: all of them, unless `changes` holds nothing but samples."""

    generation: int
    changes: ChangeSet


@record(frozen=True)
class Show:
    """Tell people."""

    message: Message


@record(frozen=True)
class Quit:
    """Leave the loop: nobody lives, and nothing will be launched."""


Action: TypeAlias = Launch | StandIn | LaunchLater | Retire | SetDeadline | Kill | Replay | Show | Quit
Step: TypeAlias = tuple[Model, tuple[Action, ...]]


def step(model: Model, event: Event) -> Step:
    """What `event` makes of `model`, and what has to be done.

    Any event may come in any state; one that means nothing there changes nothing.
    """
    match event:
        case News(generation) if generation in model.retired:
            return _heard_of_retired(model, event)
        case News(generation) if generation in model.living:
            return _heard_of_current(model, event)
        case News():
            return model, ()
        case _:
            return _asked(model, event)


def _asked(model: Model, event: Asked) -> Step:
    match model.state, event:
        case State.STOPPED, _:
            return model, ()
        case State.STOPPING, StopAsked():
            return model, tuple(Kill(generation) for generation in sorted(model.living))
        case State.STOPPING, _:
            return model, ()
        case _, StopAsked():
            return _stop(model)
        case State.STARTING, StartAsked() if not model.generation:
            return _first(Show(Starting()), then=_launch(model, Scope.RELOAD))
        case State.STARTING, LaunchDue() if model.generation and not model.alive and model.retry is not Retry.LEAVING:
            return _launch(model)
        case _, ReloadAsked(cold):
            return _reload(model, ReloadPlan(Scope.REWARM if cold else Scope.RELOAD, NOTHING_CHANGED))
        case _, Changed(plan) if plan.scope > Scope.REPLAY:
            return _reload(model, plan)
        case State.STARTING, Changed(ReloadPlan(Scope.REPLAY, changes)):
            return replace(model, unreplayed=_with(model.unreplayed, changes)), ()
        case State.RUNNING, Changed(ReloadPlan(Scope.REPLAY, changes)):
            return model, (Replay(model.generation, changes),)
        case _:
            return model, ()


def _heard_of_current(model: Model, news: News) -> Step:
    match model.state, news:
        case State.STARTING, Loaded(_, report):
            return _ready(model, report)
        case State.STARTING | State.RUNNING, LoadFailed(generation, report, contended):
            # For good: of several workers one has failed, and what the others say later does not mend it.
            holding = replace(model, state=State.HOLDING, retry=_retry(model, contended))
            return holding, (Show(NotReady(generation, report, again=holding.retry is Retry.DUE)),)
        case State.STARTING, NotLaunched(_, report, contended):
            return _stand_in(model, report, contended)
        case State.STARTING, Exited(_, death) if model.hold is not None:
            # It could not even say what is wrong, and the next one could not either.
            contended = death is not None and death.contended
            return _stand_in(model, LoadReport(False, error=model.hold.report), contended)
        case _, Exited(_, death):
            return _died(model, death or Death(exit_code=0))
        case State.RUNNING | State.HOLDING, Settled():
            return replace(model, deaths=0), ()
        case (State.STARTING | State.RUNNING, Slow() as message) | (_, Noted() as message):
            return model, (Show(message),)
        case _:
            return model, ()


def _heard_of_retired(model: Model, news: News) -> Step:
    match news:
        case Exited(generation) | NotLaunched(generation):
            return _buried(replace(model, retired=model.retired - {generation}))
        case Overdue(generation):
            return model, (Kill(generation), Show(Overran(generation)))
        case Noted() as message:  # of work that was in flight
            return model, (Show(message),)
        case _:
            return model, ()


def _reload(model: Model, plan: ReloadPlan) -> Step:
    """Never waits: the old generation finishes while the next one loads."""
    fresh = replace(
        model,
        retired=model.living,
        hold=None,
        deaths=0,
        unreplayed=_with(model.unreplayed, plan.changes),
        retry=Retry.NONE,
    )
    farewell = (Retire(model.generation), SetDeadline(model.generation, "graceful")) if model.alive else ()
    return _first(*farewell, Show(Restarting(plan.changes)), then=_launch(fresh, plan.scope))


def _buried(model: Model) -> Step:
    """One of the retired is gone; the last one may have been in the way of a load."""
    if model.retired or model.retry is Retry.NONE:
        return _quit_if_last(model)
    if model.retry is Retry.LEAVING:
        return _launch(replace(model, retry=Retry.NONE))
    if not model.alive:
        return _first(Show(Retrying()), then=_launch(replace(model, hold=None, retry=Retry.NONE)))
    # It goes first, for what it has got hold of before it failed: whatever fails now has failed alone.
    alone = frozenset({model.generation})
    leaving = replace(model, state=State.STARTING, alive=False, retired=alone, hold=None, retry=Retry.LEAVING)
    return leaving, (Show(Retrying()), Retire(model.generation), SetDeadline(model.generation, "graceful"))


def _retry(model: Model, contended: bool) -> Retry:
    return Retry.DUE if contended and model.retired else model.retry


def _launch(model: Model, scope: Scope = Scope.CODE) -> Step:
    """After a death no file is new: what has not to be done for an edit has not to be done now."""
    generation = model.generation + 1
    launched = replace(model, state=State.STARTING, generation=generation, alive=True)
    return launched, (Launch(generation, scope, model.hold),)


def _ready(model: Model, report: LoadReport | None) -> Step:
    replay = () if model.unreplayed is None else (Replay(model.generation, model.unreplayed),)
    running = replace(model, state=State.RUNNING, hold=None, unreplayed=None)
    return running, (Show(Ready(model.generation, report)), *replay)


def _died(model: Model, death: Death) -> Step:
    hold = _reason_to_hold(model, death)
    first_to_hold = hold is not None and model.hold is None
    again_in = 0.0 if first_to_hold else PAUSES[min(model.deaths, len(PAUSES) - 1)]
    retry = _retry(model, death.contended and hold is not None)
    dead = replace(model, state=State.STARTING, alive=False, hold=hold, deaths=model.deaths + 1, retry=retry)
    show = Show(Died(model.generation, death, again_in, holding=hold is not None))
    return _first(show, then=(dead, (LaunchLater(again_in),)) if again_in else _launch(dead))


def _stand_in(model: Model, report: LoadReport | None, contended: bool = False) -> Step:
    standing = replace(model, state=State.HOLDING, alive=False, hold=None, retry=_retry(model, contended))
    again = standing.retry is Retry.DUE
    return standing, (StandIn(model.generation, report), Show(NotReady(model.generation, report, again)))


def _reason_to_hold(model: Model, death: Death) -> Death | None:
    """Code that died while loading is not loaded again. The first reason stands: a holder's own death says less."""
    # It may have loaded and died so quickly that its death is heard first.
    had_loaded = model.state is State.RUNNING or (model.state is State.STARTING and death.phase == "run")
    return model.hold or (None if had_loaded else death)


def _stop(model: Model) -> Step:
    stopping = replace(model, state=State.STOPPING, alive=False, retired=model.living, retry=Retry.NONE)
    retire = (Retire(model.generation),) if model.alive else ()
    deadlines = tuple(SetDeadline(generation, "stop") for generation in sorted(model.living))
    return _first(*retire, *deadlines, Show(Stopping()), then=_quit_if_last(stopping))


def _quit_if_last(model: Model) -> Step:
    over = model.state is State.STOPPING and not model.living
    return (replace(model, state=State.STOPPED), (Quit(),)) if over else (model, ())


def _with(unreplayed: ChangeSet | None, changes: ChangeSet) -> ChangeSet:
    return (unreplayed or NOTHING_CHANGED) | changes


def _first(*actions: Action, then: Step) -> Step:
    model, rest = then
    return model, (*actions, *rest)
