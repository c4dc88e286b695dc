"""The lifecycle: every cell of the table, histories worth a name, and a random play whose referee has teeth."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest

from devserver.lifecycle import (
    Action,
    Asked,
    Changed,
    Death,
    Died,
    Event,
    Exited,
    Kill,
    Launch,
    LaunchDue,
    LaunchLater,
    Loaded,
    LoadFailed,
    Model,
    News,
    Noted,
    NotLaunched,
    NotReady,
    Overdue,
    Overran,
    Quit,
    Ready,
    ReloadAsked,
    Replay,
    Restarting,
    Retire,
    Retry,
    Retrying,
    SetDeadline,
    Settled,
    Show,
    Slow,
    StandIn,
    StartAsked,
    Starting,
    State,
    Step,
    StopAsked,
    Stopping,
    step,
)
from devserver.records.changes import ChangeSet, FileChange, Role, Scope, plan_reload
from devserver.records.messages import LoadReport


def change_set(*paths: str, role: Role = Role.CODE) -> ChangeSet:
    return ChangeSet(tuple(FileChange(path, "modified", role) for path in paths))


def changed(*paths: str, role: Role = Role.CODE) -> Changed:
    return Changed(plan_reload(change_set(*paths, role=role)))


def is_wide(event: Event) -> bool:
    """It asks for a new generation."""
    return isinstance(event, ReloadAsked) or (isinstance(event, Changed) and event.plan.scope > Scope.REPLAY)


# --- The table ---

EARLIER, CODE, SAMPLE = change_set("/p/helper.py"), change_set("/p/score.py"), change_set("/p/s.json", role=Role.SAMPLE)
SEGFAULT, OOM = Death("SIGSEGV", phase="init"), Death("SIGKILL", phase="run")
LOCKED_OUT = Death(exit_code=1, phase="init", contended=True)

# In each situation 3 is the latest generation, 2 is retired and still lives, 1 is gone.
BORN = Model(generation=3, alive=True, retired=frozenset({2}), unreplayed=EARLIER)
SITUATIONS = {
    "before the first": Model(),
    "loading": BORN,
    "told to hold": replace(BORN, hold=SEGFAULT, deaths=1),
    "pause": replace(BORN, alive=False, deaths=2, unreplayed=None),
    "pause of a holder": replace(BORN, alive=False, deaths=2, hold=SEGFAULT),
    "running": replace(BORN, state=State.RUNNING, deaths=2, unreplayed=None),
    "holding": replace(BORN, state=State.HOLDING, deaths=1),
    "holding as told": replace(BORN, state=State.HOLDING, deaths=1, hold=SEGFAULT),
    "stood in for": replace(BORN, state=State.HOLDING, alive=False, deaths=1),
    "stood in for until 2 is gone": replace(BORN, state=State.HOLDING, alive=False, deaths=1, retry=Retry.DUE),
    "holding until 2 is gone": replace(BORN, state=State.HOLDING, deaths=1, retry=Retry.DUE),
    "pause until 2 is gone": replace(BORN, alive=False, deaths=2, hold=LOCKED_OUT, retry=Retry.DUE),
    "3 leaves": replace(BORN, alive=False, deaths=1, retired=frozenset({3}), retry=Retry.LEAVING),
    "stopping": replace(BORN, state=State.STOPPING, alive=False, retired=frozenset({2, 3})),
    "stopped": replace(BORN, state=State.STOPPED, alive=False, retired=frozenset()),
}
AWAKE = list(SITUATIONS)[:-2]
HOLDING = "holding, holding as told, holding until 2 is gone"
STOOD = "stood in for, stood in for until 2 is gone"
CURRENT = ["loading", "told to hold", "running", *HOLDING.split(", ")]
WITH_2 = [name for name in AWAKE[1:] if name != "3 leaves"]

Cell = tuple[str, Event, dict[str, Any], tuple[Action, ...]]


def cells(situations: str | list[str], event: Event, *actions: Action, **changes: Any) -> list[Cell]:
    """In these situations `event` changes just these fields of the model and asks for just these actions."""
    names = situations.split(", ") if isinstance(situations, str) else situations
    return [(name, event, changes, actions) for name in names]


def ignored_but_in(situations: str, event: Event) -> list[Cell]:
    """In all situations but these `event` means nothing."""
    return cells([name for name in SITUATIONS if name not in situations.split(", ")], event)


def reload_cells(event: Event, scope: Scope, changes: ChangeSet) -> list[Cell]:
    """A new generation at once, whatever the situation: that is the same in all of them."""
    show, launch = Show(Restarting(changes)), Launch(4, scope)
    farewell = Retire(3), SetDeadline(3, "graceful")
    fresh: dict[str, Any] = {"state": State.STARTING, "generation": 4, "alive": True, "hold": None, "deaths": 0}
    joined = {**fresh, "unreplayed": EARLIER | changes}
    retired = {"retired": frozenset({2, 3})}
    first = {"generation": 1, "alive": True, "unreplayed": changes}
    calm = {"retry": Retry.NONE}
    return [
        *cells("before the first", event, show, Launch(1, scope), **first),
        *cells("loading, told to hold, holding, holding as told", event, *farewell, show, launch, **joined, **retired),
        *cells("holding until 2 is gone", event, *farewell, show, launch, **joined, **retired, **calm),
        *cells("pause until 2 is gone, 3 leaves", event, show, launch, **joined, **calm),
        *cells("running", event, *farewell, show, launch, **{**joined, "unreplayed": changes}, **retired),
        *cells("pause", event, show, launch, **{**joined, "unreplayed": changes}),
        *cells("pause of a holder, stood in for", event, show, launch, **joined),
        *cells("stood in for until 2 is gone", event, show, launch, **joined, **calm),
        *cells("stopping, stopped", event),
    ]


def died(death: Death, again_in: float, holding: bool) -> Show:
    return Show(Died(3, death, again_in, holding))


def after(deaths: int, hold: Death | None = None) -> dict[str, Any]:
    return {"state": State.STARTING, "deaths": deaths, "hold": hold}


NEXT: dict[str, Any] = {"generation": 4, "alive": True}
DEAD: dict[str, Any] = {"alive": False}
EXIT_0 = Death(exit_code=0)
ALL_STOP = SetDeadline(2, "stop"), SetDeadline(3, "stop"), Show(Stopping())
STOPPING: dict[str, Any] = {"state": State.STOPPING, "alive": False, "retired": frozenset({2, 3})}

NO_REPORT = LoadReport(False)
STANDS_IN = StandIn(3, NO_REPORT), Show(NotReady(3, NO_REPORT))
STOOD_IN: dict[str, Any] = {"state": State.HOLDING, "alive": False, "hold": None}

TABLE: list[Cell] = [
    *cells("before the first", StartAsked(), Show(Starting()), Launch(1, Scope.RELOAD), generation=1, alive=True),
    *ignored_but_in("before the first", StartAsked()),
    #
    *reload_cells(changed("/p/score.py"), Scope.RELOAD, CODE),
    *reload_cells(ReloadAsked(), Scope.RELOAD, ChangeSet()),
    *reload_cells(ReloadAsked(cold=True), Scope.REWARM, ChangeSet()),
    #
    *cells("before the first", changed("/p/s.json", role=Role.SAMPLE), unreplayed=SAMPLE),
    *cells("loading, told to hold", changed("/p/s.json", role=Role.SAMPLE), unreplayed=EARLIER | SAMPLE),
    *cells("pause", changed("/p/s.json", role=Role.SAMPLE), unreplayed=SAMPLE),
    *cells(
        "pause of a holder, pause until 2 is gone, 3 leaves",
        changed("/p/s.json", role=Role.SAMPLE),
        unreplayed=EARLIER | SAMPLE,
    ),
    *cells("running", changed("/p/s.json", role=Role.SAMPLE), Replay(3, SAMPLE)),
    *cells(f"{HOLDING}, {STOOD}, stopping, stopped", changed("/p/s.json", role=Role.SAMPLE)),
    *cells([*SITUATIONS], changed()),
    #
    *cells(f"before the first, stopped, 3 leaves, {STOOD}", LaunchDue()),
    *cells("pause until 2 is gone", LaunchDue(), Launch(4, Scope.CODE, LOCKED_OUT), **NEXT),
    *cells("pause", LaunchDue(), Launch(4, Scope.CODE), **NEXT),
    *cells("pause of a holder", LaunchDue(), Launch(4, Scope.CODE, SEGFAULT), **NEXT),
    *cells([*CURRENT, "stopping"], LaunchDue()),
    #
    *cells("before the first", StopAsked(), Show(Stopping()), Quit(), state=State.STOPPED),
    *cells(CURRENT[:-1], StopAsked(), Retire(3), *ALL_STOP, **STOPPING),
    *cells(CURRENT[-1], StopAsked(), Retire(3), *ALL_STOP, **STOPPING, retry=Retry.NONE),
    *cells(
        "pause, pause of a holder, stood in for",
        StopAsked(),
        SetDeadline(2, "stop"),
        Show(Stopping()),
        state=State.STOPPING,
        **DEAD,
    ),
    *cells(
        "pause until 2 is gone, stood in for until 2 is gone",
        StopAsked(),
        *ALL_STOP[::2],
        state=State.STOPPING,
        retry=Retry.NONE,
    ),
    *cells("3 leaves", StopAsked(), *ALL_STOP[1:], state=State.STOPPING, retry=Retry.NONE),
    *cells("stopping", StopAsked(), Kill(2), Kill(3)),
    *cells("stopped", StopAsked()),
    #
    *cells("loading", Loaded(3, "r"), Show(Ready(3, "r")), Replay(3, EARLIER), state=State.RUNNING, unreplayed=None),
    *cells(
        "told to hold",
        Loaded(3, "r"),
        Show(Ready(3, "r")),
        Replay(3, EARLIER),
        state=State.RUNNING,
        unreplayed=None,
        hold=None,
    ),
    *ignored_but_in("loading, told to hold", Loaded(3, "r")),
    #
    *cells("loading, told to hold, running", LoadFailed(3, "r"), Show(NotReady(3, "r")), state=State.HOLDING),
    *cells(
        "loading, told to hold, running",
        LoadFailed(3, "r", contended=True),
        Show(NotReady(3, "r", again=True)),
        state=State.HOLDING,
        retry=Retry.DUE,
    ),
    *ignored_but_in("loading, told to hold, running", LoadFailed(3, "r")),
    *ignored_but_in("loading, told to hold, running", LoadFailed(3, "r", contended=True)),
    #
    *cells(
        "loading",
        Exited(3, SEGFAULT),
        died(SEGFAULT, 0, True),
        Launch(4, Scope.CODE, SEGFAULT),
        **NEXT,
        **after(1, SEGFAULT),
    ),
    *cells("told to hold", Exited(3, OOM), *STANDS_IN, **STOOD_IN),
    *cells(
        "loading",
        Exited(3, LOCKED_OUT),
        died(LOCKED_OUT, 0, True),
        Launch(4, Scope.CODE, LOCKED_OUT),
        **NEXT,
        **after(1, LOCKED_OUT),
        retry=Retry.DUE,
    ),
    *cells("running", Exited(3, LOCKED_OUT), died(LOCKED_OUT, 1, False), LaunchLater(1), **DEAD, **after(3)),
    *cells("running", Exited(3, OOM), died(OOM, 1, False), LaunchLater(1), **DEAD, **after(3)),
    *cells("holding", Exited(3, OOM), died(OOM, 0, True), Launch(4, Scope.CODE, OOM), **NEXT, **after(2, OOM)),
    *cells("holding as told", Exited(3, OOM), died(OOM, 0.5, True), LaunchLater(0.5), **DEAD, **after(2, SEGFAULT)),
    *cells(
        "holding until 2 is gone",
        Exited(3, OOM),
        died(OOM, 0, True),
        Launch(4, Scope.CODE, OOM),
        **NEXT,
        **after(2, OOM),
    ),
    *cells("3 leaves", Exited(3, OOM), Launch(4, Scope.CODE), **NEXT, retired=frozenset(), retry=Retry.NONE),
    *cells("stopping", Exited(3, OOM), retired=frozenset({2})),
    *cells(f"before the first, pause, pause of a holder, pause until 2 is gone, {STOOD}, stopped", Exited(3, OOM)),
    *cells("loading", Exited(3, OOM), died(OOM, 0, False), Launch(4, Scope.CODE), **NEXT, **after(1)),
    #
    *cells("loading", Exited(3), died(EXIT_0, 0, True), Launch(4, Scope.CODE, EXIT_0), **NEXT, **after(1, EXIT_0)),
    *cells("told to hold", Exited(3), *STANDS_IN, **STOOD_IN),
    *cells("running", Exited(3), died(EXIT_0, 1, False), LaunchLater(1), **DEAD, **after(3)),
    *cells("holding", Exited(3), died(EXIT_0, 0, True), Launch(4, Scope.CODE, EXIT_0), **NEXT, **after(2, EXIT_0)),
    *cells("holding as told", Exited(3), died(EXIT_0, 0.5, True), LaunchLater(0.5), **DEAD, **after(2, SEGFAULT)),
    *cells("stopping", Exited(3), retired=frozenset({2})),
    *cells(f"before the first, pause, pause of a holder, pause until 2 is gone, {STOOD}, stopped", Exited(3)),
    #
    *cells("loading, told to hold", NotLaunched(3, "r"), StandIn(3, "r"), Show(NotReady(3, "r")), **STOOD_IN),
    *cells(
        "loading, told to hold",
        NotLaunched(3, "r", contended=True),
        StandIn(3, "r"),
        Show(NotReady(3, "r", again=True)),
        **STOOD_IN,
        retry=Retry.DUE,
    ),
    *cells("stopping", NotLaunched(3, "r"), retired=frozenset({2})),
    *cells("3 leaves", NotLaunched(3, "r"), Launch(4, Scope.CODE), **NEXT, retired=frozenset(), retry=Retry.NONE),
    *ignored_but_in("loading, told to hold, stopping, 3 leaves", NotLaunched(3, "r")),
    #
    *cells([name for name in WITH_2 if "until" not in name], Exited(2, OOM), retired=frozenset()),
    *cells(
        "holding until 2 is gone",
        Exited(2),
        Show(Retrying()),
        Retire(3),
        SetDeadline(3, "graceful"),
        state=State.STARTING,
        alive=False,
        retired=frozenset({3}),
        retry=Retry.LEAVING,
    ),
    *cells(
        "pause until 2 is gone, stood in for until 2 is gone",
        Exited(2),
        Show(Retrying()),
        Launch(4, Scope.CODE),
        **NEXT,
        state=State.STARTING,
        retired=frozenset(),
        hold=None,
        retry=Retry.NONE,
    ),
    *cells("3 leaves", Exited(2)),
    *cells("stopping", Exited(2, OOM), retired=frozenset({3})),
    *cells("before the first, stopped", Exited(2, OOM)),
    #
    *cells([*WITH_2, "stopping"], Overdue(2), Kill(2), Show(Overran(2))),
    *cells("before the first, stopped, 3 leaves", Overdue(2)),
    *cells("stopping, 3 leaves", Overdue(3), Kill(3), Show(Overran(3))),
    *ignored_but_in("stopping, 3 leaves", Overdue(3)),
    #
    *cells("running", Settled(3), deaths=0),
    *cells(HOLDING, Settled(3), deaths=0),
    *ignored_but_in(f"running, {HOLDING}", Settled(3)),
    #
    *cells("loading, told to hold, running", Slow(3, 12.5, "run"), Show(Slow(3, 12.5, "run"))),
    *ignored_but_in("loading, told to hold, running", Slow(3, 12.5, "run")),
    #
    *cells([*CURRENT, "stopping", "3 leaves"], Noted(3, "n"), Show(Noted(3, "n"))),
    *ignored_but_in(", ".join([*CURRENT, "stopping", "3 leaves"]), Noted(3, "n")),
    *cells([*WITH_2, "stopping"], Noted(2, "n"), Show(Noted(2, "n"))),  # a request that was in flight has failed
    *cells("before the first, stopped, 3 leaves", Noted(2, "n")),
]
for older in (Loaded(2), LoadFailed(2), Settled(2), Slow(2, 1.0)):
    TABLE += cells([*SITUATIONS], older)
for gone in (Loaded(1), LoadFailed(1), Exited(1, OOM), Exited(1), Overdue(1), Settled(1), Slow(1, 1.0), Noted(1, "n")):
    TABLE += cells([*SITUATIONS], gone)


@pytest.mark.parametrize(
    ("situation", "event", "changes", "actions"),
    TABLE,
    ids=[f"{name}-{type(event).__name__}" for name, event, *_ in TABLE],
)
def test_cell(situation: str, event: Event, changes: dict[str, Any], actions: tuple[Action, ...]) -> None:
    """In this situation this event makes just this state and asks for just these actions, in this order."""
    before = SITUATIONS[situation]
    assert step(before, event) == (replace(before, **changes), actions)


def event_types() -> set[type]:
    return {*get_args(Asked), *News.__subclasses__()}


def test_the_table_has_every_cell() -> None:
    """Each kind of event is expected in each situation, thus in each state."""
    assert {(name, type(event)) for name, event, *_ in TABLE} == {
        (name, kind) for name in SITUATIONS for kind in event_types()
    }
    assert {model.state for model in SITUATIONS.values()} == set(State)


# --- Histories ---


def play(*events: Event, model: Model | None = None) -> tuple[Model, list[Action]]:
    """The model after these events, and the actions that the last one asked for."""
    after: Step = (model or Model(), ())
    for event in events:
        after = step(after[0], event)
    return after[0], list(after[1])


def test_a_crash_loop_grows_slower() -> None:
    """A generation that dies as soon as it runs is started at once, and then after longer and longer pauses."""
    model, pauses = play(StartAsked())[0], []
    for _ in range(8):
        model, actions = play(Loaded(model.generation), Exited(model.generation, OOM), model=model)
        pauses += [action.seconds for action in actions if isinstance(action, LaunchLater)] or [0]
        model = step(model, LaunchDue())[0]
    assert pauses == [0, 0.5, 1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("good", [Settled(3), changed("/p/score.py"), ReloadAsked()])
def test_what_ends_a_series_of_deaths(good: Event) -> None:
    """A generation that stayed good, a change, or a reload asked for: the next death is the first one."""
    model = play(good, Loaded(4), model=SITUATIONS["running"])[0]
    assert Launch(model.generation + 1, Scope.CODE) in play(Exited(model.generation, OOM), model=model)[1]


def test_a_death_while_loading_is_not_tried_again_until_a_change() -> None:
    """The code that killed its process is not loaded again; a change is the chance that it is better now."""
    model, actions = play(StartAsked(), Exited(1, SEGFAULT), LoadFailed(2), Exited(2, OOM), LaunchDue(), LoadFailed(3))
    assert (model.state, model.hold, actions) == (State.HOLDING, SEGFAULT, [Show(NotReady(3))])
    assert play(changed("/p/score.py"), model=model)[1][-1] == Launch(4, Scope.RELOAD)


def test_a_load_that_something_was_in_the_way_of_is_tried_again_alone() -> None:
    """When the old generation is gone, and then the one that failed: so that it cannot go on for ever."""
    failed = LoadFailed(2, contended=True)
    model, actions = play(StartAsked(), Loaded(1), changed("/p/score.py"), failed, Exited(1))
    assert actions == [Show(Retrying()), Retire(2), SetDeadline(2, "graceful")]
    model, actions = play(Exited(2), model=model)
    assert actions == [Launch(3, Scope.CODE)]
    model, actions = play(LoadFailed(3, contended=True), model=model)
    assert (model.retry, actions) == (Retry.NONE, [Show(NotReady(3))])


def test_one_failed_worker_makes_the_generation_not_ready() -> None:
    """Of several workers one cannot load: not ready, in whatever order they tell it, and it is shown once."""
    failed_first = play(StartAsked(), LoadFailed(1), Loaded(1))
    failed_last = play(StartAsked(), Loaded(1), LoadFailed(1), LoadFailed(1))
    assert [failed_first[0].state, failed_last[0].state] == [State.HOLDING] * 2
    assert failed_first[1] == failed_last[1] == []


def test_a_generation_after_a_crash_is_not_replayed() -> None:
    """The sample may have been what killed it: what was asked for is replayed, a mere restart is not."""
    assert Replay(1, ChangeSet()) in play(StartAsked(), Loaded(1))[1]
    assert play(StartAsked(), Loaded(1), Exited(1, OOM), Loaded(2))[1] == [Show(Ready(2))]


def test_a_replay_knows_every_change_since_the_last_one() -> None:
    """Also the changes that led to generations which never answered."""
    sample = changed("/p/s.json", role=Role.SAMPLE)
    model, actions = play(
        StartAsked(), Loaded(1), changed("/p/helper.py"), LoadFailed(2), changed("/p/score.py"), sample, Loaded(3)
    )
    assert Replay(3, EARLIER | CODE | SAMPLE) in actions
    assert model.unreplayed is None


def test_a_stop_before_the_start_is_a_stop() -> None:
    """Ctrl-C in the first millisecond: nothing is launched afterwards."""
    assert play(StopAsked(), StartAsked(), changed("/p/score.py")) == (Model(state=State.STOPPED), [])


def test_quit_waits_for_the_last_one_and_comes_once() -> None:
    """The tool leaves when the last generation is gone, whichever that is, and not again."""
    model = SITUATIONS["stopping"]
    assert play(Exited(3), Exited(3), model=model)[1] == []
    assert play(Exited(3), Exited(2), model=model) == (
        replace(model, state=State.STOPPED, retired=frozenset()),
        [Quit()],
    )
    assert play(Exited(3), Exited(2), Exited(2), StopAsked(), model=model)[1] == []


# --- The random play ---
#
# A world of simulated processes and an unreliable post, with a clock of its own; a referee looks at every step.

PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
DEADLINES = {"graceful": 5.0, "stop": 2.0}
LAST_SAVE, CALM_AT, SETTLES_IN, MOST_EVENTS = 15.0, 55.0, 5.0, 3000
WORLDS = 1800

StepFunction = Callable[[Model, Event], Step]


class Broken(Exception):
    """A rule was broken; the text tells which one, and the steps that led to it."""


@dataclass
class Process:
    """One generation as it really is, whatever is known of it."""

    generation: int
    told_to_hold: bool
    stubborn: bool
    alive: bool = True
    retired: bool = False
    killed: bool = False
    has_deadline: bool = False
    known_gone: bool = False
    heard: set[type] = field(default_factory=set)  # while it was current


class World:
    """One life of the tool: somebody saves, generations load, fail, crash and dawdle, news come late and twice."""

    def __init__(self, seed: int, step: StepFunction = step) -> None:
        self.random, self.step, self.model = random.Random(seed), step, Model()
        self.fragile = self.random.random() < 0.1  # here everything that runs crashes soon
        self.now, self.events, self.serial = 0.0, 0, itertools.count()
        self.agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.processes: dict[int, Process] = {}
        self.launch_due: float | None = None
        self.trail: list[str] = []
        self.cells: set[tuple[State, type]] = set()
        # What the referee remembers; the numbers count events.
        self.stops = self.quits = self.last_change = self.last_launch = self.launches = 0
        self.must_hold, self.keeps_pace, self.good_since = False, True, 0.0
        self.stands_in = False
        self.again = False  # a load has failed that something may have been in the way of
        self.samples_due: set[str] = set()

    def run(self) -> World:
        """The whole life. Errors: Broken."""
        self.plan_the_person()
        while self.agenda:
            self.now, _, happen, arguments = heapq.heappop(self.agenda)
            happen(*arguments)
        self.require(self.model.state is State.STOPPED, "every world ends STOPPED")
        self.require(self.quits == 1, "Quit comes exactly once")
        self.require(not self.living(), "nobody is left behind")
        return self

    def after(self, seconds: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self.agenda, (self.now + seconds, next(self.serial), happen, arguments))

    def require(self, kept: bool, rule: str) -> None:
        if not kept:
            raise Broken("\n".join([f"{rule}; {self.model}", *self.trail[-30:]]))

    def living(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    def latest(self) -> Process | None:
        return self.processes[max(self.processes)] if self.processes else None

    # The person at the keyboard.

    def plan_the_person(self) -> None:
        self.after(self.random.uniform(0, 0.2), self.deliver, StartAsked())
        times = [self.random.uniform(0, LAST_SAVE) for _ in range(self.random.randrange(6))]
        for time in [*times, *times[:2]]:  # some saves come in bursts
            self.after(time + self.random.uniform(0, 0.1), self.deliver, self.wish())
        calm = self.random.random() < 0.6
        stop = CALM_AT if calm else self.random.uniform(0, LAST_SAVE)
        self.after(stop, self.check_calm if calm else self.deliver, *([] if calm else [StopAsked()]))
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            self.after(stop + self.random.uniform(0, 4), self.deliver, StopAsked())
        stray = self.random.choices((changed(), StartAsked(), LaunchDue()), (6, 1, 1))[0]
        self.after(self.random.uniform(0, 60), self.deliver, stray)
        self.keeps_pace = stray != LaunchDue()

    def wish(self) -> Event:
        roles = self.random.choices((Role.CODE, Role.MODEL, Role.CONFIG, Role.SAMPLE), (6, 2, 1, 4))
        event = changed(f"/p/{self.random.randrange(9)}", role=roles[0])
        return self.random.choices((event, ReloadAsked(), ReloadAsked(cold=True), changed()), (10, 1, 1, 1))[0]

    # The life of a process.

    def begin(self, process: Process) -> None:
        load_time = self.random.uniform(0.5, 1) * (0.05 if self.fragile else self.random.choice((0.05, 0.5, 3.0, 50.0)))
        fates = (self.hold, self.die_loading) if process.told_to_hold else (self.load, self.hold, self.die_loading)
        self.random.choices(fates, (8, 2) if process.told_to_hold else (10, 3, 4))[0](process, load_time)
        if self.random.random() < 0.3:
            self.after(load_time * 0.5, self.tell, process, Slow(process.generation, load_time * 0.5))
            self.after(load_time * 2, self.tell, process, Noted(process.generation, "a note"))

    def load(self, process: Process, load_time: float) -> None:
        self.after(load_time, self.tell, process, Loaded(process.generation))
        for kind in self.random.choice(([], [], [Loaded, Loaded], [Loaded, LoadFailed])):  # more workers
            self.after(load_time + self.random.uniform(0, 0.5), self.tell, process, kind(process.generation))
        if self.fragile or self.random.random() < 0.4:
            death = self.random.choice((Death("SIGSEGV", phase="run"), None))
            life_time = self.random.expovariate(10 if self.fragile else 0.3)
            self.after(load_time + life_time, self.die, process, death)

    def hold(self, process: Process, load_time: float) -> None:
        contended = self.random.random() < 0.4
        self.after(load_time, self.tell, process, LoadFailed(process.generation, contended=contended))
        if self.random.random() < 0.2:
            self.after(load_time + self.random.expovariate(0.3), self.die, process, Death("SIGKILL"))

    def die_loading(self, process: Process, load_time: float) -> None:
        self.after(load_time, self.die, process, self.random.choice((SEGFAULT, LOCKED_OUT, None)))

    def die(self, process: Process, death: Death | None) -> None:
        self.tell(process, Exited(process.generation, death))
        process.alive = False

    def tell(self, process: Process, news: News) -> None:
        """The post: each letter takes its own time, and some come a second time, much later."""
        if process.alive:
            self.after(self.random.uniform(0, 0.3), self.deliver, news)
            if self.random.random() < 0.15:
                self.after(self.random.uniform(0, 25), self.deliver, news)

    # The supervisor.

    def deliver(self, event: Event) -> None:
        self.events += 1
        self.require(self.events < MOST_EVENTS, "the world comes to an end")
        before, (self.model, actions) = self.model, self.step(self.model, event)
        self.cells.add((before.state, type(event)))
        self.trail.append(f"{self.now:7.3f} {before.state.name} {event} -> {self.model.state.name} {actions}")
        self.require(not (self.quits and actions), "nothing happens after Quit")
        self.witness(event)
        for action in actions:
            self.perform(action, event)
        self.check(event)

    def perform(self, action: Action, event: Event) -> None:
        match action:
            case Launch():
                self.launch(action, event)
            case StandIn(generation):
                self.require(self.needs_stand_in(self.processes[generation]), "only where no process can answer")
                self.stands_in, self.must_hold = True, False
            case LaunchLater(seconds):
                self.launch_due = self.now + seconds
                self.after(seconds, self.fall_due, self.launch_due)
            case Retire(generation):
                self.retire(self.processes[generation])
            case SetDeadline(generation, kind):
                self.processes[generation].has_deadline = True
                self.after(DEADLINES[kind], self.deliver, Overdue(generation))
            case Kill(generation):
                self.require(self.processes[generation].retired, "who is killed was asked to end before")
                self.processes[generation].killed = True
                self.after(0.05, self.die, self.processes[generation], Death("SIGKILL"))
            case Replay(_, changes):
                self.samples_due -= {change.path for change in changes.changes}
            case Show(Ready(generation) | NotReady(generation)):
                self.after(SETTLES_IN, self.deliver, Settled(generation))
            case Quit():
                self.quits += 1

    def launch(self, action: Launch, event: Event) -> None:
        self.require(action.generation > max(self.processes, default=0), "each launch has a new, higher number")
        self.require(all(process.retired for process in self.living()), "never two current generations")
        self.require(not self.stops, "nothing is launched after a stop")
        if self.again and isinstance(event, Exited) and not self.retired():
            self.require(action.hold is None, "what is tried again is loaded")
            self.again = self.must_hold = False
            self.good_since, self.launches = self.now, 0
        elif isinstance(event, Exited | LaunchDue):
            self.check_restart(action)
        stubborn = self.random.random() < 0.3
        process = Process(action.generation, told_to_hold=action.hold is not None, stubborn=stubborn)
        self.processes[action.generation] = process
        self.launch_due, self.last_launch, self.stands_in = None, self.events, False
        if self.random.random() < 0.05:
            process.alive = False
            unborn = NotLaunched(action.generation, contended=self.random.random() < 0.5)
            self.after(self.random.uniform(0, 0.3), self.deliver, unborn)
            if self.random.random() < 0.3:
                self.after(self.random.uniform(0, 60), self.deliver, unborn)
            return
        self.begin(process)

    def needs_stand_in(self, process: Process) -> bool:
        """It is gone before it could even tell what is wrong."""
        unable = NotLaunched in process.heard or (process.told_to_hold and LoadFailed not in process.heard)
        return process is self.latest() and process.known_gone and unable

    def fall_due(self, due: float) -> None:
        if self.launch_due == due:
            self.launch_due = None
            self.deliver(LaunchDue())

    def retire(self, process: Process) -> None:
        process.retired = True
        if not process.stubborn:
            self.after(self.random.uniform(0, 3), self.die, process, None)

    # The referee.

    def witness(self, event: Event) -> None:
        """Remember what this event means to somebody who knows the whole world."""
        match event:
            case StopAsked():
                self.stops += 1
                self.again = False
            case StartAsked() if not self.processes:
                self.last_change = self.events
            case ReloadAsked() | Changed() if is_wide(event):
                self.last_change, self.must_hold, self.again = self.events, False, False
                self.good_since, self.launches = self.now, 0
            case Changed(plan) if plan.scope is Scope.REPLAY and self.model.state is not State.HOLDING:
                self.samples_due |= {change.path for change in plan.changes.changes}
            case News(generation) if generation in self.processes:
                self.witness_news(self.processes[generation], event)

    def witness_news(self, process: Process, news: News) -> None:
        if process is self.latest() and not process.known_gone and not process.retired:
            first = not process.heard & {type(news), LoadFailed}
            process.heard.add(type(news))
            if isinstance(news, LoadFailed) and first and news.contended and not self.stops:
                self.again |= bool(self.retired())
            if isinstance(news, Settled):
                self.good_since, self.launches = self.now, 0
            if isinstance(news, Exited):
                loaded = Loaded in process.heard or (news.death is not None and news.death.phase == "run")
                self.must_hold = process.told_to_hold or LoadFailed in process.heard or not loaded
                contended = self.must_hold and news.death is not None and news.death.contended and not self.stops
                self.again |= contended and bool(self.retired())
            if isinstance(news, NotLaunched) and news.contended and not self.stops:
                self.again |= bool(self.retired())
        process.known_gone |= isinstance(news, Exited | NotLaunched)

    def retired(self) -> list[Process]:
        """Those that are told to end, as far as anybody knows."""
        return [each for each in self.processes.values() if each.retired and not each.known_gone]

    def check(self, event: Event) -> None:
        """After every step."""
        self.require(not self.again or bool(self.retired()), "what may have had others in its way is tried again")
        current = [process for process in self.living() if not process.retired]
        self.require(len(current) <= 1, "never two current generations")
        self.require(self.model.state is self.true_state(), f"the state is {self.true_state()}")
        for process in self.living():
            self.require(not process.retired or process.has_deadline, "the retired have a deadline")
            self.require(process.killed or not self.must_be_killed(process, event), "the overdue are killed")
        latest = self.latest()
        if latest and latest.known_gone and not self.stops:
            self.require(self.launch_due is not None or self.stands_in, "the dead have a successor")
            self.require(self.stands_in == self.needs_stand_in(latest), "the tool stands in where nobody can answer")

    def must_be_killed(self, process: Process, event: Event) -> bool:
        overdue = isinstance(event, Overdue) and event.generation == process.generation and process.retired
        return overdue or (isinstance(event, StopAsked) and self.stops > 1)

    def true_state(self) -> State:
        latest = self.latest()
        if self.stops:
            gone = all(process.known_gone for process in self.processes.values())
            return State.STOPPED if gone else State.STOPPING
        if self.stands_in:
            return State.HOLDING
        if latest is None or latest.known_gone or latest.retired or not latest.heard & {Loaded, LoadFailed}:
            return State.STARTING
        return State.HOLDING if LoadFailed in latest.heard else State.RUNNING

    def check_restart(self, action: Launch) -> None:
        """A launch that nobody asked for."""
        self.require((action.hold is not None) == self.must_hold, "only what died while loading holds, and it does")
        pauses = itertools.islice(itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])), self.launches)
        self.launches += 1
        patient = self.now - self.good_since > sum(pauses) - 1e-6
        self.require(patient or not self.keeps_pace, "the pauses grow")

    def check_calm(self) -> None:
        """A long time after the last save; then the person goes home."""
        self.require(self.last_launch >= self.last_change, "no change is forgotten")
        if self.model.state is State.RUNNING:
            self.require(not self.samples_due, "no sample is forgotten")
        self.require(not [process for process in self.living() if process.retired], "the retired are gone")
        self.deliver(StopAsked())


def test_random_play() -> None:
    """Each of many worlds keeps every rule, and together they come through every cell of the table."""
    cells = set[tuple[State, type]]()
    for seed in range(WORLDS):
        try:
            cells |= World(seed).run().cells
        except Broken as broken:
            pytest.fail(f"world {seed}: {broken}")
    assert cells == {(state, kind) for state in State for kind in event_types()}


# --- The play has teeth ---

Condition = Callable[[Model, Event], bool]
AWAKE_STATES = (State.STARTING, State.RUNNING, State.HOLDING)


def when(event: type | tuple[type, ...], *states: State, **fields: Any) -> Condition:
    """True for these events in these states, where the model has these values."""

    def condition(model: Model, happened: Event) -> bool:
        fits = all(getattr(model, name) == value for name, value in fields.items())
        return fits and isinstance(happened, event) and model.state in (states or State)

    return condition


def without(action: type | tuple[type, ...], condition: Condition) -> StepFunction:
    """The lifecycle which leaves out some actions."""

    def mutant(model: Model, event: Event) -> Step:
        after, actions = step(model, event)
        if condition(model, event):
            actions = tuple(kept for kept in actions if not isinstance(kept, action))
        return after, actions

    return mutant


def deaf(condition: Condition) -> StepFunction:
    """The lifecycle which ignores some events."""
    return lambda model, event: (model, ()) if condition(model, event) else step(model, event)


def mistaken(condition: Condition, **believed: Any) -> StepFunction:
    """The lifecycle which believes something else of the model when some event comes."""
    return lambda model, event: step(replace(model, **believed) if condition(model, event) else model, event)


def rewriting(kind: type, **values: Any) -> StepFunction:
    """The lifecycle which asks for some action in another way."""

    def mutant(model: Model, event: Event) -> Step:
        after, actions = step(model, event)
        return after, tuple(replace(action, **values) if isinstance(action, kind) else action for action in actions)

    return mutant


def believing_any(kind: type) -> StepFunction:
    """The lifecycle which takes such news of whichever generation for news of the latest one."""

    def mutant(model: Model, event: Event) -> Step:
        if isinstance(event, News) and isinstance(event, kind):
            event = replace(event, generation=model.generation)
        return step(model, event)

    return mutant


def uses_a_number_twice(model: Model, event: Event) -> Step:
    paused = isinstance(event, LaunchDue) and model.generation and not model.alive
    return step(replace(model, generation=model.generation - 1) if paused else model, event)


def quits_before_the_retired_are_gone(model: Model, event: Event) -> Step:
    after, actions = step(model, event)
    early = isinstance(event, StopAsked) and after.state is State.STOPPING
    return (replace(after, state=State.STOPPED), (*actions, Quit())) if early else (after, actions)


def quits_twice(model: Model, event: Event) -> Step:
    return (model, (Quit(),)) if model.state is State.STOPPED and isinstance(event, Exited) else step(model, event)


def ended_well(model: Model, event: Event) -> bool:
    return model.state is State.RUNNING and event == Exited(model.generation)


def wide_change(state: State, **fields: Any) -> Condition:
    fits = when((Changed, ReloadAsked), state, **fields)
    return lambda model, event: fits(model, event) and is_wide(event)


def sample_changed(state: State) -> Condition:
    fits = when(Changed, state)
    return lambda model, event: fits(model, event) and not is_wide(event)


MUTANTS: dict[str, StepFunction] = {
    "no Retire on a change while STARTING": without(Retire, wide_change(State.STARTING)),
    "no Retire on a change while RUNNING": without(Retire, wide_change(State.RUNNING)),
    "no Retire on a change while HOLDING": without(Retire, wide_change(State.HOLDING)),
    "no Retire on a stop": without(Retire, when(StopAsked)),
    "no deadline on a change": without(SetDeadline, when((Changed, ReloadAsked))),
    "no deadline on a stop": without(SetDeadline, when(StopAsked)),
    "the overdue are not killed": without(Kill, when(Overdue)),
    "the start is forgotten": deaf(when(StartAsked)),
    "a second stop does not kill": without(Kill, when(StopAsked)),
    "an old Loaded counts": believing_any(Loaded),
    "an old LoadFailed counts": believing_any(LoadFailed),
    "an old Exited counts": believing_any(Exited),
    "a number is used twice": uses_a_number_twice,
    "a change while STARTING is forgotten": deaf(wide_change(State.STARTING, alive=True)),
    "a change while RUNNING is forgotten": deaf(wide_change(State.RUNNING)),
    "a change while HOLDING is forgotten": deaf(wide_change(State.HOLDING)),
    "a change in a pause is forgotten": deaf(wide_change(State.STARTING, alive=False)),
    "a sample while STARTING is forgotten": deaf(sample_changed(State.STARTING)),
    "a sample while RUNNING is forgotten": deaf(sample_changed(State.RUNNING)),
    "a death while loading does not hold": rewriting(Launch, hold=None),
    "a late Loaded ends HOLDING": mistaken(when(Loaded, State.HOLDING), state=State.STARTING),
    "a late LoadFailed is not heard": deaf(when(LoadFailed, State.RUNNING)),
    "a Loaded of the dead counts": mistaken(when(Loaded, State.STARTING, alive=False), alive=True),
    "the dead are not replaced": without((Launch, LaunchLater), when(Exited)),
    "exit code 0 is no death": deaf(ended_well),
    "no pauses": rewriting(LaunchLater, seconds=0.0),
    "the pauses do not grow": mistaken(when(Exited, *AWAKE_STATES), deaths=1),
    "a stop before the start is forgotten": deaf(when(StopAsked, State.STARTING, generation=0)),
    "a stop forgets the retired": mistaken(when(StopAsked, *AWAKE_STATES), retired=frozenset()),
    "a change while STOPPING launches": mistaken(wide_change(State.STOPPING), state=State.STARTING),
    "what failed is not tried again": mistaken(when(Exited, *AWAKE_STATES), retry=Retry.NONE),
    "what failed is tried again beside what failed": mistaken(
        when(Exited, State.HOLDING, retry=Retry.DUE), alive=False
    ),
    "what failed alone is tried again": mistaken(when((LoadFailed, Exited), *AWAKE_STATES), retry=Retry.DUE),
    "what is tried again holds": rewriting(Launch, hold=SEGFAULT),
    "nobody stands in": without(StandIn, when((NotLaunched, Exited), State.STARTING)),
    "who was not born is waited for": deaf(when(NotLaunched)),
    "a holder that dies is born again and again": mistaken(when(Exited, State.STARTING), state=State.HOLDING),
    "Quit before the retired are gone": quits_before_the_retired_are_gone,
    "Quit twice": quits_twice,
    "no Quit": without(Quit, when((StopAsked, Exited))),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_play_catches(name: str) -> None:
    """A lifecycle without one of the rules breaks in some world."""
    with pytest.raises(Broken):
        for seed in range(WORLDS):
            World(seed, MUTANTS[name]).run()
