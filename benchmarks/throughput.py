"""How many requests per second: this server, the original, and gunicorn alone as the limit."""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import servers
from servers import HELLO, IRIS, Sample

CLIENT = Path(__file__).with_name("client.py")
SIDES = ("original", "ours", "bare")
WARM_UP = 0.3  # seconds
SPARE = 20.0  # seconds that a client may need beyond its time


@dataclass(frozen=True)
class Cell:
    """One way of asking: which sample, on `new` connections or such as a client would `keep`, how many at a time."""

    sample: Sample
    mode: str
    clients: int

    def __str__(self) -> str:
        return (
            f"{self.sample.name}, {'new connections' if self.mode == 'new' else 'keep-alive'}, {self.clients} at a time"
        )


CELLS = tuple(Cell(*parts) for parts in itertools.product((HELLO, IRIS), ("new", "keep"), (1, 8)))


@dataclass(frozen=True)
class Row:
    """The medians of one cell: requests per second, and the ratios of neighbours, which had the same machine."""

    cell: str
    original: float
    ours: float
    bare: float
    ours_to_original: float
    ours_to_bare: float


def main() -> None:
    arguments = _parser().parse_args()
    python = servers.original_python(arguments.original)
    servers.train()
    slice_seconds = arguments.seconds / (arguments.rounds * len(CELLS) * len(SIDES))
    with servers.scratch_folder() as scratch, ExitStack() as stack:
        ports = _start(python, scratch, stack)
        rates = _measure(ports, arguments.rounds, slice_seconds)
    facts = servers.versions(python)
    rows = [_row(cell, rates) for cell in CELLS]
    print(_table(rows, facts))
    if arguments.json:
        content = {"versions": facts, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    servers.add_original_option(parser)
    parser.add_argument("--seconds", type=float, default=150, help="of measuring, in all (default: 150)")
    parser.add_argument("--rounds", type=int, default=24, help="in which the servers take turns (default: 24)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    return parser


def _start(python: Path, scratch: Path, stack: ExitStack) -> dict[tuple[str, Sample], int]:
    """All servers, each with a port of its own; the one without a script answers for both samples."""
    bare = _started(servers.bare(port := servers.free_port()), port, HELLO, scratch, stack)
    ports = {("bare", sample): bare for sample in (HELLO, IRIS)}
    for sample in (HELLO, IRIS):
        ours = servers.ours(sample, port := servers.free_port())
        ports["ours", sample] = _started(ours, port, sample, scratch, stack)
        original = servers.original(python, sample, port := servers.free_port())
        ports["original", sample] = _started(original, port, sample, scratch, stack)
    return ports


def _started(command: Sequence[str], port: int, sample: Sample, scratch: Path, stack: ExitStack) -> int:
    server = stack.enter_context(servers.running(command, port, scratch))
    servers.wait_for_answer(server, sample.request(keep_alive=False))
    return port


def _measure(
    ports: Mapping[tuple[str, Sample], int], rounds: int, seconds: float
) -> dict[tuple[Cell, str], list[float]]:
    """Requests per second of each cell and side, one figure per round; within a cell the sides take turns to begin."""
    for (_, sample), port in ports.items():
        _rate(port, Cell(sample, "new", 1), WARM_UP)
    rates: dict[tuple[Cell, str], list[float]] = {(cell, side): [] for cell in CELLS for side in SIDES}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
        for cell, side in _order(turn):
            rates[cell, side].append(_rate(ports[side, cell.sample], cell, seconds))
    return rates


def _order(turn: int) -> Iterator[tuple[Cell, str]]:
    first = turn % len(SIDES)
    return itertools.product(CELLS, SIDES[first:] + SIDES[:first])


def _rate(port: int, cell: Cell, seconds: float) -> float:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(CLIENT), str(port), str(cell.clients), str(seconds), cell.mode],
        input=cell.sample.request(keep_alive=cell.mode == "keep"),
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + SPARE,
    )
    return float(done.stdout)


def _row(cell: Cell, rates: Mapping[tuple[Cell, str], Sequence[float]]) -> Row:
    original, ours, bare = (rates[cell, side] for side in SIDES)
    return Row(
        str(cell),
        median(original),
        median(ours),
        median(bare),
        _median_ratio(ours, original),
        _median_ratio(ours, bare),
    )


def _median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def _table(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    lines = [
        servers.describe(facts),
        "",
        "| requests/s (medians) | original | ours | gunicorn alone | ours / original | ours / gunicorn alone |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        rates = " | ".join(f"{rate:.0f}" for rate in (row.original, row.ours, row.bare))
        lines.append(f"| {row.cell} | {rates} | {row.ours_to_original:.2f} | {row.ours_to_bare:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
