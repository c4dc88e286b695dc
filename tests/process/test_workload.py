"""When a generation has worked, as the supervisor reads it."""

from __future__ import annotations

import os
from pathlib import Path

from devserver.process.outputs import Outputs
from devserver.process.workload import TICK_NS, Spans, Workload

MS = 1_000_000
PAGE = 4096


def test_requests_one_after_the_other() -> None:
    """The first is kept by itself; what comes soon after it is one span with it."""
    load = Workload(bytearray(PAGE))
    assert load.read(0) == Spans()
    for begun in (1000, 1100, 9000):
        load.begins(begun * MS)
        assert load.read((begun + 5) * MS).since == begun * MS
        load.ends((begun + 10) * MS)
    seen = load.read(10_000 * MS)
    assert seen.first == (1000 * MS, 1010 * MS) and seen.since is None
    assert seen.busy == ((1000 * MS, 1110 * MS), (9000 * MS, 9010 * MS))
    assert seen.in_first(1005 * MS) and not seen.in_first(1050 * MS) and seen.in_any(1050 * MS)
    assert seen.in_first(1000 * MS - TICK_NS) and not seen.in_any(5000 * MS)


def test_requests_at_once() -> None:
    """They are one span, which goes on until the last one has ended."""
    load = Workload(bytearray(PAGE))
    load.begins(1000 * MS)
    load.begins(1500 * MS)
    load.ends(2000 * MS)
    assert load.read(3000 * MS) == Spans((1000 * MS, 2000 * MS), ((1000 * MS, 3000 * MS),), 1000 * MS)
    load.ends(4000 * MS)
    assert load.read(9000 * MS).busy == ((1000 * MS, 4000 * MS),)


def test_only_the_latest_spans_are_kept() -> None:
    """It stays within its part of the page."""
    page = bytearray(PAGE)
    load = Workload(page)
    for second in range(1, 1001):
        load.begins(second * 1000 * MS)
        load.ends(second * 1000 * MS)
    assert load.read(0).busy[-1] == (1_000_000 * MS, 1_000_000 * MS)
    assert len(load.read(0).busy) == 128 and page[:64] == bytes(64)


def test_the_files_of_the_tool(tmp_path: Path) -> None:
    """By whatever path they are reached; what is not there is none of them."""

    folder = tmp_path
    events, other = folder / "events.jsonl", folder / "other"
    outputs = Outputs(str(events))
    assert not outputs.hold(str(events))
    events.touch()
    other.touch()
    os.link(events, folder / "link")
    assert outputs.hold(str(events)) and outputs.hold(str(folder / "link")) and not outputs.hold(str(other))
