"""What a late or slow reader gets, and that nobody waits for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from devserver.display import feed
from devserver.display.events import event
from devserver.display.feed import Feed


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def put(kept: Feed, name: str, number: int, filling: str = "") -> None:
    kept.put(event(name, number=number, filling=filling))


def numbers(reading: int, last: int) -> list[int]:
    """Those of the lines up to this one."""
    content, end = b"", time.monotonic() + 10
    while time.monotonic() < end:
        content += os.read(reading, 1 << 20)
        found = [json.loads(each)["number"] for each in content.splitlines() if each.endswith(b"}")]
        if last in found:
            return found
    raise AssertionError(found)


def test_a_late_reader_gets_what_was_and_what_comes(ends: tuple[int, int]) -> None:
    kept = Feed()
    put(kept, "ready", 1)
    put(kept, "note", 2)
    kept.write_to(ends[1])
    assert numbers(ends[0], 2) == [1, 2]
    put(kept, "request", 3)
    assert numbers(ends[0], 3) == [3]
    kept.close()
    assert os.read(ends[0], 1) == b""  # its end


def test_nobody_waits_for_a_reader_that_hangs(ends: tuple[int, int]) -> None:
    """What it reads at last is the latest of each event, the last requests and as much else as is kept."""
    kept = Feed()
    kept.write_to(ends[1])
    put(kept, "ready", 1)
    begun = time.monotonic()
    for number in range(2, 3000):
        name = "request" if number % 2 else "note"
        put(kept, name, number, "x" * 500)
    assert time.monotonic() - begun < 5.0
    put(kept, "stopped", 3000)
    found = numbers(ends[0], 3000)
    assert found == sorted(set(found)) and found[0] == 1
    assert len(found) < 2000  # some were dropped
    assert [each for each in found if each % 2 and each > 1][-50:] == list(range(2901, 3000, 2))
    kept.close()


def test_memory_is_bounded() -> None:
    kept = Feed()
    for number in range(3000):
        put(kept, "note", number, "x" * 2000)
        put(kept, "request", number)
    assert sum(len(content) for _, content in kept._others) <= feed.MOST_BYTES
    assert len(kept._requests) == feed.MOST_REQUESTS


def test_a_reader_that_is_gone_and_the_next_one() -> None:
    """Its end is found out when something is written; the next one gets everything anew."""
    kept = Feed()
    reading, writing = os.pipe()
    kept.write_to(writing)
    os.close(reading)
    put(kept, "ready", 1)
    reading, writing = os.pipe()
    kept.write_to(writing)
    assert numbers(reading, 1) == [1]
    kept.close()
    os.close(reading)


def test_requests_are_written_down_only_for_a_reader(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many at once no more than are kept; a burst costs the loop next to nothing."""
    written = []
    whole = feed.as_line
    monkeypatch.setattr(feed, "as_line", lambda what: written.append(what) or whole(what))
    kept = Feed()
    for number in range(1, 1001):
        put(kept, "request", number)
    assert written == []
    kept.write_to(ends[1])
    assert numbers(ends[0], 1000) == list(range(951, 1001))
    assert len(written) == feed.MOST_REQUESTS
    kept.close()
