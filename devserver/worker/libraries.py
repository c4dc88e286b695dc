"""The import hook of the libraries stage: it notes what libraries import, and lets no module of the user's through."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, all_suffixes
from itertools import takewhile
from types import ModuleType

from devserver.process.platform import System
from devserver.process.wire import WarmOrder
from devserver.records.record import record
from devserver.records.stamps import Identity, identities, identity
from devserver.scoring import logs
from devserver.usercode import loader, ownership
from devserver.usercode.ownership import is_library_file
from devserver.worker.keep.forkable import threads_left
from devserver.worker.rehearsal import rehearse, silence


class ThreadsStarted(Exception):
    """The import of this library has started threads that a fork would lose."""

    def __init__(self, library: str) -> None:
        super().__init__(library)
        self.library = library


class UserCodeWanted(BaseException):
    """A library asked for a module of the user's; no `except Exception` of the library's may hide it."""


class Imports:
    """What a process imports before it is, or makes, a generation."""

    def __init__(self) -> None:
        self._libraries = Libraries()
        self._folders: tuple[str, ...] = ()
        self._rehearsed = False

    def add(self, order: WarmOrder) -> str | None:
        """Import this, too. Returns why no generation can come of it, or None. Errors: `ThreadsStarted`.

        It may go on after the first only by becoming a generation, so where that is not allowed it stops there.
        """
        self._folders = order.user_folders
        sys.argv = list(order.arguments)
        with silence(), self._libraries as libraries:
            refusal = self._import(order, libraries) or libraries.problem(self._folders)
        importlib.invalidate_caches()  # for all generations to come: nothing is imported here any more
        gc.collect()
        gc.freeze()
        return refusal

    def problem(self) -> str | None:
        """Why what was imported is not what a cold start would import now, or None."""
        return self._libraries.problem(self._folders)

    def _import(self, order: WarmOrder, libraries: Libraries) -> str | None:
        set_path(order)
        if not self._rehearsed:
            try:
                rehearse()
            except Exception as error:
                return f"the server cannot be made ready ahead ({type(error).__name__}: {error})"
            libraries.forget_names()
            self._rehearsed = True
        known = set(logging.root.manager.loggerDict)
        refusal = import_modules(order, libraries)
        if refusal is None:
            import_lazy(order, libraries)
        logs.imported_ahead |= logging.root.manager.loggerDict.keys() - known
        return refusal


class Libraries:
    """A finder that stands before the others, takes note of the libraries and lets none of the user's modules through.

    The standard library and this package belong to the supervisor that runs: their files are not looked after.
    """

    def __init__(self) -> None:
        self.wanted: str | None = None
        self._found: set[str] = set()
        self._missing: set[str] = set()
        self._stamps: dict[str, Identity | None] = {}

    def __enter__(self) -> Libraries:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say. Errors: `UserCodeWanted`."""
        for finder in list(sys.meta_path):
            ask = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = ask(fullname, path, target) if ask is not None and finder is not self else None
            if spec is not None:
                self._note(spec)
                return spec
        self._missing.add(fullname)
        return None

    def _note(self, spec: ModuleSpec) -> None:
        origin = spec.origin if spec.has_location else None
        if (origin and ownership.is_user_file(origin)) or ownership.is_users_namespace(spec):
            self.wanted = f"a library imports {origin or spec.name}"
            raise UserCodeWanted(self.wanted)
        if origin and is_library_file(origin):
            self._stamps[origin] = identity(origin)  # before it is read
        self._found.add(spec.name)
        if "." not in spec.name:
            loader.ahead.add(spec.name)
        self._missing.discard(spec.name)  # a library has extended sys.path since

    def forget_names(self) -> None:
        """What was imported so far, a generation imports before the user's folders are on its path."""
        self._found.clear()
        self._missing.clear()
        loader.ahead.clear()

    def problem(self, folders: Sequence[str]) -> str | None:
        """Why what was imported is not what a cold start would import now, or None.

        `folders` are the user's; the first stands before the libraries on a generation's path, the others after them.
        """
        changed = first_changed(self._stamps)
        if changed is not None:
            return f"{changed} has changed since it was imported"
        found = _first_module(folders[:1], self._found) or _first_module((*folders, *sys.path), self._missing)
        return f"a library imports {found}" if found else None


def _first_module(folders: Sequence[str], names: set[str]) -> str | None:
    """The file of a module that has one of these names and lies right in one of these folders."""
    for folder in folders:
        try:
            stems = {name.partition(".")[0] for name in os.listdir(folder)}
        except OSError:
            continue  # the folder is gone
        for path in (os.path.join(folder, name) for name in sorted(stems & names)):
            for candidate in (os.path.join(path, "__init__.py"), *(path + suffix for suffix in all_suffixes())):
                if os.path.isfile(candidate):
                    return candidate
    return None


def imported_after(last: str) -> tuple[str, ...]:
    """Modules of libraries, in the order in which they came to be, that can be imported by their names.

    `last` was the newest of all; where it has gone since, nothing can be said, and nothing is.
    """
    if last not in sys.modules:
        return ()
    names = list(takewhile(last.__ne__, reversed(sys.modules)))  # in one step: a thread may import meanwhile
    new = [(name, sys.modules.get(name)) for name in reversed(names)]
    found = [(name, getattr(module, "__spec__", None)) for name, module in new]
    named = [spec for name, spec in found if isinstance(spec, ModuleSpec) and spec.name == name]
    whose: dict[str, bool] = {}
    for spec in named:
        top = spec.name.partition(".")[0]
        if spec.has_location and spec.origin and top not in whose:
            whose[top] = _is_installed(spec.origin)
    return tuple(spec.name for spec in named if spec.has_location and whose.get(spec.name.partition(".")[0]))


@record(frozen=True)
class Imported:
    """Files of libraries that this process has imported, with what tells that they have changed."""

    stamps: dict[str, Identity | None]

    def changed(self) -> str | None:
        """One that is not what was imported any more."""
        return first_changed(self.stamps)


def imported_libraries() -> Imported:
    """All that are imported by now."""
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    origins = {spec.origin for spec in specs if spec is not None and spec.has_location and spec.origin}
    return Imported(identities([origin for origin in origins if _is_installed(origin)]))


def first_changed(known: Mapping[str, Identity | None]) -> str | None:
    """One of these files that is not as it is known."""
    now = identities(known.keys())
    return next((path for path, stamp in known.items() if now[path] != stamp), None)


def _is_installed(path: str) -> bool:
    return is_library_file(path) and not ownership.is_user_file(path)


def set_path(order: WarmOrder) -> None:
    apart = {os.path.abspath(folder) for folder in order.user_folders}
    sys.path[:] = [folder for folder in order.path if os.path.abspath(folder) not in apart]


def import_modules(order: WarmOrder, libraries: Libraries) -> str | None:
    """Returns why nothing can come of this process, or None. Errors: `ThreadsStarted`."""
    name = ""
    try:
        for name in order.modules:
            importlib.import_module(name)
            look_for_threads(name, order)
    except ThreadsStarted:
        raise
    except BaseException as error:
        what = f"{name} cannot be imported ahead of the script ({type(error).__name__}: {error})"
        return libraries.wanted or what
    return libraries.wanted


def import_lazy(order: WarmOrder, libraries: Libraries) -> None:
    """What libraries have imported late. One that fails is left to the script. Errors: `ThreadsStarted`."""
    for name in order.lazy:
        if name in sys.modules:
            continue  # most of them: they come with their libraries
        try:
            importlib.import_module(name)
            loader.lazily_ahead.add(name)
        except BaseException:
            libraries.wanted = None
        look_for_threads(name, order)


def look_for_threads(name: str, order: WarmOrder) -> None:
    """After the import of this module, in a process that shall be forked. Errors: `ThreadsStarted`."""
    if not order.becomes and System.sees_itself and threads_left() is not None:
        raise ThreadsStarted(name.partition(".")[0])
