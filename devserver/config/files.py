"""The user's JSON files: which there are, where they may lie, and how they are read with the place of a mistake."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ConfigError(Exception):
    """Settings that cannot be used. `str(error)` is one line for the person; `exit_code` is the command's.

    `problem` is what is wrong; `path`, `line` and `column` (from 1) say where, as far as it stands in a file. `wanted`
    is a path that the file names in vain; `keeps`: where other values are known, they stay.
    """

    def __init__(
        self,
        problem: str,
        exit_code: int = 1,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        wanted: str | None = None,
        keeps: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem, self.exit_code = problem, exit_code
        self.path, self.line, self.column, self.wanted = path, line, column, wanted
        self.keeps = keeps

    def __str__(self) -> str:
        place = [str(part) for part in (self.path, self.line, self.column) if part is not None]
        return ": ".join([":".join(place), self.problem] if place else [self.problem])


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is called, its names (the first that is there counts), and where it may lie.

    Each is looked for in the app root, and after that beside the script where `beside_script`.
    """

    what: str
    names: tuple[str, ...]
    beside_script: bool = False
    encoding: str = "utf-8-sig"

    def places(self, app_root: str, script: str | None) -> tuple[str, ...]:
        """The paths at which it is looked for, in this order."""
        folders = [app_root, *([os.path.dirname(script)] if script and self.beside_script else [])]
        return tuple(dict.fromkeys(os.path.join(folder, name) for folder in folders for name in self.names))


CONFIG = Kind("the configuration file", ("config.json",), beside_script=True)
LOGGING = Kind("the logging configuration", ("logging.json",), beside_script=True)
SWAGGER: Mapping[str, Kind] = {  # by version; a byte order mark is refused in them, as it is in Azure
    version: Kind("the swagger file", names, encoding="utf-8")
    for version, names in {
        "2": ("swagger.json", "swagger2.json"),
        "3": ("swagger3.json",),
        "3.1": ("swagger3.1.json",),
    }.items()
}
KINDS = (CONFIG, LOGGING, *SWAGGER.values())


def read_json(path: str, kind: Kind) -> Any:
    """The value in this file. Errors: `ConfigError` with the place, exit code 3."""
    import json  # not for --help

    content = b""
    try:
        with open(path, "rb") as file:
            content = file.read()
        return json.loads(content.decode(kind.encoding))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{kind.what} is not JSON: {error.msg}", 3, path=path, line=error.lineno, column=error.colno)
    except UnicodeDecodeError as error:
        line, column = position(content[: error.start].decode("utf-8"))
        raise ConfigError(f"{kind.what} is not UTF-8: {error.reason}", 3, path=path, line=line, column=column)
    except OSError as error:
        raise ConfigError(f"{kind.what} cannot be read: {error.strerror}", 3, path=path, line=1, column=1)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{kind.what} cannot be used: {error}", 3, path=path, line=1, column=1)


def position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows this beginning of a text."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def read_json_object(path: str, kind: Kind) -> dict[str, Any]:
    """The object in this file. Errors: `ConfigError` with the place, exit code 3."""
    content = read_json(path, kind)
    if not isinstance(content, dict):
        raise ConfigError(f"{kind.what} holds {type(content).__name__}, not an object", 3, path=path, line=1, column=1)
    return content
