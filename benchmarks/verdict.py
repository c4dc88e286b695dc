"""What was measured comes in; tables, and whether the goals are met, go out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from asking import Troubles
from reloaders import TOOLS

CLIENTS = 4
HAMMERED = 5  # saves under fire
FLOORS = {
    "fork": "floor: fork with the imports",
    "stage": "floor: fork with init() over",
    "fresh": "floor: fresh interpreter",
}
PATIENT = ("warm", "waitress", "cold", "uvicorn", "fork")  # those that a script of 3 s is measured with
LONG_INIT = {
    "init": PATIENT,
    **dict.fromkeys(("kept", "forest", "network"), (*PATIENT, "stage")),
    "kept-30": ("warm", "waitress", "uvicorn", "stage"),
}  # kinds, and the sides that are measured with them


def takes_part(kind: str, side: str) -> bool:
    """Whether this kind of project is measured with this side."""
    return side in LONG_INIT[kind] if kind in LONG_INIT else side != "stage"


@dataclass(frozen=True)
class Cell:
    """One thing to do to a project of a kind; of two saves `pause` seconds apart the last one is measured."""

    name: str
    label: str
    kind: str
    file: str = "score.py"
    pause: float | None = None
    same_second: bool = False  # two saves of one length in one second, the first one answered in between
    most_rounds: int = 1000

    def sides(self, wanted: Sequence[str]) -> list[str]:
        """Those of the wanted ones that take part."""
        saves_twice = self.pause is not None or self.same_second
        return [name for name in wanted if takes_part(self.kind, name) and not (saves_twice and name in FLOORS)]


CELLS = {
    cell.name: cell
    for cell in (
        Cell("hello", "hello", "hello"),
        Cell("twice-10", "two saves 10 ms apart", "hello", pause=0.01),
        Cell("twice-50", "two saves 50 ms apart", "hello", pause=0.05),
        Cell("twice-300", "two saves 300 ms apart", "hello", pause=0.3),
        Cell("same-second", "two saves of one length in a second", "hello", same_second=True),
        Cell("helper", "a helper changes", "parts", "helper.py"),
        Cell("model", "a small model file changes", "parts", "model/weights.json"),
        Cell("pandas", "numpy, pandas, scikit-learn", "pandas"),
        Cell("torch", "torch", "torch"),
        Cell("init", "init() of 3 s", "init"),
        Cell("kept", "init() of 3 s, run() edited", "kept"),
        Cell("kept-30", "init() of 30 s, run() edited", "kept-30", most_rounds=4),
        Cell("forest", "300 trees and boosted ones, run() edited", "forest"),
        Cell("network", "torch model that has predicted, run() edited", "network"),
    )
}


@dataclass
class Measured:
    """Of one cell and side; `missed` is how often the new code did not answer in time."""

    seconds: list[float] = field(default_factory=list)
    missed: int = 0
    troubles: Troubles = field(default_factory=Troubles)

    def add(self, seconds: float | None, troubles: Troubles) -> None:
        self.troubles += troubles
        if seconds is None:
            self.missed += 1
        else:
            self.seconds.append(seconds)

    @property
    def ms(self) -> float:
        """The median."""
        return median(self.seconds) * 1000 if self.seconds else float("inf")


@dataclass
class Results:
    """Milliseconds, counts, percents and megabytes; the outer keys are cells or kinds, the inner ones sides."""

    cells: dict[str, dict[str, Measured]] = field(default_factory=dict)
    starts: dict[str, dict[str, float]] = field(default_factory=dict)
    hammered: dict[str, dict[str, Troubles]] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)

    def ms(self, cell: str, side: str) -> float | None:
        found = self.cells.get(cell, {}).get(side)
        return found.ms if found is not None else None

    def troubles(self, side: str) -> Troubles:
        """All that this side's clients met, in the cells and under fire."""
        cells = [sides[side].troubles for sides in self.cells.values() if side in sides]
        return sum([*cells, *(sides[side] for sides in self.hammered.values() if side in sides)], Troubles())


@dataclass(frozen=True)
class Goal:
    """`measured` shall be at most `limit`; None where it was not measured."""

    what: str
    measured: float | None
    limit: float | None
    unit: str = "ms"

    def __str__(self) -> str:
        if self.measured is None or self.limit is None:
            return f"| {self.what} | - | - | not measured |"
        verdict = "yes" if self.measured <= self.limit else "**no**"
        return f"| {self.what} | {self.measured:.1f} {self.unit} | {self.limit:.1f} {self.unit} | {verdict} |"


def goals(results: Results) -> list[Goal]:
    """What this server is to reach, by the other figures of the same run."""
    ms = results.ms

    def plus(times: float, value: float | None, more: float = 0.0) -> float | None:
        return None if value is None else times * value + more

    warm = {name: plus(1, ms(name, "fork"), 35) for name in ("hello", "helper", "model")}
    warm["pandas"] = plus(1.5, ms("pandas", "fork"), 35)
    found = [Goal(f"{CELLS[name].label}: by the fork floor", ms(name, "warm"), limit) for name, limit in warm.items()]
    found += [Goal("hello: 1/8 of uvicorn", ms("hello", "warm"), plus(1 / 8, ms("hello", "uvicorn")))]
    found += [Goal("hello: faster than hmr", ms("hello", "warm"), ms("hello", "hmr"))]
    for name in ("pandas", "torch"):
        found.append(
            Goal(
                f"{CELLS[name].label}: 1/15 of the best that refuses nobody",
                ms(name, "warm"),
                plus(1 / 15, _best(results, name)),
            )
        )
    found.append(Goal("init() of 3 s: plus 60 ms", ms("init", "warm"), 3060.0))
    for name in ("kept", "kept-30"):
        label = CELLS[name].label
        found.append(Goal(f"{label}: by the fork floor", ms(name, "warm"), plus(1, ms("hello", "fork"), 35)))
        found.append(Goal(f"{label}: 1/50 of uvicorn", ms(name, "warm"), plus(1 / 50, ms(name, "uvicorn"))))
    for name, floor in (("forest", "pandas"), ("network", "torch")):
        label = CELLS[name].label
        for side, what in (("warm", ""), ("waitress", ", waitress")):
            found.append(Goal(f"{label}{what}: by the fork floor", ms(name, side), plus(1.5, ms(floor, "fork"), 35)))
            # the fork floor has no model that predicts: its run() alone may take longer than that
            found.append(Goal(f"{label}{what}: by init() over", ms(name, side), plus(1.5, ms(name, "stage"), 35)))
    for name in ("twice-10", "twice-50", "twice-300"):
        found.append(Goal(f"{CELLS[name].label}: 1.5 times one save", ms(name, "warm"), plus(1.5, ms("hello", "warm"))))
    found += [
        Goal(f"{CELLS[name].label}, waitress: 30 ms more", ms(name, "waitress"), plus(1, limit, 30))
        for name, limit in warm.items()
    ]
    found.append(
        Goal("hello, --no_warm: fresh floor + 150 ms", ms("hello", "cold"), plus(1, ms("hello", "fresh"), 150))
    )
    for name in ("warm", "waitress", "cold"):
        missed = sum(sides[name].missed for sides in results.cells.values() if name in sides)
        bad = missed + sum(asdict(results.troubles(name)).values())
        found.append(Goal(f"{TOOLS[name].label}: refused, reset, failed, stale, missed", bad, 0.0, ""))
    found.append(Goal("idle", results.idle.get("warm"), 1.0, "%"))
    for kind, memory in results.memory.items():
        found.append(Goal(f"{kind}: the supervisor's memory", memory.get("supervisor"), 25.0, "MB"))
        imports = plus(1, memory.get("imports"), 10)
        found.append(Goal(f"{kind}: the warm process, its imports + 10 MB", memory.get("warm process"), imports, "MB"))
    return found


def _best(results: Results, cell: str) -> float | None:
    """The quickest of the others that neither refused nor reset in any cell or under fire."""
    times = []
    for name, tool in TOOLS.items():
        troubles, measured = results.troubles(name), results.ms(cell, name)
        if not tool.ours and measured is not None and not troubles.refused and not troubles.reset:
            times.append(measured)
    return min(times, default=None)


def report(results: Results, names: Sequence[str], facts: dict[str, str]) -> str:
    """Markdown: versions, times, troubles, costs and goals."""
    labels = {**FLOORS, **{name: tool.label for name, tool in TOOLS.items()}}
    cells = [CELLS[name] for name in results.cells]
    lines = [
        ", ".join(f"{name} {value}" if name not in ("date", "system") else value for name, value in facts.items()),
        "",
    ]
    lines += ["Milliseconds from a save to the first answer of the new code, medians:", ""]
    lines += [f"| | {' | '.join(cell.label for cell in cells)} |", "| --- |" + " ---: |" * len(cells)]
    for name in names:
        row = [_shown(results.cells[cell.name].get(name)) for cell in cells]
        lines.append(f"| {labels[name]} | {' | '.join(row)} |")
    lines += ["", *_costs(results, [name for name in names if name in TOOLS], labels)]
    lines += ["", "| goal | measured | at most | met |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*lines, *map(str, goals(results))])


def _shown(measured: Measured | None) -> str:
    if measured is None:
        return ""
    missed = f" ({measured.missed} of {measured.missed + len(measured.seconds)} never)" if measured.missed else ""
    return (f"{measured.ms:.0f}" if measured.seconds else "-") + missed


def _costs(results: Results, names: Sequence[str], labels: dict[str, str]) -> Iterator[str]:
    yield f"Per reload with {CLIENTS} clients that ask without a pause; first start; idle; memory of all processes:"
    yield ""
    kinds = list(results.memory)
    titles = ["refused", "reset", "failed", "stale", "first start", "idle CPU", *(f"memory, {kind}" for kind in kinds)]
    yield f"| | {' | '.join(titles)} |"
    yield "| --- |" + " ---: |" * len(titles)
    for name in names:
        hammered = results.hammered.get("hello", {})
        fire = asdict(hammered[name]).values() if name in hammered else ["-"] * 4
        shown = [f"{value / HAMMERED:.1f}" if isinstance(value, int) else value for value in fire]
        shown.append(_number(results.starts.get("hello", {}).get(name), "ms"))
        shown.append(_number(results.idle.get(name), "%", 1))
        shown += [_number(results.memory[kind].get(name), "MB") for kind in kinds]
        yield f"| {labels[name]} | {' | '.join(shown)} |"


def _number(value: float | None, unit: str, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f} {unit}"
