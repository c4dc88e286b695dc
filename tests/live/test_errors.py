"""What a developer sees of an error, through the real command: terminal, pipe, event stream and answer."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live import COMMAND, DEADLINE, Answer, Server, environment
from loop import Loop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")

MATCHER = re.compile(r"^(.+?):(\d+)(?::(\d+))?: (error|warning)[: ]")
CODE = re.compile(r"\x1b\[[0-9;]*m")
BROKEN = "import json\n\ndef init():\n    pass\n\ndef run(data):\n    return json.loads(data)['rows']\n"
MOVED = "# moved\n" * 20


def after(output: str, begin: str) -> list[str]:
    """The lines below the first that begins so."""
    lines = output.splitlines()
    return lines[next(number for number, line in enumerate(lines) if line.startswith(begin)) + 1 :]


def told(server: Server, name: str = "request_failed", **match: object) -> dict[str, Any]:
    event = server.wait_for(name, **match)
    record = event["error"]
    assert isinstance(record, dict)
    return record


def wait_until_shown(server: Server, text: str) -> str:
    """The output once it holds the text, which is written just after the event."""
    whole = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        if text in server.output():
            return server.output()
        whole.wait(0.01)
    raise AssertionError(f"never shown: {text}\n{server.output()}")


# ------------------------------------------------------------------- the block


@pytest.mark.parametrize("reload", [False, True])
def test_report_of_a_request(tmp_path: Path, reload: bool) -> None:
    """Begin line, headline, what people want to see, end line; one line alone is for the problem matcher."""
    (tmp_path / "score.py").write_text(BROKEN, encoding="utf-8")
    with Server("--entry_script", "score.py", *(["--reload"] if reload else []), folder=tmp_path) as server:
        assert server.post("/score", '{"row": 1}', {"Content-Type": "application/json"}).status == 500
        output = wait_until_shown(server, "end of report")
    below = after(output, "[azmlinfsrv] request failed: POST /score -> 500")
    assert below[0] == "score.py:7:12: error: KeyError: 'rows'" if sys.version_info >= (3, 11) else below[0]
    end = next(number for number, line in enumerate(below) if line.startswith("[azmlinfsrv]"))
    assert below[end].startswith("[azmlinfsrv] end of report")
    assert sum(bool(MATCHER.match(line)) for line in output.splitlines()) == 1
    assert len(below[:end]) <= 13
    assert any("hint: the request has the fields 'row'" in line for line in below[:end])
    assert any(line.startswith("  request: POST /score application/json 10 bytes") for line in below[:end])


@pytest.mark.parametrize("reload", [False, True])
def test_report_of_a_load(tmp_path: Path, reload: bool) -> None:
    """The headline stands below the line that opens the load, and the line that closes it says what is served."""
    (tmp_path / "score.py").write_text(
        "def init():\n    raise ValueError('no model')\n\ndef run(data):\n    pass\n", encoding="utf-8"
    )
    arguments = ["--entry_script", "score.py", *(["--reload"] if reload else [])]
    with Server(*arguments, folder=tmp_path, until="not_ready") as server:
        if not reload:
            assert server.process.wait(DEADLINE) == 3
        output = wait_until_shown(server, "[azmlinfsrv] not ready")
    lines = [line for line in after(output, "[azmlinfsrv] starting") if not re.match(r"\d{4}-", line)]
    assert lines[0] == "score.py:2:5: error: ValueError: no model" if sys.version_info >= (3, 11) else lines[0]
    close = "not ready: init() failed" if reload else "not ready: User's init function failed"
    assert any(line.startswith(f"[azmlinfsrv] {close}") for line in lines)
    assert "gunicorn.error - Reason" not in output and "Shutting down" not in output.partition("not ready")[2]


def test_full_traceback(tmp_path: Path) -> None:
    """Asked for, the library's calls stand there too; the headline stays the first line."""
    (tmp_path / "score.py").write_text(BROKEN.replace("['rows']", ""), encoding="utf-8")
    with Server("--entry_script", "score.py", "--reload", "--full_traceback", folder=tmp_path) as server:
        server.post("/score", "{")
        output = wait_until_shown(server, "end of report")
    below = after(output, "[azmlinfsrv] request failed")
    assert MATCHER.match(below[0]) and any("raw_decode" in line for line in below)
    assert sum(bool(MATCHER.match(line)) for line in below) == 1


def test_excerpt_is_of_the_source_as_loaded(tmp_path: Path) -> None:
    """run() had begun when the file was saved again: the report shows the lines that ran."""
    waiting = (
        "import pathlib, time\n\ndef init():\n    pass\n\ndef run(data):\n    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('go').exists():\n        time.sleep(0.01)\n    raise KeyError('as loaded')\n"
    )
    with Loop(tmp_path, score=waiting) as loop:
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(loop.ask()))
        asking.start()
        loop.wait_until((loop.project / "begun").exists, "run() has begun")
        loop.save("score.py", MOVED + BROKEN)
        loop.wait_for("restarting")
        loop.save("go", "")
        asking.join(DEADLINE)
        error = told(loop)
        output = wait_until_shown(loop, "end of report")
    assert answers[0].status == 500 and error["line"] == 10
    assert [10, "    raise KeyError('as loaded')"] in error["excerpt"]["lines"]
    assert "> 10 |     raise KeyError('as loaded')" in output and "# moved" not in output


def test_same_error_again(tmp_path: Path) -> None:
    """Shown once; then its headline with a counter, until another comes."""
    with Loop(tmp_path, score=BROKEN) as loop:
        for _ in range(3):
            loop.ask()
        loop.wait_for("request_failed", count=3)
        output = wait_until_shown(loop, "(3 times)")
        loop.ask("[")
        other = told(loop, count=1, generation=1)
    heads = [line for line in output.splitlines() if MATCHER.match(line)]
    assert len(heads) == 3 and heads[1:] == [f"{heads[0]} (2 times)", f"{heads[0]} (3 times)"]
    assert output.count("hint:") == 1 and other["type"] == "KeyError"


def test_death_has_its_hint(tmp_path: Path) -> None:
    """A process that was killed is reported with the line that ended it and with what may be the reason."""
    score = "import os\n\ndef init():\n    pass\n\ndef run(data):\n    os.kill(os.getpid(), 9)\n"
    with Loop(tmp_path, score=score) as loop:
        with pytest.raises(ConnectionError):
            loop.ask()
        error = told(loop, "died")
    assert error["line"] == 7 and "when memory runs out" in error["hint"]


def test_ignored_exception_is_a_warning(tmp_path: Path) -> None:
    """What Python only prints, because nobody can catch it, is told with its place."""
    odd = "class Odd:\n    def __del__(self):\n        raise ValueError('too late')\n\ndef init():\n    pass\n\n"
    with Loop(tmp_path, score=odd + "def run(data):\n    Odd()\n    return 1\n") as loop:
        assert loop.ask().status == 200
        error = told(loop, "warning")
    assert (error["line"], error["severity"]) == (3, "warning") and "ignored by Python" in error["message"]


# ---------------------------------------------------------------------- colour


def in_terminal(folder: Path, colour: str) -> str:
    """What the command writes to a real pseudo-terminal of 100 columns, from the first load to its report."""
    folder.mkdir()
    (folder / "score.py").write_text("import json\nNAME = jsn.dumps(1)\n", encoding="utf-8")
    events = folder / "events.jsonl"
    master, slave = pty.openpty()
    environ = environment({"TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": None, "FORCE_COLOR": None})
    process = subprocess.Popen(
        [*COMMAND, "--entry_script", "score.py", "--host", "127.0.0.1", "--port", "0", "--events", str(events)],
        cwd=folder, env={**environ, "PYTHON_COLORS": colour}, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    try:
        while True:
            seen += os.read(master, 65536)
    except OSError:  # the other end is closed
        pass
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert "\x1b" not in events.read_text(encoding="utf-8") and "\\u001b" not in events.read_text(encoding="utf-8")
    text = seen.decode().replace("\r\n", "\n")
    return "\n".join(line for line in text[text.index("starting") :].split("\n") if not re.match(r"\d{4}-", line))


def test_colour_in_a_terminal(tmp_path: Path) -> None:
    """On and off the text is the same; place, word and caret are coloured; events never are."""
    on, off = in_terminal(tmp_path / "on", "1"), in_terminal(tmp_path / "off", "0")
    assert "\x1b" not in off and CODE.sub("", on) == off.replace("/off/", "/on/")
    head = next(line for line in on.split("\n") if ": error: " in CODE.sub("", line))
    assert re.match(r"\x1b\[1mscore\.py:2:\d+:\x1b\[0m \x1b\[1m\x1b\[31merror: NameError\x1b\[0m: ", head), head


def test_no_colour_in_a_pipe(tmp_path: Path) -> None:
    """Neither in what is redirected nor in the event stream."""
    with Loop(tmp_path, score="1 / 0\n", until="not_ready") as loop:
        assert "\x1b" not in wait_until_shown(loop, "not ready: ")
        assert "\x1b" not in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


# ---------------------------------------------------------- where it would mislead


CRASH = """
import ctypes, faulthandler, sys
{ask}

def init():
    pass

def run(data):
    return inner()

def inner():
    ctypes.string_at(0)  # HERE
"""


@pytest.mark.parametrize("arguments", [("--reload",), ("--reload", "--server", "waitress"), ()])
@pytest.mark.parametrize(
    "ask",
    [
        "faulthandler.enable()",
        "from faulthandler import enable; enable(sys.stderr, all_threads=True)",
        "faulthandler.enable(open('crash.txt', 'w'))",
        "faulthandler.disable()",
    ],
)
def test_crash_of_a_script_that_has_its_own_word_with_faulthandler(
    tmp_path: Path, arguments: tuple[str, ...], ask: str
) -> None:
    """The very line is named, and not the `def` of run()."""
    (tmp_path / "score.py").write_text(CRASH.format(ask=ask))
    with Server("--entry_script", "score.py", *arguments, folder=tmp_path) as server:
        with pytest.raises(OSError):
            server.post("/score", "{}")
        error = told(server, "died")
        assert (error["line"], error["message"].startswith("the worker died in run(): SIGSEGV")) == (12, True)
        assert [frame["line"] for frame in error["frames"]] == [9, 12]


def test_crash_with_preload(tmp_path: Path) -> None:
    """The app was made in another process than the one that crashes."""
    (tmp_path / "score.py").write_text(CRASH.format(ask=""))
    env = {"WORKER_PRELOAD": "true"}
    with Server("--entry_script", "score.py", folder=tmp_path, env=env) as server:
        with pytest.raises(OSError):
            server.post("/score", "{}")
        assert told(server, "died")["line"] == 12


@pytest.mark.parametrize("arguments", [("--reload",), ()])
def test_wrong_logging_call_is_one_report(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """At its line, instead of all the calls that led there."""
    script = "import logging\ndef init():\n    pass\ndef run(data):\n    logging.error('rows', 3)\n    return 1\n"
    (tmp_path / "score.py").write_text(script)
    with Server("--entry_script", "score.py", *arguments, folder=tmp_path) as server:
        assert server.post("/score", "{}").body == b"1"
        error = told(server, "warning")
        assert (error["line"], error["code"]) == (5, "logging-call")
        output = wait_until_shown(server, "end of report")
    assert "Logging error" not in output and "devserver/" not in output


def test_refusals_of_the_router_leave_a_line(tmp_path: Path) -> None:
    """404 and 405, as any other answer does."""
    with Loop(tmp_path, score="def init(): pass\ndef run(data): return 1\n") as loop:
        assert [loop.post(path, "{}").status for path in ("/scores", "/")] == [404, 405]
        assert loop.request("PUT", "/score", "{}").status == 405
        assert loop.get("/").status == 200
        loop.ask()
        output = wait_until_shown(loop, "POST /score 200")
    for line in ("POST /scores 404", "POST / 405", "PUT /score 405"):
        assert output.count(line) == 1
    assert "GET / " not in output


FORMS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
PARTS = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_that_is_lost_is_told(tmp_path: Path, kind: str) -> None:
    """run() gets empty text, as in Azure ML, and may not even fail."""
    script = "def init(): pass\ndef run(data):\n    return [data]\n"
    with Loop(tmp_path, score=script) as loop:
        body = PARTS if "multipart" in kind else '{"a": 1}'
        assert loop.post("/score", body, {"Content-Type": kind}).json() == [""]
        note = loop.wait_for("note")["text"]
        assert note.startswith(f"a body sent as {kind.partition(';')[0]} reaches run() as empty text")
        loop.post("/score", "", {"Content-Type": kind})
        loop.post("/score", '{"a": 1}', {"Content-Type": "application/json"})
        assert loop.count("note") == 1


def test_a_form_that_makes_run_fail_is_the_hint(tmp_path: Path) -> None:
    """Whatever the exception is."""
    script = "def init(): pass\ndef run(data):\n    return data[0]\n"
    with Loop(tmp_path, score=script) as loop:
        loop.post("/score", '{"a": 1}', {"Content-Type": FORMS[0]})
        assert "does not reach the script" in told(loop)["hint"]


@pytest.mark.parametrize("form", ["human", "github", "junit", "json"])
def test_no_script_and_no_main(tmp_path: Path, form: str) -> None:
    """A check of what is not there ends with 3 in each format, and names no place."""
    (tmp_path / "config.json").write_text("{}")
    command = [*COMMAND, "--config_file", "config.json", "--check", "--check_format", form]
    done = subprocess.run(command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, "No module named 'main'" in done.stdout.replace("&apos;", "'")) == (3, True), done.stderr
    assert "?:1" not in done.stdout and f"no main.py in {tmp_path}" in done.stdout


def test_main_is_made(tmp_path: Path) -> None:
    """The module that is served without an entry script is picked up when it appears."""
    (tmp_path / "config.json").write_text("{}")
    with Server("--config_file", "config.json", "--reload", folder=tmp_path, until="not_ready") as server:
        error = told(server, "not_ready")
        assert (error["path"], error["line"], error["column"]) == (None, None, None)
        wait_until_shown(server, "\nerror: ModuleNotFoundError")
        (tmp_path / "main.py").write_text("def init(): pass\ndef run(data): return 1 // int(data)\n")
        server.wait_for("ready")
        assert server.post("/score", "1").body == b"1"
        assert server.post("/score", "0").status == 500
        assert told(server)["path"] == str(tmp_path / "main.py")


# ------------------------------------------------------------------------ HTTP


def test_error_object_is_for_this_machine(tmp_path: Path) -> None:
    """A foreign Host or Origin, or a forwarded request, gets the plain message, and no path and no source line."""
    foreign: list[dict[str, str]] = [
        {"Host": "example.org"},
        {"Origin": "https://example.org"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
    ]
    holding = "raise ValueError('secret')\n"
    with Loop(tmp_path, score=BROKEN) as loop:
        check(loop.ask, lambda headers: loop.post("/score", "{}", headers), foreign, 500)
        loop.save("score.py", holding)
        loop.wait_for("not_ready")
        check(loop.ask, lambda headers: loop.post("/score", "{}", headers), foreign, 503)


def check(
    near: Callable[[], Answer], far: Callable[[dict[str, str]], Answer], foreign: list[dict[str, str]], status: int
) -> None:
    answer = near()
    assert answer.status == status and answer.json()["error"]["file"].endswith("score.py")
    for headers in foreign:
        answer = far(headers)
        assert answer.status == status and set(answer.json()) == {"message"}, (headers, answer.body)
        assert "score.py" not in json.dumps(answer.json()) and b"secret" not in answer.body
