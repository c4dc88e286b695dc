"""Where the values of the settings come from: command line, environment, configuration file, default."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from devserver import __version__
from devserver.config.files import CONFIG, ConfigError, read_json_object
from devserver.config.rules import REMOVED, check, with_usable_telemetry
from devserver.config.settings import FILE_KEYS, PROGRAM, SETTINGS, Config, Setting

# what Azure ML's own config.json holds, which the studio offers for download: it says where a workspace is
OF_WORKSPACE = ("subscription_id", "resource_group", "workspace_name")


class HelpAsked(Exception):
    """`--help` was given; `str(asked)` is the text to print."""


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
    notes += check(config) + [f"{name} has no effect: it is no longer supported" for name in REMOVED if name in environ]
    return with_usable_telemetry(dataclasses.replace(config, notes=tuple(notes)))


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
    return next((path for path in found.places(CONFIG) if os.path.isfile(path) and os.path.getsize(path)), None)


def _check_file(path: str, given: str, exit_code: int) -> None:
    if not os.path.isfile(path):
        problem = "it is a folder, not a configuration file" if os.path.isdir(path) else "no such configuration file"
        raise ConfigError(f"{given}: {problem}", exit_code)


def _from_file(path: str, values: dict[str, Any], sources: dict[str, str]) -> list[str]:
    content = read_json_object(path, CONFIG)
    for key, value in content.items():
        setting = FILE_KEYS.get(key)
        if setting is None or setting.name in values or not _is_given(setting.name, value):
            continue
        try:
            values[setting.name] = setting.parse(_storable(value))
        except ValueError as error:
            raise ConfigError(f"{key}: {error}", 3, path=path) from None
        sources[setting.name] = "file"
    unknown = [key for key in content if key not in FILE_KEYS and key not in OF_WORKSPACE]
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


def _key_switches_on(values: dict[str, Any], sources: dict[str, str]) -> None:
    """The option with the key, and a connection string, mean that telemetry is wanted."""
    by_string = values.get("connection_string") and "appinsights_enabled" not in sources
    if by_string or sources.get("appinsights_key") == "command line":
        values["appinsights_enabled"] = True
