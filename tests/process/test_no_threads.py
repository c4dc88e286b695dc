"""The system allows no more threads: no process is left that nobody hears, and it is an OSError like all others."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from devserver.config.sources import read_config
from devserver.process.child import Child, Origin
from devserver.process.lifeline import Lifeline
from devserver.process.wire import Briefing


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("name", ["tell", "wait", "listen"])
def test_no_thread_for_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whichever thread it is: the process is ended, and all descriptors are given back."""
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): pass\n")
    config = read_config(["--entry_script", "score.py", "--reload"], {}, str(tmp_path))
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with closing(Lifeline()) as lifeline:
        origin = Origin([], dict(os.environ), lifeline.descriptor)
        before, others = len(os.listdir("/proc/self/fd")), children()
        with pytest.raises(OSError) as raised:
            Child.start(Briefing(1, config), origin, lambda *_: None)
        assert raised.value.errno == errno.EAGAIN
        for thread in threading.enumerate():
            if thread.name in ("tell", "wait", "listen"):
                thread.join(5)
        assert (len(os.listdir("/proc/self/fd")), children()) == (before, others)
