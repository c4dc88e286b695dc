"""Nothing more can be started: no interpreter, no descriptors. Requests are answered, and a save tries again."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live import COMMAND, DEADLINE, environment
from loop import SERVERS, Loop, answering

PROMPT = 4.0  # seconds in which an answer comes that nothing is waited for
PATHS = os.pathsep.join(sys.path[1:])


def interpreter(folder: Path) -> Path:
    """One that a test may remove."""
    path = folder / "bin" / "python"
    path.parent.mkdir()
    path.symlink_to(os.path.realpath(sys.executable))
    return path


def open_loop(folder: Path, python: Path, server: str, score: str) -> Loop:
    made = Loop(folder, "--no_warm", "--no_keep", score=score, server=server, command=(str(python), *COMMAND[1:]))
    made._env["PYTHONPATH"] = os.pathsep.join((made._env["PYTHONPATH"], PATHS))
    return made


@pytest.mark.parametrize("server", SERVERS)
def test_the_interpreter_is_gone(tmp_path: Path, server: str) -> None:
    """Each request gets 503 with the reason at once, also many, large and silent ones; the next save tries again."""
    python = interpreter(tmp_path)
    with open_loop(tmp_path, python, server, answering(1)) as loop, ThreadPoolExecutor(8) as pool:
        python.unlink()
        loop.save("score.py", answering(2))
        told = loop.wait_for("not_ready", generation=2)
        assert (told["error"]["code"], told["error"]["path"]) == ("no-process", None)
        with (
            socket.create_connection(("127.0.0.1", loop.port), PROMPT) as silent,
            socket.create_connection(("127.0.0.1", loop.port), PROMPT) as tls,
        ):
            silent.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            tls.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            answers = list(pool.map(loop.ask, ["{}"] * 30 + ["x" * (1 << 22)] * 2, timeout=DEADLINE))
            assert {answer.status for answer in answers} == {503}
            error = answers[0].json()["error"]
            assert error["message"] == f"no process can be started: there is no {python} any more"
            assert answers[0].headers["x-azmlinfsrv-generation"] == "2"
            assert loop.get("/").status == 503
            elsewhere = loop.post("/score", "{}", {"Host": "example.com"})
            assert elsewhere.status == 503 and "error" not in elsewhere.json()
        assert loop.output().count("no process can be started") == 1 and "Traceback" not in loop.output()
        python.symlink_to(os.path.realpath(sys.executable))
        loop.save("score.py", answering(3))
        assert loop.ask().json() == 3
        assert not loop.count("died")


def test_a_request_that_is_whole_when_all_is_well_again(tmp_path: Path) -> None:
    """One that had begun to come while nothing could answer is answered by the next generation."""
    python = interpreter(tmp_path)
    with open_loop(tmp_path, python, "gunicorn", answering(1)) as loop:
        python.unlink()
        loop.save("score.py", answering(2))
        loop.wait_for("not_ready", generation=2)
        with socket.create_connection(("127.0.0.1", loop.port), DEADLINE) as slow:
            slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
            assert loop.ask().status == 503  # so that the other one was looked at, too
            python.symlink_to(os.path.realpath(sys.executable))
            loop.save("score.py", answering(3))
            loop.wait_for("ready", generation=3)
            slow.sendall(b"Content-Length: 2\r\n\r\n{}")
            assert slow.makefile("rb").read().endswith(b"3")


def test_no_more_files_can_be_opened(tmp_path: Path) -> None:
    """By the tool, while it runs: a save cannot be served, and is said to be so; with more of them the next one is."""
    with Loop(tmp_path, "--no_warm", "--no_keep", score=answering(1)) as loop:
        number = loop.process.pid
        highest = max(int(name) for name in os.listdir(f"/proc/{number}/fd"))
        before = resource.prlimit(number, resource.RLIMIT_NOFILE)
        resource.prlimit(number, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        loop.save("score.py", answering(2))
        told = loop.wait_for("not_ready")
        assert "as many files open as it may" in told["error"]["message"]
        assert {loop.ask().status for _ in range(4)} == {503}
        resource.prlimit(number, resource.RLIMIT_NOFILE, before)
        loop.save("score.py", answering(3))
        assert loop.ask().json() == 3
        assert "Traceback" not in loop.output()


def test_every_process_ends_at_once(tmp_path: Path) -> None:
    """What they need to answer with anything is gone: nobody waits for the next one, and the next save tries again."""
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    env = {"PYTHONPATH": os.pathsep.join((str(shadow), environment({})["PYTHONPATH"]))}
    with Loop(tmp_path, "--no_warm", "--no_keep", score=answering(1), env=env) as loop:
        (shadow / "sitecustomize.py").write_text("import os; os._exit(5)\n")
        loop.save("score.py", answering(2))
        loop.wait_for("not_ready", again=False)
        assert loop.ask().json()["error"]["message"].startswith("the worker exited with code 5")
        assert loop.count("died") <= 2  # once more when the code from before has ended
        (shadow / "sitecustomize.py").unlink()
        loop.save("score.py", answering(3))
        assert loop.ask().json() == 3


def limited(limit: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *COMMAND, "--entry_script", "score.py", *arguments]
    (folder / "score.py").write_text(answering(1))
    return subprocess.run(command, cwd=folder, env=environment({}), capture_output=True, text=True, timeout=DEADLINE)


@pytest.mark.parametrize("mode", ["--reload", "--check", "--port=0"])
@pytest.mark.parametrize("number", [24, 40])
def test_too_few_files_may_be_opened(tmp_path: Path, number: int, mode: str) -> None:
    """One line says so, and how to get more."""
    done = limited(f"-n {number}", mode, "--events", "events.jsonl", folder=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"azmlinfsrv: error: a process may open only {number} files here")
    assert "ulimit -n" in done.stderr


def test_more_files_are_asked_for(tmp_path: Path) -> None:
    """Where the system allows them to those who ask."""
    done = limited("-Sn 24", "--check", folder=tmp_path)
    assert done.returncode == 0, done.stderr
