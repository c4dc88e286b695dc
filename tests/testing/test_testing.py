# ruff: noqa: E501 -- scripts in texts
"""Scripts are loaded in this process, and by the plugin in runs of pytest; their answers and reports are looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from live import environment

from devserver.testing import ScriptFailed, load

LIMIT = 60.0
SCRIPT = """
import json
import os

import helper


def init():
    global model_dir, calls
    model_dir, calls = os.environ.get("AZUREML_MODEL_DIR"), 0


def run(data):
    global calls
    calls += 1
    return {"name": helper.NAME, "model_dir": model_dir, "x": json.loads(data)["x"], "calls": calls}
"""


def lay_out(folder: Path, name: str, script: str = SCRIPT) -> str:
    """A folder with a script and its helper; the script's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.py").write_text(script)
    (folder / "helper.py").write_text(f"NAME = {name!r}\n")
    return str(folder / "score.py")


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


# --- load


def test_a_script_is_asked_without_a_port(tmp_path: Path) -> None:
    """Status, JSON and headers are the server's; init() has run, once."""
    with load(lay_out(tmp_path / "a", "one"), model_dir="models") as scoring:
        answer = scoring.post({"x": [1, 2]}, {"x-request-id": "r1"})
        assert (answer.status, answer.json["x"], answer.json["name"]) == (200, [1, 2], "one")
        assert answer.json["model_dir"] == "models" and answer.headers["X-MS-Request-Id"] == "r1"
        assert scoring.post('{"x": 3}').json["calls"] == 2
        assert scoring.post(b'{"x": 4}').json["calls"] == 3
        assert scoring.get().text == "Healthy" and scoring.get("/nowhere").status == 404
        assert scoring.module is not None and scoring.module.calls == 3
        assert "calls" in scoring.get("/swagger.json").text or scoring.get("/swagger.json").json["swagger"]


def test_what_run_raises_is_reported(tmp_path: Path) -> None:
    """As an answer, and as a diagnostic at the script's line."""
    with load(lay_out(tmp_path / "a", "one")) as scoring:
        good, answer = scoring.post({"x": 1}), scoring.post({"y": 1})
        assert (answer.status, good.errors) == (500, ())
        (error,) = answer.errors
        assert (error.type, error.path, error.line) == ("KeyError", str(tmp_path / "a" / "score.py"), 16)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            SCRIPT.replace("global model_dir, calls", "1 / 0"),
            r"score\.py:9:\d+: error: ZeroDivisionError: division by zero",
        ),
        (SCRIPT.replace("import helper", "import helpr"), r"score\.py:5:\d+: error: ModuleNotFoundError"),
        (SCRIPT.replace("def run", "def ran"), r"does not have a run\(\) function defined"),
        (SCRIPT.replace("global model_dir, calls", "raise SystemExit(3)"), "SystemExit"),
    ],
    ids=["init", "import", "no run", "exit"],
)
def test_a_script_that_cannot_be_loaded(tmp_path: Path, script: str, words: str) -> None:
    """The report, and nothing stays behind."""
    before, variables = list(sys.path), dict(os.environ)
    with pytest.raises(ScriptFailed) as caught:
        load(lay_out(tmp_path / "a", "one", script), model_dir="models")
    assert re.search(words, str(caught.value))
    assert sys.path == before and dict(os.environ) == variables and "helper" not in sys.modules


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    """One kind of exception for all that keeps a script from being used."""
    with pytest.raises(ScriptFailed, match="no such deployment file"):
        load(deployment="deployment.yml")


def test_a_deployment_gives_the_script(tmp_path: Path) -> None:
    """Script, model and variables, as in Azure ML."""
    lay_out(tmp_path / "code", "one", SCRIPT.replace("helper.NAME", 'os.environ["COLOUR"]'))
    (tmp_path / "models").mkdir()
    (tmp_path / "deployment.yml").write_text(
        "name: b\nendpoint_name: e\nmodel: {path: models}\nenvironment_variables: {COLOUR: blue}\n"
        "code_configuration: {code: code, scoring_script: score.py}\n"
    )
    with load(deployment="deployment.yml") as scoring:
        answer = scoring.post({"x": 1}).json
        assert (answer["name"], answer["model_dir"]) == ("blue", str(tmp_path))
    assert "COLOUR" not in os.environ
    with load(deployment="deployment.yml", variables={"COLOUR": "red"}) as scoring:
        assert scoring.post({"x": 1}).json["name"] == "red"


def test_two_scripts_do_not_meet(tmp_path: Path) -> None:
    """Each has its own helper of the same name, its own variables, and keeps what a test has changed in it."""
    first, second = (lay_out(tmp_path / name, name) for name in ("a", "b"))
    with load(first, model_dir="one") as one, load(second, model_dir="two") as two:
        for scoring, name, model in [(one, "a", "one"), (two, "b", "two"), (one, "a", "one")]:
            answer = scoring.post({"x": 0}).json
            assert (answer["name"], answer["model_dir"]) == (name, model)
        import helper

        helper.NAME = "patched"
        assert two.post({"x": 0}).json["name"] == "b" and one.post({"x": 0}).json["name"] == "patched"
    assert "helper" not in sys.modules


def test_what_a_test_has_imported_is_the_script_s_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was patched before the script was loaded stays patched, and stays."""
    script = lay_out(tmp_path / "a", "one")
    monkeypatch.syspath_prepend(str(tmp_path / "a"))
    import helper

    monkeypatch.setattr(helper, "NAME", "patched")
    with load(script) as scoring:
        assert scoring.post({"x": 0}).json["name"] == "patched"
    assert sys.modules.pop("helper") is helper


def test_variables_that_a_test_sets_reach_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the script was loaded."""
    script = SCRIPT.replace("helper.NAME", 'os.environ["FLAG"]')
    with load(lay_out(tmp_path / "a", "one", script)) as scoring:
        monkeypatch.setenv("FLAG", "up")
        assert scoring.post({"x": 0}).json["name"] == "up"


def test_azure_s_request_and_response(tmp_path: Path) -> None:
    """A raw script, streams, and headers of its own."""
    script = (
        "from azureml.contrib.services.aml_request import rawhttp\n"
        "from azureml_inference_server_http.api.aml_response import AMLResponse\n\n\ndef init(): pass\n\n\n"
        "@rawhttp\ndef run(request):\n"
        "    return AMLResponse(request.get_data() + b'!', 201, {'x-own': 'yes'})\n"
    )
    with load(lay_out(tmp_path / "a", "one", script)) as scoring:
        answer = scoring.post(b"\x00\xff")
        assert (answer.status, answer.body, answer.headers["x-own"]) == (201, b"\x00\xff!", "yes")


def test_what_ends_a_test_is_no_failure_of_run(tmp_path: Path) -> None:
    """A skip, a time limit of pytest's or Ctrl-C in run() goes through."""
    script = SCRIPT.replace(
        "    global calls\n", "    raise KeyboardInterrupt\n    global calls\n".replace("global calls", "pass")
    )
    script = script.replace("    calls += 1\n", "").replace('"calls": calls', '"calls": 0')
    with load(lay_out(tmp_path / "a", "one", script)) as scoring, pytest.raises(KeyboardInterrupt):
        scoring.post({"x": 1})


def test_a_time_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SCORING_TIMEOUT_MS, without a signal, which pytest-timeout may need itself."""
    monkeypatch.setenv("SCORING_TIMEOUT_MS", "100")
    script = SCRIPT.replace("    calls += 1\n", "    while True: calls += 1\n")
    with load(lay_out(tmp_path / "a", "one", script)) as scoring:
        answer = scoring.post({"x": 1})
        assert answer.status == 500 and "Scoring timeout after 100 ms" in answer.json["message"]


# --- the plugin

TESTS = """
from azureml_inference_server_http.api.aml_request import AMLRequest
from azureml.contrib.services.aml_request import rawhttp
from devserver.testing import load


def test_good(scoring_script):
    answer = scoring_script.post({"x": 1})
    assert (answer.status, answer.json["name"]) == (200, "one")


def test_bad(scoring_script):
    assert scoring_script.post({"y": 1}).status == 200


def test_other(scoring_script):
    with load("b/score.py", model_dir="other") as other:
        assert other.post({"x": 1}).json["name"] == "two"
        assert scoring_script.post({"x": 1}).json["name"] == "one"
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest as a person runs it, with the plugins that are installed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = environment({"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None, "PYTHONDONTWRITEBYTECODE": "1"})
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder, name in [("a", "one"), ("b", "two")]:
        lay_out(tmp_path / folder, name)
    (tmp_path / "test_scripts.py").write_text(TESTS)
    return tmp_path


def test_the_plugin_is_installed() -> None:
    """By its entry point."""
    assert [each.value for each in entry_points(group="pytest11", name="azmlinfsrv")] == ["devserver.testing.plugin"]


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_run_with_the_plugin(project: Path, arguments: tuple[str, ...]) -> None:
    """Two scripts in one run; the test that fails shows the report."""
    done = run_pytest(project, "--scoring_script", "a/score.py", *arguments)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert f"{os.path.join('a', 'score.py')}:16:" in done.stdout and "error: KeyError: 'x'" in done.stdout
    assert "- azmlinfsrv -" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_script_that_fails_in_init(project: Path, arguments: tuple[str, ...]) -> None:
    """Each test that wants it is an error, with our report and no traceback of ours."""
    lay_out(project / "a", "one", SCRIPT.replace("global model_dir, calls", "open('nothing')"))
    done = run_pytest(project, "--scoring-script=a/score.py", *arguments)
    assert "3 errors" in done.stdout, done.stdout + done.stderr
    said = done.stdout.replace(os.sep, "/")
    assert re.search(r"a/score\.py:9:\d+: error: FileNotFoundError", said)
    assert "scoring.py" not in said.replace("devserver/testing/scoring.py", "")


@pytest.mark.parametrize("file", ["pytest.ini", "pyproject.toml"])
def test_the_script_may_stand_in_a_file(project: Path, file: str) -> None:
    """As an ini value, relative to the file; or where the server finds it."""
    inner = project / "tests"
    inner.mkdir()
    (project / "test_scripts.py").rename(inner / "test_scripts.py")
    text = (
        '[tool.azmlinfsrv]\nentry_script = "a/score.py"\n'
        if file == "pyproject.toml"
        else "[pytest]\nscoring_script = a/score.py\n"
    )
    (project / file).write_text(text)
    done = run_pytest(project, "tests", "-k", "good")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_nothing_is_imported_before_it_is_used(tmp_path: Path) -> None:
    """A project that has the package installed and does not use it pays next to nothing."""
    (tmp_path / "test_none.py").write_text(
        "import sys\n\n\ndef test_none():\n    assert not {'flask', 'yaml', 'devserver.config.settings'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
