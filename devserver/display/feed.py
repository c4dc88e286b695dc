"""What has happened lately, for readers that come late or read slowly: the page beside the editor is one.

The loop only puts lines in; a thread of its own writes them to the reader, who may be slow, hang, or be gone. What a
slow reader has missed it gets as far as it is still kept, which is enough to know the present state: the latest line of
each event, the last requests, and what else fits. Requests may be many: they become lines only when one is written.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from devserver.display.events import Event, as_line

MOST_REQUESTS = 50
MOST_BYTES = 256 * 1024  # of other lines, beside the latest of each event
REST = 0.2  # seconds after requests, in which more of them may come
REQUEST = "request"
EXTRA = 1 << 20  # bytes; a single line that is longer than this is not kept


class Feed:
    """The events that are kept, each with its number, and the pipe of the reader, where there is one."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._count = 0
        self._latest: dict[str, tuple[int, bytes]] = {}
        self._requests: deque[tuple[int, Event]] = deque(maxlen=MOST_REQUESTS)
        self._others: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._urgent = 0  # the number of the latest event that is no request
        self._is_resting = False  # whether the reader is waiting for more requests
        self._reader = 0  # counts the readers; a newer one takes the place of the one before

    def put(self, what: Event) -> None:
        """It has happened; never waits for the reader."""
        if what.name == REQUEST:
            self._put_request(what)
            return
        content = _encoded(what)
        if len(content) > EXTRA:
            return
        with self._change:
            self._count += 1
            self._urgent = self._count
            self._latest[what.name] = (self._count, content)
            self._keep((self._count, content))
            self._change.notify_all()

    def _put_request(self, what: Event) -> None:
        with self._change:
            self._count += 1
            self._requests.append((self._count, what))
            if not self._is_resting:
                self._change.notify_all()

    def _keep(self, entry: tuple[int, bytes]) -> None:
        self._others.append(entry)
        self._bytes += len(entry[1])
        while self._bytes > MOST_BYTES and len(self._others) > 1:
            self._bytes -= len(self._others.popleft()[1])

    def write_to(self, descriptor: int) -> None:
        """From now on everything that is kept and that comes is written there; it is closed when nobody reads it."""
        with self._change:
            self._reader += 1
            reader = self._reader
            self._is_resting = False
            self._change.notify_all()
        threading.Thread(target=self._write, args=(descriptor, reader), daemon=True, name="feed").start()

    def close(self) -> None:
        """No more is written."""
        with self._change:
            self._reader += 1
            self._change.notify_all()

    def _write(self, descriptor: int, reader: int) -> None:
        sent = 0
        try:
            while True:
                sent, events = self._next(sent, reader)
                if not events:
                    return
                content = b"".join(_encoded(each) if isinstance(each, Event) else each for each in events)
                while content:
                    content = content[os.write(descriptor, content) :]
        except OSError:
            pass  # nobody reads it any more
        finally:
            os.close(descriptor)

    def _next(self, sent: int, reader: int) -> tuple[int, list[bytes | Event]]:
        """What comes after the event of this number, and the number of the last; nothing for one that is replaced."""
        with self._change:
            self._change.wait_for(lambda: self._count > sent or reader != self._reader)
            if self._urgent <= sent:
                self._is_resting = True
                self._change.wait_for(lambda: self._urgent > sent or reader != self._reader, REST)
                self._is_resting = False
            if reader != self._reader:
                return sent, []
            kept: dict[int, bytes | Event] = dict(self._latest.values()) | dict(self._requests) | dict(self._others)
            return self._count, [kept[number] for number in sorted(kept) if number > sent]


def _encoded(what: Event) -> bytes:
    return as_line(what).encode() + b"\n"
