"""What a new user types first and sees then, in a terminal of 80 and of 120 columns."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from live import COMMAND, WINDOWS
from loop import answering

if WINDOWS:
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

from at_terminal import AtTerminal, transcript

COLUMNS = pytest.mark.parametrize("columns", [80, 120])
PLAIN = "def init(): pass\ndef run(data): return data\n"


def typed(*arguments: str, columns: int, cwd: Path) -> tuple[int, str]:
    """The command in a terminal, to its end."""
    return transcript(*COMMAND, *arguments, columns=columns, cwd=cwd)


@COLUMNS
def test_mistakes_at_the_start(tmp_path: Path, columns: int) -> None:
    """A misspelt option, a folder with several scripts, and one with none: a line each, and exit code 1."""
    for place in ("src", "code"):
        (tmp_path / place).mkdir()
    assert typed("--relaod", columns=columns, cwd=tmp_path) == (
        1,
        "azmlinfsrv: error: unrecognized arguments: --relaod; did you mean --reload? (see azmlinfsrv --help)\n",
    )
    code, shown = typed("--reload", columns=columns, cwd=tmp_path)
    assert code == 1 and "there is no score.py, src/score.py or code/score.py here (--init writes one)" in shown
    for place in ("src", "code"):
        (tmp_path / place / "score.py").write_text(PLAIN)
    code, shown = typed("--reload", columns=columns, cwd=tmp_path)
    assert code == 1 and "src/score.py and code/score.py are here" in shown and shown.count("\n") == 1


@COLUMNS
def test_a_port_in_use(tmp_path: Path, columns: int) -> None:
    """What is missing is told first, then the port, who has it, and which one is free; exit code 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        code, shown = typed("absent.py", "--host", "127.0.0.1", "--port", port, columns=columns, cwd=tmp_path)
    first, second = shown.splitlines()
    assert (code, first) == (1, "azmlinfsrv: error: no such script: absent.py")
    assert second.startswith(f"azmlinfsrv: error: port {port} is in use; choose another with --port (--port ")
    assert "(pid " in second


@COLUMNS
def test_help(tmp_path: Path, columns: int) -> None:
    """The help goes by the width of the terminal, and says what a first user types."""
    code, shown = typed("--help", columns=columns, cwd=tmp_path)
    assert code == 0 and max(map(len, shown.splitlines())) <= columns
    assert "usage: azmlinfsrv [SCRIPT] [options]" in shown and "azmlinfsrv score.py --model_dir ./model" in shown


@COLUMNS
def test_the_other_is_ours(tmp_path: Path, columns: int) -> None:
    """`--reload` alone serves src/score.py and says so; who starts it again is told where the first one runs.

    And whose the command `azmlinfsrv` is, where it is another package's.
    """
    other = tmp_path / "azmlinfsrv"
    other.write_text("#!/bin/sh\n# azureml_inference_server_http\n")
    other.chmod(0o755)
    search = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    loop = AtTerminal(tmp_path, files={"src/score.py": answering(1)}, entry_script=None, env={"PATH": search})
    loop.columns = columns
    with loop:
        assert loop.ask().json() == 1
        words = " ".join(loop.output().split())
        assert f"`azmlinfsrv` starts azureml-inference-server-http here ({other})" in words
        assert words.count("no script was named: src/score.py is served") == 1
        again = ("--reload", "--host", "127.0.0.1", "--port", str(loop.port))
        code, shown = typed(*again, columns=columns, cwd=loop.project)
        assert code == 1
        assert f"stop the other azmlinfsrv that listens on it (pid {loop.process.pid}, in {loop.project})" in shown


@COLUMNS
def test_init_and_the_editor(tmp_path: Path, columns: int) -> None:
    """An empty folder becomes a project; a second call says what it leaves alone, and what changes in the editor."""
    code, shown = typed("--init", "--init_vscode", columns=columns, cwd=tmp_path)
    assert code == 0
    assert shown.splitlines()[:-1] == [
        *(f"azmlinfsrv: {name}: written" for name in ("score.py", "sample-request.json", "requirements.txt")),
        *(f"azmlinfsrv: {path}: written" for path in sorted(written(tmp_path), reverse=True)),
    ]
    assert shown.splitlines()[-1].endswith(" score.py --request sample-request.json --reload")
    code, shown = typed("--init_vscode", "score.py", "--port", "7000", columns=columns, cwd=tmp_path)
    assert code == 0 and shown.count("args: --request sample-request.json -> --port 7000\n") == 3
    assert len(shown.splitlines()) < 10
    code, shown = typed("--init", columns=columns, cwd=tmp_path)
    assert code == 0 and shown.count("is there, and was left alone\n") == 3


def written(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in (folder / ".vscode").iterdir()]
