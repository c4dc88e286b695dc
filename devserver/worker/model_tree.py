"""The files of the model folder as they are when a load begins.

Libraries in C open model files without telling anybody, so that what load and init() read is not known; whatever lies
in the folder may have been read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

from devserver.records.stamps import SMALL, Stamp, full_stamp, stat_stamp
from devserver.watch.targets import is_litter

MOST_FILES = 256
MOST_FOLDERS = 64
MOST_READ = 8 << 20  # bytes of small files, of which the content is compared


class ModelTree:
    """`stamps` of files, and `folders` that hold them; where there are too many, of the first ones.

    `root` is the folder, or the one file that is the model.
    `counts` says whether a path matters, `written` which files the script itself has written; what is `elsewhere` is
    known by other books.
    """

    def __init__(
        self,
        root: str | None,
        counts: Callable[[str], bool],
        written: Collection[str],
        elsewhere: Sequence[Collection[str]] = (),
    ) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.folders: dict[str, None] = {}
        self._root, self._counts, self._written = root, counts, written
        self._elsewhere = (written, *elsewhere)
        self._seen: list[int] = []
        self._unread = MOST_READ

    def look(self) -> None:
        """Take down what is there now."""
        if self._root and os.path.isfile(self._root):
            self._keep(self._root)
            return
        todo, walked = [self._root] if self._root else [], set()
        while todo and len(self.folders) < MOST_FOLDERS:
            folder = todo.pop(0)
            real = os.path.realpath(folder)
            if real in walked:
                continue
            walked.add(real)
            self.folders[folder] = None
            for name in sorted(self.names_in(folder)):
                path = os.path.join(folder, name)
                if os.path.isdir(path):
                    todo.append(path)
                elif len(self.stamps) < MOST_FILES:
                    self._keep(path)

    def names_in(self, folder: str) -> Collection[str]:
        """The names in a folder that count."""
        try:
            names = os.listdir(folder)
        except OSError:
            return ()
        paths = ((name, os.path.join(folder, name)) for name in names if not is_litter(name))
        return [name for name, path in paths if path not in self._written and self._counts(path)]

    def forget(self) -> None:
        """Those that the script has written since, and those that are in another book by now."""
        sizes = [len(book) for book in self._elsewhere]
        if sizes != self._seen:
            self._seen = sizes
            for path in [path for path in self.stamps if any(path in book for book in self._elsewhere)]:
                del self.stamps[path]

    def _keep(self, path: str) -> None:
        stamp = stat_stamp(path)
        if stamp is not None and stamp.size <= min(SMALL, self._unread):
            self._unread -= stamp.size
            stamp = full_stamp(path)
        if stamp is not None:
            self.stamps[path] = stamp
