"""Where the values of the settings come from: command line, environment, deployment, files, default."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devserver import __version__
from devserver.config.command_line import command_line_parser, help_text, parsed
from devserver.config.files import CONFIG, ConfigError, read_json_object
from devserver.config.found_script import find_script, is_script_wanted
from devserver.config.rules import REMOVED, check, with_usable_telemetry
from devserver.config.setting import Setting
from devserver.config.settings import FILE_KEYS, PROGRAM, SETTINGS, Config

if TYPE_CHECKING:
    from devserver.config.azure_deployment import Deployment
    from devserver.config.pyproject import Project

# what Azure ML's own config.json holds, which the studio offers for download: it says where a workspace is
OF_WORKSPACE = ("subscription_id", "resource_group", "workspace_name")


class HelpAsked(Exception):
    """`--help` was given; `str(asked)` is the text to print."""


def _is_given(name: str, value: object) -> bool:
    """An empty text is a value, but no script."""
    return value is not None and (value != "" or name != "entry_script")


def read_config(
    argv: Sequence[str],
    environ: Mapping[str, str] | None = None,
    base: str | None = None,
    before: str | None = None,
) -> Config:
    """The configuration of this command line, of the environment, and of what files there are.

    Priority: command line, environment, deployment, configuration file, pyproject.toml, default. Where none of them
    names a script, it is `before` (which was found the first time), or found in the usual places. Errors:
    `ConfigError`; `HelpAsked` for --help and --version.
    """
    environ = os.environ if environ is None else environ
    given = _from_command_line(argv)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        if setting.name in given:
            values[setting.name], sources[setting.name] = given[setting.name], "command line"
        else:
            _from_environment(setting, environ, values, sources)
    from devserver.config.pyproject import read_project  # after --help, which has no use for it

    folder = _working_folder()
    base = base or folder or _folder_instead(values)
    project = read_project(base)
    deployed = _read_deployment(values, project, base)
    notes = [*([] if folder else [f"the working directory was removed; {base} takes its place"]), *project.notes]
    if deployed is not None:
        notes += _from_deployment(deployed, values, sources)
    path = _find_file(values, sources, project, base)
    notes += _from_file(path, values, sources) if path else []
    _from_project(project, values, sources)
    if is_script_wanted(values):
        values["entry_script"], sources["entry_script"] = before or find_script(base), "command line"
        notes.append(f"no script was named: {values['entry_script']} is served")
        beside = None if path else _find_file(values, sources, project, base)
        notes += _from_file(beside, values, sources) if beside else []
        path = path or beside
    _key_switches_on(values, sources)
    config = Config(
        **values,
        base=base,
        file_read=path,
        deployed=deployed,
        variables=_variables(deployed, environ),
        project_file=project.path,
        outer_health_port=environ.get("HEALTH_PORT"),
        sources=sources,
        notes=(),
    )
    notes += check(config) + [f"{name} has no effect: it is no longer supported" for name in REMOVED if name in environ]
    return with_usable_telemetry(dataclasses.replace(config, notes=tuple(notes)))


def _working_folder() -> str | None:
    """None where somebody has removed it."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _folder_instead(values: Mapping[str, Any]) -> str:
    """That of the script, or of the configuration file, which are found without a working directory."""
    for name in ("entry_script", "config_file"):
        folder = os.path.dirname(values.get(name) or "")
        if os.path.isabs(folder) and os.path.isdir(folder):
            return folder
    raise ConfigError("the working directory was removed; change to one that is there, or give the script's whole path")


def _from_command_line(argv: Sequence[str]) -> dict[str, Any]:
    parser = command_line_parser()
    given = parsed(parser, argv)
    if given.pop("help"):
        raise HelpAsked(help_text(parser))
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


def _find_file(values: Mapping[str, Any], sources: Mapping[str, str], project: Project, base: str) -> str | None:
    given = values.get("config_file") or project.values.get("config_file")
    if given:
        path = os.path.join(base, given)
        _check_file(path, given, 1 if sources.get("config_file") == "command line" else 3)
        if os.path.getsize(path):
            return path
    found = Config(**{**project.values, **values}, base=base, sources=_with_project(project, sources))
    return next((path for path in found.places(CONFIG) if os.path.isfile(path) and os.path.getsize(path)), None)


def _check_file(path: str, given: str, exit_code: int) -> None:
    if not os.path.isfile(path):
        problem = "it is a folder, not a configuration file" if os.path.isdir(path) else "no such configuration file"
        raise ConfigError(f"{given}: {problem}", exit_code)


# --- a deployment


def _read_deployment(values: Mapping[str, Any], project: Project, base: str) -> Deployment | None:
    given = values.get("deployment") or project.values.get("deployment")
    if not given:
        return None
    from devserver.config import deployment

    path = os.path.abspath(os.path.join(base, given))
    try:
        if not os.path.isfile(path):
            problem = "this is a folder, not a deployment file" if os.path.isdir(path) else "no such deployment file"
            raise ConfigError(problem, 1 if "deployment" in values else 3, path=path)
        return deployment.read_deployment(path, "entry_script" not in values, "model_dir" not in values)
    except ConfigError as error:
        error.keeps = True
        raise


def _from_deployment(deployed: Deployment, values: dict[str, Any], sources: dict[str, str]) -> list[str]:
    """Takes over what nobody else has said; returns what the person should know."""
    notes = list(deployed.notes)
    if deployed.names_script and "entry_script" in values:
        notes.append(f"{values['entry_script']} is served, and not the scoring_script of {deployed.path}")
    mounted: dict[str, Any] = {"entry_script": deployed.script, "model_dir": deployed.model_dir}
    mounted["given_app_root"] = os.path.dirname(deployed.script) if deployed.script else None
    found = {name: value for name, value in mounted.items() if value}
    found = {**_settings_in(deployed), **found}
    if deployed.request_timeout is not None:
        found.setdefault("scoring_timeout_ms", int(deployed.request_timeout.text))
    if deployed.app_insights is not None:
        found.setdefault("appinsights_enabled", deployed.app_insights)
    for name, value in found.items():
        if name not in values:
            values[name], sources[name] = value, "deployment"
    return notes


def _settings_in(deployed: Deployment) -> dict[str, Any]:
    """Its variables that are settings of the server."""
    found = {}
    for setting in SETTINGS:
        given = next((deployed.variables[name] for name in setting.variables if name in deployed.variables), None)
        if given is not None and _is_given(setting.name, given.text):
            try:
                found[setting.name] = setting.parse(given.text)
            except ValueError as error:
                raise ConfigError(
                    f"{setting.variables[0]}: {error}",
                    3,
                    path=deployed.path,
                    line=given.line,
                    column=given.column,
                    keeps=True,
                ) from None
    return found


def _variables(deployed: Deployment | None, environ: Mapping[str, str]) -> dict[str, str]:
    given = deployed.variables if deployed is not None else {}
    return {name: value.text for name, value in given.items() if name not in environ}


# --- files


def _from_project(project: Project, values: dict[str, Any], sources: dict[str, str]) -> None:
    for name, value in project.values.items():
        if name not in values and _is_given(name, value):
            values[name], sources[name] = value, "project"


def _with_project(project: Project, sources: Mapping[str, str]) -> dict[str, str]:
    return {**dict.fromkeys(project.values, "project"), **sources}


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
