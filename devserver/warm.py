"""The warm process: libraries are imported, no user code; each generation is forked from it, or it becomes one."""

from __future__ import annotations

import gc
import importlib
import io
import logging
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, all_suffixes
from types import ModuleType
from typing import NoReturn

from devserver import usercode
from devserver.config import Config
from devserver.nursery import Became, Ended, Forked, LaunchOrder, Warmed, WarmOrder, receive, send
from devserver.process import LINUX, Link, lead_own_group, leave
from devserver.scoring import logs
from devserver.serve import Wsgi

OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
SPARE_AFTER = 0.3  # seconds without orders after which the next generation is forked ahead
STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def main(descriptor: int) -> None:
    """Serve orders until the supervisor is gone, or no generation can come from here."""
    lead_own_group()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Warm(socket.socket(fileno=descriptor)).serve()


class _Warm:
    """What this process has imported, how it answers the supervisor, and the process that comes next."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._libraries = Libraries()
        self._folders: tuple[str, ...] = ()
        self._rehearsed = False
        self._forks = False
        self._spare: Spare | None = None
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._ends[1])
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Take orders until there are no more."""
        serving = True
        while serving:
            pause = SPARE_AFTER if self._forks and self._spare is None else None
            ready = select.select([self._channel.fileno(), self._ends[0]], [], [], pause)[0]
            if not ready:
                self._spare = self._split()
            if self._ends[0] in ready:
                os.read(self._ends[0], 4096)
                self._reap()
            if self._channel.fileno() in ready:
                serving = self._take_order()

    def _reap(self) -> None:
        for pid, status in _ended_children():
            self._send(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        try:
            send(self._channel, message, descriptors)
        except OSError:
            pass  # the supervisor is gone; the next look at the channel tells

    def _take_order(self) -> bool:
        try:
            order, descriptors = receive(self._channel)
        except (OSError, EOFError):
            return False
        if isinstance(order, LaunchOrder):
            return self._fork(order, descriptors) if self._forks else self._become(order, descriptors)
        assert isinstance(order, WarmOrder)
        return self._warm_up(order)

    # --- importing

    def _warm_up(self, order: WarmOrder) -> bool:
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        self._folders = order.user_folders
        sys.argv = list(order.arguments)
        with _silence(), self._libraries as libraries:
            refusal = self._import(order, libraries) or libraries.problem(self._folders)
            why_not_fork = _why_not_fork()
        self._forks = why_not_fork is None
        if refusal is None and not order.becomes:
            refusal = why_not_fork
        importlib.invalidate_caches()  # for all generations to come: nothing is imported here any more
        gc.collect()
        gc.freeze()
        self._send(Warmed(refusal))
        return refusal is None

    def _import(self, order: WarmOrder, libraries: Libraries) -> str | None:
        _set_path(order)
        if not self._rehearsed:
            try:
                _rehearse()
            except Exception as error:
                return f"the server cannot be made ready ahead ({type(error).__name__}: {error})"
            libraries.forget_names()
            self._rehearsed = True
        known = set(logging.root.manager.loggerDict)
        refusal = _import(order.modules, libraries)
        logs.imported_ahead |= logging.root.manager.loggerDict.keys() - known
        return refusal

    # --- the next generation

    def _fork(self, order: LaunchOrder, descriptors: list[int]) -> bool:
        """It makes itself ready while it is looked whether the libraries are still what was imported."""
        spare, self._spare = self._spare or self._split(), None
        if not spare.begin(order, descriptors):
            spare = self._split()
            spare.begin(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        problem = self._libraries.problem(self._folders)
        if problem is not None:
            os.killpg(spare.pid, signal.SIGKILL)  # nobody has told it to load anything
            self._send(Warmed(problem))
            return False
        process = os.pidfd_open(spare.pid)
        self._send(Forked(spare.pid), [process])
        os.close(process)
        return True

    def _split(self) -> Spare:
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close()
            self._leave_office()
            _wait_for_order(there)
        there.close()
        _lead_group(pid)
        return Spare(pid, here)

    def _become(self, order: LaunchOrder, descriptors: list[int]) -> bool:
        problem = self._libraries.problem(self._folders)
        self._send(Warmed(problem) if problem is not None else Became())
        if problem is None:
            self._leave_office()
            _live(order, descriptors)
        return False

    def _leave_office(self) -> None:
        """From here on this process is, or waits to be, a generation."""
        signal.set_wakeup_fd(-1)
        self._channel.close()
        for end in self._ends:
            os.close(end)


@dataclass(frozen=True)
class Spare:
    """A fork of this process that waits to become a generation; it ends when its channel is closed."""

    pid: int
    channel: socket.socket

    def begin(self, order: LaunchOrder, descriptors: Sequence[int]) -> bool:
        """Hand the order on; False where the process is gone."""
        with self.channel:
            try:
                send(self.channel, order, descriptors)
            except OSError:
                return False
        return True

    def close(self) -> None:
        self.channel.close()


def _ended_children() -> list[tuple[int, int]]:
    found = []
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    except ChildProcessError:
        pass
    return found


def _lead_group(pid: int) -> None:
    """Here as well as in the generation, so that it can be killed from now on."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass


# --- importing


class UserCodeWanted(BaseException):
    """A library asked for a module of the user's; no `except Exception` of the library's may hide it."""


class Libraries:
    """A finder that stands before the others, takes note of the libraries and lets none of the user's modules through.

    The standard library and this package belong to the supervisor that runs: their files are not looked after.
    """

    def __init__(self) -> None:
        self.wanted: str | None = None
        self._found: set[str] = set()
        self._missing: set[str] = set()
        self._stamps: dict[str, tuple[int, int, int] | None] = {}

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
        if origin and usercode.is_user_file(origin):
            self.wanted = f"a library imports {origin}"
            raise UserCodeWanted(self.wanted)
        if origin and _is_library(origin):
            self._stamps[origin] = _stamp(origin)  # before it is read
        self._found.add(spec.name)
        self._missing.discard(spec.name)  # a library has extended sys.path since

    def forget_names(self) -> None:
        """What was imported so far, a generation imports before the user's folders are on its path."""
        self._found.clear()
        self._missing.clear()

    def problem(self, folders: Sequence[str]) -> str | None:
        """Why what was imported is not what a cold start would import now, or None.

        `folders` are the user's; the first stands before the libraries on a generation's path, the others after them.
        """
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                return f"{path} has changed since it was imported"
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


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_library(path: str) -> bool:
    outside = not path.startswith(STANDARD) or "site-packages" in path or "dist-packages" in path
    return outside and not path.startswith(OURS)


def _set_path(order: WarmOrder) -> None:
    apart = {os.path.abspath(folder) for folder in order.user_folders}
    sys.path[:] = [folder for folder in order.path if os.path.abspath(folder) not in apart]


def _import(modules: Sequence[str], libraries: Libraries) -> str | None:
    """Returns why nothing can come of this process, or None."""
    name = ""
    try:
        for name in modules:
            importlib.import_module(name)
    except BaseException as error:
        what = f"{name} cannot be imported ahead of the script ({type(error).__name__}: {error})"
        return libraries.wanted or what
    return libraries.wanted


@contextmanager
def _silence() -> Iterator[None]:
    """What libraries say when they are imported was said before, by the generation that the script imported them in."""
    _flush()
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    with open(os.devnull, "wb") as nothing:
        for stream in kept:
            os.dup2(nothing.fileno(), stream)
    try:
        yield
    finally:
        _flush()  # or every generation would say it once more
        for stream, old in kept.items():
            os.dup2(old, stream)
            os.close(old)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _rehearse() -> None:
    """Answers a request for a script of nothing: what that imports and compiles, no generation has to."""
    for name in ("devserver.child", "devserver.serve.with_waitress", "encodings.idna", "pdb"):
        importlib.import_module(name)
    from devserver.serve import with_gunicorn

    with_gunicorn.prepare()
    environ = {
        **{"REQUEST_METHOD": "POST", "PATH_INFO": "/score", "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http"},
        **{"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "HTTP_HOST": "127.0.0.1", "wsgi.errors": sys.stderr},
    }
    for _ in _app_of_nothing()(environ, lambda *_: None):
        pass


def _app_of_nothing() -> Wsgi:
    from devserver.scoring.app import Parts, create_app
    from devserver.scoring.inputs import analyse
    from devserver.scoring.script import NoLimit, Script
    from devserver.scoring.swagger import prepare
    from devserver.scoring.telemetry import start

    def run(_data: object) -> dict[str, str]:
        return {}

    def ignore(_: object) -> None: ...

    config = Config(base=OURS)
    script = Script("", lambda: None, run, analyse(run, False))
    documents, insights = prepare(run, config, ignore), start(config, ignore)
    return create_app(Parts(config, script, documents, insights, NoLimit(), ignore, ignore, 0))


def _why_not_fork() -> str | None:
    """Some libraries stop their threads at a fork and some do not; one throw-away fork tells."""
    if not LINUX:
        return "nothing can be forked on this system"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        os.close(os.pidfd_open(pid))
    except OSError as error:
        return f"this system has no descriptors of processes ({error.strerror})"
    finally:
        os.waitpid(pid, 0)
    threads = len(os.listdir("/proc/self/task"))
    left = "1 thread runs" if threads == 2 else f"{threads - 1} threads run"
    return f"{left} after the imports, and would be lost" if threads > 1 else None


# --- becoming a generation


def _wait_for_order(channel: socket.socket) -> NoReturn:
    try:
        order, descriptors = receive(channel)
    except (OSError, EOFError):
        os._exit(0)
    channel.close()
    assert isinstance(order, LaunchOrder)
    _live(order, descriptors)


def _live(order: LaunchOrder, descriptors: list[int]) -> NoReturn:
    """This process is a generation from here on."""
    from devserver import child
    from devserver.recorder import Recorder

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    added = [folder for folder in sys.path if folder not in order.path]
    sys.path[:] = [*order.path, *added]
    _reseed()
    link, page, dump, told = descriptors
    code = 1
    try:
        lead_own_group()
        code = child.begin(order.briefing, Link(link), Recorder((page, dump)), lambda: _wait_until_told(told))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code)


def _wait_until_told(told: int) -> None:
    """Until the supervisor takes this process for a generation; where it does not, the group ends.

    The message stays in the pipe for all workers of the generation, also later ones.
    """
    bell = select.poll()
    bell.register(told, select.POLLIN)
    if not any(flags & select.POLLIN for _, flags in bell.poll()):
        os.killpg(0, signal.SIGKILL)


def _reseed() -> None:
    """Two generations must not draw the same random numbers; Python's own generator sees to that by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
