"""Which files would win an import."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from devserver.records import searches
from devserver.records.searches import ANY, REGULAR, Form, matches, merged, packages, present, stronger_than

NAMES = {"a": ANY, "b": REGULAR, "c": Form.PACKAGE | Form.EXTENSION}
EXTENSION = EXTENSION_SUFFIXES[0]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("a.py", True),
        ("a.pyc", True),
        (f"a{EXTENSION}", True),
        ("a/__init__.py", True),
        ("a/part.py", True),
        ("a/data.txt", False),
        ("a.txt", False),
        ("b/__init__.py", True),
        ("b/part.py", False),
        ("c.py", False),
        ("c/__init__.py", True),
        (f"c{EXTENSION}", True),
        ("d.py", False),
        ("deep/er/a.py", False),
    ],
)
def test_what_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: bool) -> None:
    """By its path, and by a look into the folder: both say the same."""
    path = tmp_path / name
    assert matches(str(tmp_path), NAMES, str(path)) is counts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert present(str(tmp_path), NAMES) == ([str(path)] if counts else [])
    monkeypatch.setattr(searches, "LARGE", -1)  # and where each name is asked for by itself
    assert present(str(tmp_path), NAMES) == ([str(path)] if counts else [])


def test_order_of_forms() -> None:
    """A package before an extension before a source file before bytecode."""
    assert stronger_than("/p/a.py", package=False) == Form.PACKAGE | Form.EXTENSION
    assert stronger_than(f"/p/a{EXTENSION}", package=False) == Form.PACKAGE
    assert stronger_than("/p/a.pyc", package=False) == Form.PACKAGE | Form.EXTENSION | Form.SOURCE
    assert stronger_than("/p/a/__init__.py", package=True) == 0


def test_folders_that_may_become_packages(tmp_path: Path) -> None:
    """Those with a name that is searched, and none where there is no folder at all."""
    for name in ("a", "c", "other"):
        (tmp_path / name).mkdir()
    assert set(packages(str(tmp_path), NAMES)) == {str(tmp_path / "a"), str(tmp_path / "c")}
    assert present(str(tmp_path / "nowhere"), NAMES) == []


def test_both_searches() -> None:
    """Forms add up."""
    both = merged({"/p": {"a": 1}}, {"/p": {"a": 2, "b": 4}, "/q": {"c": 8}})
    assert both == {"/p": {"a": 3, "b": 4}, "/q": {"c": 8}}
