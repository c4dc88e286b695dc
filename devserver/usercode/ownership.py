"""Whose file is it: the user's, a library's, the standard library's or ours. One rule for all who ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from types import FrameType, TracebackType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # of devserver itself


def _library_folders() -> tuple[str, ...]:
    """Folders whose files are not the user's: standard library, installed packages, commands, this package."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = [os.path.dirname(os.__file__), PACKAGE]
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        found += [os.path.join(prefix, lib, version) for lib in ("lib", "lib64")]
        found += [os.path.join(prefix, name) for name in ("bin", "Scripts", "DLLs")]
    site = sys.modules.get("site")
    if site is not None:
        found += site.getsitepackages()
        found.append(site.getusersitepackages())
    both = {os.path.normcase(kind(folder)) + os.sep for folder in found for kind in (os.path.abspath, os.path.realpath)}
    return tuple(sorted(both))


_OWN = (PACKAGE + os.sep, os.path.realpath(PACKAGE) + os.sep)
_LIBRARIES: tuple[str, ...] = ()
_PACKAGES = {"site-packages", "dist-packages"}


@lru_cache(maxsize=8192)
def is_user_file(path: str) -> bool:
    """True when `path` lies outside every library folder and outside this package; the file need not exist."""
    global _LIBRARIES
    if not path or (path.startswith("<") and path.endswith(">")):
        return False
    _LIBRARIES = _LIBRARIES or _library_folders()
    for spelled in {os.path.abspath(path), os.path.realpath(path)}:
        if os.path.normcase(spelled).startswith(_LIBRARIES) or not _PACKAGES.isdisjoint(spelled.split(os.sep)):
            return False
    return True


def is_own_file(path: str) -> bool:
    """True for a file of this package."""
    return path.startswith(_OWN)


def is_own_code(path: str) -> bool:
    """True for a call that no report shows as anybody's doing: one of this package, or of Python's import itself."""
    return is_own_file(path) or path.startswith("<frozen importlib")


def without_own_calls(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from its first call that is not ours; the whole one where there is no such call."""
    first = trace
    while first is not None and is_own_code(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first or trace


def caused_by_user(frame: FrameType | None) -> bool:
    """True when what happens in this frame was written, or caused through calls, by user code and not by an import."""
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        if is_user_file(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def imported_by_user(frame: FrameType | None) -> bool:
    """True when user code itself imports, by a statement or a function for it, and no library does at its request."""
    while frame is not None and is_own_code(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_user_file(frame.f_code.co_filename)


def folders_of(entries: Iterable[str]) -> Iterator[str]:
    """The folders of a search path, absolute; where the working directory is gone, what is relative to it is, too."""
    for entry in entries:
        try:
            yield os.path.abspath(entry)
        except OSError:
            pass


def user_folders(folders: Iterable[str]) -> tuple[str, ...]:
    absolute = dict.fromkeys(folders_of(folders))
    return tuple(folder for folder in absolute if is_user_file(os.path.join(folder, "x.py")))


def is_users_namespace(spec: ModuleSpec) -> bool:
    """True for a package without `__init__.py` of which a folder is the user's."""
    folders = () if spec.has_location else spec.submodule_search_locations or ()
    return any(is_user_file(os.path.join(folder, "x.py")) for folder in folders)


OURS = PACKAGE + os.sep
STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def is_library_file(path: str) -> bool:
    outside = not path.startswith(STANDARD) or "site-packages" in path or "dist-packages" in path
    return outside and not path.startswith(OURS)
