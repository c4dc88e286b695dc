"""Each kind of bad input, given to the real command: one clear line, and the right exit code or HTTP answer."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from live import COMMAND, Server, environment

DEADLINE = 30.0
HEADLINE = re.compile(
    r"^(?:(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): )?(?P<severity>error|warning): (?P<text>.*)$", re.M
)
GOOD = "def init(): pass\ndef run(data): return data\n"
LOADED = f"open('loaded', 'w').close()\n{GOOD}"
ANY_PORT = ("--port", "0", "--events", "events")
SCRIPT = ("--entry_script", "score.py")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
Servers = pytest.mark.parametrize("server", [pytest.param("gunicorn", marks=POSIX), "waitress"])


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command to its end in tmp_path, where score.py notes that it was loaded."""
    (tmp_path / "score.py").write_text(LOADED, encoding="utf-8")

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            encoding="utf-8",
        )

    return run


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def refusal(done: subprocess.CompletedProcess[str], folder: Path) -> str:
    """The one line of a refusal; nothing was loaded, and nothing else was said."""
    assert not (folder / "loaded").exists()
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stdout + done.stderr
    assert done.stderr.startswith("azmlinfsrv: error: ")
    return done.stderr.strip()


def only_headline(output: str) -> dict[str, str]:
    """The parts of the one line with a problem; there is no traceback beside it."""
    [found] = list(HEADLINE.finditer(output))
    assert "Traceback" not in output
    return found.groupdict()


# --- the command line, the environment, the file


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "words"),
    [
        ((), {}, 1, ("--entry_script", "--config_file")),
        ((*SCRIPT, "--bogus"), {}, 1, ("--bogus", "--help")),
        ((*SCRIPT, "--port", "0"), {}, 1, ("--port", "0", "1 to 65535")),
        ((*SCRIPT, "--port", "70000"), {}, 1, ("--port", "70000", "1 to 65535")),
        ((*SCRIPT, "--port", "text"), {}, 1, ("--port", "'text'")),
        ((*SCRIPT, "--worker_count", "0"), {}, 1, ("--worker_count", "0")),
        (SCRIPT, {"WORKER_COUNT": "0"}, 1, ("WORKER_COUNT", "0")),
        (SCRIPT, {"WORKER_TIMEOUT": "soon"}, 2, ("WORKER_TIMEOUT", "'soon'")),
        (SCRIPT, {"SCORING_TIMEOUT_MS": "soon"}, 3, ("SCORING_TIMEOUT_MS", "'soon'")),
        ((*SCRIPT, "--config_file", "absent.json"), {}, 1, ("absent.json", "no such")),
        ((*SCRIPT, "--config_file", "."), {}, 1, (".", "folder")),
        ((*SCRIPT, "--config_file", "broken.json"), {}, 3, ("broken.json:2:3:", "not JSON")),
        ((*SCRIPT, "--config_file", "wrong.json"), {}, 3, ("wrong.json", "SERVICE_NAME", "5")),
        ((*SCRIPT, "--config_file", "latin.json"), {}, 3, ("latin.json", "UTF-8")),
        ((*SCRIPT, "--host", "a..b"), {}, 1, ("a..b", "--host")),
        ((*SCRIPT, "--events", "absent/events"), {}, 1, ("--events", "absent/events")),
        ((*SCRIPT, "--server", "apache"), {}, 1, ("--server", "apache")),
    ],
    ids=str,
)
def test_settings(
    command: Run,
    tmp_path: Path,
    arguments: tuple[str, ...],
    environ: Mapping[str, str],
    code: int,
    words: tuple[str, ...],
) -> None:
    """A setting that cannot be used is one line on stderr, before anything is loaded."""
    (tmp_path / "broken.json").write_text('{\n  SERVICE_NAME: "x"}', encoding="utf-8")
    (tmp_path / "wrong.json").write_text('{"SERVICE_NAME": 5}', encoding="utf-8")
    (tmp_path / "latin.json").write_bytes(b'{"SERVICE_NAME": "\xe9"}')
    done = command(*arguments, **environ)
    assert done.returncode == code
    line = refusal(done, tmp_path)
    assert [word for word in words if word not in line] == []


@Servers
@pytest.mark.parametrize("option", ["--port", "--health_port"])
def test_port_in_use(command: Run, tmp_path: Path, server: str, option: str) -> None:
    """A port in use is found at once, before the script is loaded, and the line names the way out."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        first = ("--port", "0", "--events", "events") if option == "--health_port" else ()
        done = command(
            *(*SCRIPT, "--server", server, "--host", "127.0.0.1", *first, option, str(port)),
            SEPERATE_HEALTH_ENDPOINT="true" if option == "--health_port" else "false",
        )
    assert done.returncode == 1
    line = refusal(done, tmp_path)
    assert f"port {port} is in use" in line and f"choose another with {option}" in line


# --- the script and the files beside it


@Servers
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("absent.py", "No such file"),
        ("folder.py", "directory"),
        ("loop.py", "symbolic links"),
        ("score.ipynb", "notebook"),
        ("score", "does not end in .py"),
    ],
)
def test_entry_script(command: Run, tmp_path: Path, server: str, script: str, words: str) -> None:
    """A script that is missing, a folder, unreadable or no Python file is one line on its line 1; exit code 3."""
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "score.ipynb").write_text("{}")
    (tmp_path / "score").write_text("def init(): pass\ndef run(data): return data\n")
    done = command("--entry_script", script, "--server", server, *ANY_PORT)
    assert done.returncode == 3
    found = only_headline(done.stdout)
    assert (found["path"], found["line"], found["column"], found["severity"]) == (script, "1", "1", "error")
    assert words.lower() in found["text"].lower()
    assert "[azmlinfsrv] not ready" in done.stdout


def test_no_script_in_the_file(command: Run, tmp_path: Path) -> None:
    """With a configuration file that names no script the module main is meant; its absence is one line."""
    (tmp_path / "config.json").write_text('{"SERVICE_NAME": "x"}', encoding="utf-8")
    done = command("--config_file", "config.json", *ANY_PORT)
    assert done.returncode == 3 and "main" in only_headline(done.stdout)["text"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("import nowhere_to_be_found\n", "1", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def init():\n    return (\n", "2", "SyntaxError: '(' was never closed"),
        ("def init():\n    return {}['key']\ndef run(data): pass\n", "2", "KeyError: 'key'"),
        ("def init():\n    raise SystemExit(0)\ndef run(data): pass\n", "2", "SystemExit: 0"),
        ("def run(data): pass\n", "1", "does not have a init() function defined"),
        ("def init(): pass\ndef run(): pass\n", "2", "run() needs to accept an argument for input data."),
    ],
)
def test_script_that_fails(command: Run, tmp_path: Path, text: str, line: str, words: str) -> None:
    """A script that cannot be loaded, or whose init() fails, is one line with its place; exit code 3."""
    (tmp_path / "score.py").write_text(text, encoding="utf-8")
    done = command(*SCRIPT, *ANY_PORT)
    found = only_headline(done.stdout)
    assert (done.returncode, found["path"], found["line"]) == (3, "score.py", line)
    assert words in found["text"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("logging.json", "{", "not JSON"),
        ("logging.json", '{"version": 1, "root": {"handlers": ["absent"]}}', "absent"),
        ("swagger.json", "{", "not JSON"),
    ],
)
def test_files_beside_the_script(command: Run, tmp_path: Path, name: str, content: str, words: str) -> None:
    """A broken logging.json or swagger file is one line that names the file; exit code 3."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = command(*SCRIPT, *ANY_PORT)
    found = only_headline(done.stdout)
    assert (done.returncode, found["path"]) == (3, name)
    assert words in found["text"]


def test_debugger_that_is_not_installed(command: Run, tmp_path: Path) -> None:
    """The debug port without debugpy is one line with the pip command; exit code 3, and no endless restarts."""
    (tmp_path / "debugpy.py").write_text("raise ImportError", encoding="utf-8")
    done = command(*SCRIPT, *ANY_PORT, AZUREML_DEBUG_PORT="5678")
    found = only_headline(done.stdout)
    assert done.returncode == 3 and "pip install debugpy" in found["text"]
    assert not (tmp_path / "loaded").exists()


@Servers
def test_model_dir_that_is_not_there(tmp_path: Path, server: str) -> None:
    """The server starts, the script sees the path as typed, and one line says that nothing is there."""
    (tmp_path / "score.py").write_text(
        "import os\ndef init(): pass\ndef run(d): return os.environ['AZUREML_MODEL_DIR']\n", encoding="utf-8"
    )
    with Server(*SCRIPT, "--model_dir", "no/where", "--server", server, folder=tmp_path) as running:
        assert running.post("/score", "x").json() == "no/where"
        lines = [line for line in running.output().splitlines() if "does not exist" in line]
    assert lines == [f"[azmlinfsrv] the model directory does not exist: {tmp_path / 'no/where'}"]


# --- requests


@pytest.fixture(scope="module", params=[pytest.param("gunicorn", marks=POSIX), "waitress"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose run() returns what Python makes of the body."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "score.py").write_text(
        "def init():\n    pass\n\n\ndef run(data):\n    value = eval(data)\n    return value\n", encoding="utf-8"
    )
    with Server(*SCRIPT, "--server", request.param, folder=folder) as running:
        yield running


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose run() takes a decorated parameter."""
    pytest.importorskip("inference_schema", reason="inference-schema is not installed")
    folder = tmp_path_factory.mktemp("schema")
    (folder / "score.py").write_text(
        """\
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
def init(): pass
@input_schema("data", StandardPythonParameterType([1]))
def run(data): return data
""",
        encoding="utf-8",
    )
    with Server(*SCRIPT, "--server", "waitress", folder=folder) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "words"),
    [
        ("POST", "/score", b"\xff", {}, 400, "Input cannot be decoded as UTF-8: "),
        ("POST", "/score", b"1", {"x-request-id": "x" * 101}, 431, "x-request-id must not exceed 100 characters"),
        ("GET", "/nowhere", None, {}, 404, "The requested URL was not found on the server."),
        ("DELETE", "/score", None, {}, 405, "The method is not allowed for the requested URL."),
        ("HEAD", "/score", None, {}, 405, ""),
        ("GET", "/swagger.json?version=9", None, {}, 404, "Swagger version [9] is not valid."),
    ],
)
def test_requests(
    plain: Server, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, words: str
) -> None:
    """A request that cannot be taken is refused with a message; it is not the script's failure, nor reported."""
    before = len(plain.events())
    answer = plain.request(method, path, body, headers)
    assert (answer.status, answer.headers["x-ms-run-function-failed"]) == (status, "False")
    assert answer.headers["Content-Type"] == "application/json"
    if words:
        assert answer.json()["message"].startswith(words)
    assert len(plain.events()) == before


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{}", "text/plain", 415, "Expects Content-Type to be application/json"),
        (b"{", "application/json", 400, "POST body could not be decoded as JSON: "),
        (b"\xff", "application/json", 400, "POST body could not be decoded as JSON: "),
        (b"", "application/json", 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"[]", "application/json", 400, "POST body should be a JSON dictionary."),
        (b"{}", "application/json", 400, "A value is not provided for the 'data' parameter."),
    ],
)
def test_requests_for_a_schema(schema: Server, body: bytes, kind: str, status: int, words: str) -> None:
    """A body that is not what the parameters need is refused with a message that says why."""
    answer = schema.post("/score", body, {"Content-Type": kind})
    assert (answer.status, answer.headers["x-ms-run-function-failed"]) == (status, "False")
    assert answer.json()["message"].startswith(words)


@pytest.mark.parametrize(
    ("value", "status", "text", "event", "words"),
    [
        ("{'a': [1, {2}]}", 500, None, "request_failed", 'result["a"][1] is set'),
        ("{'b': {(1, 2): 3}}", 500, None, "request_failed", 'a key of result["b"] is tuple'),
        ("[object()]", 500, None, "request_failed", "result[0] is object"),
        ("[float('nan'), 1]", 200, "[NaN, 1]", "warning", "run() returned NaN at result[0]"),
        ("(1, 201, 0)", 200, "[1, 201, 0]", "warning", "run() returned a tuple of 3"),
        ("None", 200, "{}", "warning", "run() returned None"),
    ],
)
def test_results(plain: Server, value: str, status: int, text: str | None, event: str, words: str) -> None:
    """A result that JSON cannot hold, or that surprises, is told once: which part of it, and the place in run()."""
    before = len(plain.output())
    answer = plain.post("/score", value)
    assert answer.status == status
    if text is None:
        assert answer.headers["x-ms-run-function-failed"] == "True"
        assert answer.json() == {
            "message": "An unexpected error occurred in scoring script. Check the logs for more info."
        }
    else:
        assert answer.body.decode() == text
    output = output_to_the_end(plain, before)
    told = only_headline(output)
    assert words in told["text"] and told["severity"] == ("error" if status == 500 else "warning")
    assert (told["path"].endswith("score.py"), told["line"]) == (True, "7")
    found = [each["error"] for each in plain.events() if each["event"] == event]
    assert [error["line"] for error in found if words in error["message"]] == [7]


def output_to_the_end(server: Server, before: int) -> str:
    """What was written since, when the report of one request is complete."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if "[azmlinfsrv] end of report\n" in (output := server.output()[before:]):
            return output
        time.sleep(0.01)
    raise AssertionError(f"no end of a report: {server.output()}")
