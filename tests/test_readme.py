"""Every command of the README is executed as it stands there, and shows what is promised.

What installs packages is executed where README_INSTALLS is set, as in `.ci/run`, which is itself the command for the
tests; everywhere else its packages are compared with setup.cfg.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from live import COMMAND, DEADLINE, ROOT, WINDOWS, Server, environment

from devserver import __version__
from devserver.config.settings import SETTINGS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) for line in block.splitlines()]
OURS = ("azmlinfsrv", ".venv/bin/azmlinfsrv")
FIRST = SHELL[0].split(" && ")
SERVED = [line for line in SHELL if shlex.split(line)[0] in OURS and "--reload" in line]
DEPLOYMENT = """
name: blue
endpoint_name: e
model:
  path: ./model
code_configuration:
  code: .
  scoring_script: score.py
environment:
  image: x
  conda_file: {dependencies: [pip]}
"""
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = SETUP["options.extras_require"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files that the commands name."""
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "score.py").write_text("def init(): pass\ndef run(data): return {'length': len(data)}\n")
    (folder / "sample.json").write_text('{"a": 1}')
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    return folder


def run(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line)
    assert words[0] in OURS
    return subprocess.run(
        [*COMMAND, *words[1:]], cwd=cwd, env=environment({}), capture_output=True, text=True, timeout=DEADLINE
    )


def test_each_command_is_of_a_kind_that_is_executed() -> None:
    """Here, in .ci/run (what installs), or in the test of the deployment; a new command needs a test."""
    here = [*SERVED, *(line for line in SHELL if line.startswith(("curl ", "shtab ")))]
    once = [line for line in SHELL if "--check" in line or "--init" in line]
    installs = [line for line in SHELL if line.startswith(("pip install ", "python3 -m venv "))]
    assert set(SHELL) == {*here, *once, *installs}


def test_the_first_screen(tmp_path: Path) -> None:
    """The model is trained, the script is served, and the request gets the answer that stands there."""
    pytest.importorskip("sklearn")
    assert README.index("```text") < README.index("## ")
    assert len(README[: README.index("## ")].splitlines()) < 40
    shutil.copytree(ROOT / "samples", tmp_path / "samples", ignore=shutil.ignore_patterns("outputs", "__pycache__"))
    _come_to_the_answer(tmp_path, [sys.executable], COMMAND)


def test_the_first_screen_for_windows() -> None:
    """The same commands, spelled as PowerShell needs them."""
    block = re.search(r"^```powershell\n(.*?)^```$", README, re.M | re.S)
    assert block is not None
    spelled = block[1].replace("python -m venv", "python3 -m venv").replace(".venv\\Scripts\\", ".venv/bin/")
    lines = spelled.replace("curl.exe", "curl").splitlines()
    assert [shlex.split(line) for line in lines] == [shlex.split(line) for line in (*FIRST, SHELL[1])]


@pytest.mark.skipif("README_INSTALLS" not in os.environ, reason="it installs packages; .ci/run asks for it")
@pytest.mark.timeout(400)
def test_the_first_screen_from_nothing(tmp_path: Path) -> None:
    """The same from a clone without anything in it, by the commands as they stand there."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "outputs", "__pycache__", "build", "*.egg-info"))
    install = " && ".join(FIRST[:2])
    assert FIRST[0].startswith("python3 -m venv ") and FIRST[1].startswith(".venv/bin/pip install ")
    subprocess.run(install, shell=True, cwd=clone, check=True, timeout=300)
    _come_to_the_answer(clone, [str(clone / ".venv/bin/python")], [str(clone / ".venv/bin/azmlinfsrv")])


def _come_to_the_answer(folder: Path, python: Sequence[str], command: Sequence[str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    train, serve, curl = (shlex.split(line) for line in (FIRST[2], FIRST[3], SHELL[1]))
    assert train[0] == ".venv/bin/python" and serve[0] in OURS and curl[0] == "curl"
    subprocess.run([*python, *train[1:]], cwd=folder, check=True, timeout=DEADLINE)
    (folder / "events").mkdir()
    with Server(*serve[1:], folder=folder / "events", cwd=folder, command=command) as server:
        url = curl[1].replace(":5001", f":{server.port}")
        called = subprocess.run(["curl", url, *curl[2:]], cwd=folder, capture_output=True, timeout=DEADLINE)
    shown = re.search(r"```text\n(.*?)\n```", README, re.S)
    assert shown is not None
    expected, found = json.loads(shown[1]), json.loads(called.stdout)
    assert found["species"] == expected["species"]
    assert found["probability"] == pytest.approx(expected["probability"], abs=0.05)  # as the version of scikit-learn


@pytest.mark.parametrize("line", SERVED[1:])
def test_serving(line: str, project: Path, tmp_path: Path) -> None:
    """Each of them comes to an answer."""
    with Server(*shlex.split(line)[1:], folder=tmp_path, cwd=project) as server:
        assert server.post("/score", "12345").json() == {"length": 5}


def test_init(tmp_path: Path) -> None:
    """It writes, and the one command that it names serves."""
    line = next(line for line in SHELL if "--init " in line)
    done = run(line, tmp_path)
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.splitlines()[-1].removeprefix("azmlinfsrv: to serve it: "), posix=not WINDOWS)
    script = os.path.join(shlex.split(line)[-1], "score.py")
    (tmp_path / "events").mkdir()
    with Server(*words[words.index(script) :], folder=tmp_path / "events", cwd=tmp_path, until="sample") as server:
        assert server.wait_for("sample")["status"] == 200


def test_check(project: Path) -> None:
    """The gate passes for what is right; the one with a suite is the business of live/test_run_and_deployment.py."""
    for line in (line for line in SHELL if "--check" in line and "--run" not in line):
        done = run(line, project)
        assert done.returncode == 0, done.stdout + done.stderr


def test_completion(tmp_path: Path) -> None:
    """The command writes a script that a shell can read."""
    pytest.importorskip("shtab")
    line = next(line for line in SHELL if line.startswith("shtab "))
    words = shlex.split(line.partition(" > ")[0])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0 and re.search(r"^complete .* azmlinfsrv$", done.stdout, re.M)


def test_what_is_installed_can_be_had() -> None:
    """The clone, a wheel that it builds, a file of the person's, or a package that setup.cfg names."""
    commands = re.findall(r"pip install ([^`\n&]+)", README)
    known = {re.split(r"[\[<>=;~ ]", line)[0] for extra in EXTRAS.values() for line in extra.split("\n") if line}
    assert len(commands) >= 5
    for word in (word for command in commands for word in shlex.split(command)):
        if word.startswith("."):
            assert set(filter(None, word[1:].strip("[]").split(","))) <= set(EXTRAS)
        elif word.endswith(".whl"):
            assert word.endswith(f"azmlinfsrv_devserver-{__version__}-py3-none-any.whl")
        else:
            assert word in known | {"-e", "-r", "requirements.txt"}


def test_the_tables() -> None:
    """Each option has its row, and so has each package that is required or an extra."""
    rows = [line for line in README.splitlines() if line.startswith("| ")]
    for setting in SETTINGS:
        if setting.flag and setting.help:
            assert any(re.search(rf"`{setting.flag}\b", row) for row in rows), setting.flag
    needed = SETUP["options"]["install_requires"] + "".join(EXTRAS[name] for name in EXTRAS if name != "test")
    for package in re.findall(r"^[A-Za-z][\w-]*", needed, re.M):
        assert any(re.search(rf"\b{package}\b", row) for row in rows), package
