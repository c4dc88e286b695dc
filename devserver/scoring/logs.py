"""Where log records and print() go, in the format of Azure ML's server."""

from __future__ import annotations

import builtins
import logging.config
import sys
import time
from collections.abc import Callable
from typing import Any

from devserver.config.files import LOGGING, ConfigError, read_json_object

RECORD_FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"
SERVER_LOGGERS = ("azmlinfsrv", "gunicorn.access", "gunicorn.error")
imported_ahead: set[str] = set()  # loggers of libraries that the script has not asked for yet
server_log = logging.getLogger("azmlinfsrv")
print_log = logging.getLogger("azmlinfsrv.print")
request_log = logging.getLogger("azmlinfsrv.request")  # in the dev loop; the parts of a line are its values


class AMLLogFormatter(logging.Formatter):
    """The record format of the server: UTC, one letter for the level."""

    converter = staticmethod(time.gmtime)

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, style: str = "%", **extra: Any) -> None:
        super().__init__(fmt or RECORD_FORMAT, datefmt, style, **extra)  # type: ignore[arg-type]


class RootAccessFilter(logging.Filter):
    """Drops the access lines of liveness probes."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "GET / HTTP/1.1" not in record.getMessage()


def packaged(level: str, in_loop: bool, requests: logging.Formatter | None = None) -> dict[str, Any]:
    """The server's own logging configuration, for `logging.config.dictConfig`.

    In the dev loop (`in_loop`) the request line alone is shown of each request, formatted by `requests` where that is
    given, the server's life cycle only from WARNING, and the script's own records from INFO; otherwise the script's own
    records come from WARNING in the standard library's plain form, as in Azure ML.
    """
    to_stdout = {"level": level, "handlers": ["stdout"], "propagate": False}
    quiet = {"level": "WARNING", "handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"probes": {"()": RootAccessFilter}},
        "formatters": {
            "server": {"()": AMLLogFormatter},
            "plain": {"format": logging.BASIC_FORMAT},
            "request": {"()": lambda: requests or AMLLogFormatter()},
        },
        "handlers": {
            "stdout": {"class": "logging.StreamHandler", "formatter": "server", "stream": "ext://sys.stdout"},
            "access": {
                "class": "logging.StreamHandler",
                "formatter": "server",
                "stream": "ext://sys.stdout",
                "filters": ["probes"],
            },
            "requests": {"class": "logging.StreamHandler", "formatter": "request", "stream": "ext://sys.stdout"},
            "stderr": {"class": "logging.StreamHandler", "formatter": "server", "stream": "ext://sys.stderr"},
            "script": {
                "class": "logging.StreamHandler",
                "formatter": "server" if in_loop else "plain",
                "stream": "ext://sys.stderr",
            },
        },
        "loggers": {
            "azmlinfsrv": to_stdout,
            # a file of the user's that configures azmlinfsrv has these lines, too, for it is the parent
            "azmlinfsrv.request": {"level": "NOTSET", "handlers": ["requests"], "propagate": False},
            "gunicorn.access": quiet if in_loop else {**to_stdout, "handlers": ["access"]},
            "gunicorn.error": {**quiet, "level": "WARNING" if in_loop else level},
        },
        "root": {
            "level": min(level, "INFO", key=logging.getLevelName) if in_loop else "WARNING",
            "handlers": ["script"],
        },
    }


def configure(path: str | None, level: str, in_loop: bool, requests: logging.Formatter | None = None) -> None:
    """Sets up logging from the user's logging.json at `path`, or else from the packaged configuration.

    The server's own loggers stay on even where the user's file does not name them. Errors: `ConfigError`, exit code 3,
    naming the file.
    """
    logging.config.dictConfig(packaged(level, in_loop, requests))
    if path is None:
        return
    content = read_json_object(path, LOGGING)
    try:
        logging.config.dictConfig(content)
    except Exception as error:
        logging.config.dictConfig(packaged(level, in_loop, requests))  # the other one is half made
        raise ConfigError(f"{LOGGING.what} cannot be used: {_reasons(error)}", 3, path=path) from None
    for name in (*SERVER_LOGGERS, *imported_ahead):
        logging.getLogger(name).disabled = False
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.name.startswith("azmlinfsrv."):
            logger.disabled = False
    server_log.info("Loaded logging config from %s", path)


def _reasons(error: BaseException | None) -> str:
    """What the errors behind each other say, on one line: dictConfig hides the reason behind the place."""
    texts: list[str] = []
    while error is not None and len(texts) < 5:
        texts.append(" ".join(str(error).split()) or type(error).__name__)
        error = error.__cause__ or error.__context__
    return ": ".join(dict.fromkeys(texts))


def write_record(logger: logging.Logger, text: str, *values: object) -> None:
    """`logger.info()` without the search for the calling line, which is one of ours and takes a third of the time."""
    if logger.isEnabledFor(logging.INFO):
        logger.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 0, text, values, None))


def redirect_print(also: Callable[[str], None]) -> Callable[..., None]:
    """Makes print() write one record of logger azmlinfsrv.print per call, and hand its text to `also`.

    A print to another file than sys.stdout stays what it is. Returns the original print.
    """
    original = builtins.print

    def print_to_log(
        *objects: Any, sep: str | None = None, end: str | None = None, file: Any = None, flush: bool = False
    ) -> None:
        if file is not None and file is not sys.stdout:
            original(*objects, sep=sep, end=end, file=file, flush=flush)
            return
        text = (" " if sep is None else sep).join(map(str, objects))
        write_record(print_log, "%s", text)
        also(text)

    builtins.print = print_to_log
    return original
