"""init() does not run again for an edit that it has nothing to do with: generations are forks of where it is over."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from at_terminal import AtTerminal
from loop import SERVERS, Loop

from devserver.process.table import parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
both = pytest.mark.parametrize("server", SERVERS)

SCRIPT = """
import os, tempfile, time
import helper

def init():
    global model, folder, asked
    model = open(os.environ["AZUREML_MODEL_DIR"] + "/m").read() if "AZUREML_MODEL_DIR" in os.environ else "none"
    folder, asked = tempfile.TemporaryDirectory(), 0
    time.sleep(0.05)
    print("init() runs")

def run(data):
    global asked
    asked += 1
    if data == '"die"':
        os._exit(9)
    if data == '"later"':
        import later
        return later.VALUE()
    return {"run": 1, "helper": helper.value(), "model": model, "asked": asked, "folder": os.path.isdir(folder.name)}
"""
HELPER = "def value():\n    return 1\n"
ANSWER = {"run": 1, "helper": 1, "model": "none", "asked": 1, "folder": True}


class Kept(Loop):
    """A loop whose saves are followed by a question; `saved` is the answer, and whether init() was kept."""

    def __init__(self, folder: Path, *arguments: str, **more: Any) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        env = {"TMPDIR": str(self.scratch), **more.pop("env", {})}
        files = {"helper.py": HELPER, **more.pop("files", {})}
        super().__init__(folder, *arguments, score=more.pop("score", SCRIPT), files=files, env=env, **more)

    def saved(self, files: Mapping[str, str]) -> tuple[Any, bool]:
        before = self.count("ready", "not_ready")
        for name, text in files.items():
            self.save(name, text)
        answer = self.ask().json()
        self.wait_until(lambda: self.count("ready", "not_ready") > before, "the load is told")
        return answer, self.ready()["kept_ms"] is not None

    def ready(self) -> dict[str, Any]:
        """The last event of its name."""
        return [event for event in self.events() if event["event"] == "ready"][-1]

    def inits(self) -> int:
        return self.output().count("init() runs")


def run_is(number: int) -> str:
    return SCRIPT.replace('"run": 1', f'"run": {number}')


@both
def test_a_day_of_edits(tmp_path: Path, server: str) -> None:
    """Bodies, helpers, a broken save and its repair, and what was undone are kept; what init() depends on is not."""
    with Kept(tmp_path, server=server) as loop:
        assert loop.ask().json() == ANSWER
        assert loop.saved({"score.py": run_is(2)}) == ({**ANSWER, "run": 2}, True)
        assert "not run again" in loop.output()
        assert loop.saved({"helper.py": HELPER.replace("1", "5")}) == ({**ANSWER, "run": 2, "helper": 5}, True)
        assert loop.saved({"score.py": "def init(:\n"})[0]["message"]
        assert loop.count("not_ready") == 1
        assert loop.saved({"score.py": run_is(3)}) == ({**ANSWER, "run": 3, "helper": 5}, True)
        assert loop.saved({"score.py": SCRIPT, "helper.py": HELPER}) == (ANSWER, True)
        assert loop.inits() == 1
        assert loop.saved({"score.py": SCRIPT.replace("0.05", "0.06")}) == (ANSWER, False)
        anew = loop.ready()["anew"]
        assert (anew["why"], anew["place"]) == ("ran", "init")
        loop.wait_until(lambda: "init() ran again: init() took part in it" in loop.output(), "the reason is told")
        again = run_is(4).replace("0.05", "0.06")
        assert loop.saved({"score.py": again}) == ({**ANSWER, "run": 4}, True)
        os.remove(loop.project / "helper.py")
        loop.wait_until(lambda: loop.ask().status == 503, "the helper is missed")
        assert loop.saved({"helper.py": HELPER}) == ({**ANSWER, "run": 4}, True)
        assert loop.inits() == 2
    assert not os.listdir(loop.scratch)  # the temporary folders, each removed once nobody needs it


@both
def test_a_generation_that_dies(tmp_path: Path, server: str) -> None:
    """Its successor comes from where init() is over, with the code as it is now."""
    with Kept(tmp_path, server=server) as loop:
        assert loop.saved({"score.py": run_is(2)})[1]
        with pytest.raises((HTTPException, OSError)):
            loop.post("/score", '"die"')
        assert loop.wait_for("ready", generation=3)["kept_ms"]
        assert loop.ask().json() == {**ANSWER, "run": 2}
        assert loop.inits() == 1


def test_another_model(tmp_path: Path) -> None:
    """It is loaded, and kept from then on."""
    with Kept(tmp_path, "--model_dir", "model", files={"model/m": "one"}) as loop:
        assert loop.ask().json() == {**ANSWER, "model": "one"}
        assert loop.saved({"score.py": run_is(2)}) == ({**ANSWER, "run": 2, "model": "one"}, True)
        assert loop.saved({"model/m": "another"}) == ({**ANSWER, "run": 2, "model": "another"}, False)
        assert loop.ready()["anew"] is None
        assert loop.saved({"score.py": run_is(3)}) == ({**ANSWER, "run": 3, "model": "another"}, True)


def test_what_a_request_imports(tmp_path: Path) -> None:
    """It is not there when init() is over, and each generation reads it anew."""
    with Kept(tmp_path, files={"later.py": "def VALUE(): return 1"}) as loop:
        assert loop.post("/score", '"later"').json() == 1
        loop.save("later.py", "CONSTANT = 7\ndef VALUE(): return CONSTANT")
        loop.wait_for("ready", generation=2)
        assert loop.post("/score", '"later"').json() == 7
        assert loop.ready()["kept_ms"] and loop.inits() == 1


def test_several_workers(tmp_path: Path) -> None:
    """All of them come from one process in which init() is over."""
    with Kept(tmp_path, "--worker_count", "3") as loop:
        assert loop.inits() == 3
        answer, kept = loop.saved({"score.py": run_is(2)})
        assert kept and answer["run"] == 2 and loop.inits() == 3


def test_a_stage_that_is_killed(tmp_path: Path) -> None:
    """`w` shows what is kept; where it is gone, init() runs, and is kept again."""
    with AtTerminal(tmp_path, score=SCRIPT, files={"helper.py": HELPER}) as loop:
        kept = loop.wait_for("kept")
        loop.press("w")
        loop.sees(f"kept: init() of {kept['init_ms']:.0f} ms (process {kept['pid']}, ")
        loop.sees(" MB of its own): helper.py,")
        os.kill(kept["pid"], signal.SIGKILL)
        loop.save("score.py", run_is(2))
        assert loop.ask().json() == {**ANSWER, "run": 2}
        assert loop.wait_for("ready", generation=2)["anew"]["why"] == "lost"
        loop.save("score.py", run_is(3))
        assert loop.ask().json() == {**ANSWER, "run": 3}
        assert loop.wait_for("ready", generation=3)["kept_ms"]


def test_the_next_one_is_forked_ahead(tmp_path: Path) -> None:
    """And is there when the save comes; one that somebody has ended is made anew."""
    score = SCRIPT.replace('"asked": asked', '"asked": os.getppid()')
    with Kept(tmp_path, score=score) as loop:
        loop.ask()
        stage = loop.wait_for_nth("kept", 1)["pid"]

        def ahead() -> list[int]:
            return [pid for pid in loop.processes() if parent(pid) == stage and pid not in served]

        served: list[int] = []
        for number in (2, 3):
            loop.wait_until(ahead, "the next one is there")
            waiting = ahead()
            if number == 3:
                os.kill(waiting[0], signal.SIGKILL)
            answer, kept = loop.saved({"score.py": score.replace('"run": 1', f'"run": {number}')})
            served.append(answer["asked"])
            assert kept and answer["run"] == number
            assert (served[-1:] == waiting) is (number == 2)


@pytest.mark.parametrize("switch", ["--no_keep"])
def test_nothing_is_kept(switch: str, tmp_path: Path) -> None:
    """Where it is not wanted."""
    with Kept(tmp_path, switch) as loop:
        assert loop.saved({"score.py": run_is(2)}) == ({**ANSWER, "run": 2}, False)
        assert loop.ready()["anew"] is None and loop.inits() == 2


THREADS = SCRIPT.replace("0.05", "0.5").replace(
    "    print(",
    """    import threading
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    print(""",
)


@both
def test_a_process_that_stands_by(tmp_path: Path, server: str) -> None:
    """Threads of init() cannot be forked: another process has run it meanwhile, unheard, and takes its turn."""
    with Kept(tmp_path, score=THREADS, server=server) as loop:
        scripts = {number: THREADS.replace('"run": 1', f'"run": {number}') for number in range(2, 5)}
        assert loop.saved({"score.py": scripts[2]}) == ({**ANSWER, "run": 2}, False)
        assert loop.ready()["anew"]["why"] == "threads"
        for number in (3, 4):
            loop.wait_for_nth("kept", number - 2)
            assert loop.saved({"score.py": scripts[number]}) == ({**ANSWER, "run": number}, True)
        assert loop.inits() == 2
