"""What a generation depends on, compared with the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devserver.records.searches import ANY, REGULAR
from devserver.records.stamps import Stamp, data_stamp, full_stamp, link_stamp
from devserver.worker import known
from devserver.worker.known import Files, Known, Links, Listings, Places
from devserver.worker.model_tree import ModelTree


def everything(_path: str) -> bool:
    return True


def stamp(path: Path) -> Stamp:
    found = data_stamp(str(path))
    assert found is not None
    return found


def age(path: Path, seconds: float = 60) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_files(tmp_path: Path) -> None:
    """Another content is a difference, a touch is none; what was missing and comes is one."""
    path, late = tmp_path / "a.py", tmp_path / "late.py"
    path.write_text("one")
    files = Files(({str(path): full_stamp(str(path)), str(late): None},), (), everything)
    assert files.differences() == {}
    path.touch()
    assert files.differences() == {}
    path.write_text("two")
    late.write_text("x")
    assert files.differences().keys() == {str(path), str(late)}
    for name, state in files.differences().items():
        files.accept(name, state)
    assert files.differences() == {}
    path.unlink()
    assert files.differences() == {str(path): None}


def test_two_versions_of_one_time(tmp_path: Path) -> None:
    """A file that was written about when it was loaded is read again, until its time tells."""
    path = tmp_path / "a.py"
    path.write_text("one")
    loaded, found = full_stamp(str(path)), path.stat()
    files = Files(({str(path): loaded},), (), everything)
    path.write_text("two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert files.differences().keys() == {str(path)}


def test_a_file_that_is_read_again(tmp_path: Path) -> None:
    """The newer stamp counts, whatever was accepted before."""
    path, book = tmp_path / "a.py", {}
    path.write_text("one")
    book[str(path)] = full_stamp(str(path))
    files = Files((book,), (), everything)
    path.write_text("two")
    for name, state in files.differences().items():
        files.accept(name, state)
    path.write_text("three")
    assert files.differences()
    book[str(path)] = full_stamp(str(path))
    assert files.differences() == {}


def test_very_many_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those past a number only the folders are looked at, which tell of whatever is moved into place."""
    monkeypatch.setattr(known, "MOST_DATA", 1)
    data = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("one")
        data[str(tmp_path / name / "x")] = stamp(tmp_path / name / "x")
    files = Files(({},), (data,), everything)
    assert files.differences() == {}
    (tmp_path / "new").write_text("two")
    os.replace(tmp_path / "new", tmp_path / "b" / "x")
    assert files.differences().keys() == {str(tmp_path / "b" / "x")}


def test_links(tmp_path: Path) -> None:
    """What a link says counts, not what lies behind it, nor when it was made."""
    link = tmp_path / "current"
    link.symlink_to("a")
    first = link_stamp(str(link))
    assert first is not None
    links = Links({str(link): first})
    link.unlink()
    link.symlink_to("a")
    assert links.differences() == {}
    link.unlink()
    link.symlink_to("b")
    assert links.differences().keys() == {str(link)}


def test_places(tmp_path: Path) -> None:
    """A module that would win, a package, a file in a folder that is not there yet: each is one when it comes."""
    absent = {str(tmp_path / "a/b/c.json"): None}
    searches = {str(tmp_path): {"late": ANY, "beside": REGULAR & ~4}}
    places = Places(absent, searches, everything)
    assert places.differences() == {}
    (tmp_path / "other.py").touch()
    (tmp_path / "beside.py").touch()
    (tmp_path / "late").mkdir()
    (tmp_path / "late/notes.txt").touch()
    assert places.differences() == {}
    (tmp_path / "late/__init__.py").touch()
    assert places.differences().keys() == {str(tmp_path / "late/__init__.py")}
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").mkdir()
    places.differences()
    (tmp_path / "a/b/c.json").touch()
    assert str(tmp_path / "a/b/c.json") in places.differences()
    for name, state in places.differences().items():
        places.accept(name, state)
    assert places.differences() == {}


def test_places_that_are_quiet_cost_a_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is listed again while a folder stays as it is."""
    age(tmp_path)
    places = Places({}, {str(tmp_path): {f"name{number}": ANY for number in range(500)}}, everything)
    places.differences()
    monkeypatch.setattr(known, "present", None)
    assert places.differences() == {}


def test_listings(tmp_path: Path) -> None:
    """Names that come and go are differences; what the script itself makes is none."""
    (tmp_path / "a").touch()
    own = {str(tmp_path / "own")}
    listings = Listings(lambda: [str(tmp_path)], lambda folder: os.listdir(folder), lambda path: path not in own)
    listings.note(str(tmp_path))
    (tmp_path / "own").touch()
    assert listings.differences() == {}
    (tmp_path / "b").touch()
    (tmp_path / "a").unlink()
    found = listings.differences()
    assert found.keys() == {str(tmp_path / "a"), str(tmp_path / "b")} and found[str(tmp_path / "a")] is None
    both = Known((listings, Links({})))
    both.accept(found)
    assert both.differences() == {}


def test_the_model_tree(tmp_path: Path) -> None:
    """All that counts in it, small files by their content; of too many the first ones."""
    for name in ("m.bin", "deep/n.bin", "x.log", "skip/y.bin", "own.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    written: set[str] = set()
    tree = ModelTree(str(tmp_path), lambda path: "skip" not in path, written)
    tree.look()
    found = {Path(path).relative_to(tmp_path).as_posix() for path in tree.stamps}
    assert found == {"m.bin", "deep/n.bin", "own.bin"}
    assert set(tree.folders) == {str(tmp_path), str(tmp_path / "deep")}
    written.add(str(tmp_path / "own.bin"))
    tree.forget()
    assert str(tmp_path / "own.bin") not in tree.stamps and "own.bin" not in tree.names_in(str(tmp_path))
    assert tree.stamps and all(found.digest for found in tree.stamps.values())
