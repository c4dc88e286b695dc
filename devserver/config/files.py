"""The user's JSON files, read with the place of a mistake."""

from __future__ import annotations

import json
from typing import Any


class ConfigError(Exception):
    """Settings that cannot be used. `str(error)` is one line for the person; `exit_code` is the command's.

    `problem` is what is wrong, and `path`, `line` and `column` say where as far as it is known: lines and columns count
    from 1, and what was given on the command line or in the environment stands in no file.
    """

    def __init__(
        self,
        problem: str,
        exit_code: int = 1,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.exit_code = exit_code
        self.path, self.line, self.column = path, line, column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)
        return f"{place}: {self.problem}" if place else self.problem


def read_json_object(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        what = f"the configuration file is not JSON: {error.msg}"
        raise ConfigError(what, 3, path=path, line=error.lineno, column=error.colno) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration file is not UTF-8: {error}", 3, path=path) from None
    except OSError as error:
        raise ConfigError(f"the configuration file cannot be read: {error.strerror}", 3, path=path) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the configuration file cannot be read: {error}", 3, path=path) from None
    if not isinstance(content, dict):
        what = f"the configuration file holds {type(content).__name__}, not an object"
        raise ConfigError(what, 3, path=path)
    return content
