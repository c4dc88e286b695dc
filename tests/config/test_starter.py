"""`--init`: the first files, never over others, and the one command to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from live import COMMAND, DEADLINE, environment

from devserver.config import command_names, starter, vscode
from devserver.config.files import ConfigError
from devserver.testing import load

NAMES = ["requirements.txt", "sample-request.json", "score.py"]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environment({}), capture_output=True, text=True, timeout=DEADLINE
    )


def test_the_first_files_answer(tmp_path: Path) -> None:
    """In a folder that is made for it: the script answers the sample."""
    started = starter.write(str(tmp_path), "new/one")
    assert sorted(os.listdir(tmp_path / "new" / "one")) == NAMES
    assert started.arguments == ("score.py", "--request", "sample-request.json")
    with load(str(tmp_path / "new" / "one" / "score.py")) as scoring:
        sample = json.loads((tmp_path / "new" / "one" / "sample-request.json").read_text())
        assert scoring.post(sample).json == {"sums": [6, 15]}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """What is there stays, and a script of one's own gets no sample that it may not understand."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text("mine")
    (tmp_path / "requirements.txt").write_text("mine")
    started = starter.write(str(tmp_path), None)
    assert started.lines == tuple(
        f"{name}: is there, and was left alone" for name in ("src/score.py", "requirements.txt")
    )
    assert started.arguments == ("src/score.py",)
    assert {path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"mine"}
    assert not (tmp_path / "score.py").exists()


def test_what_is_no_folder(tmp_path: Path) -> None:
    """A file, and a folder in which nobody may write: one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: this is a file"):
        starter.write(str(tmp_path), "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        starter.write(str(tmp_path), "file/below")


def test_the_command(tmp_path: Path) -> None:
    """The editor's files are written into the folder, too; the last line starts what was written."""
    done = run("--init", "a b", "--init_vscode", "--port", "6000", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert lines[:3] == [
        f"azmlinfsrv: {name}: written" for name in ("score.py", "sample-request.json", "requirements.txt")
    ]
    task = json.loads((tmp_path / "a b" / ".vscode" / "tasks.json").read_text())["tasks"][0]
    written = ["score.py", "--request", "sample-request.json", "--port", "6000", "--reload"]
    assert task["args"] == [*vscode.START, *written]
    script, sample = os.path.join("a b", "score.py"), os.path.join("a b", "sample-request.json")
    assert last.startswith("azmlinfsrv: to serve it: ")
    assert last.endswith(f' "{script}" --request "{sample}" --reload')
    assert "&&" not in last  # PowerShell 5 has none


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (None, "score.py --request sample-request.json"),
        (".", "score.py --request sample-request.json"),
        ("new", "new/score.py --request new/sample-request.json"),
    ],
)
def test_the_command_for_a_folder(tmp_path: Path, given: str | None, line: str) -> None:
    """From where one stands, without changing to it."""
    started = starter.write(str(tmp_path), given)
    assert starter.last_line(started, given, "azmlinfsrv") == f"azmlinfsrv {line} --reload".replace("/", os.sep)


def test_the_command_for_a_folder_elsewhere(tmp_path: Path) -> None:
    """The whole path, for there may be no way from one drive to the other; a script that is there is served."""
    (tmp_path / "mine" / "src").mkdir(parents=True)
    (tmp_path / "mine" / "src" / "score.py").write_text("")
    given = str(tmp_path / "mine")
    script = command_names.quoted(os.path.join(given, "src", "score.py"))
    line = starter.last_line(starter.write(os.sep, given), given, "azmlinfsrv")
    assert line == f"azmlinfsrv {script} --reload"


def test_a_file_is_no_folder_for_the_command(tmp_path: Path) -> None:
    """One line on stderr, exit code 1."""
    (tmp_path / "score.py").write_text("")
    done = run("--init", "score.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("azmlinfsrv: error: score.py: this is a file; --init takes the folder")


# --- how the command is called


def installed(folder: Path, name: str, module: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / (f"{name}.exe" if sys.platform == "win32" else name)
    path.write_text(f"#!/usr/bin/python3\nfrom {module} import main\n")
    path.chmod(0o755)
    return path


def test_the_shared_name_is_told_apart(tmp_path: Path) -> None:
    """Whoever stands first on the search path has it; the name of our own is not taken over."""
    theirs = installed(tmp_path / "theirs", "azmlinfsrv", "azureml_inference_server_http.amlserver")
    installed(tmp_path / "ours", "azmlinfsrv", "devserver.cli")
    own = str(installed(tmp_path / "ours", "azmlinfsrv-dev", "devserver.cli"))
    first, second = str(tmp_path / "theirs"), str(tmp_path / "ours")
    assert command_names.taken_over(f"{first}{os.pathsep}{second}") == str(theirs)
    assert command_names.taken_over(f"{second}{os.pathsep}{first}") is None
    assert command_names.taken_over(str(tmp_path)) is None
    assert command_names.command_to_type("", second, "python") == "azmlinfsrv"
    assert command_names.command_to_type("", f"{first}{os.pathsep}{second}", "python") == "azmlinfsrv-dev"
    assert command_names.command_to_type("", first, "/a b/python") == '"/a b/python" -m devserver'
    assert command_names.command_to_type(own, "", "python") == own


def test_words_for_a_shell() -> None:
    """In a way that cmd takes, too, where there is one; the rest as POSIX shells need it."""
    same = ("a", "C:\\x", "ä한.py")
    inside = ("a b", "C:\\a b", "C:\\Program Files (x86)\\x", "a;b", "it's", "")
    words = {word: word for word in same} | {word: f'"{word}"' for word in inside} | {"a$b c": "'a$b c'"}
    assert {word: command_names.quoted(word) for word in words} == words
