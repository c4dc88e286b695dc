"""A process that has the libraries imported and waits, and becomes the next generation when its turn comes.

It is for systems on which nothing can be forked and no descriptor passed to a process that runs: it has from its start
on all that a generation has, the pipe on which it is told, its link and its scoreboard.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import BinaryIO, NoReturn

from devserver.process.platform import System, leave
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import GO, Briefing, Link, WarmOrder
from devserver.records.messages import Became, Refused, Warmed
from devserver.worker import main as worker
from devserver.worker.libraries import Imports


def main(pipe: BinaryIO, link: str, page: str, dump: str) -> NoReturn:
    """Import what is ordered, until a briefing comes; the texts are the descriptors that the supervisor passed."""
    worker.ignore_keyboard()
    sender = Link(System.inherited_descriptor(link, os.O_WRONLY))
    board = Scoreboard((System.inherited_descriptor(page), System.inherited_descriptor(dump)))
    imports = Imports()
    while isinstance(order := _next(pipe), WarmOrder):
        sender.send(Warmed(imports.add(order)))
    problem = imports.problem()
    sender.send(Refused(problem) if problem is not None else Became())
    if problem is not None:
        leave(0)
    added = [folder for folder in sys.path if folder not in order.path]
    sys.path[:] = [*order.path, *added]
    leave(worker.begin(order, sender, board, pipe, lambda: _wait_until_told(pipe, order.stands_by)))


def _next(pipe: BinaryIO) -> WarmOrder | Briefing:
    """The next order; ends this process where nobody gives any more."""
    try:
        order = pickle.load(pipe)
    except EOFError:
        leave(0)
    assert isinstance(order, (WarmOrder, Briefing))
    return order


def _wait_until_told(pipe: BinaryIO, stands_by: bool) -> None:
    """Until the supervisor takes this process for a generation; where it does not, this process ends."""
    if pipe.readline() != GO:
        raise SystemExit(1)
    if not stands_by:
        System.obey(pipe)
