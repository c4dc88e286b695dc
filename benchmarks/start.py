"""How long the command takes: for --help next to an empty Python, to its first answer next to the original."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import servers
from servers import HELLO

PYTHON, HELP = 'python -c "import argparse"', "azmlinfsrv --help"
ORIGINAL, OURS = "original", "ours"
HELP_FACTOR, HELP_ALLOWANCE = 1.5, 100.0  # --help may take so many times the empty Python, plus so many milliseconds


def main() -> None:
    arguments = _parser().parse_args()
    python = servers.original_python(arguments.original)
    with servers.scratch_folder() as scratch:
        medians = _in_turn(arguments.rounds, _works(python, scratch))
    facts = servers.versions(python)
    print(servers.describe(facts), "", *_report(medians), sep="\n")
    if arguments.json:
        content = {"versions": facts, "milliseconds": medians}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    servers.add_original_option(parser)
    parser.add_argument("--rounds", type=int, default=15, help="in which the commands take turns (default: 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    return parser


def _works(python: Path, scratch: Path) -> dict[str, Callable[[], float]]:
    return {
        PYTHON: partial(_run, [sys.executable, "-c", "import argparse"], scratch),
        HELP: partial(_run, [sys.executable, "-m", "devserver", "--help"], scratch),
        ORIGINAL: partial(_first_answer, partial(servers.original, python, HELLO), scratch),
        OURS: partial(_first_answer, partial(servers.ours, HELLO), scratch),
    }


def _in_turn(rounds: int, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median time of each work in milliseconds; a round before the first makes bytecode and warms the disk."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            milliseconds = work()
            if turn:
                times[name].append(milliseconds)
    return {name: median(found) for name, found in times.items()}


def _run(command: Sequence[str], scratch: Path) -> float:
    begun = perf_counter()
    subprocess.run(command, cwd=scratch, env=servers.environment(scratch), stdout=subprocess.DEVNULL, check=True)
    return (perf_counter() - begun) * 1000


def _first_answer(command: Callable[[int], Sequence[str]], scratch: Path) -> float:
    port = servers.free_port()
    begun = perf_counter()
    with servers.running(command(port), port, scratch) as server:
        servers.wait_for_answer(server, HELLO.request(keep_alive=False))
        return (perf_counter() - begun) * 1000


def _report(medians: Mapping[str, float]) -> list[str]:
    allowed = HELP_FACTOR * medians[PYTHON] + HELP_ALLOWANCE
    return [
        "| milliseconds (medians) | |",
        "| --- | ---: |",
        f"| {PYTHON} | {medians[PYTHON]:.0f} |",
        f"| {HELP} | {medians[HELP]:.0f} (allowed: {allowed:.0f}) |",
        f"| start to first answer, original | {medians[ORIGINAL]:.0f} |",
        f"| start to first answer, ours | {medians[OURS]:.0f} ({medians[OURS] / medians[ORIGINAL]:.2f} of it) |",
    ]


if __name__ == "__main__":
    main()
