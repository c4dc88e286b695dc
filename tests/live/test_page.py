"""The page's process beside the loop, without a browser: its start, end and crash, and what is told of requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from at_terminal import AtTerminal
from live import ROOT
from loop import Loop, answering
from mistakes import HAS_COLUMNS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, and presses keys in a terminal")

MIXED = """
import json
import flask
CACHED = flask.Response("same", status=200)
def init(): pass
def run(data):
    what = json.loads(data)
    if what == "file":
        return flask.send_file(__file__, mimetype="text/plain")
    if what == "stream":
        return flask.Response(iter(["a", "bc"]))
    if what == "cached":
        return CACHED
    if what == "nothing":
        return None
    return what["a"]
"""


def page_of(loop: Loop) -> tuple[str, int]:
    url = loop.wait_for("page")["url"]
    return url, int(url.rsplit(":", 1)[1].strip("/"))


def get(port: int, path: str = "/") -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def page_process(loop: Loop) -> int:
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in loop.processes()}
    return next(pid for pid, words in commands.items() if b"page" in words)


def first_news(port: int) -> dict[str, Any]:
    """The sections as a browser gets them that comes now."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/events")
        with connection.getresponse() as answer:
            while answer.readline().strip() != b"event: news":
                pass
            found: dict[str, Any] = json.loads(answer.readline()[6:])
            return found


def test_the_supervisor_imports_no_server() -> None:
    """What the page stands on costs memory in the page's own process only."""
    servers = {"flask", "waitress", "requests", "webbrowser"}
    asked = f"import sys, devserver.supervisor.start; print({servers} & {{*sys.modules}})"
    found = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "set()", found.stderr


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_every_answered_request_is_told(tmp_path: Path, server: str) -> None:
    """Good, failed, refused, streamed and sent as a file, with size and headline; probes and the document are not."""
    with Loop(tmp_path, score=MIXED, server=server) as loop:
        for body in ('{"a": 1}', '"file"', '"stream"', '"cached"', '"cached"', '"cached"', '"nothing"', '{"b": 1}'):
            loop.ask(body)
        loop.request("PUT", "/score", "x")
        loop.get("/")
        loop.get("/swagger.json")
        loop.get("/score?c=1")
        loop.save("score.py", "import nothing_of_this_name\n")
        loop.wait_for("not_ready")
        loop.ask()
        told = [loop.wait_for_nth("request", number) for number in range(1, 12)]
        time.sleep(0.3)
        assert loop.count("request") == 11
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    for event in told:
        pytest.importorskip("jsonschema").Draft202012Validator(schema).validate(event)
    size = len(MIXED)
    facts = [(each["method"], each["target"], each["status"], each["size"]) for each in told]
    assert facts[:7] == [("POST", "/score", 200, length) for length in (1, size, 3, 4, 4, 4, 2)]
    assert [fact[:3] for fact in facts[7:]] == [
        *(("POST", "/score", 500), ("PUT", "/score", 405), ("GET", "/score?c=1", 500), ("POST", "/score", 503)),
    ]
    headlines = [each["headline"] for each in told]
    assert headlines[:6] == [None] * 6 and "warning" in headlines[6]
    assert headlines[7] == f"score.py:16:{12 if HAS_COLUMNS else 1}: error: KeyError: 'a'" and headlines[8] is None
    assert "No module named 'nothing_of_this_name'" in headlines[10]
    assert [each["generation"] for each in told] == [1] * 10 + [2]


def test_the_page_beside_the_loop(tmp_path: Path) -> None:
    """Named in the first lines, bound to this machine only, knows what was, and ends with a tool that is killed."""
    with Loop(tmp_path, "--page", "0", score=answering(1)) as loop:
        url, port = page_of(loop)
        assert f"(page: {url})" in loop.output()
        assert get(port)[0] == 200
        loop.ask("{}")
        loop.wait_for("request")
        loop.wait_until(lambda: first_news(port)["status"]["state"] == "ready", "the page has heard of it, too")
        assert first_news(port)["problem"] is None
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{port:04X} 00000000:0000 0A" in listening and f"00000000:{port:04X} 00000000" not in listening
        loop.process.kill()
        loop.process.wait()
        assert loop.survivors() == []
    with pytest.raises(OSError):
        get(port)


def test_a_page_that_hangs_or_crashes_stops_nothing(tmp_path: Path) -> None:
    """Nobody waits for it, and its end is told."""
    with Loop(tmp_path, "--page", "0", score=answering("x" * 2000), server="waitress") as loop:
        get(page_of(loop)[1])
        page = page_process(loop)
        os.kill(page, signal.SIGSTOP)
        for number in range(300):
            loop.ask(f'{{"body": {number}}}')
        loop.save("score.py", f"raise ValueError({'y' * 100_000!r})\n")
        loop.wait_for("not_ready")
        loop.save("score.py", answering(2))
        loop.wait_for_nth("ready", 2)
        assert loop.ask().json() == 2
        os.kill(page, signal.SIGSEGV)
        os.kill(page, signal.SIGCONT)
        loop.wait_until(lambda: "the page has ended" in loop.output(), "the page's end is told")
        assert loop.ask().json() == 2
        loop.save("score.py", answering(3))
        loop.wait_for_nth("ready", 3)
        assert loop.ask().json() == 3


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One line, and the tool goes on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Loop(tmp_path, "--page", str(port), score=answering(1)) as loop:
            assert loop.ask().json() == 1
            (line,) = [line for line in loop.output().splitlines() if "no page" in line]
            assert line.startswith(f"[azmlinfsrv] no page: port {port} is in use; choose another with --page ")


def test_the_key_starts_it_and_opens_a_browser(tmp_path: Path) -> None:
    """The browser outlives reloads, for it is no stray, and the tool, for it is the person's."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\nexec sleep 30\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"BROWSER": f"{browser} %s &"}
    with AtTerminal(tmp_path, "--page", str(port), score=answering(1), env=env) as loop:
        os.kill(page_process(loop), signal.SIGKILL)
        loop.wait_until(lambda: "press o to start it again" in loop.output(), "the page's end is told")
        loop.press("o")
        loop.wait_until(opened.exists, "the browser was started")
        assert opened.read_text() == f"http://127.0.0.1:{port}/\n"
        assert get(port)[0] == 200
        loop.save("score.py", answering(2))
        loop.wait_for_nth("ready", 2)
        left = [pid for pid in loop.processes() if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert left
        for pid in left:
            os.kill(pid, signal.SIGKILL)
