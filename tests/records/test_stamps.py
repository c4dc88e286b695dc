"""Stamps where an open file hinders those who replace it, as on Windows; and looks at many files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devserver.records import stamps
from devserver.records.stamps import changed_at, full_stamp, identities, identity, leave_unread, upwards


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that stands still."""
    monkeypatch.setattr(stamps, "_READING_HINDERS", True)
    monkeypatch.setattr(stamps, "_unread", {})
    monkeypatch.setattr(stamps, "_read_before", {})
    path = tmp_path / "model" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(b"one")
    os.utime(path, (1_000_000, 1_000_000))
    return path


def has_digest(path: Path) -> bool:
    stamp = full_stamp(str(path))
    assert stamp is not None and stamp.size == 3
    return stamp.digest is not None


def test_what_stands_still_is_read(file: Path) -> None:
    """Its digest says whether the content is another one."""
    assert has_digest(file)


@pytest.mark.parametrize("above", [0, 1])
def test_what_a_program_writes_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch, above: int) -> None:
    """The file itself, or all that is in a folder; until it was not written for a while."""
    leave_unread(str([file, file.parent][above]))
    assert not has_digest(file)
    other = file.with_name("b.bin")
    other.write_bytes(b"two")
    os.utime(other, (1_000_000, 1_000_000))
    assert has_digest(other) == (above == 0)
    monkeypatch.setattr(stamps, "_UNREAD", 0.0)
    assert has_digest(file)


def test_only_the_latest_are_left_unread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that writes ever new files makes nothing grow."""
    monkeypatch.setattr(stamps, "_MOST_UNREAD", 2)
    for path in (file, file.with_name("b"), file, file.with_name("c")):
        leave_unread(str(path))
    assert list(stamps._unread) == [str(file), str(file.with_name("c"))]


def test_upwards(tmp_path: Path) -> None:
    """The path itself, each folder above it, and no end without a root."""
    assert list(upwards(str(tmp_path))) == [str(tmp_path), *map(str, tmp_path.parents)]
    assert list(upwards("")) == [""]


def test_a_look_at_many_files_tells_what_one_at_each_does(tmp_path: Path) -> None:
    """Of files beside each other and apart, of folders and of what is not there; another version is another one."""
    for name in ("a.py", "B.py", "sub/c.py", "sub/deep/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    names = ("a.py", "B.py", "sub/c.py", "sub/deep/d.py", "sub", "none.py", "none/none.py")
    paths = [str(tmp_path / name) for name in names]
    before = identities(paths)
    assert before == {path: identity(path) for path in paths}
    assert [path for path in paths if before[path] is None] == paths[-2:]
    for name in names[:3]:
        (tmp_path / name).write_text("other, and longer", "utf-8")
    after = identities(paths)
    assert [path for path in paths[:4] if after[path] != before[path]] == paths[:3]


def test_when_a_file_was_changed(tmp_path: Path) -> None:
    """By a write to it, and by a move to where it is, whatever it says of its age."""
    old = tmp_path / "old"
    old.write_text("one", "utf-8")
    made = changed_at(str(old))
    time.sleep(0.05)
    with old.open("r+", encoding="utf-8") as file:
        file.write("two")
    written = changed_at(str(old))
    os.utime(old, (1_000_000, 1_000_000))
    time.sleep(0.05)
    os.replace(old, tmp_path / "new")
    moved = changed_at(str(tmp_path / "new"))
    assert made is not None and written is not None and moved is not None
    assert made < written < moved and abs(moved - time.time_ns()) < 20_000_000_000
    assert changed_at(str(old)) is None and changed_at("\0") is None
