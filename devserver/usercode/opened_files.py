"""Which files the script itself opens, heard from the interpreter's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from devserver.records.stamps import SMALL, Stamp, full_stamp, stat_stamp
from devserver.usercode.ownership import is_user_file

CODE_ENDINGS = (".py", ".pyc", ".pyi", ".so", ".pyd")


class OpenedFiles:
    """Data files below `folders` that were read during a load: small ones, with their stamps, in `stamps`.

    Begins to listen in its first `with`; what is read counts inside of it. What the script writes, then or later, is
    its own doing and no change: it leaves `stamps`, and `written` is told of it once.
    """

    def __init__(self, folders: Sequence[str], written: Callable[[str], None]) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._folders = tuple({os.path.join(os.path.abspath(folder), "") for folder in folders})
        self._tell = written
        self._written: set[str] = set()
        self._loading = self._busy = self._listening = False

    def __enter__(self) -> OpenedFiles:
        self._loading = True
        if not self._listening:
            self._listening = True
            sys.addaudithook(self._heard)  # for good: it cannot be taken away
        return self

    def __exit__(self, *_: object) -> None:
        self._loading = False

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or self._busy:
            return
        self._busy = True  # looking at a file opens it
        try:
            self._note(*arguments)
        except (OSError, TypeError, ValueError):
            pass
        finally:
            self._busy = False

    def _note(self, name: object, mode: object, flags: object) -> None:
        if not isinstance(name, (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(name))
        if not path.startswith(self._folders):
            return
        if _writes(mode, flags):
            self._note_written(path)
        elif self._loading and path not in self.stamps and path not in self._written:
            self._note_read(path)

    def _note_written(self, path: str) -> None:
        self.stamps.pop(path, None)
        if path not in self._written:
            self._written.add(path)
            self._tell(path)

    def _note_read(self, path: str) -> None:
        stamp = None if path.endswith(CODE_ENDINGS) or not is_user_file(path) else stat_stamp(path)
        if stamp is not None and stamp.size <= SMALL:
            found = full_stamp(path)
            if found is not None:
                self.stamps[path] = found


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return not mode.startswith("r") or "+" in mode
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
