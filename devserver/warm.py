"""The warm process: libraries are imported once and no user code; each generation that is ordered is forked from it."""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import warnings
from typing import NoReturn

from devserver import usercode
from devserver.nursery import MESSAGE_LIMIT, Ended, Forked, ForkOrder, Warmed, WarmOrder
from devserver.process import Link, lead_own_group, leave

Stamps = dict[str, tuple[int, int, int]]


def main(descriptor: int) -> None:
    """Serve orders until the supervisor is gone."""
    lead_own_group()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=descriptor)
    _serve(channel)


def _warm_up(order: WarmOrder) -> str | None:
    """Imports what is ordered; returns why no generation can be forked from here, or None."""
    apart = {os.path.abspath(folder) for folder in order.user_folders}
    sys.path[:] = [folder for folder in order.path if os.path.abspath(folder) not in apart]
    import devserver.child
    import devserver.serve.with_gunicorn
    import devserver.serve.with_waitress  # noqa: F401

    for name in order.modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return f"{name} could not be imported ahead of the script ({type(error).__name__}: {error})"
    return _why_not_fork() or _user_code_among_modules()


def _why_not_fork() -> str | None:
    """Some libraries stop their threads at a fork and some do not; one throw-away fork tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    threads = len(os.listdir("/proc/self/task"))
    return f"{threads - 1} threads run after the imports, and would be lost" if threads > 1 else None


def _user_code_among_modules() -> str | None:
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    mine = [name for name, path in files.items() if path and name != "__main__" and usercode.is_user_file(path)]
    return f"a library imports your own module {mine[0]}" if mine else None


def _stamps() -> Stamps:
    """What the imported files are now; one that changes makes this process worthless."""
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {path: found for path in paths if path and (found := _stamp(path)) is not None}


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _changed(stamps: Stamps) -> str | None:
    return next((path for path, stamp in stamps.items() if _stamp(path) != stamp), None)


def _serve(channel: socket.socket) -> None:
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    stamps: Stamps = {}
    while True:
        ready = select.select([channel.fileno(), reading], [], [])[0]
        if reading in ready:
            os.read(reading, 4096)
            _reap(channel)
        if channel.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_LIMIT, 8)
            match pickle.loads(message) if message else None:
                case WarmOrder() as order:
                    stamps = _take_warm_order(channel, order)
                case ForkOrder() as order:
                    _take_fork_order(channel, order, descriptors, stamps, (reading, writing))
                case _:
                    return


def _take_warm_order(channel: socket.socket, order: WarmOrder) -> Stamps:
    refusal = _warm_up(order)
    gc.collect()
    gc.freeze()
    channel.sendall(pickle.dumps(Warmed(refusal)))
    return _stamps()


def _reap(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.sendall(pickle.dumps(Ended(pid, os.waitstatus_to_exitcode(status))))


def _take_fork_order(
    channel: socket.socket, order: ForkOrder, descriptors: list[int], stamps: Stamps, ends: tuple[int, int]
) -> None:
    changed = _changed(stamps)
    if changed is not None:
        channel.sendall(pickle.dumps(Warmed(f"{changed} has changed since it was imported")))
        return
    pid = os.fork()
    if pid == 0:
        channel.close()
        for end in ends:
            os.close(end)
        _become(order, descriptors)
    try:
        os.setpgid(pid, pid)  # here as well as in the generation, so that it can be killed from now on
    except OSError:
        pass
    for descriptor in descriptors:
        os.close(descriptor)
    channel.sendall(pickle.dumps(Forked(pid)))


def _become(order: ForkOrder, descriptors: list[int]) -> NoReturn:
    """This process is a generation from here on."""
    from devserver import child

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    added = [folder for folder in sys.path if folder not in order.path]
    sys.path[:] = [*order.path, *added]
    importlib.invalidate_caches()
    _reseed()
    code = 1
    try:
        lead_own_group()
        code = child.begin(order.briefing, Link(descriptors[0]), (descriptors[1], descriptors[2]))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code)


def _reseed() -> None:
    """Two generations must not draw the same random numbers; Python's own generator sees to that by itself."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
