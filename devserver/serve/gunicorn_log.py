"""gunicorn's two loggers: a quick access line, and no word about ends of workers that the tool tells itself."""

from __future__ import annotations

import logging
import logging.config
import sys
import time
from typing import Any

from gunicorn.glogging import Logger

from devserver.serve import is_told

ACCESS_LINE = '%s - - [%s] "%s %s %s" %s %s "%s" "%s"'


class ServerLogger(Logger):  # type: ignore[misc]
    """gunicorn's two loggers, with handlers from the logging configuration and a quick access line."""

    _unwritten: logging.LogRecord | None = None

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.addFilter(ToldFilter())

    def exception(self, text: str, *values: Any, **facts: Any) -> None:
        if not is_told(sys.exc_info()[1]):
            super().exception(text, *values, **facts)

    def access(self, resp: Any, _request: Any, environ: Any, _request_time: Any) -> None:
        """Only takes note: no client has to wait for a line that is not for it."""
        log = self.access_log
        if not log.isEnabledFor(20):
            return
        values = (
            environ.get("REMOTE_ADDR", "-"),
            time.strftime("%d/%b/%Y:%H:%M:%S %z"),
            environ["REQUEST_METHOD"],
            environ["RAW_URI"],
            environ["SERVER_PROTOCOL"],
            str(resp.status).split(None, 1)[0],
            getattr(resp, "sent", None) or "-",
            environ.get("HTTP_REFERER", "-"),
            environ.get("HTTP_USER_AGENT", "-"),
        )
        # info() would search for the calling line, which is always this one
        self._unwritten = log.makeRecord(log.name, 20, __file__, 0, ACCESS_LINE, values, None)

    def write_access(self) -> None:
        """Write the line of the request that is over."""
        record, self._unwritten = self._unwritten, None
        if record is not None:
            self.access_log.handle(record)


class ToldFilter(logging.Filter):
    """Drops gunicorn's lines about the end of a worker: the tool tells it itself, with the place."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Shutting down: "):
            return record.levelno < logging.ERROR
        return not text.startswith(("Worker (pid:", "WORKER TIMEOUT", "Reason: a worker ended"))
