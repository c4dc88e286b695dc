"""Command line, environment and JSON file come in; one frozen `Config`, whose values know their source, goes out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from devserver import __version__

PROGRAM = "azmlinfsrv"
TRUE_WORDS = {"true", "1", "yes", "y", "on", "t"}
FALSE_WORDS = {"false", "0", "no", "n", "off", "f"}
INSTRUMENTATION_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TEN_YEARS = 10 * 366 * 86400  # seconds; what waits for longer overflows in the system's calls
REMOVED = ("AML_DBG_MODEL_INFO", "AML_DBG_RESOURCE_INFO")


class ConfigError(Exception):
    """Settings that cannot be used. `str(error)` is one line for the person; `exit_code` is the command's."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class HelpAsked(Exception):
    """`--help` was given; `str(asked)` is the text to print."""


# --- how one value is read; each takes the text of a flag or variable, or a JSON value, and raises ValueError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS | FALSE_WORDS and not (isinstance(value, float) and value not in (0.0, 1.0)):
        return word in TRUE_WORDS
    raise ValueError(f"{value!r} is neither true nor false")


def _integer(value: object) -> int:
    try:
        number = float(value) if isinstance(value, (int, float)) else float(_text(value).strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a whole number") from None
    if number != number or number in (float("inf"), float("-inf")) or number != int(number):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value) if isinstance(value, int) else int(number)


def _between(low: int, high: int, what: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _integer(value)
        if not low <= number <= high:
            raise ValueError(f"{value} is not {what}")
        return number

    return parse


def _seconds(value: object) -> float:
    try:
        number = float(_text(value)) if isinstance(value, str) else float(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not 0 <= number < 86400 * 365:
        raise ValueError(f"{value} is not a number of seconds from 0")
    return number


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return str(value)

    return parse


def _log_level(value: object) -> str:
    level = _text(value).strip().upper()
    if level not in {"DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"}:
        raise ValueError(f"{value!r} is not a log level (DEBUG, INFO, WARNING, ERROR, CRITICAL)")
    return level


def _exactly_true(value: object) -> bool:
    return value is True or value == "true"


def _true_any_case(value: object) -> bool:
    return str(value).lower() == "true"


_port = _between(1, 65535, "a port (1 to 65535)")
_port_or_any = _between(0, 65535, "a port (1 to 65535)")


@dataclass(frozen=True)
class Setting:
    """One row of the table: where a value may come from and how it is read.

    `flag` on the command line, `variables` in the environment (the first that is set counts), the first of them as key
    of the JSON file where `in_file`. `error_code` is the exit code for a bad value that did not come from a flag.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any
    flag: str | None = None
    variables: tuple[str, ...] = ()
    in_file: bool = False
    help: str | None = None
    metavar: str | None = None
    switch: bool = False
    repeated: bool = False
    error_code: int = 3


def _setting(default: Any, parse: Callable[[Any], Any], *variables: str, **facts: Any) -> Any:
    return field(default=default, metadata={"variables": variables, "parse": parse, **facts})


@dataclass(frozen=True)
class Config:
    """Every setting of the command, read once.

    Paths are as given; the properties make them absolute. `sources` tells for each field name `command line`,
    `environment`, `file` or `default`; `notes` are lines that the person should see once.
    """

    entry_script: str | None = _setting(
        None, _text, "AZUREML_ENTRY_SCRIPT", flag="--entry_script", in_file=True, metavar="FILE",
        help="the scoring script, a Python file with init() and run()",
    )  # fmt: skip
    model_dir: str | None = _setting(
        None, _text, "AZUREML_MODEL_DIR", flag="--model_dir", in_file=True, metavar="DIR",
        help="the folder with the model, handed to the script as AZUREML_MODEL_DIR",
    )  # fmt: skip
    host: str = _setting(
        "0.0.0.0", _text, flag="--host", metavar="ADDRESS",
        help="the address to listen on; 127.0.0.1 is reached from this machine only",
    )  # fmt: skip
    port: int = _setting(5001, _port_or_any, flag="--port", metavar="PORT", help="the port to listen on, 1 to 65535")
    health_port: int = _setting(
        5000, _port_or_any, flag="--health_port", metavar="PORT",
        help="a second port for health checks, used if SEPERATE_HEALTH_ENDPOINT is true",
    )  # fmt: skip
    worker_count: int = _setting(
        1, _between(1, 1000, "a number of workers (1 to 1000)"), "WORKER_COUNT", flag="--worker_count", metavar="N",
        help="processes (with waitress: threads) that answer", error_code=1,
    )  # fmt: skip
    server: str = _setting(
        "waitress" if sys.platform == "win32" else "gunicorn", _one_of("gunicorn", "waitress"), flag="--server",
        metavar="NAME", help="gunicorn or waitress",
    )  # fmt: skip
    config_file: str | None = _setting(
        None, _text, "AZUREML_CONFIG_FILE", flag="--config_file", metavar="FILE",
        help="a JSON file with settings; their names are those of the environment variables",
    )  # fmt: skip
    cors_origins: str | None = _setting(
        None, _text, "AML_CORS_ORIGINS", flag="--access_control_allow_origins", in_file=True, metavar="ORIGINS",
        help="origins that browsers may call from, separated by commas (CORS)",
    )  # fmt: skip
    appinsights_key: str | None = _setting(
        None, _text, "AML_APP_INSIGHTS_KEY", flag="--appinsights_instrumentation_key", in_file=True, metavar="KEY",
        help="send telemetry to the Application Insights instance with this instrumentation key",
    )  # fmt: skip
    rest: bool = _setting(False, _boolean, flag="--rest", switch=True)

    reload: bool = _setting(
        False, _boolean, flag="--reload", switch=True,
        help="watch the script, the modules it imports and the model folder; reload on every change",
    )  # fmt: skip
    reload_include: tuple[str, ...] = _setting(
        (), _text, flag="--reload_include", repeated=True, metavar="GLOB", help="also reload when such a file changes",
    )  # fmt: skip
    reload_exclude: tuple[str, ...] = _setting(
        (), _text, flag="--reload_exclude", repeated=True, metavar="GLOB", help="never reload for such a file",
    )  # fmt: skip
    reload_poll: bool = _setting(
        False, _boolean, flag="--reload_poll", switch=True,
        help="look at the files again and again instead of being told (network mounts, some containers)",
    )  # fmt: skip
    no_warm: bool = _setting(
        False,
        _boolean,
        flag="--no_warm",
        switch=True,
        help="import the libraries anew on every reload, instead of keeping a process that has imported them",
    )
    graceful_timeout: float = _setting(
        5.0, _seconds, flag="--graceful_timeout", metavar="SECONDS",
        help="how long a request in flight may go on after a save, before it is cut off",
    )  # fmt: skip
    events: str | None = _setting(
        None, _text, flag="--events", metavar="FILE", help="write what happens to FILE, one JSON record per line"
    )
    request: tuple[str, ...] = _setting(
        (), _text, flag="--request", repeated=True, metavar="FILE",
        help="send this sample request after each reload and show its answer: JSON, or a text like an .http file",
    )  # fmt: skip
    request_content_type: str | None = _setting(
        None, _text, flag="--request_content_type", metavar="TYPE",
        help="the content type of samples that are neither .json nor .http files",
    )  # fmt: skip
    replay: str | None = _setting(
        None, _one_of("failed", "last"), flag="--replay", metavar="WHICH",
        help="failed: send the last request that failed again after each reload, until it passes; last: the last one",
    )  # fmt: skip
    check: bool = _setting(
        False, _boolean, flag="--check", switch=True,
        help="load the script, call init(), send the --request samples, and exit: 0, 3 (load or init) or 4 (a sample)",
    )  # fmt: skip
    check_format: str = _setting(
        "human", _one_of("human", "json", "github", "junit"), flag="--check_format", metavar="FORMAT",
        help="how --check tells: human, json, github (annotations) or junit",
    )  # fmt: skip
    debug: int | None = _setting(
        None, _port, flag="--debug", metavar="PORT",
        help="with --reload: a debugger may attach to this port, and then debugs each generation (needs debugpy)",
    )  # fmt: skip
    debug_wait: bool = _setting(
        False, _boolean, flag="--debug_wait", switch=True,
        help="with --debug: load nothing until a debugger is attached",
    )  # fmt: skip
    init_vscode: bool = _setting(
        False, _boolean, flag="--init_vscode", switch=True,
        help="write .vscode/tasks.json and launch.json for this command, or add to them, and exit",
    )  # fmt: skip
    full_traceback: bool = _setting(
        False, _boolean, flag="--full_traceback", switch=True, help="show whole tracebacks, library frames too"
    )

    source_directory: str | None = _setting(None, _text, "AZUREML_SOURCE_DIRECTORY", in_file=True)
    given_app_root: str | None = _setting(None, _text, "AML_APP_ROOT", in_file=True)
    worker_timeout: int = _setting(
        300, _between(0, TEN_YEARS, "a number of seconds, from 0 (off) to ten years"), "WORKER_TIMEOUT", error_code=2
    )
    worker_preload: bool = _setting(False, _true_any_case, "WORKER_PRELOAD")
    separate_health: bool = _setting(False, _true_any_case, "SEPERATE_HEALTH_ENDPOINT")
    send_version: bool = _setting(True, _true_any_case, "SERVER_VERSION_LOG_RESPONSE_ENABLED")
    given_version: str = _setting("", _text, "HTTP_X_MS_SERVER_VERSION")
    scoring_timeout_ms: int = _setting(
        3600000, _between(0, TEN_YEARS * 1000, "a number of milliseconds, from 0 (off) to ten years"),
        "SCORING_TIMEOUT_MS", in_file=True,
    )  # fmt: skip
    service_name: str = _setting("ML service", _text, "SERVICE_NAME", in_file=True)
    service_version: str = _setting("1.0", _text, "SERVICE_VERSION", in_file=True)
    service_path_prefix: str = _setting("", _text, "SERVICE_PATH_PREFIX", in_file=True)
    workspace_name: str = _setting("", _text, "WORKSPACE_NAME", in_file=True)
    hostname: str = _setting("Unknown", _text, "HOSTNAME", in_file=True)
    appinsights_enabled: bool = _setting(False, _exactly_true, "AML_APP_INSIGHTS_ENABLED", in_file=True)
    connection_string: str | None = _setting(None, _text, "APPLICATIONINSIGHTS_CONNECTION_STRING")
    log_response: bool = _setting(True, _boolean, "APP_INSIGHTS_LOG_RESPONSE_ENABLED", in_file=True)
    model_data: bool = _setting(
        False, _boolean, "AML_MDC_STORAGE_ENABLED", "AML_MODEL_DC_STORAGE_ENABLED", in_file=True
    )
    debug_port: int | None = _setting(None, _port, "AZUREML_DEBUG_PORT", in_file=True)
    log_level: str = _setting("INFO", _log_level, "AZUREML_LOG_LEVEL", in_file=True)

    base: str = ""
    file_read: str | None = None
    outer_health_port: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def app_root(self) -> str:
        """AML_APP_ROOT or the working directory, as it was given."""
        return self.given_app_root or self.base

    @property
    def script(self) -> str | None:
        """The scoring script's absolute path with links as they stand, or None where the module `main` is meant."""
        if not self.entry_script:
            return None
        root = self.base if self.sources.get("entry_script") == "command line" else self.app_root
        return os.path.abspath(os.path.join(self.base, root, self.entry_script))

    @property
    def warm(self) -> bool:
        """Whether generations may come from a process that has imported the libraries already."""
        return not self.no_warm and self.debug_port is None

    @property
    def absolute_model_dir(self) -> str | None:
        """The model folder as an absolute path with links as they stand; None where there is none."""
        return os.path.abspath(os.path.join(self.base, self.model_dir)) if self.model_dir else None

    @property
    def samples(self) -> tuple[str, ...]:
        """The sample files as absolute paths, each once."""
        return tuple(dict.fromkeys(os.path.abspath(os.path.join(self.base, path)) for path in self.request))

    @property
    def search_path(self) -> tuple[str, ...]:
        """What is appended to sys.path for the script, in this order.

        The script's own folder stands last: in Azure it is found only where it is the app root.
        """
        script = (os.path.dirname(os.path.realpath(self.script)),) if self.script else ()
        source = (os.path.join(self.app_root, self.source_directory),) if self.source_directory else ()
        return tuple(dict.fromkeys((self.app_root, *source, *script)))

    @property
    def server_version(self) -> str:
        """The value of the x-ms-server-version header; empty text means none."""
        return f"{PROGRAM}/{__version__}" if self.send_version else self.given_version

    @property
    def telemetry_on(self) -> bool:
        """True where Application Insights is switched on with a usable key or connection string."""
        return self.appinsights_enabled and bool(self.connection_string or self.appinsights_key)

    @property
    def watched_files(self) -> tuple[str, ...]:
        """Files beside the code that a reload has to notice, whether they exist yet or not."""
        scripts = [self.script, os.path.realpath(self.script)] if self.script else []
        folders = [self.app_root, *map(os.path.dirname, scripts)]
        names = [os.path.join(folder, name) for folder in folders for name in ("config.json", "logging.json")]
        swagger = ("swagger.json", "swagger2.json", "swagger3.json", "swagger3.1.json")
        names += [os.path.join(self.app_root, name) for name in swagger]
        given = [self.config_file] if self.config_file else []
        return tuple(dict.fromkeys(os.path.abspath(os.path.join(self.base, name)) for name in given + names))

    def environment(self) -> dict[str, str]:
        """The variables that the script finds in its environment because of this configuration."""
        found = {
            "AML_APP_ROOT": self.app_root,
            "AZUREML_ENTRY_SCRIPT": self._entry_script_variable(),
            "AZUREML_MODEL_DIR": self.model_dir,
            "WORKER_COUNT": str(self.worker_count),
            "SERVER_PORT": str(self.port),
            "HEALTH_PORT": self._health_port_variable(),
            "TRANSPORT_PROTOCOL": "rest" if self.rest else "grpc",
            "HTTP_X_MS_SERVER_VERSION": self.server_version if self.send_version else None,
            "AML_APP_INSIGHTS_KEY": self.appinsights_key,
            "AML_APP_INSIGHTS_ENABLED": "true" if self.telemetry_on else "false",
            "AML_CORS_ORIGINS": self.cors_origins,
            "AZUREML_CONFIG_FILE": os.path.realpath(self.config_file) if self.config_file else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _entry_script_variable(self) -> str | None:
        given = self.sources.get("entry_script") == "command line" and self.script
        return os.path.realpath(given) if given else None

    def _health_port_variable(self) -> str:
        if self.separate_health:
            return str(self.health_port)
        if self.sources.get("port") == "command line" or self.outer_health_port is None:
            return str(self.port)
        return self.outer_health_port


def _settings() -> tuple[Setting, ...]:
    return tuple(
        Setting(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(Config) if f.metadata
    )


SETTINGS = _settings()
FILE_KEYS = {variable: setting for setting in SETTINGS if setting.in_file for variable in setting.variables}


# --- the command line


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {PROGRAM} --help)")


def _for_argparse(parse: Callable[[Any], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def command_line_parser() -> argparse.ArgumentParser:
    """The parser of the command, made from the table. Errors: it raises `ConfigError` instead of exiting."""
    parser = _Parser(
        prog=PROGRAM,
        add_help=False,
        description=f"Azure ML inference HTTP server v{__version__}, for development: serves a scoring script locally "
        "as Azure ML does, and reloads it on every save.",
        epilog="Option names may be written with dashes, too. The README lists the environment variables.",
    )
    for setting in SETTINGS:
        if setting.flag:
            parser.add_argument(setting.flag, **_argument(setting))
    parser.add_argument("-h", "--help", action="store_true", default=False, help="show this text and exit")
    parser.add_argument("--version", action="store_true", default=False, help="show the version and exit")
    return parser


def _argument(setting: Setting) -> dict[str, Any]:
    shown = argparse.SUPPRESS
    if setting.help:
        default = "" if setting.switch or not setting.default else f" (default: {setting.default})"
        shown = (setting.help + default).replace("%", "%%")
    facts: dict[str, Any] = {"dest": setting.name, "default": None, "help": shown}
    if setting.switch:
        return {**facts, "action": "store_true"}
    facts |= {"type": _for_argparse(setting.parse), "metavar": setting.metavar}
    return {**facts, "action": "append"} if setting.repeated else facts


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


# --- the three sources together


def _is_given(name: str, value: object) -> bool:
    """An empty text is a value, but no script."""
    return value is not None and (value != "" or name != "entry_script")


def read_config(argv: Sequence[str], environ: Mapping[str, str] | None = None, base: str | None = None) -> Config:
    """The configuration of this command line, environment and, where there is one, JSON file.

    Priority: command line, environment, file, default. Errors: `ConfigError`; `HelpAsked` for --help and --version.
    """
    environ = os.environ if environ is None else environ
    base = os.getcwd() if base is None else base
    given = _from_command_line(argv)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        if setting.name in given:
            values[setting.name], sources[setting.name] = given[setting.name], "command line"
        else:
            _from_environment(setting, environ, values, sources)
    path = _find_file(values, sources, base)
    notes = _from_file(path, values, sources) if path else []
    _key_switches_on(values, sources)
    config = Config(
        **values, base=base, file_read=path, outer_health_port=environ.get("HEALTH_PORT"), sources=sources, notes=()
    )
    notes += _check(config) + [
        f"{name} has no effect: it is no longer supported" for name in REMOVED if name in environ
    ]
    return _checked_telemetry(dataclasses.replace(config, notes=tuple(notes)))


def _from_command_line(argv: Sequence[str]) -> dict[str, Any]:
    parser = command_line_parser()
    given = vars(parser.parse_args([_with_underscores(argument) for argument in argv]))
    if given.pop("help"):
        raise HelpAsked(parser.format_help())
    if given.pop("version"):
        raise HelpAsked(f"{PROGRAM} {__version__}\n")
    found = {name: value for name, value in given.items() if _is_given(name, value)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _from_environment(
    setting: Setting, environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str]
) -> None:
    for variable in setting.variables:
        if _is_given(setting.name, environ.get(variable)):
            try:
                values[setting.name] = setting.parse(environ[variable])
            except ValueError as error:
                raise ConfigError(f"{variable} (environment variable): {error}", setting.error_code) from None
            sources[setting.name] = "environment"
            return


def _find_file(values: Mapping[str, Any], sources: Mapping[str, str], base: str) -> str | None:
    if values.get("config_file"):
        path = os.path.join(base, values["config_file"])
        _check_file(path, values["config_file"], 1 if sources["config_file"] == "command line" else 3)
        if os.path.getsize(path):
            return path
    found = Config(**values, base=base, sources=sources)
    folders = [os.path.join(base, found.app_root)]
    folders += [os.path.dirname(os.path.realpath(found.script))] if found.script else []
    for folder in folders:
        path = os.path.join(folder, "config.json")
        if os.path.isfile(path) and os.path.getsize(path):
            return path
    return None


def _check_file(path: str, given: str, exit_code: int) -> None:
    if not os.path.isfile(path):
        problem = "it is a folder, not a configuration file" if os.path.isdir(path) else "no such configuration file"
        raise ConfigError(f"{given}: {problem}", exit_code)


def _from_file(path: str, values: dict[str, Any], sources: dict[str, str]) -> list[str]:
    content = _read_json_object(path)
    for key, value in content.items():
        setting = FILE_KEYS.get(key)
        if setting is None or setting.name in values or not _is_given(setting.name, value):
            continue
        try:
            values[setting.name] = setting.parse(_storable(value))
        except ValueError as error:
            raise ConfigError(f"{path}: {key}: {error}", 3) from None
        sources[setting.name] = "file"
    unknown = [key for key in content if key not in FILE_KEYS]
    return [f"{path}: unknown settings are ignored: {', '.join(unknown)}"] if unknown else []


def _storable(value: Any) -> Any:
    """The value itself. Errors: ValueError for a text that no environment variable can hold."""
    if isinstance(value, str):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise ValueError(f"{value!a} cannot be written as text") from None
        if "\0" in value:
            raise ValueError(f"{value!a} has a NUL character in it")
    return value


def _read_json_object(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: the configuration file is not JSON: {error.msg}", 3)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the configuration file is not UTF-8: {error}", 3)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration file cannot be read: {error.strerror}", 3)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: the configuration file cannot be read: {error}", 3)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the configuration file holds {type(content).__name__}, not an object", 3)
    return content


def _key_switches_on(values: dict[str, Any], sources: dict[str, str]) -> None:
    """The option with the key, and a connection string, mean that telemetry is wanted."""
    by_string = values.get("connection_string") and "appinsights_enabled" not in sources
    if by_string or sources.get("appinsights_key") == "command line":
        values["appinsights_enabled"] = True


def _check(config: Config) -> list[str]:
    """What the person should know of these settings, line by line. Errors: `ConfigError` for what cannot be."""
    if not config.entry_script and not config.config_file:
        raise ConfigError("no scoring script: name it with --entry_script score.py, or give a --config_file")
    if config.debug is not None and not config.reload:
        raise ConfigError("argument --debug: it needs --reload")
    if config.debug_wait and config.debug is None:
        raise ConfigError("argument --debug_wait: it needs --debug PORT")
    if config.port == 0 and not config.events:
        raise ConfigError("argument --port: 0 is not a port (1 to 65535); it means any free port only with --events")
    if config.health_port == 0 and not config.events:
        raise ConfigError("argument --health_port: 0 is not a port (1 to 65535)")
    if config.separate_health and config.port == config.health_port != 0:
        raise ConfigError(f"--port and --health_port are both {config.port}; choose another for one of them")
    if config.server == "gunicorn" and sys.platform == "win32":
        raise ConfigError("gunicorn does not run on Windows; leave --server out, or give --server waitress")
    return [*_without_effect(config), *_limits_of_waitress(config), *_about_model_dir(config)]


def _without_effect(config: Config) -> list[str]:
    found = []
    if config.sources.get("health_port") and not config.separate_health:
        found.append("--health_port has no effect without the environment variable SEPERATE_HEALTH_ENDPOINT=true")
    if config.request and not config.reload and not config.check:
        found.append("--request has no effect without --reload or --check")
    if config.replay and not config.reload:
        found.append("--replay has no effect without --reload")
    return found


def _limits_of_waitress(config: Config) -> list[str]:
    if config.server != "waitress":
        return []
    found = []
    if config.scoring_timeout_ms and "scoring_timeout_ms" in config.sources:
        found.append(
            "SCORING_TIMEOUT_MS: under waitress a call into C code (a library's, or time.sleep) is not interrupted; "
            "the limit takes effect when it returns"
        )
    if config.worker_timeout and "worker_timeout" in config.sources:
        found.append("WORKER_TIMEOUT has no effect under waitress")
    return found


def _about_model_dir(config: Config) -> list[str]:
    folder = config.absolute_model_dir
    if folder is None or os.path.isdir(folder):
        return []
    problem = "is not a folder" if os.path.exists(folder) else "does not exist"
    return [f"the model directory {problem}: {folder}"]


def _checked_telemetry(config: Config) -> Config:
    if not config.appinsights_enabled or config.connection_string or not config.appinsights_key:
        return config
    if INSTRUMENTATION_KEY.fullmatch(config.appinsights_key):
        return config
    note = "Invalid Application Insights instrumentation key provided. Application Insights has been disabled."
    return dataclasses.replace(config, appinsights_enabled=False, notes=(*config.notes, note))
