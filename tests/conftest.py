"""The command is started by tests as it is from a terminal, whoever has started the tests."""

from __future__ import annotations

import signal

import pytest


def _ignore_no_signals() -> None:
    """Under nohup, or behind `&` in a script, these are ignored, and what a test starts would inherit that.

    A handler of our own is not inherited: what is started has the system's.
    """
    for name in ("SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


_ignore_no_signals()


LONGEST = (
    *("tests/live/test_warm", "tests/live/test_reload", "tests/scoring/test_telemetry", "tests/scoring/test_against"),
    *("tests/live/", "tests/watch/", "tests/serve/"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long are begun first, or one worker would be alone with them in the end."""
    places = {item: next((n for n, path in enumerate(LONGEST) if item.nodeid.startswith(path)), 9) for item in items}
    items.sort(key=places.__getitem__)
