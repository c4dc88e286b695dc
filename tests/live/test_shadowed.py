"""A project whose files are called as modules of the standard library are: the server does not take them for those."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from live import DEADLINE, environment
from loop import SERVERS, Loop, answering

from devserver.config import vscode

SHADOW = 'import os\nos.write(2, b"SHADOWED %s\\n")\nraise ImportError("this is not the library")\n'
CONSOLE_SCRIPT = Path(sys.executable).with_name("azmlinfsrv")
FIRST = {*sys.builtin_module_names, "__future__", "collections", "contextlib", "functools", "importlib", "keyword"}
FIRST |= {
    "operator",
    "reprlib",
    "types",
    "warnings",
    "runpy",
    "pkgutil",
    "abc",
    "copyreg",
}  # imported by Python itself for -m
COMMANDS = {"-m": ("-m", "devserver"), "task": vscode.START, "console script": (str(CONSOLE_SCRIPT),)}


def shadows(command: str) -> dict[str, str]:
    """A file for each module of the standard library, as far as Python itself does not fall over them."""
    left_out = FIRST if command == "-m" else sys.builtin_module_names
    names = sorted(sys.stdlib_module_names - set(left_out))
    return {f"{name}.py": SHADOW % name for name in names if importlib.util.find_spec(name)}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_files_named_like_modules_of_the_library(tmp_path: Path, command: str, server: str) -> None:
    """Answers, reloads and reports are as elsewhere, and none of these files is executed."""
    if command == "console script" and not CONSOLE_SCRIPT.exists():
        pytest.skip("the package is not installed here")
    with Loop(
        tmp_path,
        score=answering(1),
        files=shadows(command),
        server=server,
        command=(sys.executable, *COMMANDS[command]),
    ) as loop:
        assert loop.ask().json() == 1
        loop.save("score.py", answering(1).replace("1", "undefned"))
        loop.wait_for("ready", generation=2)
        assert loop.ask().status == 500
        loop.wait_for("request_failed")
        loop.save("score.py", "def init(: pass\n")
        loop.wait_for("not_ready", generation=3)
        assert loop.ask().status == 503
    assert "SHADOWED" not in loop.output()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no -P")
def test_with_a_safe_path_also_what_python_needs_itself(tmp_path: Path) -> None:
    """`python -m` alone would take these before anything of ours runs, as for any package."""
    for name in FIRST - set(sys.builtin_module_names):
        (tmp_path / f"{name}.py").write_text(SHADOW % name, encoding="utf-8")
    command = [sys.executable, "-P", "-m", "devserver", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, "SHADOWED" in done.stderr) == (0, False)


def test_the_script_finds_its_own(tmp_path: Path) -> None:
    """The user's colorsys.py is what the script imports by that name, as in Azure ML."""
    own = {"colorsys.py": "MINE = 5\n"}
    with Loop(tmp_path, score=answering(1, top="import colorsys").replace("1", "colorsys.MINE"), files=own) as loop:
        assert loop.ask().json() == 5
