"""Nobody outlives the tool: a pipe of which only the tool and its reaper hold the writing end.

So the system closes it however they end, and every process that the tool has started ends then with its group, without
help from another one. The reaper, which finds also what has left its group, comes first: it holds on until it is done.
"""

from __future__ import annotations

import os
import threading

from devserver.process.platform import System


class Lifeline:
    """The tool's end. Make it before the reaper, which has to inherit it; nothing else that is only forked may."""

    def __init__(self) -> None:
        self.descriptor, self._held = os.pipe()

    def close(self) -> None:
        """Whoever still lives ends now."""
        os.close(self._held)
        os.close(self.descriptor)


def hang_on(lifeline: int) -> None:
    """In a process that leads its group: from now on both end with the tool, whatever they do then.

    Where the system does not see to that, a thread does, here and in each process that is forked from here.
    """
    _held[:] = [lifeline]
    if System.end_group_with(lifeline):
        return
    _watch(lifeline)
    System.after_fork(lambda: _watch(lifeline))


def hang_on_again() -> None:
    """In a fork of such a process that leads a group of its own."""
    for lifeline in _held:
        System.end_group_with(lifeline)


_held: list[int] = []


def _watch(lifeline: int) -> None:
    threading.Thread(target=_wait, args=(lifeline,), daemon=True, name="lifeline").start()


def _wait(lifeline: int) -> None:
    try:
        os.read(lifeline, 1)
    except OSError:
        return  # the script has closed what is not its own
    System.end_own_group()
