"""Who reads the event stream: the file of --events, and in the loop whoever comes later, as the page does.

Neither is there where nobody has asked for it, and then nothing is written down.
"""

from __future__ import annotations

from devserver.display.events import Event, EventStream, as_line
from devserver.display.feed import Feed


class Readers:
    """`path` is the file of --events; None where there is none. Errors: ConfigError where it cannot be written."""

    def __init__(self, path: str | None, feed: Feed | None) -> None:
        self.feed = feed
        self._file = EventStream(path) if path else None

    def tell(self, what: Event) -> str | None:
        """Returns why the file could not be written, once."""
        if self.feed is not None:
            self.feed.put(what)
        return self._file.write(as_line(what)) if self._file is not None else None
