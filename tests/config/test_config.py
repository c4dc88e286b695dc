"""Arguments, an environment and files come in; the `Config`, or the one line that refuses them, is looked at."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devserver import __version__
from devserver.config.files import ConfigError
from devserver.config.settings import SETTINGS, Config
from devserver.config.sources import HelpAsked, command_line_parser, read_config
from devserver.config.variables import variables_of

KEY = "11111111-2222-3333-4444-55555555abcD"
Read = Callable[..., Config]
Refused = Callable[..., tuple[int, str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read the settings in tmp_path, with --entry_script score.py unless `script` is None."""

    def reading(*argv: str, script: str | None = "score.py", file: object = None, **environ: str) -> Config:
        if file is not None:
            (tmp_path / "config.json").write_text(json.dumps(file), encoding="utf-8")
        first = ("--entry_script", script) if script else ()
        return read_config([*first, *argv], environ, str(tmp_path))

    return reading


@pytest.fixture
def refused(read: Read) -> Refused:
    """The exit code and the text of a refusal, which must be one line."""

    def refusal(*argv: str, **facts: Any) -> tuple[int, str]:
        with pytest.raises(ConfigError) as caught:
            read(*argv, **facts)
        assert "\n" not in str(caught.value)
        return caught.value.exit_code, str(caught.value)

    return refusal


# --- defaults, sources, priority


def test_defaults(read: Read, tmp_path: Path) -> None:
    """Nothing but a script gives the values that the README promises."""
    config = read()
    expected = {
        "host": "0.0.0.0", "port": 5001, "health_port": 5000, "worker_count": 1, "worker_timeout": 300,
        "scoring_timeout_ms": 3600000, "service_name": "ML service", "service_version": "1.0", "hostname": "Unknown",
        "server": "waitress" if sys.platform == "win32" else "gunicorn", "model_dir": None, "reload": False,
        "log_response": True, "model_data": False, "debug_port": None, "log_level": "INFO", "notes": (),
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.sources == {"entry_script": "command line"}
    assert (config.app_root, config.script) == (str(tmp_path), str(tmp_path / "score.py"))


def test_priority(read: Read, tmp_path: Path) -> None:
    """The command line wins over the environment, that over the file, that over the default; each tells its source."""
    (tmp_path / "cli").mkdir()
    file = {"AZUREML_MODEL_DIR": "file", "SERVICE_NAME": "file", "SERVICE_VERSION": "file"}
    environ = {"AZUREML_MODEL_DIR": "environment", "SERVICE_NAME": "environment"}
    config = read("--model_dir", "cli", file=file, **environ)
    assert (config.model_dir, config.service_name, config.service_version) == ("cli", "environment", "file")
    names = ("model_dir", "service_name", "service_version", "workspace_name")
    found = [config.sources.get(name) for name in names]
    assert found == ["command line", "environment", "file", None]
    assert config.file_read == str(tmp_path / "config.json")


def test_config_travels(read: Read) -> None:
    """A configuration cannot be changed, and reaches another process as it is."""
    config = read(file={"SERVICE_NAME": "x"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    "argv",
    [
        ("--worker-count", "3", "--model-dir", "m-o-d"),
        ("--worker_c", "3", "--mod", "m-o-d"),
        ("--worker-c=3", "--mo=m-o-d"),
        ("--worker_count", "9", "--worker_count", "3", "--model_dir", "m-o-d"),
    ],
)
def test_spellings(read: Read, argv: tuple[str, ...]) -> None:
    """Dashes, abbreviations, `=` and repetition are understood; a value keeps its dashes."""
    config = read(*argv)
    assert (config.worker_count, config.model_dir) == (3, "m-o-d")


def test_every_option_by_both_spellings() -> None:
    """Each option of the table is known with underscores and with dashes, and stands in the help, --rest excepted."""
    options = {setting.flag for setting in SETTINGS if setting.flag}
    assert {"--entry_script", "--health_port", "--access_control_allow_origins", "--reload", "--server"} <= options
    with pytest.raises(HelpAsked) as asked:
        read_config(["--help"], {})
    shown = set(re.findall(r"^  (?:-h, )?(--\w+)", str(asked.value), re.MULTILINE))
    assert shown == options - {"--rest"} | {"--help", "--version"}
    for option in options:
        try:
            read_config(["--entry-script", "x", option.replace("_", "-")], {})
        except ConfigError as error:  # it needs a value, or another option
            assert "unrecognized" not in str(error)


def test_repeated_globs(read: Read) -> None:
    """--reload_include may be given several times."""
    assert read("--reload_include", "*.txt", "--reload-include=*.csv").reload_include == ("*.txt", "*.csv")


def test_help_and_version() -> None:
    """--help and --version are no errors; help says the version and the defaults, whatever else is wrong."""
    with pytest.raises(HelpAsked, match=re.escape(f"v{__version__}")) as asked:
        read_config(["-h"], {"WORKER_COUNT": "x"})
    assert "(default: 5001)" in str(asked.value)
    with pytest.raises(HelpAsked, match=rf"^azmlinfsrv {re.escape(__version__)}\n$"):
        read_config(["--version"], {})
    assert command_line_parser().prog == "azmlinfsrv"


# --- refusals


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--bogus",), ("--bogus", "azmlinfsrv --help")),
        (("stray",), ("stray",)),
        (("--port",), ("--port", "expected one argument")),
        (("--re",), ("--re", "--reload")),
        (("--port", "0"), ("--port", "0", "1 to 65535")),
        (("--port", "70000"), ("--port", "70000", "1 to 65535")),
        (("--port", "-1"), ("--port", "-1")),
        (("--port", "text"), ("--port", "'text'", "whole number")),
        (("--port", "5001.5"), ("--port", "5001.5", "whole number")),
        (("--port", ""), ("--port", "''")),
        (("--port", "9" * 400), ("--port", "whole number")),
        (("--health_port", "0"), ("--health_port", "0", "1 to 65535")),
        (("--health_port", "65536"), ("--health_port", "65536", "1 to 65535")),
        (("--worker_count", "0"), ("--worker_count", "0", "1 to 1000")),
        (("--worker_count", "many"), ("--worker_count", "'many'")),
        (("--server", "apache"), ("--server", "'apache'", "gunicorn", "waitress")),
        (("--graceful_timeout", "-1"), ("--graceful_timeout", "-1")),
        (("--graceful_timeout", "nan"), ("--graceful_timeout", "nan")),
        (("--graceful_timeout", "soon"), ("--graceful_timeout", "'soon'")),
        (("--config_file", "nowhere.json"), ("nowhere.json", "no such configuration file")),
        (("--config_file", "."), (".", "a folder")),
    ],
)
def test_bad_command_line(refused: Refused, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    """A bad option is one line that shows the option, the value and what would do; exit code 1."""
    code, text = refused(*argv)
    assert code == 1
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("argv", [(), ("--entry_script", ""), ("--port", "80")])
def test_no_script(refused: Refused, argv: tuple[str, ...]) -> None:
    """No script and no configuration file is refused, naming both options."""
    code, text = refused(*argv, script=None)
    assert code == 1 and "--entry_script" in text and "--config_file" in text


@pytest.mark.parametrize(
    ("variable", "value", "code", "words"),
    [
        ("WORKER_COUNT", "0", 1, "1 to 1000"),
        ("WORKER_COUNT", "text", 1, "'text'"),
        ("WORKER_COUNT", "", 1, "''"),
        ("WORKER_TIMEOUT", "soon", 2, "'soon'"),
        ("WORKER_TIMEOUT", "-1", 2, "-1"),
        ("SCORING_TIMEOUT_MS", "", 3, "''"),
        ("SCORING_TIMEOUT_MS", "-5", 3, "-5"),
        ("SCORING_TIMEOUT_MS", "1" + "0" * 30, 3, "ten years"),
        ("SCORING_TIMEOUT_MS", "nan", 3, "'nan'"),
        ("AZUREML_DEBUG_PORT", "70000", 3, "70000"),
        ("AML_MDC_STORAGE_ENABLED", "perhaps", 3, "'perhaps'"),
        ("APP_INSIGHTS_LOG_RESPONSE_ENABLED", "", 3, "''"),
        ("AZUREML_LOG_LEVEL", "LOUD", 3, "'LOUD'"),
        ("AZUREML_CONFIG_FILE", "nowhere.json", 3, "nowhere.json"),
    ],
)
def test_bad_environment(refused: Refused, variable: str, value: str, code: int, words: str) -> None:
    """A bad variable is one line that names it and shows the value, with the exit code of the contract."""
    found, text = refused(**{variable: value})
    assert found == code and words in text
    assert variable in text or variable == "AZUREML_CONFIG_FILE"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"A": ', ("config.json:1:7:", "not JSON")),
        (b'{\n "A": 1\n 2}', ("config.json:3:2:", "not JSON")),
        (b"[" * 100_000, ("config.json", "configuration file")),
        (b"1" * 5000, ("config.json", "configuration file")),
        (b'{"AZUREML_MODEL_DIR": "a\\u0000b"}', ("config.json: AZUREML_MODEL_DIR:", "NUL")),
        (b'{"AML_APP_ROOT": "\\ud800"}', ("config.json: AML_APP_ROOT:", "cannot be written")),
        (b"[1]", ("config.json:", "list", "object")),
        (b"null", ("config.json:", "object")),
        (b'{"A": "\xff"}', ("config.json:", "UTF-8")),
        (b'{"SERVICE_NAME": 5}', ("config.json:", "SERVICE_NAME", "5 is not text")),
        (b'{"SCORING_TIMEOUT_MS": "soon"}', ("SCORING_TIMEOUT_MS", "'soon'")),
        (b'{"SCORING_TIMEOUT_MS": 1.5}', ("SCORING_TIMEOUT_MS", "1.5")),
        (b'{"SCORING_TIMEOUT_MS": 1e999}', ("SCORING_TIMEOUT_MS", "whole number")),
        (b'{"SCORING_TIMEOUT_MS": [1]}', ("SCORING_TIMEOUT_MS", "[1]")),
        (b'{"SCORING_TIMEOUT_MS": 1' + b"0" * 400 + b"}", ("SCORING_TIMEOUT_MS", "whole number")),
        (b'{"APP_INSIGHTS_LOG_RESPONSE_ENABLED": {}}', ("APP_INSIGHTS_LOG_RESPONSE_ENABLED", "{}")),
        (b'{"AZUREML_DEBUG_PORT": 0}', ("AZUREML_DEBUG_PORT", "0")),
    ],
)
def test_bad_file(refused: Refused, tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    """A bad configuration file is one line that names the file and what is wrong in it; exit code 3."""
    (tmp_path / "config.json").write_bytes(content)
    code, text = refused()
    assert code == 3 and text.startswith(str(tmp_path / "config.json"))
    assert [word for word in words if word not in text] == []


def test_no_gunicorn_on_windows(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn on Windows is refused with a way out, before it is imported."""
    monkeypatch.setattr("devserver.config.rules.DEFAULT_SERVER", "waitress")
    code, text = refused("--server", "gunicorn")
    assert code == 1 and "--server waitress" in text


def test_same_port_twice(refused: Refused) -> None:
    """The port and the separate health port must differ."""
    code, text = refused("--health_port", "5001", SEPERATE_HEALTH_ENDPOINT="true")
    assert code == 1 and "--health_port" in text and "5001" in text


# --- values


@pytest.mark.parametrize(("text", "value"), [("500", 500), (" 500 ", 500), ("500.0", 500), ("0", 0)])
def test_lenient_numbers(read: Read, text: str, value: int) -> None:
    """Whole numbers are read leniently, from the environment as from the file."""
    assert read(SCORING_TIMEOUT_MS=text).scoring_timeout_ms == value
    assert read(file={"SCORING_TIMEOUT_MS": text}).scoring_timeout_ms == value
    assert read(file={"SCORING_TIMEOUT_MS": float(value)}).scoring_timeout_ms == value


@pytest.mark.parametrize(("word", "value"), [("true", True), ("1", True), ("YES", True), ("off", False), ("0", False)])
def test_lenient_booleans(read: Read, word: str, value: bool) -> None:
    """Booleans are read leniently; the documented name of the model data switch works beside the one that is read."""
    assert read(APP_INSIGHTS_LOG_RESPONSE_ENABLED=word).log_response is value
    assert read(AML_MDC_STORAGE_ENABLED=word).model_data is value
    assert read(AML_MODEL_DC_STORAGE_ENABLED=word).model_data is value
    assert read(file={"AML_MODEL_DC_STORAGE_ENABLED": word}).model_data is value


@pytest.mark.parametrize(("word", "value"), [("true", True), ("TRUE", True), ("1", False), ("yes", False)])
def test_switches_that_want_the_word_true(read: Read, word: str, value: bool) -> None:
    """Preload, the separate health port and the version header count only as the word true."""
    config = read(WORKER_PRELOAD=word, SEPERATE_HEALTH_ENDPOINT=word, SERVER_VERSION_LOG_RESPONSE_ENABLED=word)
    assert (config.worker_preload, config.separate_health, config.send_version) == (value,) * 3


def test_version_header(read: Read) -> None:
    """The header names this server, or nothing, or the user's own text when the switch is off."""
    assert read().server_version == f"azmlinfsrv/{__version__}"
    assert read(HTTP_X_MS_SERVER_VERSION="mine").server_version == f"azmlinfsrv/{__version__}"
    off = {"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false"}
    assert (read(**off).server_version, read(**off, HTTP_X_MS_SERVER_VERSION="mine").server_version) == ("", "mine")


def test_port_of_the_systems_choice(read: Read) -> None:
    """With an event stream that tells the real port, 0 means any free port."""
    config = read("--port", "0", "--health_port", "0", "--events", "events", SEPERATE_HEALTH_ENDPOINT="true")
    assert (config.port, config.health_port) == (0, 0)


# --- the file


def test_which_file(read: Read, tmp_path: Path) -> None:
    """Looked for: the named file, the app root's, the one beside the script; an empty one counts as none."""
    (tmp_path / "src").mkdir()
    beside, root, named = tmp_path / "src/config.json", tmp_path / "config.json", tmp_path / "named.json"
    beside.write_text('{"SERVICE_NAME": "beside"}', encoding="utf-8")
    assert read(script="src/score.py").service_name == "beside"
    root.write_text("", encoding="utf-8")
    assert read(script="src/score.py").service_name == "beside"
    root.write_text('{"SERVICE_NAME": "root", "WORKSPACE_NAME": "root"}', encoding="utf-8")
    assert read(script="src/score.py").service_name == "root"
    named.write_text("", encoding="utf-8")
    assert read("--config_file", "named.json", script="src/score.py").service_name == "root"
    named.write_text('{"SERVICE_NAME": "named"}', encoding="utf-8")
    for config in (read("--config_file", "named.json"), read(AZUREML_CONFIG_FILE=str(named))):
        assert (config.service_name, config.workspace_name, config.file_read) == ("named", "", str(named))
    assert variables_of(config)["AZUREML_CONFIG_FILE"] == str(named)


def test_file_beside_the_script(read: Read, tmp_path: Path) -> None:
    """A script of the command line is looked up from the working directory, behind links, whatever the app root is."""
    for folder in ("real", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "real/config.json").write_text('{"SERVICE_NAME": "beside the real one"}', encoding="utf-8")
    (tmp_path / "real/score.py").touch()
    (tmp_path / "link.py").symlink_to("real/score.py")
    assert read(script="real/score.py", AML_APP_ROOT="other").service_name == "beside the real one"
    assert read(script="link.py", AML_APP_ROOT="other").service_name == "beside the real one"
    assert str(tmp_path / "real/config.json") in read(script="link.py").watched_files


def test_file_with_a_byte_order_mark(read: Read, tmp_path: Path) -> None:
    """Files that Windows editors write are read."""
    (tmp_path / "config.json").write_text('{"SERVICE_NAME": "ü"}', encoding="utf-8-sig")
    assert read().service_name == "ü"


def test_every_key_of_the_file(read: Read) -> None:
    """What the documentation names for the file is read from it, also what the original forgets."""
    file = {
        "AZUREML_ENTRY_SCRIPT": "src/main.py", "AZUREML_SOURCE_DIRECTORY": "lib", "AZUREML_MODEL_DIR": ".",
        "SERVICE_NAME": "n", "SERVICE_VERSION": "v", "SERVICE_PATH_PREFIX": "p", "WORKSPACE_NAME": "w",
        "SCORING_TIMEOUT_MS": 5, "AZUREML_LOG_LEVEL": "debug", "APP_INSIGHTS_LOG_RESPONSE_ENABLED": False,
        "HOSTNAME": "h", "AZUREML_DEBUG_PORT": 5678, "AML_APP_ROOT": "root", "AML_APP_INSIGHTS_ENABLED": True,
        "AML_APP_INSIGHTS_KEY": KEY, "AML_MODEL_DC_STORAGE_ENABLED": True, "AML_CORS_ORIGINS": "*",
    }  # fmt: skip
    config = read("--config_file", "config.json", script=None, file=file)
    assert dataclasses.asdict(config).items() >= {
        "entry_script": "src/main.py", "source_directory": "lib", "model_dir": ".", "service_name": "n",
        "service_version": "v", "service_path_prefix": "p", "workspace_name": "w", "scoring_timeout_ms": 5,
        "log_level": "DEBUG", "log_response": False, "hostname": "h", "debug_port": 5678, "given_app_root": "root",
        "appinsights_enabled": True, "appinsights_key": KEY, "model_data": True, "cors_origins": "*", "notes": (),
    }.items()  # fmt: skip
    assert variables_of(config)["AZUREML_MODEL_DIR"] == "."
    assert config.telemetry_on


def test_odd_keys_of_the_file(read: Read) -> None:
    """null counts as absent; unknown keys, and keys in another case, are ignored with one note that names them."""
    config = read(file={"SERVICE_NAME": None, "service_version": "2", "PORT": 1, "AZUREML_ENTRY_SCRIPT": ""})
    assert (config.service_name, config.service_version, config.port) == ("ML service", "1.0", 5001)
    assert len(config.notes) == 1 and config.notes[0].endswith("ignored: service_version, PORT")


# --- paths and environment


def test_where_the_script_is(read: Read, tmp_path: Path) -> None:
    """The command line counts from the working directory, environment and file from the app root."""
    root = tmp_path / "root"
    assert read(script="a/score.py", AML_APP_ROOT=str(root)).script == str(tmp_path / "a/score.py")
    assert read(script=None, AZUREML_ENTRY_SCRIPT="a.py", AML_APP_ROOT=str(root)).script == str(root / "a.py")
    assert read(script=None, AZUREML_ENTRY_SCRIPT="a.py", AML_APP_ROOT="root").script == str(root / "a.py")
    assert read(AZUREML_ENTRY_SCRIPT="no.py", AML_APP_ROOT="").script == str(tmp_path / "score.py")
    config = read("--config_file", "config.json", script=None, file={"AZUREML_ENTRY_SCRIPT": "b.py"})
    assert config.script == str(tmp_path / "b.py")
    both = ("--config_file", "config.json", "--entry_script", "")
    assert read(*both, script=None, AZUREML_ENTRY_SCRIPT="").script == str(tmp_path / "b.py")
    assert read("--config_file", "config.json", script=None, file={"X": 1}).script is None


def test_search_path(read: Read, tmp_path: Path) -> None:
    """Appended are the app root, the source directory below it and, last, the script's own folder behind links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/score.py").touch()
    (tmp_path / "link.py").symlink_to("real/score.py")
    config = read(script="link.py", AZUREML_SOURCE_DIRECTORY="lib", AML_APP_ROOT=str(tmp_path / "root"))
    assert config.search_path == (str(tmp_path / "root"), str(tmp_path / "root/lib"), str(tmp_path / "real"))
    assert read().search_path == (str(tmp_path),)


def test_environment_of_the_script(read: Read, tmp_path: Path) -> None:
    """The script finds the variables of the contract's table, real paths among them, and no others."""
    (tmp_path / "real.py").touch()
    (tmp_path / "link.py").symlink_to("real.py")
    assert variables_of(read(script="link.py")) == {
        "AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": str(tmp_path / "real.py"), "WORKER_COUNT": "1",
        "SERVER_PORT": "5001", "HEALTH_PORT": "5001", "TRANSPORT_PROTOCOL": "grpc",
        "HTTP_X_MS_SERVER_VERSION": f"azmlinfsrv/{__version__}", "AML_APP_INSIGHTS_ENABLED": "false",
    }  # fmt: skip
    argv = ("--rest", "--model_dir", "m/../m", "--access_control_allow_origins", "", "--port", "80")
    found = variables_of(
        read(*argv, SERVER_VERSION_LOG_RESPONSE_ENABLED="no", WORKER_COUNT="2", AML_APP_ROOT="nowhere")
    )
    assert found.items() >= {
        "AML_APP_ROOT": "nowhere", "AZUREML_MODEL_DIR": "m/../m", "AML_CORS_ORIGINS": "", "TRANSPORT_PROTOCOL": "rest",
        "WORKER_COUNT": "2", "SERVER_PORT": "80", "HEALTH_PORT": "80",
    }.items()  # fmt: skip
    assert "HTTP_X_MS_SERVER_VERSION" not in found


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        ((), {"HEALTH_PORT": "7"}, "7"),
        (("--port", "80"), {"HEALTH_PORT": "7"}, "80"),
        ((), {"HEALTH_PORT": "7", "SEPERATE_HEALTH_ENDPOINT": "true"}, "5000"),
        (("--health_port", "81"), {"SEPERATE_HEALTH_ENDPOINT": "true"}, "81"),
    ],
)
def test_health_port_variable(read: Read, argv: tuple[str, ...], environ: dict[str, str], expected: str) -> None:
    """HEALTH_PORT is the separate port, else the port that was asked for, else what was there."""
    assert variables_of(read(*argv, **environ))["HEALTH_PORT"] == expected


# --- Application Insights


@pytest.mark.parametrize(
    ("argv", "environ", "on"),
    [
        ((), {"AML_APP_INSIGHTS_ENABLED": "true", "AML_APP_INSIGHTS_KEY": KEY}, True),
        ((), {"AML_APP_INSIGHTS_ENABLED": "True", "AML_APP_INSIGHTS_KEY": KEY}, False),
        ((), {"AML_APP_INSIGHTS_KEY": KEY}, False),
        ((), {"AML_APP_INSIGHTS_ENABLED": "true"}, False),
        (("--appinsights_instrumentation_key", KEY), {"AML_APP_INSIGHTS_ENABLED": "false"}, True),
        ((), {"APPLICATIONINSIGHTS_CONNECTION_STRING": "x"}, True),
        ((), {"APPLICATIONINSIGHTS_CONNECTION_STRING": "x", "AML_APP_INSIGHTS_ENABLED": "false"}, False),
    ],
)
def test_telemetry_switch(read: Read, argv: tuple[str, ...], environ: dict[str, str], on: bool) -> None:
    """Telemetry needs the switch and a key, or the option, or a connection string; the script's variable says which."""
    config = read(*argv, **environ)
    assert (config.telemetry_on, config.notes) == (on, ())
    assert variables_of(config)["AML_APP_INSIGHTS_ENABLED"] == ("true" if on else "false")


@pytest.mark.parametrize("key", ["x", KEY[:-1], f" {KEY}", KEY.replace("-", "")])
def test_bad_key(read: Read, key: str) -> None:
    """A key that is none switches telemetry off with one note that does not show it; serving goes on."""
    config = read("--appinsights_instrumentation_key", key)
    assert not config.telemetry_on and len(config.notes) == 1
    assert config.notes[0].startswith("Invalid Application Insights instrumentation key provided.")
    assert KEY[:-1] not in config.notes[0]


# --- notes


def test_notes(read: Read, tmp_path: Path) -> None:
    """What will not have the effect that was meant is said, a line each."""
    assert "SEPERATE_HEALTH_ENDPOINT" in read("--health_port", "80").notes[0]
    assert read("--health_port", "80", SEPERATE_HEALTH_ENDPOINT="True").notes == ()
    assert "AML_DBG_MODEL_INFO has no effect" in read(AML_DBG_MODEL_INFO="x").notes[0]
    assert read("--model_dir", "nowhere").notes == (f"the model directory does not exist: {tmp_path / 'nowhere'}",)
    (tmp_path / "file").touch()
    assert read(AZUREML_MODEL_DIR="file").notes == (f"the model directory is not a folder: {tmp_path / 'file'}",)


def test_the_page(read: Read) -> None:
    """Its port is given, or the one that people know, or any; without the loop there is none, which is said."""
    assert read("--reload").page is None
    assert [read("--reload", "--page", *port).page for port in ((), ("0",), ("8000",))] == [5002, 0, 8000]
    assert read("--page").notes == ("--page has no effect without --reload",)


def test_notes_about_waitress(read: Read) -> None:
    """What waitress cannot enforce is said if it was asked for, and only then."""
    waitress = ("--server", "waitress")
    assert read(*waitress).notes == read(*waitress, SCORING_TIMEOUT_MS="0", WORKER_TIMEOUT="0").notes == ()
    assert read(SCORING_TIMEOUT_MS="5", WORKER_TIMEOUT="5", HOSTNAME="x").notes == ()
    scoring, worker = read(*waitress, SCORING_TIMEOUT_MS="5", WORKER_TIMEOUT="5").notes
    assert "SCORING_TIMEOUT_MS" in scoring and "C code" in scoring and "WORKER_TIMEOUT" in worker


def test_notes_about_preload(read: Read) -> None:
    """Where each process loads the script by itself, WORKER_PRELOAD is said to have no effect."""
    assert read(WORKER_PRELOAD="true").notes == read("--reload", WORKER_PRELOAD="false").notes == ()
    for arguments in (("--reload",), ("--server", "waitress"), ("--reload", "--server", "waitress")):
        (note,) = read(*arguments, WORKER_PRELOAD="true").notes
        assert note.startswith("WORKER_PRELOAD has no effect")


def test_config_of_a_workspace(read: Read) -> None:
    """The file that the studio offers for download lies in many projects: what it holds is no unknown setting."""
    workspace = {"subscription_id": "s", "resource_group": "r", "workspace_name": "w"}
    assert read(file=workspace).notes == ()
    (note,) = read(file={**workspace, "WORKSPACE": "w"}).notes
    assert note.endswith("unknown settings are ignored: WORKSPACE")


def test_watched_files(read: Read, tmp_path: Path) -> None:
    """A reload looks at the files that are read at the start, there or not, each once."""
    (tmp_path / "c.json").write_text("{}", encoding="utf-8")
    watched = read("--config_file", "c.json", script="src/score.py").watched_files
    names = ["c.json", "config.json", "logging.json", "src/config.json", "src/logging.json", "swagger.json"]
    names += ["swagger2.json", "swagger3.json", "swagger3.1.json"]
    assert sorted(watched) == sorted(str(tmp_path / name) for name in names)
