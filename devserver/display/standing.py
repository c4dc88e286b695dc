"""Which problems are still true, so that each report can name them all.

An editor takes away, with the end of each report, every mark that the report did not name again.
"""

from __future__ import annotations

from devserver.records.diagnostic import Diagnostic

MOST = 20  # places; the oldest are left out

Place = tuple[str | None, int | None, int | None]


class Standing:
    """The problems of the code that serves now: its load's, and its requests' until the next load.

    One of the configuration stands until the configuration was read again. A good answer takes none back: the request
    that failed would fail again.
    """

    def __init__(self) -> None:
        self._found: dict[Place, Diagnostic] = {}
        self._of_config: Diagnostic | None = None
        self._told: set[Place] = set()

    def load(self) -> None:
        """Other code is loaded now."""
        self._found.clear()
        self._told.clear()

    def report(self) -> None:
        """A report begins."""
        self._told.clear()

    def tell(self, error: Diagnostic, stays: bool = True) -> None:
        """The report names this one; `stays`: it is one of the code that serves now."""
        place = _place(error)
        self._told.add(place)
        if stays and error.path is not None:
            self._found.pop(place, None)
            self._found[place] = error
            while len(self._found) > MOST:
                del self._found[next(iter(self._found))]

    def config(self, error: Diagnostic | None) -> None:
        """The configuration has this problem, which the report names; None: it is read again."""
        self._of_config = error
        if error is not None:
            self._told.add(_place(error))

    def rest(self) -> tuple[Diagnostic, ...]:
        """What the report has to name yet, and has with this."""
        everything = (*([self._of_config] if self._of_config is not None else []), *self._found.values())
        left = {_place(each): each for each in everything if _place(each) not in self._told and each.path is not None}
        self._told.update(left)
        return tuple(left.values())

    def is_of_config(self, error: Diagnostic) -> bool:
        """Whether it is the one of the configuration, which no load of code mends."""
        return error == self._of_config


def _place(error: Diagnostic) -> Place:
    return error.path, error.line, error.column
