"""How long from a save to the first answer of the new code: this server, the tools people use, and the two floors."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import reloaders
from asking import PATIENCE, Troubles
from reloaders import KINDS, TOOLS
from servers import scratch_folder
from sides import (
    ForkFloor,
    FreshFloor,
    Served,
    Side,
    command_of,
    cpu_seconds,
    descendants,
    megabytes,
)
from verdict import CELLS, CLIENTS, FLOORS, HAMMERED, Cell, Measured, Results, report, takes_part

HAMMER = Path(__file__).with_name("asking.py")
SETTLE = 0.4  # seconds after each answer, so that nothing of one measurement falls into the next
STEADY = 3.0  # seconds after a start, in which everything is imported that will be
IDLE_SECONDS = 10.0
LAST_SAVE_LIMIT = 5.0  # seconds; who does not serve the last of several saves by then never will


class Clock:
    """The time that is left, shared out to so many cells."""

    def __init__(self, minutes: float, cells: int) -> None:
        self._end = time.monotonic() + minutes * 60
        self._cells = cells

    def next_end(self) -> float:
        now = time.monotonic()
        share = (self._end - now) / max(1, self._cells)
        self._cells -= 1
        return now + share


def main() -> None:
    arguments = _parser().parse_args()
    cells = [CELLS[name] for name in arguments.cells]
    python = reloaders.interpreter(torch=any(cell.kind in ("torch", "network") for cell in cells))
    patching = reloaders.patching_interpreter(arguments.patching_python) if "hmr" in arguments.sides else None
    wanted = [name for name in arguments.sides if name != "hmr" or patching is not None]
    results, clock = Results(), Clock(arguments.minutes, len(cells) + 1)
    with scratch_folder() as scratch:
        for kind in dict.fromkeys(cell.kind for cell in cells):
            with ExitStack() as stack:
                sides = _start(kind, wanted, python, patching, scratch, stack, results)
                for cell in (cell for cell in cells if cell.kind == kind):
                    results.cells[cell.name] = _measure(cell, sides, arguments.rounds, clock.next_end())
                if kind == "hello":
                    _weigh_idleness(sides, results)
                results.hammered[kind] = _hammer(kind, sides)
                _weigh(kind, sides, results)
    facts = _facts(python, patching)
    print(report(results, wanted, facts))
    if arguments.json:
        arguments.json.write_text(json.dumps({"facts": facts, **asdict(results)}, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    sides = [*FLOORS, *TOOLS]
    parser.add_argument("--rounds", type=int, default=10, help="saves per cell and side (default: 10)")
    parser.add_argument("--minutes", type=float, default=30, help="no new round begins after so many (default: 30)")
    parser.add_argument(
        "--cells", nargs="+", choices=list(CELLS), default=list(CELLS), metavar="CELL", help="what to do"
    )
    parser.add_argument("--sides", nargs="+", choices=sides, default=sides, metavar="SIDE", help=", ".join(sides))
    parser.add_argument("--patching_python", metavar="PYTHON", help="a Python 3.12 or newer, for hmr")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    return parser


# --- measuring


def _start(
    kind: str,
    wanted: Sequence[str],
    python: str,
    patching: str | None,
    scratch: Path,
    stack: ExitStack,
    results: Results,
) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    for name in wanted:
        if (kind in ("pandas", "torch") and name == "hmr") or not takes_part(kind, name):
            continue
        print(f"starting {kind}: {name}", file=sys.stderr)
        folder = scratch / f"{kind}-{name}"
        folder.mkdir()
        side = _side(name, kind, patching if name == "hmr" else python, folder)
        stack.callback(side.close)
        sides[name] = side
        if isinstance(side, Served) and side.first_start is not None:
            results.starts.setdefault(kind, {})[name] = side.first_start * 1000
    time.sleep(STEADY)
    return sides


def _side(name: str, kind: str, python: str | None, folder: Path) -> Side:
    assert python is not None
    if name in ("fork", "stage"):
        return ForkFloor(KINDS[kind], python, folder, has_run_init=name == "stage")
    if name == "fresh":
        return FreshFloor(KINDS[kind], python, folder)
    return Served(TOOLS[name], KINDS[kind], python, folder)


def _measure(cell: Cell, sides: dict[str, Side], rounds: int, end: float) -> dict[str, Measured]:
    """In each round all sides take a turn, each time another one first."""
    names = cell.sides(list(sides))
    found = {name: Measured() for name in names}
    for turn in range(min(rounds, cell.most_rounds)):
        if turn and time.monotonic() > end:
            print(f"{cell.name}: out of time after {turn} rounds", file=sys.stderr)
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].add(*_once(cell, sides[name]))
            time.sleep(SETTLE)
    print(
        f"{cell.name}: " + ", ".join(f"{name} {measured.ms:.0f}" for name, measured in found.items()), file=sys.stderr
    )
    return found


def _once(cell: Cell, side: Side) -> tuple[float | None, Troubles]:
    if cell.same_second:
        time.sleep(1.02 - time.time() % 1)
        side.answered(side.save(cell.file), LAST_SAVE_LIMIT)
        return side.answered(side.save(cell.file), LAST_SAVE_LIMIT)
    if cell.pause is not None:
        side.save(cell.file)
        time.sleep(cell.pause)
        return side.answered(side.save(cell.file), LAST_SAVE_LIMIT)
    return side.answered(side.save(cell.file))


def _hammer(kind: str, sides: dict[str, Side]) -> dict[str, Troubles]:
    """What clients meet who ask without a pause while the script is saved again and again; of the peers, with hello."""
    found: dict[str, Troubles] = {}
    for name, side in sides.items():
        if isinstance(side, Served) and (side.tool.ours or kind == "hello"):
            found[name] = _under_fire(side)
            print(f"{kind}, {CLIENTS} clients: {name} {found[name]}", file=sys.stderr)
    return found


def _under_fire(side: Served) -> Troubles:
    command = [sys.executable, "-I", "-S", str(HAMMER), str(side.port), str(CLIENTS)]
    saves = [(0.0, side.version)]
    troubles = Troubles()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        time.sleep(0.5)
        for _ in range(HAMMERED):
            saves.append((side.save("score.py"), side.version))
            troubles += side.answered(saves[-1][0], LAST_SAVE_LIMIT)[1]
            time.sleep(SETTLE)
        replies = json.loads(process.communicate(timeout=PATIENCE)[0])
    for sent, _, kind, version in replies:
        newest = max(number for saved, number in saves if saved <= sent)
        if kind != "answered" or version < newest:
            troubles = troubles.plus("stale" if kind == "answered" else kind)
    return troubles


def _weigh_idleness(sides: dict[str, Side], results: Results) -> None:
    """Percent of a core, all processes of a tool together."""
    served = {name: side for name, side in sides.items() if isinstance(side, Served)}
    time.sleep(STEADY)
    before = {name: cpu_seconds(side.processes()) for name, side in served.items()}
    time.sleep(IDLE_SECONDS)
    for name, side in served.items():
        results.idle[name] = (cpu_seconds(side.processes()) - before[name]) / IDLE_SECONDS * 100


def _weigh(kind: str, sides: dict[str, Side], results: Results) -> None:
    """Megabytes: of all processes together, shared pages counted once; of ours, what the goals are about."""
    found = results.memory.setdefault(kind, {})
    for name, side in sides.items():
        if isinstance(side, Served):
            found[name] = sum(megabytes(pid, "Pss") for pid in side.processes())
    ours, floor = sides.get("warm"), sides.get("fork")
    if isinstance(ours, Served):
        found["supervisor"] = megabytes(ours.process.pid)
        found["warm process"] = max((megabytes(pid) for pid in _warm_processes(ours)), default=0.0)
    if isinstance(floor, ForkFloor):
        found["imports"] = megabytes(floor.process.pid)


def _warm_processes(side: Served) -> Iterator[int]:
    return (pid for pid in descendants(side.process.pid) if " warm " in command_of(pid))


def _facts(python: str, patching: str | None) -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        **reloaders.versions(python),
        **({"hmr": reloaders.versions(patching)["hmr"]} if patching else {}),
    }


if __name__ == "__main__":
    main()
