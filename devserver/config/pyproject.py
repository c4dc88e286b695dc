"""The table `[tool.azmlinfsrv]` of pyproject.toml: what a project always says on the command line, said once.

It has the lowest priority. Keys are the options' names; paths are relative to the file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devserver.config.files import ConfigError
from devserver.config.setting import Setting
from devserver.config.settings import PROGRAM, SETTINGS

NAME, TABLE = "pyproject.toml", "[tool.azmlinfsrv]"
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


@dataclass(frozen=True)
class Project:
    """What the table says. `path` is None where no file has one; `values` are by the names of settings."""

    path: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_project(folder: str) -> Project:
    """The table of the nearest pyproject.toml at or above `folder`. Errors: `ConfigError` with the place."""
    path = _nearest(folder)
    text = _text(path) if path is not None else ""
    if path is None or "azmlinfsrv" not in text:
        return Project()
    table = _table(path, text)
    return _Reader(path, text).read(table) if table is not None else Project()


def _nearest(folder: str) -> str | None:
    while not os.path.isfile(os.path.join(folder, NAME)):
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return None
    return os.path.join(folder, NAME)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""  # it is for others, too, and they will say so


def _table(path: str, text: str) -> dict[str, Any] | None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line, column = map(int, place.groups()) if place else (text.count("\n") + 1, 1)
        problem = f"{NAME} is not TOML: {_PLACE.sub('', str(error)).strip()}"
        raise ConfigError(problem, 3, path=path, line=line, column=column) from None
    table = tool.get(PROGRAM) if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"tool.{PROGRAM} is no table", 3, path=path, line=1, column=1)
    return table


_BY_NAME = {setting.flag[2:]: setting for setting in SETTINGS if setting.flag and not setting.only_flag}


class _Reader:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.folder = os.path.dirname(path)

    def read(self, table: dict[str, Any]) -> Project:
        values, notes = {}, []
        for key, value in table.items():
            setting = _BY_NAME.get(key.replace("-", "_"))
            if setting is None:
                notes.append(self._unknown(key))
            else:
                values[setting.name] = self._value(setting, key, value)
        return Project(self.path, values, tuple(notes))

    def _unknown(self, key: str) -> str:
        import difflib

        near = difflib.get_close_matches(key.replace("-", "_"), _BY_NAME, 1, 0.7)
        meant = f"; did you mean {near[0]}?" if near else ""
        line, column = self._place(key)
        return f"{self.path}:{line}:{column}: {TABLE} has no setting {key}{meant}"

    def _value(self, setting: Setting, key: str, value: Any) -> Any:
        try:
            if setting.switch and not isinstance(value, bool):
                raise ValueError(f"{value!r} is neither true nor false")
            if not setting.repeated:
                return self._located(setting, setting.parse(value))
            listed = value if isinstance(value, list) else [value]
            return tuple(self._located(setting, setting.parse(each)) for each in listed)
        except ValueError as error:
            line, column = self._place(key)
            raise ConfigError(f"{key}: {error}", 3, path=self.path, line=line, column=column) from None

    def _located(self, setting: Setting, value: Any) -> Any:
        return os.path.normpath(os.path.join(self.folder, value)) if setting.is_path and value else value

    def _place(self, key: str) -> tuple[int, int]:
        """Where the key stands; TOML's reader does not tell."""
        wanted = re.compile(rf"(\s*)[\"']?(?:azmlinfsrv\.)?{re.escape(key)}[\"']?\s*=")
        inside = False
        for number, line in enumerate(self.lines, 1):
            head = line.strip().replace(" ", "")
            inside = head.startswith(TABLE) if head.startswith("[") and not line[:1].isspace() else inside
            if inside and (found := wanted.match(line)):
                return number, len(found[1]) + 1
        return 1, 1
