"""What the app says of its work, to a reporter that only listens; and that the scoring half needs nobody else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import pytest

import devserver
from devserver.config.settings import Config
from devserver.scoring.app import Parts, create_app
from devserver.scoring.request import Request
from devserver.scoring.script import load
from devserver.scoring.swagger import prepare
from devserver.scoring.time_limit import NoLimit, time_limit
from devserver.serve import AnswerFailed, WorkerAborted
from devserver.usercode import loader

ALLOWED = ("config", "records", "usercode", "serve", "text", "scoring")
LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}


@dataclass
class Listener:
    """Keeps what it is told, in order; its reports are told apart from what they are of."""

    heard: list[object] = field(default_factory=list)

    @dataclass
    class Report:
        heard: list[object]

        def error_object(self) -> Mapping[str, Any]:
            self.heard.append("asked")
            return {"told": True}

        def tell(self) -> None:
            self.heard.append("told")

    def _report(self, *facts: object) -> Report:
        self.heard.append(facts)
        return self.Report(self.heard)

    def run_begins(self) -> None:
        self.heard.append("begins")

    def run_ends(self) -> None:
        self.heard.append("ends")

    def raised(self, error: BaseException, request: Request, phase: str) -> Report:
        return self._report("raised", type(error).__name__, request.target, phase)

    def timed_out(self, error: TimeoutError, request: Request, milliseconds: int) -> Report:
        return self._report("timed out", milliseconds)

    def no_json(self, result: object, error: Exception, request: Request) -> Report:
        return self._report("no json", result, type(error).__name__)

    def aborted(self, error: WorkerAborted, request: Request) -> None:
        self.heard.append("aborted")

    def body_failed(self, error: Exception, request: Request, status: int) -> None:
        self.heard.append(("body failed", type(error).__name__, status))

    def odd_result(self, result: object, request: Request) -> None:
        self.heard.append(("odd", result))

    def scored(self, arguments: Mapping[str, Any], result: object, request: Request) -> None:
        self.heard.append(("scored", arguments, result))

    def ran(self, seconds: float, answer: flask.Response) -> None:
        self.heard.append(("ran", answer.status_code))

    def answered(self, request: Request, answer: flask.Response, milliseconds: float) -> None:
        self.heard.append(("answered", request.path, answer.status_code))


Ask = Callable[..., list[object]]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """What is heard when a script that holds this run() is asked once."""

    def asked(
        run: str, heard: list[object] | None = None, limit: Any = None, generation: int | None = None
    ) -> list[object]:
        path = tmp_path / "score.py"
        path.write_text(f"import flask\nfrom devserver.serve import WorkerAborted\ndef init(): pass\n{run}\n")
        script, config, listener = load(str(path)), Config(base=str(tmp_path)), Listener([] if heard is None else heard)
        swagger = prepare(script.run, config, lambda line: None)
        client = create_app(Parts(config, script, swagger, limit or NoLimit(), listener, generation)).test_client()
        answer = client.post("/score", data="x", environ_overrides=LOCAL)
        answer.get_data()
        answer.close()
        return listener.heard

    yield asked
    loader.forget()


STREAM = """
def body():
    yield "a"
    1 / 0
def run(data):
    return flask.Response(body())
"""
CALLED = ["begins", "ends"]
FAILED = [("answered", "/score", 500), "told"]


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ("return 1", [*CALLED, ("scored", {"data": "x"}, 1), ("ran", 200), ("answered", "/score", 200)]),
        (
            "return None",
            [*CALLED, ("scored", {"data": "x"}, None), ("ran", 200), ("answered", "/score", 200), ("odd", None)],
        ),
        ("return flask.Response('x', 503)", [*CALLED, ("ran", 503), ("answered", "/score", 503)]),
        ("return b'x'", [*CALLED, ("no json", b"x", "TypeError"), *FAILED]),
        ("1 / 0", ["begins", ("raised", "ZeroDivisionError", "/score", "run"), "ends", *FAILED]),
        ("raise TimeoutError", ["begins", ("raised", "TimeoutError", "/score", "run"), "ends", *FAILED]),
    ],
)
def test_what_the_app_says(ask: Ask, body: str, heard: list[object]) -> None:
    """What happened, in order; what follows the answer comes last."""
    assert ask(f"def run(data): {body}") == heard


def test_a_time_limit(ask: Ask) -> None:
    """It is told with its length."""
    limit = time_limit(30, in_main_thread=True)
    assert ask("def run(data):\n while True: pass", limit=limit) == ["begins", ("timed out", 30), "ends", *FAILED]


def test_the_error_object_is_asked_for_in_the_loop_only(ask: Ask) -> None:
    """Nobody else waits for a description."""
    run = "def run(data): 1 / 0"
    assert "asked" in ask(run, generation=1) and "asked" not in ask(run)


def test_a_worker_that_is_ended(ask: Ask) -> None:
    """It has no answer, and so is told at once."""
    with pytest.raises(WorkerAborted):
        ask("def run(data): raise WorkerAborted(1)", heard := [])
    assert heard == ["begins", "aborted", "ends"]


def test_a_stream_that_breaks(ask: Ask) -> None:
    """It is told when it breaks."""
    with pytest.raises(AnswerFailed):
        ask(STREAM, heard := [])
    assert heard[-1] == ("body failed", "ZeroDivisionError", 200)


def test_the_scoring_half_stands_alone() -> None:
    """It imports nothing of ours but configuration, records, the user's code and the types of the servers."""
    folder = Path(devserver.__file__).parent
    found = {
        (path.name, name)
        for path in (folder / "scoring").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if name.startswith("devserver.") and name.split(".")[1] not in ALLOWED
    }
    assert found == set()
