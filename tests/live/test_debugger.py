"""A debugger at the dev loop: breakpoints hit after every reload, and nobody who stands at one is cut off.

These tests speak the debug adapter protocol with the real debugpy.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pytest
from dap import Editor
from live import COMMAND, Answer, environment
from loop import Loop, answering, end_all

pytest.importorskip("debugpy", reason="debugpy is not installed")


def script(shift: int, value: int) -> str:
    """A script, moved down by `shift` lines, with line 3 + `shift` in init() and 6 + `shift` in run()."""
    head = "# moved\n" * shift
    return head + f"state = []\ndef init():\n    state.append({value})\n\ndef run(data):\n    return state\n"


IN_INIT, IN_RUN = 3, 6


class Launched(Loop):
    """The dev loop, started by a debugger (F5); leaving is the stop button."""

    def __init__(self, editor: Editor, folder: Path, *arguments: str, score: str, server: str = "waitress") -> None:
        super().__init__(folder, *arguments, score=score, server=server)
        self.editor = editor

    def __enter__(self) -> Launched:
        self.editor.launch(
            module="devserver",
            args=self._argv[len(COMMAND) :],
            cwd=str(self.project),
            env=self._env,
            python=[sys.executable],
            console="internalConsole",
            subProcess=True,
            justMyCode=True,
        )
        assert self.editor.adapter is not None
        self.process = self.editor.adapter
        self.port = self.wait_for("listening")["port"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.editor.sessions[0].disconnect(terminate=True)
        left = self.survivors()
        end_all(left)
        if error is None:
            assert not left, self._story(f"survivors: {left}")

    def output(self) -> str:
        return "".join(body["output"] for name, body in self.editor.sessions[0].events if name == "output")


def asked(pool: ThreadPoolExecutor, loop: Loop) -> Future[Answer]:
    return pool.submit(loop.ask)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def above(editor: Editor) -> list[str]:
    """The threads of the supervisor, which an editor shows above the script's."""
    return [thread["name"] for thread in editor.sessions[0].ask("threads")["threads"]]


def stop_in_run(editor: Editor, loop: Loop, pool: ThreadPoolExecutor, line: int, value: int) -> None:
    """A request stops at this line, knows what it should, and is answered when it goes on."""
    answer = asked(pool, loop)
    stop = editor.wait_for_stop()
    assert (stop.path, stop.line) == (str(loop.project / "score.py"), line)
    assert stop.session.ask("evaluate", expression="state", frameId=stop.frame)["result"] == f"[{value}]"
    assert not answer.done()
    stop.go_on()
    assert answer.result().json() == [value]


@pytest.mark.parametrize("server", ["waitress", "gunicorn"])
def test_breakpoints_survive_every_reload(tmp_path: Path, server: str) -> None:
    """A breakpoint in run() hits after each of two saves that move it, and one in init() after another save."""
    with Editor() as editor, ThreadPoolExecutor() as pool:
        path = str(tmp_path / "project" / "score.py")
        editor.breakpoints[path] = (IN_RUN,)
        with Launched(editor, tmp_path, score=script(0, 0), server=server) as loop:
            loop.wait_for("ready")
            stop_in_run(editor, loop, pool, IN_RUN, 0)
            assert above(editor) == ["azmlinfsrv (waits for saves)"]
            for shift in (1, 2):
                editor.save(Path(path), script(shift, shift), (IN_RUN + shift,))
                stop_in_run(editor, loop, pool, IN_RUN + shift, shift)
            editor.save(Path(path), script(1, 4), (IN_INIT + 1, IN_RUN + 1))
            stop = editor.wait_for_stop()
            assert (stop.path, stop.line) == (path, IN_INIT + 1)
            stop.go_on()
            stop_in_run(editor, loop, pool, IN_RUN + 1, 4)
            assert loop.count("ready") == 4 and loop.count("died", "overran") == 0


def test_attached_to_the_waiting_supervisor(tmp_path: Path) -> None:
    """With --debug and --debug_wait nothing is loaded until somebody attaches; then init() and each run() stop."""
    port = free_port()
    with Editor() as editor, ThreadPoolExecutor() as pool:
        path = tmp_path / "project" / "score.py"
        editor.breakpoints[str(path)] = (IN_INIT, IN_RUN)
        arguments = ("--debug", str(port), "--debug_wait")
        with Loop(tmp_path, *arguments, score=script(0, 0), server="waitress", until="note") as loop:
            loop.wait_until(lambda: loop.count("note") >= 2, "it is said that it waits")
            assert not loop.count("starting")
            editor.attach(port, subProcess=True, justMyCode=True)
            stop = editor.wait_for_stop()
            assert stop.line == IN_INIT
            stop.go_on()
            loop.wait_for("ready", generation=1)
            stop_in_run(editor, loop, pool, IN_RUN, 0)
            assert above(editor) == ["azmlinfsrv (waits for saves)"]
            editor.save(path, script(1, 1), (IN_RUN + 1,))
            stop_in_run(editor, loop, pool, IN_RUN + 1, 1)


def test_attached_and_gone(tmp_path: Path) -> None:
    """Whoever attaches to a running loop gets a new generation to debug, and may leave it."""
    port = free_port()
    with Loop(tmp_path, "--debug", str(port), score=script(0, 0), server="waitress") as loop:
        with Editor() as editor, ThreadPoolExecutor() as pool:
            editor.breakpoints[str(loop.project / "score.py")] = (IN_RUN,)
            editor.attach(port, subProcess=True, justMyCode=True)
            loop.wait_for("ready", generation=2)
            stop_in_run(editor, loop, pool, IN_RUN, 0)
            editor.sessions[0].disconnect()
        loop.wait_until(lambda: gone(loop) == 1, "the debugger is gone")
        assert loop.ask().json() == [0]


def gone(loop: Loop) -> int:
    return sum(event.get("text") == "the debugger is gone" for event in loop.events())


def test_a_save_does_not_cut_off_who_is_paused(tmp_path: Path) -> None:
    """While a request stands at a breakpoint, a save brings the new code, and the old request ends well."""
    with Editor() as editor, ThreadPoolExecutor() as pool:
        path = tmp_path / "project" / "score.py"
        editor.breakpoints[str(path)] = (IN_RUN,)
        with Launched(editor, tmp_path, "--graceful_timeout", "0.3", score=script(0, 0)) as loop:
            loop.wait_for("ready")
            first = asked(pool, loop)
            stop = editor.wait_for_stop()
            editor.save(path, answering("new"), ())
            assert loop.ask().json() == "new"
            loop.wait_until(lambda: spared(loop) == 1, "it is said that the generation waits")
            assert not first.done()
            stop.go_on()
            assert (first.result().status, first.result().json()) == (200, [0])
            assert loop.count("overran") == 0


def spared(loop: Loop) -> int:
    return sum("paused at a breakpoint" in event.get("text", "") for event in loop.events())


def test_a_save_does_not_cut_off_who_is_paused_in_init(tmp_path: Path) -> None:
    """A generation that stands in init() when a save comes goes on when it is told to, serves nothing and ends."""
    with Editor() as editor:
        path = tmp_path / "project" / "score.py"
        editor.breakpoints[str(path)] = (IN_INIT,)
        with Launched(editor, tmp_path, "--graceful_timeout", "0.3", score=script(0, 0)) as loop:
            stop = editor.wait_for_stop()
            editor.save(path, answering("new"), ())
            assert loop.ask().json() == "new"
            loop.wait_until(lambda: spared(loop) == 1, "it is said that the generation waits")
            before = len(loop.processes())
            stop.go_on()
            loop.wait_until(lambda: len(loop.processes()) < before, "the old generation is gone")
            assert loop.ask().json() == "new" and loop.count("overran", "died") == 0


def test_the_end_waits_for_nobody(tmp_path: Path) -> None:
    """The tool ends, and leaves nothing, although a request stands at a breakpoint."""
    port = free_port()
    with Editor() as editor, ThreadPoolExecutor() as pool:
        path = tmp_path / "project" / "score.py"
        editor.breakpoints[str(path)] = (IN_RUN,)
        with Loop(tmp_path, "--debug", str(port), score=script(0, 0), server="waitress") as loop:
            editor.attach(port, subProcess=True, justMyCode=True)
            loop.wait_for("ready", generation=2)
            answer = asked(pool, loop)
            editor.wait_for_stop()
            assert loop.stop(signal.SIGTERM) == 0
            assert answer.exception() is not None


def test_the_port_that_the_server_connects_to(tmp_path: Path) -> None:
    """With AZUREML_DEBUG_PORT the server connects to an editor that listens, and stops in run()."""
    port = free_port()
    with Editor() as editor, ThreadPoolExecutor() as pool:
        path = tmp_path / "project" / "score.py"
        editor.breakpoints[str(path)] = (IN_RUN,)
        listening_editor = pool.submit(editor.listen, port, subProcess=True, justMyCode=True)
        env = {"AZUREML_DEBUG_PORT": str(port)}
        with Loop(tmp_path, score=script(0, 0), env=env, until=None) as loop:
            loop.port = loop.wait_for("listening")["port"]
            loop.wait_for("ready")
            listening_editor.result()
            stop_in_run(editor, loop, pool, IN_RUN, 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--debug", "5678", "--reload"], "pip install debugpy"),
        (["--debug", "5678"], "argument --debug: it needs --reload"),
        (["--debug_wait", "--reload"], "argument --debug_wait: it needs --debug PORT"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """Without debugpy, without --reload or without a port the command ends with one line that says what to do."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "debugpy.py").write_text("raise ImportError('not installed')\n")
    (tmp_path / "score.py").write_text(answering(1))
    command = [*COMMAND, "--entry_script", "score.py", "--port", "0", "--events", "e", *arguments]
    env = environment({"PYTHONPATH": str(tmp_path / "first")})
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("azmlinfsrv: error: ") and expected in done.stderr and done.stderr.count("\n") == 1
