"""What load and init() looked at and did, apart from running: texts and code read, files written, programs started.

One audit hook hears it, and a few functions of the standard library are stood in for while it lasts. What an edit
would change in all that, a fresh start would see: `decide` and `forkable` ask.
"""

from __future__ import annotations

import atexit
import functools
import gc
import linecache
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any

from devserver.records.record import record
from devserver.worker.keep.codes import is_function
from devserver.worker.keep.hook import hook, quiet_frame

Stat = tuple[int, int, int] | None


@record(frozen=True)
class Seen:
    """What happened until now. Paths are absolute as they were spelled; values name who did it.

    `code_read`: code objects that were read off a function. `written`: the files' stats (time, size, inode) as they
    were left. `exits_unknown`: an exit handler was registered behind our back.
    """

    text_read: dict[str, str]
    code_read: dict[int, tuple[CodeType, str]]
    found_classes: frozenset[str]  # names that were looked up by pickles
    written: dict[str, Stat]
    programs: tuple[str, ...]
    pid_taken: str | None
    at_fork: str
    random_seeded: bool
    numpy_seeded: bool
    exit_handlers: tuple[Callable[..., Any], ...]
    exits_unknown: bool
    has_frozen: bool  # gc.freeze() was called


class Watch:
    """In a `with` around load and init(). `is_user` and `is_ours` say whose a file is, by its path."""

    def __init__(self, is_user: Callable[[str], bool], is_ours: Callable[[str], bool]) -> None:
        self._is_user, self._is_ours = is_user, is_ours
        self._text_read: dict[str, str] = {}
        self._code_read: dict[int, tuple[CodeType, str]] = {}
        self._found: set[str] = set()
        self._written: set[str] = set()
        self._programs: list[str] = []
        self._pid_taken: str | None = None
        self._at_fork = ""
        self._random_seeded = self._numpy_seeded = False
        self._numpy_was_marked = _numpy_is_marked()
        self._exits: list[Callable[..., Any]] = []
        self._exit_count = atexit._ncallbacks()
        self._has_frozen = False
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Watch:
        hook.table = {
            "open": self._opened,
            "object.__getattr__": self._attribute_read,
            "pickle.find_class": self._class_found,
            "sqlite3.connect": self._wrote_first,
            **dict.fromkeys(_WRITE, self._wrote_first),
            **dict.fromkeys(("os.rename", "os.link", "os.symlink"), self._wrote_both),
            **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"), self._started),
            **dict.fromkeys(("os.fork", "os.forkpty"), self._forked),
        }
        hook.install()
        self._stand_in(linecache, "getlines", self._getlines)
        self._stand_in(linecache, "updatecache", self._getlines)
        for name in ("getpid", "getppid"):
            self._stand_in_for_good(name, self._getpid)
        if hasattr(os, "register_at_fork"):
            self._stand_in(os, "register_at_fork", self._register_at_fork)
        self._stand_in(atexit, "register", self._register)
        self._stand_in(gc, "freeze", self._freeze)
        for name in ("seed", "setstate"):
            self._stand_in(random, name, self._seed)
        for module in ("numpy.random", "numpy.random.mtrand"):
            for name in ("seed", "set_state") if module in sys.modules else ():
                self._stand_in(sys.modules[module], name, self._seed_numpy)
        return self

    def __exit__(self, *_: object) -> None:
        hook.table = {}
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()

    def seen(self) -> Seen:
        """What happened until now."""
        known = self._exit_count + len(self._exits)
        written = [path for path in self._written if not path.startswith(("/dev/", "/proc/")) and _PYC not in path]
        return Seen(
            dict(self._text_read),
            dict(self._code_read),
            frozenset(self._found),
            {path: stat_of(path) for path in written},
            tuple(self._programs),
            self._pid_taken,
            self._at_fork,
            self._random_seeded,
            self._numpy_seeded or (_numpy_is_marked() and not self._numpy_was_marked),
            tuple(self._exits),
            atexit._ncallbacks() != known,
            self._has_frozen,
        )

    def _stand_in(self, module: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = getattr(module, name)
        setattr(module, name, make(original))
        self._undo.append(lambda: setattr(module, name, original))

    def _stand_in_for_good(self, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """A function of the system; it may be passed to other processes, as pickles do it by its name and module."""
        asks = make(getattr(os, name))
        for module in (os, sys.modules[asks.__module__]):
            setattr(module, name, asks)

    # --- heard

    def _opened(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        name, mode, flags = arguments
        if not isinstance(name, (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(name))
        if writes(mode, flags):
            self._written.add(path)
        elif path not in self._text_read and not self._is_ours(frame.f_code.co_filename):
            self._text_read[path] = _who(frame)

    def _attribute_read(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        owner, name = arguments
        if name not in ("__code__", "gi_code", "cr_code", "ag_code"):
            return
        reader = frame.f_code
        if (os.path.basename(reader.co_filename), reader.co_name) in _READ_THE_HEAD:
            return
        code = getattr(owner, name, None)
        if isinstance(code, CodeType) and self._is_user(code.co_filename) and not self._is_ours(reader.co_filename):
            self._code_read.setdefault(id(code), (code, _who(frame)))

    def _class_found(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        self._found.update(str(part) for argument in arguments for part in str(argument).split("."))

    def _wrote_first(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        self._note_written(arguments[0])

    def _wrote_both(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        for name in arguments[:2]:
            self._note_written(name)

    def _note_written(self, name: object) -> None:
        if isinstance(name, (str, bytes, os.PathLike)) and name not in (":memory:", b":memory:", ""):
            self._written.add(os.path.abspath(os.fsdecode(name)))

    def _started(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        """A library may look how many cores there are; what the script asks of a program may be its own version."""
        words = repr(arguments)
        if self._is_user(_first_outside_library(frame)) or "git" in words or ".py" in words:
            self._programs.append(_name_of(arguments))

    def _forked(self, _arguments: tuple[Any, ...], frame: FrameType) -> None:
        if not self._is_ours(frame.f_code.co_filename):
            self._programs.append("fork")

    # --- stood in for

    def _getlines(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def getlines(filename: Any, module_globals: Any = None) -> Any:
            frame = quiet_frame(1)
            while frame is not None and os.path.basename(frame.f_code.co_filename) == "linecache.py":
                frame = frame.f_back
            reader = os.path.basename(frame.f_code.co_filename) if frame is not None else ""
            if frame is not None and reader not in _SHOW_LINES and not self._is_ours(frame.f_code.co_filename):
                self._text_read.setdefault(os.path.abspath(filename), _who(frame))
            with hook.quiet():
                return original(filename, module_globals)

        return getlines

    def _getpid(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def getpid() -> Any:
            if hook.table and self._pid_taken is None:
                code = frame.f_code if (frame := _asker(quiet_frame(1))) is not None else None
                if code is not None and (self._is_user(code.co_filename) or _keeps_pids(code)):
                    self._pid_taken = f"os.{original.__name__}()"
            return original()

        return getpid

    def _register_at_fork(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def register_at_fork(**handlers: Any) -> Any:
            frame = quiet_frame(1)
            if hook.table and frame is not None and self._is_user(frame.f_code.co_filename):
                self._at_fork = "os.register_at_fork()"
            return original(**handlers)

        return register_at_fork

    def _register(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def register(func: Any, /, *args: Any, **kwargs: Any) -> Any:
            if hook.table:
                self._exits.append(func)
            return original(func, *args, **kwargs)

        return register

    def _freeze(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def freeze() -> Any:
            self._has_frozen = True
            return original()

        return freeze

    def _seed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def seed(*args: Any, **kwargs: Any) -> Any:
            if hook.table:
                self._random_seeded = _has_value(args, kwargs)
            return original(*args, **kwargs)

        return seed

    def _seed_numpy(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def seed(*args: Any, **kwargs: Any) -> Any:
            if hook.table:
                self._numpy_seeded = _has_value(args, kwargs)
            return original(*args, **kwargs)

        return seed


_READ_THE_HEAD = {  # of a code object: names and kinds of arguments, whether it is a generator, its file
    *(("inspect.py", name) for name in ("_signature_from_function", "_signature_is_functionlike", "_has_code_flag")),
    *(("inspect.py", name) for name in ("getfile", "getfullargspec", "_signature_from_callable")),
    ("typing.py", "overload"),
    ("typing.py", "_get_defaults"),
}
_WRITE = ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.chmod")
_PYC = "__pycache__"
_SHOW_LINES = ("traceback.py", "warnings.py", "logging.py", "_warnings.py")


def writes(mode: object, flags: object) -> bool:
    """Whether an `open` event is of one that may write."""
    if isinstance(mode, str):
        return not mode.startswith("r") or "+" in mode
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def stat_of(path: str) -> Stat:
    """Time, size and inode; None where nothing is there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _has_value(args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    values = [*args, *kwargs.values()]
    return bool(values) and values[0] is not None


def _keeps_pids(code: CodeType) -> bool:
    """psutil's functions keep the number for the script; while it is imported it only looks what the system has."""
    return f"{os.sep}psutil{os.sep}" in code.co_filename and is_function(code)


def _asker(frame: FrameType | None) -> FrameType | None:
    """Who asks for the number of the process: also by way of `multiprocessing.current_process().pid`."""
    while frame is not None and os.path.basename(frame.f_code.co_filename) == "process.py":
        if frame.f_code.co_name != "ident":
            return None
        frame = frame.f_back
    return frame


def _who(frame: FrameType) -> str:
    code = frame.f_code
    return f"{os.path.splitext(os.path.basename(code.co_filename))[0]}.{code.co_name}()".replace(".<module>()", "")


def _name_of(arguments: tuple[Any, ...]) -> str:
    first = next((found for found in arguments if isinstance(found, (str, bytes, os.PathLike))), "")
    return os.path.basename(os.fsdecode(first))


def _first_outside_library(frame: FrameType | None) -> str:
    """The file of the nearest frame that is not of the standard library."""
    while frame is not None and frame.f_code.co_filename.startswith((_STANDARD, "<frozen")):
        if "site-packages" in frame.f_code.co_filename or "dist-packages" in frame.f_code.co_filename:
            break
        frame = frame.f_back
    return frame.f_code.co_filename if frame is not None else ""


_STANDARD = os.path.dirname(os.__file__) + os.sep


# --- whether numpy's global generator was seeded


def _numpy_generator() -> Any:
    mtrand: Any = sys.modules.get("numpy.random.mtrand")
    return mtrand._rand._bit_generator if mtrand is not None else None


def _numpy_is_marked() -> bool:
    """Seeding by a number takes away the sequence that a generator began with; it says nothing once that is gone."""
    generator = _numpy_generator()
    return generator is not None and generator._seed_seq is None
