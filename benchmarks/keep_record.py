"""What it costs to observe a load and an init() that calls often: interleaved, in one run, as ratios.

    python benchmarks/keep_record.py [TURNS]

Columns: bare; observed (the record, the audit hook, all of it); cProfile and sys.setprofile for comparison; and after
the observation has ended, as in run(). Then what a save costs: deciding on a file of 2,000 lines, and the exchange.
"""

from __future__ import annotations

import cProfile
import statistics
import sys
import time
import types
from collections.abc import Callable

from devserver.worker.keep.decide import Plan, decide
from devserver.worker.keep.observing import Observer
from devserver.worker.keep.stage import Initialised, initialised, resume

SCRIPT = """
class Node:
    def __init__(self, value):
        self.value = value

    def weight(self, factor):
        return scale(self.value, factor)


def scale(value, factor=2):
    return clip(value * factor)


def clip(value):
    return value if value < 1000 else 1000


def numbers(n):
    for i in range(n):
        yield i


def init(n=60_000):
    total = 0
    for i in numbers(n):
        total += Node(i).weight(3)
    return sorted(range(n), key=lambda i: clip(-i))[0] + total


def run(data):
    return 1
"""
LONG = SCRIPT + "".join(
    f"\n\ndef helper_{i}(value, other=1):\n    # a word\n    total = value + {i}\n    for step in range(other):\n"
    f"        total += step * {i} if step % 2 else value\n"
    f"    text = f'{{total}} of {{other}}'\n    return [text, total]\n"
    for i in range(220)
)


def load(observer: Observer | None = None, text: str = SCRIPT) -> types.ModuleType:
    module = types.ModuleType("entry_module")
    code = compile(text, "/nowhere/score.py", "exec", dont_inherit=True)
    if observer is not None:
        observer.executing("/nowhere/score.py", text, code, module)
    exec(code, vars(module))
    return module


def observed() -> Observer:
    return Observer(lambda path: path.startswith("/nowhere/"), lambda path: "devserver" in path)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bare() -> float:
    return timed(load().init)


def watched() -> float:
    with observed() as observer:
        took = timed(load(observer).init)
    if observer.record is not None:
        observer.record.stop()
    return took


def afterwards() -> float:
    with observed() as observer:
        module = load(observer)
    if observer.record is not None:
        observer.record.stop()
    return timed(module.init)


def profiled() -> float:
    module, profile = load(), cProfile.Profile(builtins=False)
    return timed(lambda: profile.runcall(module.init))


def set_profile() -> float:
    module = load()
    sys.setprofile(lambda *_: None)
    try:
        return timed(module.init)
    finally:
        sys.setprofile(None)


def stage_of(text: str) -> Initialised:
    with observed() as observer:
        load(observer, text).init(10)
    return initialised(observer)


def saves(turns: int) -> None:
    edits = {"last line": LONG.replace("+ 219", "+ 218"), "all lines move": "# a\n" + LONG.replace("+ 219", "+ 218")}
    print(f"{LONG.count(chr(10))} lines")
    for name, text in edits.items():
        stage, deciding = stage_of(LONG), []
        for _ in range(turns):
            begun = time.perf_counter()
            plan = decide(stage.history, {"/nowhere/score.py": text.encode()})
            deciding.append(time.perf_counter() - begun)
            assert isinstance(plan, Plan), plan
        begun = time.perf_counter()
        resume(stage, plan, lambda *_: None)
        changing = time.perf_counter() - begun
        del stage, plan  # what was exchanged in this process would be strange to the next stage
        print(f"{name:16} decide {statistics.median(deciding) * 1000:6.1f} ms  change {changing * 1000:6.1f} ms")


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    ways = {
        "bare": bare,
        "observed": watched,
        "afterwards": afterwards,
        "cProfile": profiled,
        "setprofile": set_profile,
    }
    rows: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            rows[name].append(way())
    print(
        f"Python {sys.version.split()[0]}, {turns} turns; init() takes {statistics.median(rows['bare']) * 1000:.0f} ms"
    )
    for name, row in rows.items():
        ratio = statistics.median(one / other for one, other in zip(row, rows["bare"], strict=True))
        print(f"{name:12} {ratio:5.2f}")
    saves(turns)


if __name__ == "__main__":
    main()
