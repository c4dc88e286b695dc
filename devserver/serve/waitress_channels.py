"""waitress' channels: a connection whose request is whole, and which may close after its answer."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask

from devserver.serve import is_told
from devserver.serve.kept import Kept


class _ClosingTask(WSGITask):  # type: ignore[misc]
    """Closes the connection after each answer, and says so in it."""

    def execute(self) -> None:
        self.set_close_on_finish()
        super().execute()


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """An answer of waitress's own."""

    def execute(self) -> None:
        self.response_headers.extend(self.channel.server.desk.plan.headers)
        super().execute()


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # Python 3.10 knows no type of its logger


class QuietLogger(_Adapter):
    """Says nothing about an exception that was told already."""

    def exception(self, msg: object, *args: Any, **facts: Any) -> None:
        if not is_told(sys.exc_info()[1]):
            super().exception(msg, *args, **facts)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose first request the intake has read."""

    error_task_class = _ErrorTask
    logger = QuietLogger(HTTPChannel.logger, {})

    def begin(self, request: Kept) -> None:
        """Take what was read."""
        self.sent_continue = request.continued
        while part := request.store.take():
            self.received(part)
        request.store.close()


class ClosingChannel(Channel):
    task_class = _ClosingTask


def is_served(channel: Any) -> bool:
    """Whether a thread works on this connection."""
    return bool(channel.requests)


def is_busy(channel: Any) -> bool:
    """Whether a whole request is on this connection, or an answer that the client has not taken."""
    return bool(channel.requests or channel.total_outbufs_len)
