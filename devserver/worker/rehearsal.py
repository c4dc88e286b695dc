"""One request through an app of nothing, so that what it imports is imported; and whether the process may be forked."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from devserver.config.settings import Config
from devserver.process.platform import System
from devserver.serve import Wsgi
from devserver.usercode.ownership import OURS
from devserver.worker.keep import ran
from devserver.worker.keep.forkable import threads_left


@contextmanager
def silence() -> Iterator[None]:
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


def rehearse() -> None:
    """Answers a request for a script of nothing: what that imports and compiles, no generation has to."""
    for name in (
        "devserver.worker.main",
        "devserver.worker.kept",
        "devserver.worker.initialised",
        "devserver.serve.with_waitress",
        "encodings.idna",
        "pdb",
    ):
        importlib.import_module(name)
    if System.can_fork:
        from devserver.serve import with_gunicorn

        with_gunicorn.prepare()
    ran.prepare()
    environ = {
        **{"REQUEST_METHOD": "POST", "PATH_INFO": "/score", "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http"},
        **{"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "HTTP_HOST": "127.0.0.1", "wsgi.errors": sys.stderr},
    }
    for _ in _app_of_nothing()(environ, lambda *_: None):
        pass


def _app_of_nothing() -> Wsgi:
    from devserver.scoring.app import Parts, create_app
    from devserver.scoring.inputs import analyse
    from devserver.scoring.insights import start
    from devserver.scoring.script import Script
    from devserver.scoring.swagger import prepare
    from devserver.scoring.time_limit import NoLimit
    from devserver.worker.reporter import RequestReporter

    def run(_data: object) -> dict[str, str]:
        return {}

    def ignore(_: object) -> None: ...

    config = Config(base=OURS)
    script = Script("", lambda: None, run, analyse(run, False))
    documents, insights = prepare(run, config, ignore), start(config, ignore)
    reporter = RequestReporter(config, script, insights, ignore, ignore, in_loop=True)
    return create_app(Parts(config, script, documents, NoLimit(), reporter, 0))


def why_not_fork() -> str | None:
    """What speaks against it; some libraries stop their threads when they are asked, or at a fork, and some do not."""
    if not (System.forks_safely and System.sees_itself):
        return "nothing can be forked on this system"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"this system has no descriptors of processes ({error.strerror})"
    if threads_left() is None:
        return None
    threads = len(os.listdir("/proc/self/task"))
    left = "1 thread runs" if threads == 2 else f"{threads - 1} threads run"
    return f"{left} after the imports, and would be lost"
