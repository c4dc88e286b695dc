"""Loads the scoring script and finds its init() and run()."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import SOURCE_SUFFIXES
from types import ModuleType
from typing import Any

from devserver.records.record import record
from devserver.scoring.compat import RawMark
from devserver.scoring.inputs import RunForm, SignatureProblem, analyse
from devserver.usercode import loader

MODULE_NAME = "entry_module"


class ScriptProblem(Exception):
    """A script that cannot be used, for another reason than an exception of its own."""


@dataclass
class UnreadableFile(ScriptProblem):
    """There is no such file, or it cannot be read."""

    path: str
    error: OSError


@dataclass
class NotPython(ScriptProblem):
    """The file is something else than a Python file, by its name."""

    path: str


@dataclass
class MissingFunction(ScriptProblem):
    """The script has no function of this name, which it needs."""

    path: str
    name: str


@dataclass
class WrongSignature(ScriptProblem):
    """run() cannot be called as the server would do it; `reason` in the words that people search for."""

    run: Callable[..., Any]
    reason: str


@record(frozen=True)
class Script:
    """A loaded scoring script. `inner` is the file of a driver script's inner script, where there is one."""

    path: str
    init: Callable[[], Any]
    run: Callable[..., Any]
    form: RunForm
    inner: str | None = None

    def describe(self) -> str:
        """The line for the log that says what was found."""
        if self.inner:
            return f"Found driver script at {self.path} and the score script at {self.inner}"
        return f"Found user script at {self.path}"


def load(path: str | None, named: str | None = None) -> Script:
    """Load the script at `path`, or the module `main` from sys.path.

    `named` is the name that tells what kind of file it is, where that is another one, as that of a link.
    Errors: `ScriptProblem`; whatever the script itself raises while it is executed.
    """
    RawMark.applied = False
    module = _execute(path, named or path)
    path = path or getattr(module, "__file__", None) or "main.py"
    init, outer_run = _function(module, "init", path), _function(module, "run", path)
    driver = getattr(module, "driver_module", None)
    inner = driver if isinstance(driver, ModuleType) and hasattr(driver, "run") else None
    run = _function(inner, "run", path) if inner else outer_run
    return Script(path, init, run, _form(run), getattr(inner, "__file__", None))


def _execute(path: str | None, named: str | None) -> ModuleType:
    if path is None:
        return loader.load_main()
    _check_file(path, named or path)
    return loader.load_script(path, MODULE_NAME)


def _check_file(path: str, named: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UnreadableFile(path, error) from error
    if not named.endswith(tuple(SOURCE_SUFFIXES)):
        raise NotPython(path)


def _function(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise MissingFunction(path, name)
    function: Callable[..., Any] = found
    return function


def _form(run: Callable[..., Any]) -> RunForm:
    try:
        return analyse(run, RawMark.applied)
    except SignatureProblem as problem:
        raise WrongSignature(run, str(problem)) from None


def add_to_search_path(folders: tuple[str, ...]) -> None:
    """Appends the folders that are not on sys.path yet."""
    sys.path.extend(folder for folder in folders if folder not in sys.path and os.path.abspath(folder) not in sys.path)
