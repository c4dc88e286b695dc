"""What forks get that a fork alone would not give them, seen from outside."""

from __future__ import annotations

import _thread
import hashlib
import os
import random
import sys
from pathlib import Path

import pytest
from kept_scripts import in_fork, initialise, show, write

from devserver.worker.keep import forkable as questions
from devserver.worker.keep.decide import Plan, decide, still_as_left
from devserver.worker.keep.forkable import Forkable, _openmp_runtimes, forkable, pause_openmp, state_now
from devserver.worker.keep.stage import resume

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")

SCRIPT = """import atexit, os, random, tempfile, weakref


class Thing:
    pass


def end(word):
    with open("ends", "a") as book:
        book.write(word + "\\n")


def init():
    global folder, lines, thing
    folder = tempfile.TemporaryDirectory()
    thing = Thing()
    weakref.finalize(thing, end, "finalize")
    atexit.register(end, "atexit")
    lines = open("lines")
    lines.readline()
    SEED


def run(data):
    return data
"""


def stage_in(folder: Path, seed: str = "pass"):
    write(str(folder), {"score.py": SCRIPT.replace("SEED", seed), "lines": "".join(f"{n}\n" for n in range(100_000))})
    return initialise(str(folder))


def as_fork(stage, work):
    def begin():
        resume(stage, Plan(), show)
        return work()

    return in_fork(begin)


def end_process() -> None:
    import atexit

    atexit._run_exitfuncs()


def test_exit_handlers_run_once_when_the_stage_ends_and_in_no_fork(tmp_path: Path) -> None:
    folder = os.path.realpath(tmp_path)

    def play():
        module, stage = stage_in(Path(folder))
        made = module.folder.name
        for _ in range(2):
            as_fork(stage, end_process)
        between = os.path.isdir(made), os.path.exists("ends")
        end_process()
        return [*between, os.path.isdir(made), sorted(Path("ends").read_text().split())]

    assert in_fork(play) == [True, False, False, ["atexit", "finalize"]]


def test_a_fork_s_own_exit_handlers_run(tmp_path: Path) -> None:
    def play():
        module, stage = stage_in(Path(os.path.realpath(tmp_path)))

        def work():
            import atexit

            atexit.register(module.end, "own")
            end_process()

        as_fork(stage, work)
        return Path("ends").read_text()

    assert in_fork(play) == "own\n"


def test_each_fork_reads_on_where_init_stopped(tmp_path: Path) -> None:
    def play():
        module, stage = stage_in(Path(os.path.realpath(tmp_path)))
        read = [as_fork(stage, lambda: len([module.lines.readline() for _ in range(50_000)])) for _ in range(2)]
        rest = as_fork(stage, lambda: module.lines.readlines()[-1])
        return [read, rest, module.lines.readline(), sum(1 for _ in module.lines)]

    assert in_fork(play) == [[50_000, 50_000], "99999\n", "1\n", 99_998]


def test_random_numbers_of_a_seeded_script_are_those_of_a_fresh_start(tmp_path: Path) -> None:
    def play():
        _, stage = stage_in(Path(os.path.realpath(tmp_path)), "random.seed(7)")
        return [as_fork(stage, random.random) for _ in range(2)]

    wanted = random.Random(7).random()
    assert in_fork(play) == [wanted, wanted]


@pytest.mark.parametrize("seed", ["pass", "random.seed()", "random.seed(1); random.seed(None)"])
def test_random_numbers_of_others_differ(tmp_path: Path, seed: str) -> None:
    def play():
        _, stage = stage_in(Path(os.path.realpath(tmp_path)), seed)
        return [as_fork(stage, random.random) for _ in range(2)]

    one, other = in_fork(play)
    assert one != other


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(
    ("seed", "same"), [("numpy.random.seed(3)", True), ("numpy.random.rand()", False), ("numpy.random.seed()", False)]
)
def test_numpy_draws_as_init_has_left_it(tmp_path: Path, seed: str, same: bool, ahead: bool) -> None:
    pytest.importorskip("numpy")
    if seed.endswith("seed()") and not ahead:
        pytest.skip("an unseeded seed() right after the import looks like a seeded one")

    def play():
        if ahead:
            import numpy.random

            numpy.random.seed()  # as the libraries stage's forks do
        _, stage = stage_in(Path(os.path.realpath(tmp_path)), f"import numpy.random; {seed}")
        import numpy.random

        return [as_fork(stage, numpy.random.rand) for _ in range(2)]

    one, other = in_fork(play)
    assert (one == other) is same


def test_what_init_has_written_is_watched(tmp_path: Path) -> None:
    def play():
        module, stage = stage_in(Path(os.path.realpath(tmp_path)), "end('init')")
        before = still_as_left(stage.history.seen)
        as_fork(stage, lambda: module.end("run"))
        reason = still_as_left(stage.history.seen)
        return [before, reason.why.value, os.path.basename(reason.fact)]

    assert in_fork(play) == [None, "written", "ends"]


LIBRARIES = {
    "torch": "import torch; m = torch.nn.Linear(64, 512); t = torch.ones(4000, 64)\n"
    "def predict():\n    with torch.no_grad(): return m(t).sum(1).tolist()[:9]",
    "sklearn": "from sklearn.ensemble import HistGradientBoostingRegressor as M; m = M(max_iter=5).fit(X, y)\n"
    "def predict(): return m.predict(X).tolist()[:9]",
    "lightgbm": "import lightgbm; m = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(X, y)\n"
    "def predict(): return m.predict(X).tolist()[:9]",
    "xgboost": "import xgboost; m = xgboost.XGBRegressor(n_estimators=5).fit(X, y)\n"
    "def predict(): return m.predict(X).tolist()[:9]",
}


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.filterwarnings("ignore")
def test_a_library_that_has_predicted_can_be_forked_twice(name: str) -> None:
    pytest.importorskip(name)

    def play():
        import numpy

        before = state_now()
        space = {"X": numpy.random.rand(3000, 8), "y": numpy.arange(3000.0)}
        exec(LIBRARIES[name], space)
        predict = space["predict"]
        wanted, results = predict(), []
        for _ in range(2):
            found = forkable(before)
            assert isinstance(found, Forkable), found
            results += [in_fork(predict) == wanted, in_fork(predict) == wanted, predict() == wanted]
        return results

    assert in_fork(play) == [True] * 6


def test_a_spare_may_have_asked_for_its_number(tmp_path: Path) -> None:
    folder = os.path.realpath(tmp_path)

    def play():
        write(folder, {"score.py": "import os\nPID = os.getpid()\n\n\ndef init(): pass\n\n\ndef run(data): return 1\n"})
        _, stage = initialise(folder)
        edit = {os.path.join(folder, "score.py"): Path("score.py").read_bytes().replace(b"return 1", b"return 2")}
        return [isinstance(decide(stage.history, edit, by_fork=fork), Plan) for fork in (True, False)]

    assert in_fork(play) == [False, True]


PSUTIL = """import os
HAS_PROC = os.path.exists(f"/proc/{os.getpid()}/stat")


class Process:
    HAS_IO = os.path.exists(f"/proc/{os.getpid()}/io")

    def __init__(self):
        self.pid = os.getpid()
"""


@pytest.mark.parametrize(("init", "may_fork"), [("psutil", True), ("psutil.Process()", False)])
def test_a_library_may_ask_for_its_number_while_it_is_imported(tmp_path: Path, init: str, may_fork: bool) -> None:
    """It keeps it only for a process that the script asks about."""
    folder, libraries = os.path.realpath(tmp_path / "project"), os.path.realpath(tmp_path / "libraries")
    os.makedirs(folder)

    def play():
        os.makedirs(os.path.join(libraries, "psutil"))
        write(libraries, {"psutil/__init__.py": PSUTIL})
        sys.path.append(libraries)
        write(folder, {"score.py": f"import psutil\n\n\ndef init(): {init}\n\n\ndef run(data): return 1\n"})
        _, stage = initialise(folder)
        return isinstance(decide(stage.history, {}, by_fork=True), Plan)

    assert in_fork(play) is may_fork


def test_pausing_where_there_is_no_runtime_does_nothing() -> None:
    assert pause_openmp() == _openmp_runtimes()


def test_a_thread_on_its_last_steps_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """join() is over before the system's thread is, and on a busy machine that is seen; a thread that waits stays."""
    monkeypatch.setattr(questions, "ENDING_LIMIT", 20.0)

    def joined() -> object:
        # without the interpreter's lock, as the last steps are, and unknown to `threading`
        _thread.start_new_thread(hashlib.pbkdf2_hmac, ("sha256", b"", b"", 150_000))
        return questions.threads_left()

    def waits() -> object:
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.start_new_thread(lock.acquire, ())
        reason = questions.threads_left()
        return reason is not None and reason.why.value

    assert in_fork(joined) is None
    assert in_fork(waits) == "threads"
