"""What a script sets before it imports a library: environment variables, and for what is imported late more.

Such a library may read them while it is imported, so that it must not be imported ahead."""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from types import FrameType, ModuleType
from typing import Any

from devserver.usercode import loader, ownership

SETS = ("os.putenv", "os.unsetenv")  # audit events


class Preparations:
    """In a `with` around the load: which environment variables user code set before it imported a library.

    A library that reads them while it is imported must not be imported ahead of the script. When a library imports its
    parts late, nobody knows: where such parts were imported ahead, whatever is set counts, also sys.argv and the
    working directory.
    """

    def __init__(self) -> None:
        self.sets_nothing = True  # told when the load is over
        self.before_import: dict[str, None] = {}
        self._set: dict[str, None] = {}
        self._listening = False

    def __enter__(self) -> Preparations:
        self._import, self._import_module = builtins.__import__, importlib.import_module
        self._listening = True
        self._before = _surroundings()
        sys.addaudithook(self._heard)
        builtins.__import__, importlib.import_module = self._importing, self._importing_module
        return self

    def __exit__(self, *_: object) -> None:
        self._listening = False  # an audit hook cannot be taken away
        builtins.__import__, importlib.import_module = self._import, self._import_module
        now = _surroundings()
        self._set |= dict.fromkeys(name for name, value in self._before.items() if value != now[name])
        self.sets_nothing = not self._set
        if loader.lazily_ahead:
            self.before_import |= self._set

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in SETS or not self._listening or not ownership.caused_by_user(sys._getframe(1)):
            return
        name = arguments[0]
        self._set[name.decode(errors="replace") if isinstance(name, bytes) else str(name)] = None

    def _importing(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level == 0:
            self._notice(name, sys._getframe(1))
        return self._import(name, globals, locals, fromlist, level)

    def _importing_module(self, name: str, package: str | None = None) -> ModuleType:
        self._notice(name, sys._getframe(1))
        return self._import_module(name, package)

    def _notice(self, name: str, importer: FrameType) -> None:
        if self._set and not name.startswith(".") and _is_library(name) and _is_user(importer):
            self.before_import |= self._set


def _surroundings() -> dict[str, object]:
    """What a library may read, too, and of which no event tells."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    return {"sys.argv": list(sys.argv), "the working directory": folder}


def _is_library(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    path = getattr(sys.modules.get(top), "__file__", None)
    return path is None or not ownership.is_user_file(path)


def _is_user(frame: FrameType) -> bool:
    return ownership.is_user_file(frame.f_code.co_filename)
