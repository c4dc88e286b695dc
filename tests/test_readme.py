"""Every command of the README is executed as it stands there, and shows what is promised.

What installs is executed by `.ci/run`; here its packages are compared with setup.cfg.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live import COMMAND, DEADLINE, ROOT, WINDOWS, Server, environment

from devserver import __version__
from devserver.config.settings import SETTINGS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) for line in block.splitlines()]
OURS = ("azmlinfsrv", ".venv/bin/azmlinfsrv")
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
    first, second = SHELL[0].split(" && "), shlex.split(SHELL[1])
    train, serve = shlex.split(first[-2]), shlex.split(first[-1])
    assert train[0] == ".venv/bin/python" and serve[0] in OURS and second[0] == "curl"
    subprocess.run([sys.executable, *train[1:]], cwd=tmp_path, check=True, timeout=DEADLINE)
    (tmp_path / "events").mkdir()
    with Server(*serve[1:], folder=tmp_path / "events", cwd=tmp_path) as server:
        sample = (tmp_path / second[-1].removeprefix("@")).read_bytes()
        answer = server.post("/score", sample, {"Content-Type": "application/json"})
    shown = re.search(r"```text\n(.*?)\n```", README, re.S)
    assert shown is not None
    expected, found = json.loads(shown[1]), answer.json()
    assert found["species"] == expected["species"]
    assert found["probability"] == pytest.approx(expected["probability"], abs=0.05)  # as the version of scikit-learn


@pytest.mark.parametrize("line", SERVED[1:])
def test_serving(line: str, project: Path, tmp_path: Path) -> None:
    """Each of them comes to an answer."""
    with Server(*shlex.split(line)[1:], folder=tmp_path, cwd=project) as server:
        assert server.post("/score", "12345").json() == {"length": 5}


@pytest.mark.skipif(WINDOWS, reason="cmd has no `&&` for a folder on another drive")
def test_init(tmp_path: Path) -> None:
    """It writes, and the one command that it names serves."""
    line = next(line for line in SHELL if "--init " in line)
    done = run(line, tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-1].removeprefix("azmlinfsrv: to serve it: ")
    change, command = said.split(" && ")
    folder = tmp_path / shlex.split(change)[1]
    words = shlex.split(command)
    (tmp_path / "events").mkdir()
    arguments = words[words.index("score.py") :]
    with Server(*arguments, folder=tmp_path / "events", cwd=folder, until="sample") as server:
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
