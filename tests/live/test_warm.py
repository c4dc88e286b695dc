"""Generations that come from a process with the libraries imported: as good as cold ones, or cold ones."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from live import DEADLINE, ROOT
from loop import SERVERS, answering
from loop import WarmLoop as Loop
from test_samples import NEEDS, RECIPES, made_sample

from devserver.config.settings import Config
from devserver.config.sources import read_config
from devserver.process import child as child_module
from devserver.process import wire
from devserver.process.child import Origin
from devserver.process.lifeline import Lifeline
from devserver.process.listener import Listener
from devserver.process.platform import System
from devserver.process.wire import Briefing
from devserver.records.messages import Gone, LoadReport, Refused, Warmed
from devserver.supervisor import spawner, warm_process

pytestmark = pytest.mark.skipif(sys.platform not in ("linux", "win32"), reason="never tried elsewhere")
forks = pytest.mark.skipif(sys.platform != "linux", reason="about forks, or looks at /proc")

FACTS = """
import json as _json, os as _os, sys as _sys
_init = init
def init():
    _init()  # what is imported by now is the same, be it by the script or, as by pickle, in here
    with open(_os.environ["FACTS"], "w") as _file:
        _json.dump({"path": _sys.path, "environ": dict(_os.environ), "folder": _os.getcwd(), "argv": _sys.argv}, _file)
"""
TRACE = "import os\nopen(os.environ['TRACE'], 'a').write(__name__ + '\\n')\n"  # in a module: says that it was executed
OF_THE_MOMENT = ("date", "x-azmlinfsrv-generation", "x-request-id", "x-ms-request-id", "x-ms-run-fn-exec-ms")


class Warm(Loop):
    """A loop with a folder `site-packages` for libraries of the test's own; `trace` is what was executed of them."""

    def __init__(self, folder: Path, *arguments: str, packages: dict[str, str] | None = None, **more: Any) -> None:
        self.site = folder / "site-packages"
        for name, text in (packages or {}).items():
            self.install(name, text)
        folder.mkdir(exist_ok=True)
        self._trace = folder / "trace.txt"
        self._trace.touch()
        self.outside = folder / "elsewhere"  # on the path too, but nobody's library
        path = os.pathsep.join(map(str, (ROOT, self.outside, self.site)))
        env = {"PYTHONPATH": path, "TRACE": str(self._trace), **more.pop("env", {})}
        super().__init__(folder, "--no_keep", *arguments, env=env, **more)

    def install(self, name: str, text: str) -> None:
        """Write the library, or replace it as pip does."""
        package = self.site / name
        package.mkdir(parents=True, exist_ok=True)
        new = package / "new"
        new.write_text(text, encoding="utf-8")
        new.replace(package / "__init__.py")

    def executed(self, name: str) -> int:
        """How often the module was executed in any process."""
        return self._trace.read_text(encoding="utf-8").split().count(name)

    def saved(self, script: str) -> dict[str, Any]:
        """Save the script; the event when its generation answers."""
        number = self.count("ready", "not_ready") + 1
        self.save("score.py", script)
        self.wait_until(lambda: self.count("ready", "not_ready") >= number, "the next generation")
        return [event for event in self.events() if event["event"] in ("ready", "not_ready")][-1]

    def says(self, *texts: str) -> None:
        """Wait for a note that holds all of this."""
        self.wait_until(lambda: any(all(text in note for text in texts) for note in self.notes()), f"a note: {texts}")

    def notes(self) -> list[str]:
        return [event["text"] for event in self.events() if event["event"] == "note"]

    def value(self) -> Any:
        """What run() returns now."""
        answer = self.ask()
        assert answer.status == 200, answer.body
        return answer.json()

    def warm_processes(self) -> set[int]:
        """The supervisor's own children that have the libraries; one that became a generation is among them."""
        return {pid for pid in self.processes() if " warm " in command_of(pid) and parent_of(pid) == self.process.pid}


def command_of(pid: int) -> str:
    """Empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def warmed(folder: Path, *arguments: str, **more: Any) -> Iterator[Warm]:
    """A loop of which the next generation will be warm."""
    with Warm(folder, *arguments, **more) as loop:
        loop.wait_for("warm")
        yield loop


def using(library: str, value: str, before: str = "") -> str:
    """A script that imports the library and of which run() returns this expression."""
    return f"{before}\nimport {library}\ndef init(): pass\ndef run(data): return {value}\n"


# --- warm is as cold


@pytest.mark.parametrize("name", RECIPES)
def test_warm_is_as_cold_for_every_sample(name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same answer with the same headers, the same sys.path, environment, folder and arguments."""
    missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"sample {name} needs {', '.join(missing)}")
    facts, again = tmp_path / "facts.json", "# again\n"
    made = made_sample(name, tmp_path_factory) / "samples" / name
    arguments = ["--model_dir", "outputs"] if (made / "outputs").exists() else []
    loop = Warm(tmp_path / "run", *arguments, env={"FACTS": str(facts)})
    shutil.copytree(made, loop.project, dirs_exist_ok=True)
    script = (made / "score.py").read_text(encoding="utf-8") + FACTS
    loop.save("score.py", script)
    with loop:
        loop.wait_for("warm")
        cold = loop.wait_for("ready"), json.loads(facts.read_text(encoding="utf-8")), answered(loop)
        warm = loop.saved(script + again), json.loads(facts.read_text(encoding="utf-8")), answered(loop)
    assert (cold[0]["warm"], warm[0]["warm"]) == (False, True)
    assert cold[1] == warm[1]
    assert cold[2] == warm[2]


def answered(loop: Warm) -> tuple[int, dict[str, str], bytes]:
    """The answer to the sample request, without what is of the moment."""
    sample = (loop.project / "sample-request.json").read_bytes()
    answer = loop.post("/score", sample, {"Content-Type": "application/json"})
    headers = {key: value for key, value in answer.headers.items() if key.lower() not in OF_THE_MOMENT}
    return answer.status, headers, answer.body


DRAWS = """
import random
import numpy
DRAWN = [random.random(), numpy.random.rand()]
def init(): DRAWN.extend([random.random(), numpy.random.rand()])
def run(data): return DRAWN
"""


def test_generations_draw_other_random_numbers(tmp_path: Path) -> None:
    """Those of random and of numpy's global generator, at import and in init(), though all come from one process."""
    pytest.importorskip("numpy")
    with warmed(tmp_path, score=DRAWS) as loop:
        drawn = loop.value()
        for turn in range(3):
            assert loop.saved(f"{DRAWS}# {turn}\n")["warm"]
            drawn += loop.value()
    assert len(set(drawn)) == len(drawn) == 16


HELD = """
import time
def _held():  # the second process that imports this is held up until the test lets it go on
    with open(os.environ["TRACE"]) as trace:
        second = trace.read().split().count("held") == 2
    end = time.monotonic() + 30
    while second and not os.path.exists(os.environ["TRACE"] + ".go") and time.monotonic() < end:
        time.sleep(0.005)
_held()
"""


@pytest.mark.parametrize("server", SERVERS)
def test_a_save_while_libraries_are_imported_ahead(server: str, tmp_path: Path) -> None:
    """It waits for them, also after a failed load; the last save wins, and nothing is imported beside."""
    broken, script = using("held", "1") + "raise ValueError('no')\n", using("held", "data")
    with Warm(tmp_path, packages={"held": TRACE + HELD}, score=broken, server=server, until="not_ready") as loop:
        loop.wait_until(lambda: loop.executed("held") == 2, "the import ahead has begun")
        loop.save("score.py", script)
        loop.wait_for("restarting")
        loop.save("score.py", using("held", "[2]"))
        loop.wait_for_nth("restarting", 2)
        assert (loop.executed("held"), loop.count("ready")) == (2, 0)
        Path(f"{loop._trace}.go").touch()
        assert loop.value() == [2]
        assert loop.wait_for("ready")["warm"] is True
        assert loop.count("warm") == 1
        assert (loop.count("ready"), loop.executed("held")) == (1, 2)


@forks
@pytest.mark.parametrize(("server", "workers"), [("gunicorn", 3), ("waitress", 3)])
def test_every_worker_is_warm(server: str, workers: int, tmp_path: Path) -> None:
    """With several workers, with threads, and when a worker is replaced: the library is executed once, ahead."""
    script = using("library", "[library.VALUE, os.getpid()]", "import os")
    arguments = ("--worker_count", str(workers))
    with warmed(tmp_path, *arguments, packages={"library": TRACE + "VALUE = 1"}, score=script, server=server) as loop:
        before = loop.executed("library")
        assert loop.saved(script + "# 2")["warm"]
        assert loop.value()[0] == 1
        assert loop.executed("library") == before


def test_no_warm_means_cold(tmp_path: Path) -> None:
    """With --no_warm there is no such process, and each generation imports anew."""
    script = using("library", "library.VALUE")
    with Warm(tmp_path, "--no_warm", packages={"library": TRACE + "VALUE = 1"}, score=script) as loop:
        assert not loop.saved(script + "# 2")["warm"]
        assert (loop.executed("library"), loop.count("warm"), len(loop.warm_processes())) == (2, 0, 0)


def test_what_a_library_says_when_it_is_imported_is_said_once(tmp_path: Path) -> None:
    """By the generation that imported it, not by the process that imports it ahead, nor by those that come of it."""
    to_stdout, to_stderr = "print('saying', 1, flush=True)", "print('saying', 3, file=sys.stderr, flush=True)"
    says = f"import os, sys\n{to_stdout}\nos.write(2, b'saying 2\\n')\n{to_stderr}"
    script = using("library", "1")
    with warmed(tmp_path, packages={"library": says}, score=script) as loop:
        assert loop.saved(script + "# 2")["warm"]
        assert [loop.output().count(word) for word in ("saying 1", "saying 2", "saying 3")] == [1, 1, 1]


# --- where it cannot be warm, it is cold and says so


@forks
def test_a_library_that_starts_a_thread(tmp_path: Path) -> None:
    """A thread does not survive a fork, so each generation imports it itself, and who imports it; others stay warm."""
    starts = "import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\nthread.start()"
    packages = {"starter": TRACE + starts, "wrapper": "import starter", "other": TRACE}
    script = using("wrapper, other, starter", "starter.thread.is_alive()")
    with warmed(tmp_path, packages=packages, score=script) as loop:
        assert loop.notes() == [spawner.APART.format("wrapper"), spawner.APART.format("starter")]
        executed = loop.executed("starter"), loop.executed("other")
        assert (executed, loop.value()) == ((3, 3), True)  # the last process that imported ahead has only the other one
        for turn in (2, 3):
            assert loop.saved(f"{script}# {turn}")["warm"]
            assert loop.value() is True
        assert (loop.executed("starter"), loop.executed("other"), len(loop.notes())) == (5, 3, 2)


@forks
def test_a_library_that_starts_a_thread_under_waitress(tmp_path: Path) -> None:
    """Where the server forks nothing, the process with the library becomes the next generation; a new one follows."""
    starts = "import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\nthread.start()"
    script = using("starter", "[starter.thread.is_alive(), os.getpid()]", "import os")
    packages = {"starter": starts + "\n" + TRACE}
    with warmed(tmp_path, packages=packages, score=script, server="waitress") as loop:
        for turn in (2, 3):
            waiting = loop.warm_processes() - {loop.value()[1]}
            assert loop.saved(f"{script}# {turn}")["warm"]
            assert waiting == {loop.value()[1]}
            assert loop.value()[0] is True
            loop.wait_for_nth("warm", turn)
        assert loop.executed("starter") == 4
        os.kill(loop.value()[1], signal.SIGSEGV)
        assert loop.wait_for("died")["signal"] == "SIGSEGV"
        assert loop.wait_for_nth("ready", 4)["warm"]
        loop.wait_for_nth("warm", 4)
        loop.install("starter", starts)
        assert not loop.saved(script)["warm"]
        loop.says("starting cold", "has changed")
        assert loop.value()[0] is True


def test_a_library_that_cannot_be_imported_ahead(tmp_path: Path) -> None:
    """It wants something that is there only in a generation."""
    wants = "if print.__module__ == 'builtins':\n    raise LookupError('no log')\nVALUE = 1"
    script = using("wanting", "wanting.VALUE")
    with Warm(tmp_path, packages={"wanting": wants}, score=script) as loop:
        loop.says("starting cold", "wanting cannot be imported ahead", "LookupError: no log")
        assert not loop.saved(script + "# 2")["warm"]
        assert loop.value() == 1
        loop.saved(answering(2))  # without the library
        loop.wait_for("warm")
        assert loop.saved(answering(3))["warm"]


def test_a_library_that_reads_what_the_script_sets(tmp_path: Path) -> None:
    """A variable that is set before the import counts: known from the start, or set by a later save."""
    reads, sets = "import os\nVALUE = os.environ.get('WANTED', 'no')", "import os\nos.environ['WANTED'] = 'yes'"
    in_init = "import os\ndef init():\n    global reader\n    os.environ['WANTED'] = 'init'\n    import reader\n"
    script = using("reader", "reader.VALUE")
    with warmed(tmp_path, packages={"reader": reads}, score=script) as loop:
        assert loop.value() == "no"
        assert not loop.saved(using("reader", "reader.VALUE", sets))["warm"]
        loop.says("starting cold", "WANTED")
        assert loop.value() == "yes"
        assert not loop.saved(using("reader", "reader.VALUE + '!'", sets))["warm"]
        assert loop.value() == "yes!"
        loop.saved(script)
        loop.wait_for_nth("warm", 2)
        assert loop.saved(script + "# 2")["warm"]
        assert loop.value() == "no"
        assert not loop.saved(in_init + "def run(data): return reader.VALUE\n")["warm"]
        assert loop.value() == "init"


LAZY = """
import importlib
_NAMES = {"Thing": "thing", "Picky": "picky"}
def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(name)
    return getattr(importlib.import_module("." + _NAMES[name], __name__), name)
"""
THING = "Thing = os.environ.get('WANTED', 'no')\n"
PICKY = "if print.__module__ == 'builtins':\n    raise LookupError('no log')\nPicky = 'picky'\n"


@pytest.mark.parametrize("server", SERVERS)
def test_a_library_that_imports_its_parts_late(server: str, tmp_path: Path) -> None:
    """The parts that the script made it import are imported ahead, too; one that cannot be is left out.

    What they read while they are imported must not be set by the script: then they are not, nor if it comes to do so.
    """
    script = (
        "from lazylib import Thing, Picky\nimport lazylib, os\ndef init(): pass\ndef run(data): return [Thing, Picky]\n"
    )
    sets = "import lazylib, os\ndef init():\n    global thing\n    os.environ['WANTED'] = 'yes'\n"
    sets += "    thing = lazylib.Thing\n"
    files = {"site-packages/lazylib/thing.py": TRACE + THING, "site-packages/lazylib/picky.py": TRACE + PICKY}
    loop = Warm(tmp_path, packages={"lazylib": LAZY}, score=script, server=server)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with loop:
        loop.wait_for("warm")
        executed = loop.executed("lazylib.thing"), loop.executed("lazylib.picky")
        assert (loop.value(), executed) == (["no", "picky"], (2, 2))
        assert loop.saved(script + "# 2")["warm"]
        assert (loop.value(), loop.executed("lazylib.thing"), loop.notes()) == (["no", "picky"], 2, [])
        for turn in (1, 2):  # at first by starting anew, and then because nothing came too early
            assert loop.saved(sets + f"def run(data): return [thing, {turn}]\n")["warm"] is (turn == 2)
            assert loop.value() == ["yes", turn]
            loop.wait_for_nth("warm", 2)
        loop.says("starting cold", "WANTED")


def test_a_library_that_reads_what_the_server_sets(tmp_path: Path) -> None:
    """The configuration's variables, the working folder and the command line are there when it is imported ahead."""
    reads = "import logging, os, sys\nlogging.getLogger('reader')\n"
    reads += "VALUE = [os.environ['AZUREML_MODEL_DIR'], os.environ['WORKER_COUNT'], os.getcwd(), sys.argv[1:]]\n"
    script = using("logging, reader", "[*reader.VALUE, logging.getLogger('reader').disabled]")
    files = {"model/weights": "1", "logging.json": '{"version": 1}'}
    more = ("--model_dir", "model")
    with Warm(tmp_path, *more, packages={"reader": reads}, score=script, files=files) as loop:
        cold = loop.value()
        loop.wait_for("warm")
        assert loop.saved(script + "# 2")["warm"]
        assert loop.value() == cold
        assert cold[2] == str(loop.project) and cold[4] is False


def test_a_library_that_was_missed_comes_later(tmp_path: Path) -> None:
    """It would be found by a cold start, so it is."""
    tries = "try:\n    import extra\n    HAS = True\nexcept ImportError:\n    HAS = False\n"
    script = using("library", "library.HAS")
    with warmed(tmp_path, packages={"library": tries}, score=script) as loop:
        assert loop.value() is False
        loop.install("extra", "")
        assert not loop.saved(script + "# 2")["warm"]
        loop.says("starting cold", "extra")
        assert loop.value() is True


@forks
def test_a_library_that_is_upgraded(tmp_path: Path) -> None:
    """The next generation has the new one; then it is kept warm. The generation from the old process is retired."""
    script = using("library", "library.VALUE")
    with warmed(tmp_path, packages={"library": "VALUE = 1"}, score=script) as loop:
        assert loop.saved(script + "# 2")["warm"]
        old = loop.processes()
        loop.install("library", "VALUE = 2")
        assert not loop.saved(script + "# 3")["warm"]
        loop.says("starting cold", "library", "has changed")
        assert loop.value() == 2
        loop.wait_for_nth("warm", 2)
        assert loop.saved(script + "# 4")["warm"]
        assert loop.value() == 2
        kept = {loop.process.pid, *(pid for pid in old if parent_of(pid) == loop.process.pid and not is_ours(pid))}
        loop.wait_until(lambda: not (set(old) & set(loop.processes())) - kept, "what was before is gone")


def test_a_file_of_the_users_that_stands_before_a_library(tmp_path: Path) -> None:
    """The library `outer` imports `inner`; a file of that name in the project is found first, as in a cold start."""
    packages = {"inner": "VALUE = 'of the library'", "outer": "from inner import VALUE"}
    script = using("outer", "outer.VALUE")
    with warmed(tmp_path, packages=packages, score=script) as loop:
        loop.save("inner.py", "VALUE = 'of the user'")
        assert not loop.saved(script + "# 2")["warm"]
        loop.says("starting cold", "a library imports", "inner.py")
        assert loop.value() == "of the user"


# --- never the user's own code


def test_the_users_own_code_is_never_imported_ahead(tmp_path: Path) -> None:
    """A module beside the script, a package under the project, and one installed as editable: once per generation."""
    files = {"beside.py": TRACE, "parts/__init__.py": TRACE}
    script = using("library, beside, parts, editable", "1")
    loop = Warm(tmp_path, packages={"library": TRACE}, score=script, files=files)
    (loop.outside / "editable").mkdir(parents=True)
    (loop.outside / "editable/__init__.py").write_text(TRACE, encoding="utf-8")
    with loop:
        assert loop.wait_for("warm")["modules"] == ["library"]
        assert loop.saved(script + "# 2")["warm"]
        assert [loop.executed(name) for name in ("library", "beside", "parts", "editable")] == [2, 2, 2, 2]


@pytest.mark.parametrize("first", ["utils", "utils.deep", "shared_name.mine"])
def test_a_folder_of_the_users_without_init(first: str, tmp_path: Path) -> None:
    """It is no library, also where an installed one shares its name: what the script imports beside it stays warm."""
    helper = f"{first.replace('.', '/')}/helper.py"
    script = using("lib", "lib.value + VALUE", before=f"import shared_name.theirs\nfrom {first}.helper import VALUE")
    theirs = tmp_path / "site-packages" / "shared_name" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").write_text("value = 1\n")
    packages, files = {"lib": TRACE + "value = 1"}, {helper: "VALUE = 1\n"}
    with warmed(tmp_path, packages=packages, files=files, score=script) as loop:
        assert loop.saved(script + "\n")["warm"] is True
        assert (loop.value(), loop.executed("lib")) == (2, 2)
        loop.save(helper, "VALUE = 2\n")
        assert loop.value() == 3


def test_a_library_that_imports_the_users_code(tmp_path: Path) -> None:
    """A plug-in of the user's is not executed ahead, even if the library would forgive that it is missing."""
    loads = "try:\n    import plugin\nexcept Exception:\n    plugin = None"
    script = using("loader", "loader.plugin.VALUE")
    with Warm(tmp_path, packages={"loader": loads}, score=script, files={"plugin.py": TRACE + "VALUE = 1"}) as loop:
        loop.says("starting cold", "plugin.py")
        assert not loop.saved(script + "# 2")["warm"]
        assert (loop.value(), loop.executed("plugin")) == (1, 2)


# --- when the warm process is gone


def is_ours(pid: int) -> bool:
    return f"{os.sep}launch" in command_of(pid)


@forks
@pytest.mark.parametrize("server", SERVERS)
def test_a_generation_outlives_the_process_it_came_from(server: str, tmp_path: Path) -> None:
    """kill -9 of the warm process: what it forked goes on, is retired by the next save, and all is warm again."""
    script = using("library, os", "[library.VALUE, os.getpid()]")
    with warmed(tmp_path, packages={"library": "VALUE = 1"}, score=script, server=server) as loop:
        assert loop.saved(script + "# 2")["warm"]
        forked = loop.value()[1]
        [warm] = loop.warm_processes()
        os.kill(warm, signal.SIGKILL)
        loop.wait_until(lambda: warm not in loop.processes(), "the warm process is gone")
        assert loop.value() == [1, forked]
        assert not loop.saved(script + "# 3")["warm"]
        loop.says("starting cold", "imported the libraries ended")
        loop.wait_until(lambda: forked not in loop.processes(), "the generation is retired")
        loop.wait_for_nth("warm", 2)
        assert loop.saved(script + "# 4")["warm"]
        assert loop.value()[0] == 1
        assert loop.count("died", "overran") == 0


@forks
def test_the_process_that_waits_to_be_the_next_generation_may_die(tmp_path: Path) -> None:
    """Another one is forked in its place."""
    script = using("library", "library.VALUE")
    with warmed(tmp_path, packages={"library": "VALUE = 1"}, score=script) as loop:
        [warm] = loop.warm_processes()
        loop.wait_until(lambda: spare_of(loop, warm), "one waits")
        os.kill(spare_of(loop, warm)[0], signal.SIGKILL)
        assert loop.saved(script + "# 2")["warm"]
        loop.wait_until(lambda: len(spare_of(loop, warm)) == 2, "beside the generation another one waits")
        assert loop.saved(script + "# 3")["warm"]
        assert "POST /score" not in loop.output().replace(": POST http", "")  # what gets ready ahead says nothing
        assert loop.value() == 1


def spare_of(loop: Warm, warm: int) -> list[int]:
    return [pid for pid in loop.processes() if parent_of(pid) == warm]


class StillBorn:
    """A process that is gone when it is handed over."""

    pid = 1 << 30

    def wait(self) -> int:
        return -signal.SIGKILL

    def send_signal(self, _: int) -> None:
        raise ProcessLookupError


@forks
def test_a_generation_that_is_gone_before_it_is_told_to_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its end is told like any other."""
    told: queue.Queue[tuple[int, object]] = queue.Queue()
    monkeypatch.setattr(System, "start", lambda *_: None)
    monkeypatch.setattr(warm_process, "send", lambda *_: None)
    monkeypatch.setattr(warm_process.WarmProcess, "_order", lambda *_: StillBorn())
    order = wire.WarmOrder((), (str(tmp_path),), (), (), False)
    warm = warm_process.WarmProcess(order, Origin([], {}, -1))
    child = warm.launch(Briefing(7, Config()), lambda *record: told.put(record))
    assert not isinstance(child, Refused)
    assert told.get(timeout=DEADLINE) == (7, Gone(-signal.SIGKILL))
    child.close()
    warm._channel.close()


class NotYet:
    """A warm process that is not ready."""

    modules: frozenset[str] = frozenset()
    lazy: frozenset[str] = frozenset()
    is_ready = False
    refusal = None

    def listen(self, _: object) -> None: ...


@forks
@pytest.mark.parametrize(
    ("linux", "becomes", "said"), [(False, False, "gunicorn forks"), (False, True, ""), (True, False, "")]
)
def test_systems_without_a_warm_process_say_so(
    monkeypatch: pytest.MonkeyPatch, linux: bool, becomes: bool, said: str
) -> None:
    """Once, with the reason."""
    monkeypatch.setattr(System, "forks_safely", linux)
    monkeypatch.setattr(spawner, "WarmProcess", lambda *_: NotYet())
    lines: list[str] = []
    starter = spawner.Spawner(Origin([], {}, -1), [], print, print, lines.append, print, warm=True, becomes=becomes)
    for _ in range(2):
        starter.learned(LoadReport(ok=True), ("/",), {})
    assert (len(lines), said in "".join(lines)) == (bool(said), True)


def test_a_spare_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generations start cold, with the reason, and the tool goes on; the next load tries again."""

    def refuse(*_: object) -> None:
        raise OSError(1359, "an internal error occurred")

    monkeypatch.setattr(System, "lends_descriptors", False)
    monkeypatch.setattr(System, "start", refuse)
    lines: list[str] = []
    starter = spawner.Spawner(Origin([], {}, -1), [], print, print, lines.append, print, warm=True, becomes=True)
    for _ in range(2):
        starter.learned(LoadReport(ok=True), ("/",), {})
    starter.close()
    assert lines == ["starting cold: the libraries cannot be imported ahead (an internal error occurred)"]


@forks
def test_nothing_is_loaded_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation whose libraries turn out to be outdated is ended before it has executed a line of the script."""
    script = tmp_path / "score.py"
    script.write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')\n" + answering(1), encoding="utf-8")
    config = read_config(["--entry_script", str(script), "--reload"], {}, str(tmp_path))
    with (
        closing(Listener.bind("127.0.0.1", 0)) as listener,
        closing(Lifeline()) as lifeline,
    ):
        order = wire.WarmOrder(tuple(sys.path), (str(tmp_path),), (), ("azmlinfsrv",), False)
        told: queue.Queue[object] = queue.Queue()
        origin = Origin([listener], dict(os.environ), lifeline.descriptor)
        warm = warm_process.WarmProcess(order, origin)
        heard_of: queue.Queue[Warmed] = queue.Queue()
        warm.listen(lambda _, warmed: heard_of.put(warmed))
        assert heard_of.get(timeout=DEADLINE) == Warmed(None)
        monkeypatch.setattr(child_module, "GO", b"")
        briefing = Briefing(1, config, warm=True, path=tuple(sys.path))
        child = warm.launch(briefing, lambda _, record: told.put(record))
        assert not isinstance(child, Refused)
        assert told.get(timeout=DEADLINE) == Gone(-signal.SIGKILL), "it was to end in silence"
        assert not (tmp_path / "loaded").exists()
        child.close()
        warm.close()
        warm.process.wait(DEADLINE)
