"""What a generation does so that init() may be kept: load and init() are watched, and the stage is split off.

Only that is here which every start has to import; the stage itself is in `initialised`.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from devserver.process.platform import System
from devserver.records.reasons import Reason
from devserver.usercode import executions
from devserver.usercode.ownership import is_own_file, is_user_file
from devserver.worker.forks import lead_group
from devserver.worker.keep.mend import part
from devserver.worker.keep.observing import Made, Observer

if TYPE_CHECKING:
    from devserver.worker.initialised import Become


@contextmanager
def watching(observer: Observer) -> Iterator[None]:
    """Around load and init()."""
    with observer:
        executions.hearers.append(observer.executing)
        try:
            yield
        finally:
            executions.hearers.clear()


class Keeper:
    """In a generation: has load and init() watched, and splits the initialised stage off.

    To be made before the server begins, whose descriptors the stage does not keep, nor `tools`, which are the
    generation's. `listeners` are the stage's own: servers close those that they are given.
    """

    could_stand_by = False

    def __init__(self, channel: int, listeners: Sequence[socket.socket], tools: Sequence[int]) -> None:
        self._tools = tools
        self._channel = socket.socket(fileno=channel)
        self.listeners = tuple(os.dup(listener.fileno()) for listener in listeners)
        self._before_server = System.open_descriptors()
        self._observer = Observer(is_user_file, is_own_file)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around load and init()."""
        with watching(self._observer):
            yield

    def split(self, become: Become, made: Made) -> Reason | None:
        """After init(): the stage is a fork of this process from here on, or there is none, for this reason.

        It ends when nobody gives orders any more. `become` is called in its forks.
        """
        if not self._has_turn():
            self.give_up()
            return None
        from devserver.worker.initialised import Stage, stands_nowhere
        from devserver.worker.keep.decide import why_never
        from devserver.worker.keep.stage import initialised

        state = initialised(self._observer)
        lost = state.forkable if isinstance(state.forkable, Reason) else why_never(state.history, by_fork=True)
        reason = lost or stands_nowhere()
        if reason is not None:
            self.give_up()
            never = why_never(state.history, by_fork=False)
            self.could_stand_by = never is None
            return never or reason
        gc.freeze()
        with suppress(OSError):
            pid = os.fork()
            if pid == 0:
                self._close_others()
                Stage(self._channel, state, become, made).serve()
            lead_group(pid)
            part(state.left)
        self.give_up()
        return None

    def _has_turn(self) -> bool:
        """One of several workers makes the stage: the first that takes the byte."""
        try:
            return bool(self._channel.recv(1, socket.MSG_DONTWAIT))
        except OSError:
            return False

    def give_up(self) -> None:
        """There will be no stage of this process's making, beside one that is there."""
        self._observer.stop()
        self._channel.close()
        for listener in self.listeners:
            os.close(listener)

    def _close_others(self) -> None:
        """The stage holds nothing of the generation that it comes from."""
        for number in {*(self._observer.descriptors_before - self._before_server), *self._tools}:
            with suppress(OSError):
                os.close(number)
