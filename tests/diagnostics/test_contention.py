"""Which failures of a load may have been another process's doing."""

from __future__ import annotations

import errno
import json
import pickle
import sqlite3

import pytest

from devserver.diagnostics import contention
from devserver.diagnostics.exceptions import describe
from devserver.diagnostics.exits import died


class IOException(Exception):
    """As a database's library calls it."""


def raised(error: BaseException, behind: BaseException | None = None) -> BaseException:
    try:
        raise error from behind
    except BaseException as caught:
        return caught


OTHERS = [
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.EADDRINUSE, "Address already in use"),
    FileExistsError(errno.EEXIST, "File exists", "lock"),
    PermissionError(errno.EACCES, "Permission denied"),
    sqlite3.OperationalError("database is locked"),
    IOException("Could not set lock on file"),
    RuntimeError("CUDA out of memory"),
    MemoryError(),
    SystemExit("another one runs"),
    TimeoutError(),
]
OWN = [
    SyntaxError("invalid syntax"),
    NameError("name 'x' is not defined"),
    ModuleNotFoundError("No module named 'x'"),
    TypeError("no"),
    ZeroDivisionError("division by zero"),
    KeyError("x"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "no"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "model.pkl"),
    json.JSONDecodeError("Expecting value", "", 0),
    pickle.UnpicklingError("invalid load key"),
]


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_it_may_be_another_process(error: BaseException) -> None:
    """Also where the script hides it behind an error of its own."""
    assert contention.is_possible(describe(raised(error), "init"))
    assert contention.is_possible(describe(raised(ValueError("no model"), error), "init"))


@pytest.mark.parametrize("error", OWN, ids=repr)
def test_it_is_the_code(error: BaseException) -> None:
    """So that a typo is not reported twice."""
    assert not contention.is_possible(describe(raised(error), "init"))


@pytest.mark.parametrize(("code", "possible"), [(0, True), (1, True), (-9, True), (-11, False), (-6, False)])
def test_the_process_ended(code: int, possible: bool) -> None:
    """By itself, or because memory was short; a crash comes again."""
    assert contention.is_possible(died("init", code)) is possible


def test_nothing_is_known() -> None:
    assert not contention.is_possible(None)
