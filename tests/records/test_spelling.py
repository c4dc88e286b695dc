"""One spelling for each file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devserver.records.spelling import spelled


def test_what_is_there_in_its_own_spelling(tmp_path: Path) -> None:
    """It stays, whatever its name looks like, and so does what is not there."""
    (tmp_path / "Äpfel [1]").mkdir()
    for name in ("Äpfel [1]", "none.txt", os.path.join("none", "none.txt")):
        assert spelled(str(tmp_path / name)) == str(tmp_path / name)


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere another spelling is another file")
def test_other_spellings(tmp_path: Path) -> None:
    """Any case, the short names that Windows makes, and the letter of the drive; patterns match nothing."""
    import ctypes

    path = tmp_path / "A long Folder" / "Score.py"
    path.parent.mkdir()
    path.touch()
    text = ctypes.create_unicode_buffer(500)
    assert ctypes.windll.kernel32.GetShortPathNameW(str(path), text, 500)  # type: ignore[attr-defined,unused-ignore]
    top = spelled(str(tmp_path))
    whole = os.path.join(top, "A long Folder", "Score.py")
    for other in (str(path).lower(), str(path).upper(), text.value):
        assert spelled(other) == whole
    assert spelled(os.path.join(str(tmp_path).lower(), "New.txt")) == os.path.join(top, "New.txt")
    assert spelled("c:\\") == "C:\\"
    assert spelled(os.path.join(top, "a*")) == os.path.join(top, "a*")
    assert spelled("\\\\?\\" + whole.upper()) == "\\\\?\\" + whole
