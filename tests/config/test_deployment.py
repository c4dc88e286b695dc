# ruff: noqa: E501 -- a table reads better in long lines
"""A deployment file, and what is wrong with it, come in; the settings, or the place of the mistake, are looked at."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from deployments import CASES, Case
from live import environment

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.config.sources import read_config
from devserver.config.variables import variables_of

GOOD = "name: blue\nendpoint_name: e\ncode_configuration:\n  code: code\n  scoring_script: score.py\n"


def read(top: Path, *argv: str, file: str = "deployment.yml", **environ: str) -> Config:
    return read_config(["--deployment", file, *argv], environ, str(top))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_deployment_gives_script_model_and_variables(tmp_path: Path, case: Case) -> None:
    """As Azure ML would mount and set them; and it says what it cannot take over, and nothing else."""
    top = tmp_path / "top"
    case.lay_out(top)
    config = read(top, file=case.path)
    assert config.script == (str(top / case.script) if case.script else None)
    assert config.app_root == str(top / case.settings.get("app_root", Path(str(case.script)).parent))
    expected_dir = None if case.model_dir is None else str(top / case.model_dir)
    assert config.model_dir == expected_dir and variables_of(config).get("AZUREML_MODEL_DIR") == expected_dir
    assert case.variables.items() <= variables_of(config).items()
    assert "J" not in variables_of(config)
    for name, value in case.settings.items():
        if name != "app_root":
            assert _found(config, name) == value
    assert len(config.notes) == len(case.notes), config.notes
    assert all(words in note for words, note in zip(case.notes, config.notes, strict=True))
    assert config.deployment_files[0] == str(top / case.path)
    assert pickle.loads(pickle.dumps(config)) == config


def _found(config: Config, name: str) -> object:
    if name == "request_seconds":
        return config.limits.request_seconds
    if name in ("liveness", "readiness"):
        probe = getattr(config.limits, name)
        return (probe.initial_delay, probe.period, probe.timeout, probe.failures)
    return getattr(config, name)


def test_there_are_enough_of_them() -> None:
    """The table is what people write, not a sample of two."""
    assert len(CASES) >= 25


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("")
    (tmp_path / "deployment.yml").write_text(GOOD)
    return tmp_path


# --- priority


def test_the_command_line_and_the_environment_win(project: Path) -> None:
    """Command line > environment > deployment > config.json > pyproject.toml."""
    (project / "models").mkdir()
    (project / "other.py").write_text("")
    variables = "environment_variables: {WORKER_COUNT: 3, SERVICE_NAME: yaml, FREE: yaml, TAKEN: yaml}\n"
    (project / "deployment.yml").write_text(GOOD + "model: {path: models}\n" + variables)
    (project / "code" / "config.json").write_text('{"SERVICE_NAME": "json", "SERVICE_VERSION": "json"}')
    (project / "pyproject.toml").write_text("[tool.azmlinfsrv]\nworker_count = 5\nport = 7000\n")
    config = read(project)
    assert (config.worker_count, config.service_name, config.service_version, config.port) == (3, "yaml", "json", 7000)
    config = read(project, "--worker_count", "4", "--model_dir", "m", SERVICE_NAME="env", TAKEN="env")
    assert (config.worker_count, config.service_name, config.model_dir) == (4, "env", "m")
    assert config.model_tree == str(project / "m")
    assert variables_of(config)["FREE"] == "yaml" and "TAKEN" not in variables_of(config)
    config = read(project, "--entry_script", "other.py")
    assert config.script == str(project / "other.py")
    assert [note for note in config.notes if "scoring_script" in note] == [
        f"other.py is served, and not the scoring_script of {project / 'deployment.yml'}"
    ]


def test_what_the_command_line_replaces_need_not_exist(project: Path) -> None:
    """A container of one's own has no scoring script, and a model may lie elsewhere."""
    (project / "deployment.yml").write_text("name: b\nendpoint_name: e\nmodel: {path: nowhere}\n")
    config = read(project, "--entry_script", "code/score.py", "--model_dir", "code")
    assert (config.script, config.model_dir) == (str(project / "code" / "score.py"), "code")


def test_the_script_finds_itself_in_the_environment(project: Path) -> None:
    """AML_APP_ROOT and AZUREML_ENTRY_SCRIPT as with --entry_script."""
    found = variables_of(read(project))
    assert found["AML_APP_ROOT"] == str(project / "code")
    assert found["AZUREML_ENTRY_SCRIPT"] == str(project / "code" / "score.py")


def test_what_is_watched(project: Path) -> None:
    """The file, its conda file, and of the folder above the model nothing but the model."""
    (project / "models").mkdir()
    (project / "models" / "m.pkl").write_text("")
    (project / "conda.yml").write_text("dependencies: []")
    rest = "model: {path: models}\nenvironment: {conda_file: conda.yml}\n"
    (project / "deployment.yml").write_text(GOOD + rest)
    config = read(project)
    assert {str(project / "deployment.yml"), str(project / "conda.yml")} <= set(config.watched_files)
    assert (config.model_dir, config.model_tree, config.model_is_file) == (str(project), str(project / "models"), False)
    (project / "deployment.yml").write_text(GOOD + "model: {path: models/m.pkl}\n")
    config = read(project)
    assert (config.model_tree, config.model_is_file) == (str(project / "models" / "m.pkl"), True)


def test_telemetry_that_is_switched_on_needs_a_key(project: Path) -> None:
    """app_insights_enabled alone sends nowhere, and that is said."""
    (project / "deployment.yml").write_text(GOOD + "app_insights_enabled: true\n")
    assert any("app_insights_enabled has no effect here without" in note for note in read(project).notes)
    config = read(project, AML_APP_INSIGHTS_KEY="11111111-2222-3333-4444-555555555555")
    assert config.telemetry_on and not config.notes


@pytest.mark.parametrize(
    ("rest", "name"),
    [
        ("", "SCORING_TIMEOUT_MS"),
        ("request_settings: {request_timeout_ms: 70}\n", "request_timeout_ms"),
        (
            "request_settings: {request_timeout_ms: 7}\nenvironment_variables: {SCORING_TIMEOUT_MS: 9}",
            "SCORING_TIMEOUT_MS",
        ),
    ],
)
def test_a_time_limit_is_called_by_its_own_name(project: Path, rest: str, name: str) -> None:
    """What the person has to change."""
    (project / "deployment.yml").write_text(GOOD + rest)
    assert read(project).name_of_time_limit == name


# --- what is wrong

ENDPOINT = (
    "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json\nname: e\nauth_mode: key\n"
)
BATCH = "$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json\nname: b\n" + GOOD
WRONG: dict[str, tuple[str, tuple[int, int], str]] = {
    "empty": ("", (1, 1), "is empty"),
    "only comments": ("# nothing\n", (1, 1), "is empty"),
    "no YAML": ("name: [a\nb: 1\n", (2, 2), "is not YAML"),
    "a tab": ("name: b\ncode_configuration:\n\tcode: code\n", (3, 1), "a tab; YAML is indented with spaces"),
    "a wrong indent": ("name: b\n  code: c\n", (2, 7), "is not YAML"),
    "a control character": ("name: \x01\n", (1, 7), "is not YAML"),
    "an unknown tag": ("name: !secret x\n", (1, 7), "is not YAML"),
    "an alias to nothing": ("name: *x\n", (1, 7), "undefined alias"),
    "a list": ("- name: b\n", (1, 1), "holds a list, not a mapping"),
    "a text": ("hello\n", (1, 1), "not a mapping"),
    "two documents": (GOOD + "---\n" + GOOD, (7, 1), "holds 2 documents, not one"),
    "an endpoint": (ENDPOINT, (1, 1), "this is an endpoint file"),
    "an endpoint without schema": ("name: e\nauth_mode: key\n", (1, 1), "this is an endpoint file"),
    "endpoint and deployments": ("name: e\ntraffic: {blue: 100}\ndeployments: []\n", (1, 1), "this is an endpoint file"),
    "a batch deployment": (BATCH, (1, 1), "this is a batch deployment"),
    "a batch deployment without schema": (GOOD + "compute: azureml:cpu\nmini_batch_size: 2\n", (1, 1), "a batch deployment"),
    "a batch deployment by its type": ("name: b\nendpoint_name: e\ntype: model\n", (1, 1), "a batch deployment"),
    "a model": ("$schema: https://a/latest/model.schema.json\nname: m\n", (1, 1), "this is a model file"),
    "an environment": ("$schema: https://a/latest/environment.schema.json\nname: m\n", (1, 1), "this is an environment file"),
    "a conda file": ("name: m\nchannels: []\ndependencies: []\n", (1, 1), "this is a conda file"),
    "an unknown key": (GOOD + "instance_typ: x\n", (6, 1), "no key instance_typ; did you mean instance_type?"),
    "a key in the wrong place": (GOOD + "scoring_script: s\n", (6, 1), "did you mean code_configuration.scoring_script?"),
    "an unknown key below": (
        GOOD + "request_settings:\n  request_timeout: 3\n", (7, 3),
        "request_settings has no key request_timeout; did you mean request_timeout_ms?",
    ),
    "a key of nothing": (GOOD + "zzz: 1\n", (6, 1), "an online deployment has no key zzz"),
    "the form of 2021": (
        "name: b\ncode_configuration:\n  code: {local_path: code}\n  scoring_script: s\n", (3, 9),
        "code_configuration.code is a mapping, not text",
    ),
    "no number": (GOOD + "instance_count: many\n", (6, 17), "instance_count is 'many', not a whole number"),
    "no timeout": (GOOD + "request_settings: {request_timeout_ms: fast}\n", (6, 40), "not a whole number"),
    "a timeout of none": (GOOD + "request_settings: {request_timeout_ms: 0}\n", (6, 40), "not a number from 1"),
    "a list of variables": (GOOD + "environment_variables:\n  - A=1\n", (7, 3), "is a list, not a mapping"),
    "a nested variable": (GOOD + "environment_variables:\n  A: {b: c}\n", (7, 6), "A is a mapping, not text"),
    "a bad setting": (GOOD + "environment_variables:\n  WORKER_COUNT: two\n", (7, 17), "WORKER_COUNT: 'two'"),
    "code in a list": ("name: b\ncode_configuration: [code]\n", (2, 21), "code_configuration is a list, not a mapping"),
    "no scoring script": ("name: b\nmodel: azureml:m:1\n", (1, 1), "names no scoring script"),
    "code alone": ("name: b\ncode_configuration:\n  code: code\n", (3, 3), "names no scoring_script"),
    "no such script": (GOOD.replace("score.py", "scoer.py"), (5, 19), "did you mean score.py?"),
    "a script that is a folder": (GOOD.replace("score.py", "."), (5, 19), "is no file"),
    "no such code": (GOOD.replace("code: code", "code: ../src"), (4, 9), "the code folder does not exist"),
    "code that is a file": (GOOD.replace("code: code", "code: deployment.yml"), (4, 9), "is not a folder"),
    "code in Azure": (GOOD.replace("code: code", "code: azureml:c:1"), (4, 9), "name the script with --entry_script"),
    "no such model": (GOOD + "model:\n  path: ./model\n", (7, 9), "the model does not exist"),
    "no such conda file": (GOOD + "environment:\n  conda_file: env.yml\n", (7, 15), "the conda file does not exist"),
    "a template that nobody filled in": (GOOD.replace("score.py", "{{SCRIPT}}"), (5, 19), "is this a template"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_at_its_place(project: Path, text: str, place: tuple[int, int], words: str) -> None:
    """File, line and column, one line, exit code 3; and the values from before may stay."""
    (project / "deployment.yml").write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        read(project)
    error = caught.value
    assert (error.path, error.line, error.column) == (str(project / "deployment.yml"), *place), str(error)
    assert words in error.problem and "\n" not in str(error)
    assert (error.exit_code, error.keeps) == (3, True)


def test_a_file_that_cannot_be_read(project: Path) -> None:
    """Missing, a folder, not UTF-8."""
    for name, words in [("none.yml", "no such deployment file"), ("code", "this is a folder")]:
        with pytest.raises(ConfigError, match=words) as caught:
            read(project, file=name)
        assert caught.value.exit_code == 1 and caught.value.path == str(project / name)
    (project / "deployment.yml").write_bytes(b"name: b\nx: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        read(project)
    assert (caught.value.line, caught.value.column) == (2, 4)


def test_an_endpoint_file_tells_which_deployment_lies_beside_it(project: Path) -> None:
    """Which file is meant."""
    (project / "endpoint.yml").write_text(ENDPOINT)
    with pytest.raises(ConfigError, match=re.escape("is deployment.yml meant?")):
        read(project, file="endpoint.yml")


def test_a_conda_file_is_told_by_its_own_place(project: Path) -> None:
    """And not by the deployment's."""
    (project / "deployment.yml").write_text(GOOD + "environment: {conda_file: conda.yml}\n")
    for text, line in [("dependencies:\n  - [a\n", 3), ("dependencies: numpy\n", 1), ("- a\n", 1)]:
        (project / "conda.yml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            read(project)
        assert (caught.value.path, caught.value.line, caught.value.keeps) == (str(project / "conda.yml"), line, True)


def test_bombs_and_circles(project: Path) -> None:
    """A file that would be enormous, or holds itself, is read like any other."""
    levels = "".join(f"  k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (project / "deployment.yml").write_text(GOOD + "tags:\n  k0: &k0 x\n" + levels)
    assert read(project).script
    (project / "deployment.yml").write_text(GOOD + "tags: &t\n  me: *t\n")
    assert read(project).script
    (project / "deployment.yml").write_text(GOOD + "tags: " + "[" * 2000 + "]" * 2000)
    with pytest.raises(ConfigError):
        read(project)


# --- [tool.azmlinfsrv]


def test_the_table_of_pyproject(tmp_path: Path) -> None:
    """Found above the working folder; its paths are relative to it; names with dashes, too."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.azmlinfsrv]\nentry_script = "src/score.py"\nrequest = ["s/1.json", "s/2.json"]\n'
        'replay = "failed"\nreload-include = ["data/*.csv"]\ngraceful_timeout = 1.5\nreload = true\nmodel_dir = "m"\n'
    )
    config = read_config([], {}, str(inner))
    assert config.script == str(tmp_path / "src" / "score.py") and config.absolute_model_dir == str(tmp_path / "m")
    assert config.samples == (str(tmp_path / "s" / "1.json"), str(tmp_path / "s" / "2.json"))
    assert (config.replay, config.graceful_timeout, config.reload) == ("failed", 1.5, True)
    assert config.reload_include == (str(tmp_path / "data" / "*.csv"),)
    assert str(tmp_path / "pyproject.toml") in config.watched_files
    assert read_config(["--replay", "last"], {}, str(inner)).replay == "last"


def test_an_unknown_setting_is_told_with_its_place(tmp_path: Path) -> None:
    """And so is one that is for the command line only."""
    text = '[tool.black]\nreqest = 1\n[tool.azmlinfsrv]\nentry_script = "score.py"\n  reqest = "x"\ncheck = true\n'
    (tmp_path / "pyproject.toml").write_text(text)
    place = tmp_path / "pyproject.toml"
    notes = read_config(["--model_dir", str(tmp_path)], {}, str(tmp_path)).notes
    assert notes == (
        f"{place}:5:3: [tool.azmlinfsrv] has no setting reqest; did you mean request?",
        f"{place}:6:1: [tool.azmlinfsrv] has no setting check",
    )


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[tool.azmlinfsrv]\nport = 0.5\n", (2, 1), "port: "),
        ("[tool.azmlinfsrv]\nreload = 'yes'\n", (2, 1), "reload: 'yes' is neither true nor false"),
        ("[tool.azmlinfsrv]\nrequest = [1]\n", (2, 1), "request: 1 is not text"),
        ("[tool.azmlinfsrv]\nreplay = \n", (2, 10), "is not TOML"),
        ("[tool]\nazmlinfsrv = 1\n", (1, 1), "is no table"),
    ],
)
def test_a_wrong_table_is_refused_at_its_place(tmp_path: Path, text: str, place: tuple[int, int], words: str) -> None:
    """As is any other configuration."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(["--entry_script", "score.py"], {}, str(tmp_path))
    assert (caught.value.path, caught.value.line, caught.value.column) == (str(tmp_path / "pyproject.toml"), *place)
    assert words in caught.value.problem and caught.value.exit_code == 3


def test_a_pyproject_of_others_is_no_matter(tmp_path: Path) -> None:
    """Broken, or without our table: not ours, and not watched."""
    (tmp_path / "pyproject.toml").write_text("[tool.black\n")
    config = read_config(["--entry_script", "score.py"], {}, str(tmp_path))
    assert config.project_file is None and not config.notes


def test_help_reads_no_files_and_imports_nothing_for_them(tmp_path: Path) -> None:
    """It is as fast as without deployments."""
    (tmp_path / "pyproject.toml").write_text("[tool.azmlinfsrv]\nport = 1\n")
    found = "yaml tomllib tomli packaging devserver.config.deployment devserver.config.pyproject devserver.config.azure_deployment"
    code = f"import sys; from devserver.cli import run; run(['--help']); assert not set({found.split()}) & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment({}), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
