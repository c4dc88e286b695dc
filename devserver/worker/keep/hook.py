"""The process's one audit hook of this package: who listens sets its table, and the tool's own looks go unheard."""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[tuple[Any, ...], FrameType], None]


class _Hook:
    """The process's one audit hook; it cannot be taken away, so it does next to nothing when nobody listens."""

    def __init__(self) -> None:
        self.table: dict[str, Handler] = {}
        self.busy: set[int] = set()  # threads that are in a handler
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            self._installed = True
            sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        handler = self.table.get(event)
        if handler is None or get_ident() in self.busy:
            return
        with self.quiet():
            try:
                handler(arguments, sys._getframe(1))
            except Exception:
                pass  # a name that is none; the call itself will say so

    def quiet(self) -> _Quiet:
        """A `with` in which nothing is heard."""
        return _Quiet(self)


class _Quiet:
    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    def __enter__(self) -> None:
        self._thread = get_ident()
        self._nested = self._thread in self._hook.busy
        self._hook.busy.add(self._thread)

    def __exit__(self, *_: object) -> None:
        if not self._nested:
            self._hook.busy.discard(self._thread)


hook = _Hook()


def quiet() -> _Quiet:
    """A `with` for the tool's own looks at the user's functions."""
    return hook.quiet()


def quiet_frame(depth: int) -> FrameType | None:
    with hook.quiet():
        return sys._getframe(depth + 1)
