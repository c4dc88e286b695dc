"""Which files the script itself reads, lists, looks for in vain and writes, heard from the interpreter's audit events.

A fresh start would read them again, so that a change of one of them is a reason to start afresh; what the script writes
is no such change. Whether it has written where it could have is told by the content, at the end of each piece of work.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from _thread import get_ident
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, TypeAlias

from devserver.records.spelling import spelled
from devserver.records.stamps import Stamp, data_stamp, stat_stamp
from devserver.usercode import loader
from devserver.usercode.audit_arguments import Access, absolute, access_of, database
from devserver.usercode.ownership import STANDARD, caused_by_user, is_own_file, is_user_file

MOST_READ = 1000  # files that load and init() read; more of them are watched only where a watched folder holds them
MOST_READ_LATER = 200  # that are first read by requests
MOST_ABSENT = 1000
MOST_LISTED = 200
MOST_KEPT_OPEN = 50
AGAIN = 0.05  # seconds within which the same file is told once to be written

_SYSTEM = (
    *(os.path.join(os.sep, name, "") for name in ("proc", "sys", "dev", "run", "etc", "lib", "lib64", "bin")),
    os.path.join(os.sep, "usr", "lib", ""),
    os.path.join(os.sep, "usr", "share", ""),
    os.path.join(os.path.expanduser("~"), ".cache", ""),
)
_TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}(?:\.|$)")  # a name that `tempfile` makes
_LOOKERS = ("exists", "isfile", "isdir", "lexists")
_PATH_LOOKERS = ("exists", "is_file", "is_dir")
_SEARCHING = ("importlib", "pkgutil.py", "zipimport.py", "site.py", "runpy.py")  # of the standard library


class OpenedFiles:
    """Data files that were read: with their stamps, in `stamps`. `absent`: what was looked for where nothing was.
    `listed`: folders that were listed, and when (time.time_ns).

    It listens from its first `with` on, in which load and init() run; what happens later counts between `begins` and
    `ends`. Files below `folders` always count, others unless they are the system's. `written` is told of each file that
    the script has written, and once more, with True, at the end of the work in which it did; `started` that it has
    started another process.
    """

    def __init__(
        self, folders: Sequence[str], written: Callable[[str, bool], None], started: Callable[[], None] = lambda: None
    ) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.absent: dict[str, None] = {}
        self.listed: dict[str, int] = {}
        self.written: dict[str, Stamp | None] = {}  # with their stats, as the script left them
        self._folders = tuple({os.path.join(os.path.abspath(folder), "") for folder in folders})
        self._tell = written
        self._tell_started = started
        self._told: dict[str, float] = {}
        self._pid = os.getpid()
        self._may_write: dict[str, None] = {}
        self._now: set[str] = set()  # written since the last end
        self._most = MOST_READ
        self._working = 0  # pieces of work at this moment
        self._busy: set[int] = set()  # threads that are in here
        self._listening = False
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> OpenedFiles:
        if not self._listening:
            self._listening = True
            sys.addaudithook(self._heard)  # for good: it cannot be taken away
        self._stand_in()
        self._most = MOST_READ
        self.begins()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends()
        self._most = min(MOST_READ, len(self.stamps) + MOST_READ_LATER)
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()

    def begins(self) -> None:
        """The script works from here on."""
        self._working += 1
        self._pid = os.getpid()

    def ends(self) -> None:
        """It has done one piece of work. What it could have written, it has if the content is another one."""
        self._working -= 1
        changed = [path for path in self._may_write if self._has_changed(path)]
        told, self._now = {*self._now, *changed, *self._written_on()}, set()
        for path in told:
            self._told[path] = time.monotonic()
            self._tell(path, True)
            self._keep(path, anew=path in self.stamps or path in self._may_write)

    def _written_on(self) -> list[str]:
        """Files that are kept open, and so were not heard to be opened."""
        found = []
        for path in list(self.written)[-MOST_KEPT_OPEN:]:
            now = stat_stamp(path)
            if now != self.written[path]:
                self.written[path] = now
                found.append(path)
        return found

    def _has_changed(self, path: str) -> bool:
        known, now = self.stamps.get(path), stat_stamp(path)
        return not known.same_stat(now) if known is not None else now is not None

    def _keep(self, path: str, *, anew: bool) -> None:
        """What the script has both read and written counts as it left it."""
        stamp = data_stamp(path) if anew else None
        if stamp is not None:
            self.stamps[path] = stamp
        elif anew:
            self.stamps.pop(path, None)

    @property
    def is_apart(self) -> bool:
        """Whether this is a child of the process that works: when it is done, nobody tells."""
        return os.getpid() != self._pid

    # --- heard

    def _started(self, _arguments: tuple[Any, ...], _frame: FrameType) -> None:
        now = time.monotonic()
        if self._working and now - self._told.get("", -AGAIN) >= AGAIN:
            self._told[""] = now
            self._tell_started()

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        handler = _HANDLERS.get(event)
        if handler is None or get_ident() in self._busy:
            return
        frame = sys._getframe(1)
        if is_own_file(frame.f_code.co_filename):
            return
        self._busy.add(get_ident())  # looking at a file opens it
        try:
            handler(self, arguments, frame)
        except (OSError, TypeError, ValueError, RuntimeError):
            pass  # a name that is none; the call itself will say so
        finally:
            self._busy.discard(get_ident())

    def _opened(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        name, mode, flags = arguments
        path, access = absolute(name), access_of(mode, flags)
        if path is None or (access != "reads" and os.path.isdir(path)):
            return  # a file without a name is made in that folder, or nothing
        if access == "writes":
            self._note_written(path)
        else:
            self._note_read(path, access, frame)

    def _connected(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        path = absolute(database(arguments[0]))
        if path is not None:
            self._note_read(path, "may write", frame)

    def _extension_loaded(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        path = absolute(arguments[1] or None)
        if path is not None:
            self._note_read(path, "reads", frame)

    def _library_loaded(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        path = absolute(arguments[0] or None)
        if path is not None and os.path.isfile(path):
            self._note_read(path, "reads", frame)

    def _truncated(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        self._note_written(absolute(arguments[0]))

    def _wrote(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        folder = arguments[-1] if isinstance(arguments[-1], int) else -1
        self._note_written(absolute(arguments[0], folder))

    def _made_folder(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        if not os.path.lexists(absolute(arguments[0], arguments[-1]) or ""):  # else it fails, and changes nothing
            self._wrote(arguments, frame)

    def _removed_folder(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        if not os.listdir(absolute(arguments[0], arguments[-1]) or ""):
            self._wrote(arguments, frame)

    def _wrote_second(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        self._note_written(absolute(arguments[1], arguments[-1] if isinstance(arguments[-1], int) else -1))

    def _moved(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        source, target, here, there = (*arguments, -1, -1)[:4]
        self._note_written(absolute(source, here))
        self._note_written(absolute(target, there))

    def _removed_tree(self, arguments: tuple[Any, ...], _frame: FrameType) -> None:
        top = absolute(arguments[0])
        for path in [path for path in (*self.stamps, *self.listed) if top and path.startswith(os.path.join(top, ""))]:
            self.listed.pop(path, None)
            self._note_written(path)

    def _was_listed(self, arguments: tuple[Any, ...], frame: FrameType) -> None:
        path = absolute(arguments[0] or ".")
        if path is None or not self._working or path in self.listed or len(self.listed) >= MOST_LISTED:
            return
        if not self._counts(os.path.join(path, "x")) or not _lists_for_user(path, frame):
            return
        if os.path.isdir(path):
            self.listed[spelled(path)] = time.time_ns()
        else:
            self._note_absent(path, frame)

    # --- kept

    def _note_written(self, path: str | None) -> None:
        if path is None or not self._counts(path):
            return
        path = spelled(path)
        self.absent.pop(path, None)
        if self._working:
            self._now.add(path)
        self.written[path] = self.written.pop(path, None)  # the latest are the last ones
        now = time.monotonic()
        if now - self._told.get(path, -AGAIN) >= AGAIN:
            self._told[path] = now
            self._tell(path, False)

    def _note_read(self, path: str, access: Access, frame: FrameType) -> None:
        if path in self.stamps or path in loader.loaded or not self._working or not self._counts(path):
            return
        path = spelled(path)
        if path in self.stamps or path in loader.loaded:
            return
        stamp = data_stamp(path)
        if len(self.stamps) >= self._most or len(self._may_write) >= MOST_READ:
            return
        if stamp is not None:
            self.stamps[path] = stamp
        if access == "may write":
            self._may_write[path] = None  # sqlite makes the file where there is none
        elif stamp is None:
            self._note_absent(path, frame)

    def _note_absent(self, path: str, frame: FrameType | None) -> None:
        path = spelled(path)
        if len(self.absent) >= MOST_ABSENT or os.path.lexists(path) or path in self.written:
            return
        if frame is None or caused_by_user(frame):
            self.absent[path] = None

    def _counts(self, path: str) -> bool:
        if not is_user_file(path) or f"{os.sep}__pycache__{os.sep}" in path:
            return False
        if path.startswith(self._folders):
            return True
        return not path.startswith(_SYSTEM) and not any(map(_TEMPORARY.match, path.split(os.sep)))

    # --- functions that ask whether a file is there, of which no event tells

    def _stand_in(self) -> None:
        """`if os.path.exists(...)` is the usual way to read a file that may be missing."""
        import pathlib

        for owner, names in ((os.path, _LOOKERS), (pathlib.Path, _PATH_LOOKERS)):
            for name in names:
                self._replace(owner, name)

    def _replace(self, owner: Any, name: str) -> None:
        own, original = vars(owner).get(name), getattr(owner, name)
        setattr(owner, name, self._asking(original))
        # in Python 3.13 a path has them from a class above
        self._undo.append(lambda: delattr(owner, name) if own is None else setattr(owner, name, own))

    def _asking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def ask(path: Any, *args: Any, **options: Any) -> Any:
            found = original(path, *args, **options)
            if not found and self._working and is_user_file(sys._getframe(1).f_code.co_filename):
                self._looked_in_vain(path)
            return found

        return ask

    def _looked_in_vain(self, name: object) -> None:
        path = absolute(name)
        if path is not None and self._counts(path):
            self._note_absent(path, None)


_Handler: TypeAlias = Callable[[OpenedFiles, tuple[Any, ...], FrameType], None]
_HANDLERS: Mapping[str, _Handler] = {
    "open": OpenedFiles._opened,
    "sqlite3.connect": OpenedFiles._connected,
    "import": OpenedFiles._extension_loaded,
    "ctypes.dlopen": OpenedFiles._library_loaded,
    "os.listdir": OpenedFiles._was_listed,
    "os.scandir": OpenedFiles._was_listed,
    "os.rename": OpenedFiles._moved,
    "os.link": OpenedFiles._wrote_second,
    "os.symlink": OpenedFiles._wrote_second,
    "os.remove": OpenedFiles._wrote,
    "os.mkdir": OpenedFiles._made_folder,
    "os.rmdir": OpenedFiles._removed_folder,
    "os.truncate": OpenedFiles._truncated,
    "shutil.rmtree": OpenedFiles._removed_tree,
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"), OpenedFiles._started),
}


def _lists_for_user(folder: str, frame: FrameType | None) -> bool:
    """Whether the user's code lists the folder, or has it listed; not Python itself in its search for modules."""
    while frame is not None and frame.f_code.co_filename.startswith((STANDARD, "<frozen")):
        rest = frame.f_code.co_filename[len(STANDARD) :]
        if "<frozen importlib" in frame.f_code.co_filename or rest.startswith(_SEARCHING):
            return False
        if rest.startswith(("site-packages", "dist-packages")):
            break
        frame = frame.f_back
    if frame is None:
        return False
    if is_user_file(frame.f_code.co_filename):
        return True
    return caused_by_user(frame) and folder not in map(os.path.abspath, sys.path)
