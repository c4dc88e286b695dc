"""What a report costs: small projects with a mistake come in; milliseconds from exception to printed block go out.

python benchmarks/report_cost.py [ROUNDS]
"""

# ruff: noqa: E402 - the folders of the project come first
from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / name) for name in ("docs", "")]

import gallery

from devserver.diagnostics import exceptions, hints, return_value
from devserver.display import blocks
from devserver.records.diagnostic import Diagnostic, Request
from devserver.usercode import loader

LIMIT = 20.0  # milliseconds
RUN = "import json\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n    "
DEEP = 100_000

# name, files (score.py first), body; beside those of the gallery
LARGE: list[tuple[str, dict[str, str], str]] = [
    ("a body of 100,000 nested lists", {"score.py": RUN + "return json.loads(raw_data)\n"}, "[" * DEEP + "]" * DEEP),
    (
        "a result of 100,000 nested lists",
        {"score.py": RUN + f"found = []\n    for _ in range({DEEP}):\n        found = [found]\n    return found\n"},
        "{}",
    ),
    (
        "a set behind a million numbers",
        {"score.py": RUN + 'return {"scores": [[1.5] * 1000] * 1000 + [{1}]}\n'},
        "{}",
    ),
    (
        "a field missing in a body of 1 MB",
        {"score.py": RUN + 'return json.loads(raw_data)["rows"]\n'},
        json.dumps({"data": ["x" * 100] * 10_000}),
    ),
    ("a thousand calls", {"score.py": RUN + "return run(raw_data)\n"}, "{}"),
    (
        "a script of 5,000 lines",
        {"score.py": "\n".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(1700)) + RUN + "return f7(None)\n"},
        "{}",
    ),
    ("a missing file in a project of 3,000", {"score.py": "open('model/never.pkl')\n", **{
        f"d{a}/d{b}/{c}.txt": "" for a in range(10) for b in range(10) for c in range(30)}}, ""),
]  # fmt: skip


def cases() -> list[tuple[str, dict[str, str], str]]:
    return [*gallery.MISTAKES, *LARGE]


def cost(script: str, body: str) -> float:
    """Milliseconds from the caught exception, or the odd result, to the block as text."""
    request, phase = Request("POST", "/score", "application/json", len(body), body[:200]), "load"
    loader.forget()
    describe: Callable[[], Diagnostic | None]
    raised: BaseException | None = None
    try:
        module = loader.load_script(script)
        phase = "init"
        module.init()
        phase = "run"
        result = module.run(body)
        try:
            json.dumps(result)
            describe = lambda: return_value.result_warning(result, module.run, request=request)  # noqa: E731
        except Exception as error:
            raised, unserialisable = error, error
            describe = lambda: return_value.unserialisable(result, unserialisable, module.run, request=request)  # noqa: E731
    except Exception as error:
        raised = error
        failed, where = error, phase
        describe = lambda: exceptions.describe(failed, where, request=request if where == "run" else None)  # noqa: E731
    gc.collect()  # what earlier cases left is not this one's cost
    begun = time.thread_time()  # not disturbed by what else the machine does
    found = describe()
    if found is not None:
        blocks.block(hints.explain(found, raised), colour=True, width=100)
    return (time.thread_time() - begun) * 1000


def measure(files: dict[str, str], body: str, rounds: int) -> list[float]:
    before, path = os.getcwd(), list(sys.path)
    with tempfile.TemporaryDirectory() as folder, loader.UserCode():
        for name, text in files.items():
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            return [cost(os.path.join(folder, "score.py"), body) for _ in range(rounds)]
        finally:
            os.chdir(before)
            sys.path[:] = path
            for module in [name for name, item in sys.modules.items() if _is_in(item, folder)]:
                del sys.modules[module]


def _is_in(module: object, folder: str) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(folder)


def main() -> None:
    """Print the median and the maximum of each kind; exit code 1 when a maximum is above the limit."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    everything: list[float] = []
    print(f"{'milliseconds from exception to block':<58}{'median':>8}{'max':>8}")
    for name, files, body in cases():
        took = measure(files, body, rounds)
        everything += took
        print(f"{name:<58}{statistics.median(took):>8.2f}{max(took):>8.2f}", flush=True)
    print(f"{'all':<58}{statistics.median(everything):>8.2f}{max(everything):>8.2f}")
    sys.exit(max(everything) > LIMIT)


if __name__ == "__main__":
    main()
