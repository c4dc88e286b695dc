"""What a script reads, lists, looks for in vain and writes: heard from the audit events of this very process."""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

import pytest

from devserver.usercode import loader
from devserver.usercode.audit_arguments import access_of
from devserver.usercode.opened_files import OpenedFiles


class Heard:
    """A project of its own, and a user's module in it that does what the test says."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.told: list[str] = []
        self.opened = OpenedFiles([str(project)], lambda path, _done: self.told.append(os.path.relpath(path, project)))
        for name in ("a.txt", "folder/b.txt"):
            self.write(name, "first")

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def by_user(self, code: str, **names: object) -> None:
        """Run this as code of the user's."""
        path = self.project / "score.py"
        exec(compile(code, str(path), "exec"), {"P": str(self.project), "os": os, **names})

    def read(self) -> set[str]:
        return self.relative(self.opened.stamps)

    def absent(self) -> set[str]:
        return self.relative(self.opened.absent)

    def relative(self, paths: object) -> set[str]:
        return {os.path.relpath(path, self.project).replace(os.sep, "/") for path in paths}  # type: ignore[attr-defined]


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    loader.forget()
    made = Heard(tmp_path / "project")
    yield made
    made.opened._folders = ("nowhere",)  # the hook stays for good
    loader.forget()


def test_what_is_read(heard: Heard) -> None:
    """Anywhere, of any size, code that is only read too; nothing of a library's, and nothing when it does not work."""
    heard.write("../outside.txt", "x")
    heard.write("large.bin", "x" * (1 << 20) + "x")
    heard.write("part.py", "x = 1")
    heard.by_user("open(f'{P}/a.txt').close()")
    assert heard.read() == set()
    with heard.opened:
        for name in ("a.txt", "large.bin", "part.py", "../outside.txt"):
            heard.by_user(f"open(f'{{P}}/{name}').close()")
        heard.by_user("open(os.__file__).close(); open('/proc/self/status').close()")
    assert heard.read() == {"a.txt", "large.bin", "part.py", "../outside.txt"}
    digests = {os.path.basename(path): stamp.digest is not None for path, stamp in heard.opened.stamps.items()}
    assert digests["a.txt"] and not digests["large.bin"]
    heard.opened.begins()
    heard.by_user("open(f'{P}/folder/b.txt').close()")
    heard.opened.ends()
    assert "folder/b.txt" in heard.read() and heard.told == []


def test_what_is_looked_for_in_vain(heard: Heard) -> None:
    """By opening, by asking whether it is there, by listing."""
    asks = (os.path.exists, Path.is_file)
    with heard.opened:
        heard.by_user(
            """
import pathlib
for name in ("one", "sub/two"):
    try:
        open(f"{P}/{name}")
    except OSError:
        pass
os.path.exists(f"{P}/three")
pathlib.Path(P, "four").is_file()
try:
    os.listdir(f"{P}/five")
except OSError:
    pass
os.path.exists(f"{P}/a.txt")
"""
        )
    assert heard.absent() == {"one", "sub/two", "three", "four", "five"}
    assert (os.path.exists, Path.is_file) == asks  # as they were


@pytest.mark.parametrize(
    "code",
    [
        "os.listdir(P + '/folder')",
        "list(os.scandir(P + '/folder'))",
        "glob.glob(P + '/folder/*.txt')",
        "list(Path(P, 'folder').iterdir())",
        "list(Path(P, 'folder').glob('*'))",
        "list(os.walk(P + '/folder'))",
    ],
)
def test_what_is_listed(heard: Heard, code: str) -> None:
    """In whatever way, by the user's code; not by Python's own search for modules."""
    with heard.opened:
        heard.by_user(code, glob=glob, Path=Path)
        FileFinder(str(heard.project), (SourceFileLoader, [".py"])).find_spec("missing")
    assert heard.relative(heard.opened.listed) == {"folder"}


def moved(project: str) -> None:
    with open(f"{project}/new.part", "w") as file:
        file.write("x")
    os.replace(f"{project}/new.part", f"{project}/new")


def by_sqlite(project: str) -> None:
    with sqlite3.connect(f"{project}/new") as store:
        store.execute("create table t(x)")
    store.close()


def by_mapping(project: str) -> None:
    with open(f"{project}/a.txt", "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        content[:1] = b"X"


def in_a_folder(project: str) -> None:
    folder = tempfile.mkdtemp(dir=project)
    shutil.rmtree(f"{project}/folder")
    os.rename(folder, f"{project}/folder")


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (moved, {"new.part", "new"}),
        (by_sqlite, {"new"}),
        (by_mapping, {"a.txt"}),
        (lambda project: os.remove(f"{project}/a.txt"), {"a.txt"}),
        (lambda project: os.truncate(f"{project}/a.txt", 2), {"a.txt"}),
        (lambda project: os.symlink("a.txt", f"{project}/link"), {"link"}),
        (in_a_folder, {"folder", "folder/b.txt"}),
    ],
)
def test_what_is_written(heard: Heard, write: Callable[[str], None], names: set[str]) -> None:
    """It is told, at the end of the work at the latest."""
    with heard.opened:
        write(str(heard.project))
    assert names <= set(heard.told)


def test_reading_by_a_mode_that_could_write(heard: Heard) -> None:
    """The content tells: it is read, and told when it was written after all; the later version is the known one."""
    heard.write("store.db", "")
    with sqlite3.connect(heard.project / "store.db") as store:
        store.execute("create table t(x)")
    store.close()
    with heard.opened:
        heard.by_user("open(P + '/a.txt', 'r+b').close()")
        with sqlite3.connect(heard.project / "store.db") as store:
            store.execute("select * from t")
        store.close()
    assert heard.read() == {"a.txt", "store.db"} and heard.told == []
    before = heard.opened.stamps[str(heard.project / "a.txt")]
    heard.opened.begins()
    by_mapping(str(heard.project))
    heard.opened.ends()
    after = heard.opened.stamps[str(heard.project / "a.txt")]
    assert heard.told == ["a.txt"] and not after.same_content(before)


def test_what_is_kept_open(heard: Heard) -> None:
    """It is told with each piece of work in which it was written."""
    with heard.opened:
        log = open(heard.project / "log.txt", "a", buffering=1)
    heard.told.clear()
    for text in ("", "line\n"):
        heard.opened.begins()
        log.write(text)
        heard.opened.ends()
    log.close()
    assert heard.told == ["log.txt"]


def test_a_library_in_c(heard: Heard) -> None:
    """One that is loaded by its path is read."""
    heard.write("lib.so", "no library")
    with heard.opened, pytest.raises(OSError):
        ctypes.CDLL(str(heard.project / "lib.so"))
    assert heard.read() == {"lib.so"}


@pytest.mark.parametrize(
    ("mode", "flags", "access"),
    [
        ("r", 0, "reads"),
        ("rb", 0, "reads"),
        ("r+b", 0, "may write"),
        ("w", 0, "writes"),
        ("a+", 0, "writes"),
        ("x", 0, "writes"),
        (None, os.O_RDONLY, "reads"),
        (None, os.O_RDWR, "may write"),
        (None, os.O_RDWR | os.O_CREAT, "may write"),
        (None, os.O_RDWR | os.O_CREAT | os.O_EXCL, "writes"),
        (None, os.O_WRONLY, "writes"),
    ],
)
def test_modes(mode: str | None, flags: int, access: str) -> None:
    """What an opening is for."""
    assert access_of(mode, flags) == access


def test_programs_are_told(heard: Heard) -> None:
    """Those that the script starts while it works, and those it makes of itself; what such a fork writes is apart."""
    started: list[bool] = []
    heard.opened._tell_started = lambda: started.append(heard.opened.is_apart)
    with heard.opened:
        heard.by_user("import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])")
    assert started == [False]
    heard.by_user("import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])")
    assert started == [False]
    heard.opened._pid = -1
    assert heard.opened.is_apart
