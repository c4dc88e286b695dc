"""Small projects with a mistake in them: files come in, the report that a developer would get goes out."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import gallery
import pytest

from devserver.records.diagnostic import Diagnostic
from devserver.usercode import loader

MARK = "# HERE"
INIT = "def init():\n    pass\n\n"
RUN = "\ndef run(raw_data):\n    return {}\n"
HAS_COLUMNS = sys.version_info >= (3, 11)  # positions of instructions


class World:
    """A project folder that is the working directory; what was imported from it is forgotten at the end."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        self._modules = set(sys.modules)
        loader.forget()
        self._finder = loader.UserCode().install()

    def close(self) -> None:
        self._finder.uninstall()
        for name in set(sys.modules) - self._modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(self.folder)):
                del sys.modules[name]
        loader.forget()

    def write(self, files: dict[str, str | bytes]) -> str:
        """Write the files (texts are dedented); the path of score.py."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else dedent(content).lstrip("\n").encode())
        return str(self.folder / "score.py")

    def mistake(self, files: dict[str, str | bytes] | str, body: str = "{}", **facts: Any) -> Diagnostic:
        """The report of what goes wrong with these files (a text alone is score.py)."""
        return gallery.mistake(self.write({"score.py": files} if isinstance(files, str) else files), body, **facts)

    def marked(self) -> tuple[str, int]:
        """Where the mark stands: (path, line)."""
        for path in sorted(self.folder.rglob("*.py")):
            for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
                if MARK.encode() in line:
                    return str(path), number
        raise AssertionError("no mark")
