"""Generations that are forked from a process with the libraries imported: as good as cold ones, or cold ones."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from live import ROOT, Answer
from loop import SERVERS, Loop, answering
from test_samples import NEEDS, RECIPES, copy_of_samples, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

FACTS = """
import json as _json, os as _os, sys as _sys
with open(_os.environ["FACTS"], "w") as _file:
    _json.dump({"path": _sys.path, "environ": dict(_os.environ), "folder": _os.getcwd(), "argv": _sys.argv}, _file)
"""
TRACE = "import os\nopen(os.environ['TRACE'], 'a').write(__name__ + '\\n')\n"  # in a module: says that it was executed
OF_THE_MOMENT = ("Date", "x-azmlinfsrv-generation", "x-ms-request-id", "x-ms-run-fn-exec-ms")


class Warm(Loop):
    """A loop with a folder `site-packages` for libraries of the test's own; `trace` is what was executed of them."""

    def __init__(self, folder: Path, *arguments: str, packages: dict[str, str] | None = None, **more: Any) -> None:
        self.site = folder / "site-packages"
        for name, text in (packages or {}).items():
            self.install(name, text)
        self._trace = folder / "trace.txt"
        self._trace.touch()
        self.outside = folder / "elsewhere"  # on the path too, but nobody's library
        path = os.pathsep.join(map(str, (ROOT, self.outside, self.site)))
        env = {"PYTHONPATH": path, "TRACE": str(self._trace), **more.pop("env", {})}
        super().__init__(folder, *arguments, env=env, **more)

    def install(self, name: str, text: str) -> None:
        """Write the library, or replace it as pip does."""
        package = self.site / name
        package.mkdir(parents=True, exist_ok=True)
        new = package / "new"
        new.write_text(text)
        new.replace(package / "__init__.py")

    def executed(self, name: str) -> int:
        """How often the module was executed in any process."""
        return self._trace.read_text().split().count(name)

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

    def warm_process(self) -> int | None:
        """The one that has the libraries and is no generation: the supervisor's own child."""
        found = [pid for pid in self.processes() if " warm " in command_of(pid) and parent_of(pid) == self.process.pid]
        return found[0] if found else None


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
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


def comparable(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    names = {name.lower() for name in OF_THE_MOMENT}
    return answer.status, {k: v for k, v in answer.headers.items() if k.lower() not in names}, answer.body


@pytest.mark.parametrize("name", RECIPES)
def test_warm_is_as_cold_for_every_sample(name: str, tmp_path: Path) -> None:
    """The same answer with the same headers, the same sys.path, environment, folder and arguments."""
    missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"sample {name} needs {', '.join(missing)}")
    root, facts = copy_of_samples(tmp_path), tmp_path / "facts.json"
    for script in RECIPES[name].scripts:
        run([sys.executable, script], root)
    folder = root / "samples" / name
    script = (folder / "score.py").read_text() + FACTS
    (folder / "score.py").write_text(script)
    sample = (folder / "sample-request.json").read_bytes()
    with Warm(tmp_path / "run", *RECIPES[name].arguments, env={"FACTS": str(facts)}, at=root) as loop:
        loop.wait_for("warm")
        seen = []
        for expected in (False, True):
            if expected:
                loop.save("score.py", script + "# again\n")
            ready = loop.wait_for_nth("ready", 1 + expected)
            answer = loop.post("/score", sample, {"Content-Type": "application/json"})
            seen.append((json.loads(facts.read_text()), comparable(answer)))
            assert (ready["warm"], answer.status) == (expected, 200)
    assert seen[0] == seen[1]
