"""`--deployment` and `--run`, by the real command: what a save brings, what stays, what a command finds and leaves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from live import COMMAND, DEADLINE, GLANCE, ROOT, WINDOWS, Server, environment, is_alive

LIMIT = 60.0
SCRIPT = """import json
import os


def init():
    global facts
    folder = os.environ["AZUREML_MODEL_DIR"]
    facts = {"colour": os.environ.get("COLOUR"), "model": open(os.path.join(folder, "model", "m.txt")).read()}


def run(data):
    return {**facts, "n": json.loads(data)["n"]}
"""
DEPLOYMENT = """$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: my-endpoint
model:
  path: ./model
code_configuration:
  code: src
  scoring_script: score.py
environment_variables:
  COLOUR: blue
instance_type: Standard_DS3_v2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A deployment, its script and its model, in a folder with another folder for what the tests write."""
    project = tmp_path / "project"
    for folder in ("src", "model"):
        (project / folder).mkdir(parents=True)
    (project / "src" / "score.py").write_text(SCRIPT)
    (project / "model" / "m.txt").write_text("one")
    (project / "deployment.yml").write_text(DEPLOYMENT)
    return project


def check(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--deployment", "deployment.yml", "--check", *arguments]
    return subprocess.run(
        command,
        cwd=project,
        env=environment(environ),
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # what is for people is in the code page of Windows
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )


def ask(server: Server) -> dict[str, object]:
    answer = server.post("/score", '{"n": 1}')
    return {"status": answer.status, **answer.json()}


# --- --deployment


def test_a_save_of_the_deployment_brings_its_new_values(project: Path, tmp_path: Path) -> None:
    """Variables, the script, the model; each answer after the save is by the new values."""
    with Server("--deployment", "deployment.yml", "--reload", folder=tmp_path, cwd=project) as server:
        assert ask(server) == {"status": 200, "colour": "blue", "model": "one", "n": 1}
        (project / "deployment.yml").write_text(DEPLOYMENT.replace("COLOUR: blue", "COLOUR: green"))
        assert ask(server)["colour"] == "green"
        (project / "deployment.yml").write_text(DEPLOYMENT.replace("  COLOUR: blue", "  OTHER: x"))
        assert ask(server)["colour"] is None
        (project / "model" / "m.txt").write_text("two")
        assert ask(server)["model"] == "two"
        (project / "src" / "other.py").write_text(SCRIPT.replace('"n": json', '"m": json'))
        (project / "deployment.yml").write_text(DEPLOYMENT.replace("score.py", "other.py"))
        assert ask(server)["m"] == 1


def test_a_broken_deployment_is_told_and_the_old_values_stay(project: Path, tmp_path: Path) -> None:
    """At its line; the repair is picked up, also where it is a file that was missing."""
    with Server("--deployment", "deployment.yml", "--reload", folder=tmp_path, cwd=project) as server:
        (project / "deployment.yml").write_text(DEPLOYMENT.replace("instance_type", "instance_tipe"))
        error = server.wait_for("config_kept")["error"]
        assert (error["path"], error["line"], error["column"]) == (str(project / "deployment.yml"), 11, 1)
        assert error["message"] == "an online deployment has no key instance_tipe; did you mean instance_type?"
        assert ask(server)["colour"] == "blue"
        assert re.search(r"^deployment\.yml:11:1: error: an online deployment has no key", server.output(), re.M)
        later = DEPLOYMENT.replace("score.py", "later.py").replace("COLOUR: blue", "COLOUR: late")
        (project / "deployment.yml").write_text(later)
        assert ask(server)["colour"] == "blue"
        (project / "src" / "later.py").write_text(SCRIPT)
        assert ask(server)["colour"] == "late"


def test_what_lies_beside_the_model_is_no_model(project: Path, tmp_path: Path) -> None:
    """AZUREML_MODEL_DIR is the folder above the model; only the model itself is watched in it."""
    with Server("--deployment", "deployment.yml", "--reload", folder=tmp_path, cwd=project) as server:
        (project / "notes.txt").write_text("nothing")
        (project / "model" / "m.txt").write_text("two")
        assert ask(server)["model"] == "two"
        paths = [change["path"] for event in server.events() for change in event.get("changes", ())]
        assert paths == [str(project / "model" / "m.txt")]


def test_a_model_that_is_one_file(project: Path, tmp_path: Path) -> None:
    """It lies in AZUREML_MODEL_DIR, and it is watched, and nothing beside it."""
    (project / "src" / "score.py").write_text(SCRIPT.replace('folder, "model", "m.txt"', 'folder, "m.txt"'))
    (project / "deployment.yml").write_text(DEPLOYMENT.replace("./model", "model/m.txt"))
    with Server("--deployment", "deployment.yml", "--reload", folder=tmp_path, cwd=project) as server:
        (project / "model" / "other.txt").write_text("nothing")
        (project / "model" / "m.txt").write_text("two")
        assert ask(server)["model"] == "two"
        changes = [change for event in server.events() for change in event.get("changes", ())]
        assert [(change["path"], change["role"]) for change in changes] == [(str(project / "model" / "m.txt"), "model")]


def test_the_request_timeout_of_the_deployment_counts(project: Path, tmp_path: Path) -> None:
    """run() is cut off then, and the message names what to change."""
    (project / "src" / "score.py").write_text(SCRIPT.replace("    return", "    while True: pass\n    return"))
    (project / "deployment.yml").write_text(DEPLOYMENT + "request_settings: {request_timeout_ms: 200}\n")
    with Server("--deployment", "deployment.yml", "--reload", folder=tmp_path, cwd=project) as server:
        assert ask(server)["status"] == 500
        error = server.wait_for("request_failed")["error"]
        assert error["message"] == "run() timed out after 200 ms (request_timeout_ms)"


def test_a_wrong_deployment_refuses_the_start(project: Path) -> None:
    """In one line, with exit code 3 for what it holds and 1 for a file that is not there."""
    (project / "deployment.yml").write_text(DEPLOYMENT.replace("src", "scr"))
    done = check(project)
    place = project / "deployment.yml"
    assert done.returncode == 3 and done.stderr.startswith(
        f"azmlinfsrv: error: {place}:7:9: the code folder does not exist"
    )
    place.unlink()
    done = check(project)
    assert (done.returncode, done.stderr) == (1, f"azmlinfsrv: error: {place}: no such deployment file\n")


def test_packages_that_differ_are_told(project: Path) -> None:
    """One note for each that is missing or another version here, and none for the others."""
    (project / "conda.yml").write_text(
        "dependencies:\n  - python=3.7\n  - pip\n  - cudatoolkit=11\n  - pip:\n    - flask>=1\n    - waitress==0.0.1\n"
        "    - no-package-of-this-name~=1.0\n    - azureml-inference-server-http\n    - other; sys_platform == 'none'\n"
    )
    (project / "deployment.yml").write_text(DEPLOYMENT + "environment:\n  image: x\n  conda_file: conda.yml\n")
    done = check(project, "--check_format", "json")
    notes = json.loads(done.stdout)["notes"]
    assert done.returncode == 0 and len(notes) == 3, done.stdout
    assert re.fullmatch(r"conda\.yml:2: python==3\.7\.\*, and Python is 3\.\d+\.\d+\S* here", notes[0])
    assert re.fullmatch(r"conda\.yml:7: waitress==0\.0\.1, and installed is \S+ here", notes[1])
    assert notes[2] == "conda.yml:8: no-package-of-this-name~=1.0 is not installed here"


# --- --run

TEST = """
import json
import os
from urllib.request import Request, urlopen


def test_score():
    body = json.dumps({"n": 3}).encode()
    request = Request(os.environ["AZMLINFSRV_URL"] + "/score", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=20) as answer:
        assert json.load(answer)["n"] == EXPECTED
    assert os.environ["AZMLINFSRV_URL"].endswith(":" + os.environ["AZMLINFSRV_PORT"])
"""
PYTEST = f'"{sys.executable}" -m pytest -q -p no:cacheprovider tests/endpoint'


def with_tests(project: Path, expected: int = 3) -> None:
    (project / "tests" / "endpoint").mkdir(parents=True, exist_ok=True)
    (project / "tests" / "endpoint" / "test_score.py").write_text(TEST.replace("EXPECTED", str(expected)))


def test_the_readme_s_pipeline(project: Path) -> None:
    """The command of the README, in the folder of a deployment: it passes, and fails with what fails in it."""
    section = (ROOT / "README.md").read_text().partition("## A gate in a pipeline")[2]
    (line,) = [line.strip() for line in section.splitlines() if line.startswith("azmlinfsrv --deployment")]
    assert line == 'azmlinfsrv --deployment deployment.yml --check --run "pytest tests/endpoint"'
    for expected, code in [(3, 0), (4, 1)]:
        with_tests(project, expected)
        done = check(project, "--run", PYTEST)
        assert done.returncode == code, done.stdout + done.stderr
        assert f"1 {'passed' if code == 0 else 'failed'}" in done.stdout
    assert "FAILED tests/endpoint/test_score.py::test_score - assert 3 == 4" in done.stdout
    assert "[azmlinfsrv] check failed: the command failed with exit code 1 after" in done.stdout


LEAVE = """import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
with open("pid", "w") as file:
    file.write(str(left.pid))
if sys.argv[1:]:
    left.wait()
"""


def test_a_command_is_a_line_for_the_shell(project: Path) -> None:
    """Its exit code is the check's; nothing of it stays, not even what it left behind."""
    (project / "leave.py").write_text(LEAVE)
    done = check(project, "--run", f'"{sys.executable}" leave.py && exit 7')
    assert done.returncode == 7
    assert_gone(int((project / "pid").read_text()))


def assert_gone(pid: int) -> None:
    """Within a few seconds at most; one that only waits to be reaped is gone."""
    end = time.monotonic() + 5
    while time.monotonic() < end and is_alive(pid):
        time.sleep(GLANCE)
    assert not is_alive(pid)


def test_a_command_has_a_time_limit(project: Path) -> None:
    """Exit code 124, and its whole group is gone."""
    (project / "leave.py").write_text(LEAVE)
    limit = "8" if WINDOWS else "0.5"  # until it has written its file
    done = check(project, "--run", f'"{sys.executable}" leave.py and waits', "--run_timeout", limit)
    assert done.returncode == 124 and "was cut off after" in done.stdout
    assert_gone(int((project / "pid").read_text()))


def test_a_script_that_cannot_be_loaded_is_a_3_and_nothing_is_run(project: Path) -> None:
    """And JUnit tells the command as skipped."""
    (project / "src" / "score.py").write_text("import nothing_of_this_name\n")
    done = check(project, "--run", "echo ran > ran", "--check_format", "junit")
    assert done.returncode == 3 and not (project / "ran").exists()
    suite = ElementTree.fromstring(done.stdout)
    assert suite.get("skipped") == "1"
    assert [case.get("name") for case in suite if case.find("skipped") is not None] == ["command echo ran > ran"]


def test_what_the_command_met_is_told_in_every_format(project: Path) -> None:
    """JUnit as a case, GitHub as annotations at the script's line, JSON as data; its output does not mix with them."""
    (project / "bad.py").write_text(
        TEST.replace('{"n": 3}', '{"m": 3}').replace("EXPECTED", "3") + "\n\ntest_score()\n"
    )
    run = ("--run", f'"{sys.executable}" bad.py')
    done = check(project, *run, "--check_format", "junit")
    suite = ElementTree.fromstring(done.stdout)
    (case,) = [case for case in suite if (case.get("name") or "").startswith("command ")]
    failure = case.find("failure")
    assert (done.returncode, suite.get("failures")) == (1, "1") and failure is not None
    assert "HTTP Error 500" in (failure.get("message") or "") and f"{Path('src/score.py')}:12:" in (failure.text or "")
    assert "Traceback" in done.stderr
    done = check(project, *run, "--check_format", "github")
    assert re.search(r"^::error file=src/score.py,line=12,col=\d+,title=run::KeyError", done.stdout, re.M)
    assert re.search(r"^::error title=command::.*failed with exit code 1", done.stdout, re.M)
    found = json.loads(check(project, *run, "--check_format", "json").stdout)["command"]
    assert (found["ok"], found["exit_code"], found["errors"][0]["type"]) == (False, 1, "KeyError")


DEADLY = """import os
from urllib.request import Request, urlopen
for body in (b'{"n": 9}', b'{"n": 3}'):
    try:
        request = Request(os.environ["AZMLINFSRV_URL"] + "/score", body, {"Content-Type": "application/json"})
        print(urlopen(request, timeout=20).read().decode())
    except OSError as error:
        print(error)
"""


def test_a_request_of_the_command_may_end_the_server(project: Path) -> None:
    """It is started again for the next one, and the death is told."""
    script = SCRIPT.replace("    return", "    if json.loads(data)['n'] == 9: os._exit(5)\n    return")
    (project / "src" / "score.py").write_text(script)
    with_tests(project)
    (project / "deadly.py").write_text(DEADLY)
    done = check(project, "--run", f'"{sys.executable}" deadly.py && exit 6')
    assert done.returncode == 6, done.stdout + done.stderr
    assert '"n": 3' in done.stdout and re.search(r"score\.py:12:\d+: error: .*exit", done.stdout)


def test_with_reload_the_command_follows_each_load(project: Path, tmp_path: Path) -> None:
    """After the samples, by the new code; the first failing line is in the receipt; it is not run for a sample."""
    with_tests(project)
    (project / "sample.json").write_text('{"n": 1}')
    arguments = ("--deployment", "deployment.yml", "--reload", "--request", "sample.json", "--run", PYTEST)
    with Server(*arguments, folder=tmp_path, cwd=project) as server:
        first = server.wait_for("command", generation=1)
        assert (first["ok"], first["exit_code"]) == (True, 0)
        names = [event["event"] for event in server.events()]
        assert names.index("replayed") < names.index("command")
        (project / "src" / "score.py").write_text(SCRIPT.replace('["n"]', '["n"] + 1'))
        second = server.wait_for("command", generation=2)
        assert second["exit_code"] == 1
        assert second["line"] == "FAILED tests/endpoint/test_score.py::test_score - assert 4 == 3"
        assert f"failed with exit code 1 after {second['seconds']:.1f} s\n  FAILED tests" in server.output()
        (project / "sample.json").write_text('{"n": 2}')
        end = time.monotonic() + DEADLINE
        while [event["event"] for event in server.events()].count("replayed") < 3 and time.monotonic() < end:
            time.sleep(0.02)
        server.get()
        assert [event["event"] for event in server.events()].count("command") == 2


def test_a_save_cancels_the_command_and_the_end_ends_it(project: Path, tmp_path: Path) -> None:
    """What the cancelled one would have said is not said; when the tool ends, so does what it ran."""
    sleeper = (
        f"\"{sys.executable}\" -c \"import os, time; print(os.getpid(), file=open('pids', 'a')); time.sleep(300)\""
    )

    def pids(count: int) -> list[int]:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            text = (project / "pids").read_text() if (project / "pids").exists() else ""
            if len(found := [int(line) for line in text.splitlines()]) >= count and text.endswith("\n"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"{count} commands were not started")

    with Server("--deployment", "deployment.yml", "--reload", "--run", sleeper, folder=tmp_path, cwd=project) as server:
        (first,) = pids(1)
        (project / "src" / "score.py").write_text(SCRIPT + "\n")
        second = pids(2)[1]
        assert_gone(first)
        assert is_alive(second)
        server.stop()
        assert_gone(second)
        assert not [event for event in server.events() if event["event"] == "command"]
