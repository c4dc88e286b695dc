"""Messages as JSON lines of `--events`."""

from __future__ import annotations

from io import FileIO

from devserver.config.files import ConfigError


def open_events(events: str) -> FileIO:
    try:
        return open(events, "ab", buffering=0)
    except OSError as error:
        raise ConfigError(f"argument --events: {events} cannot be written: {error.strerror}") from None
