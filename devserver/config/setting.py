"""One row of the table of settings: where its value may come from, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One row of the table: where a value may come from and how it is read.

    `flag` on the command line, `variables` in the environment (the first that is set counts), the first of them as key
    of the JSON file where `in_file`. A flag is a key of the table in pyproject.toml, too, but for `only_flag`; what
    `is_path` is relative to that file then. `alone` is the value of a flag that is given without one, `error_code` the
    exit code for a bad value that came from no flag.
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
    alone: int | None = None
    only_flag: bool = False
    is_path: bool = False
    error_code: int = 3


def setting(default: Any, parse: Callable[[Any], Any], *variables: str, **facts: Any) -> Any:
    """The field of `Config` for one row; `facts` are those of `Setting`."""
    return field(default=default, metadata={"variables": variables, "parse": parse, **facts})
