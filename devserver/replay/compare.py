"""Answers to samples as short texts, and what differs between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from devserver.records.record import record

KEPT = 1 << 20  # bytes of an answer that are kept and compared
SHOWN = 1 << 16  # characters of it that are told
MOST_DIFFERENCES = 5
MOST_LINES = 12
_VALUE = 60  # characters of one value
_NOTHING = object()


@record(frozen=True)
class Reply:
    """An answer; of its `size` bytes the first `KEPT` are in `body`."""

    status: int
    content_type: str
    size: int
    body: bytes

    @property
    def text(self) -> str | None:
        """The body as text, None for what is no text."""
        whole = self.size == len(self.body)
        try:
            return self.body.decode("utf-8", "strict" if whole else "ignore")
        except UnicodeDecodeError:
            return None


def _value(text: str | None) -> Any:
    """The JSON of an answer, `_NOTHING` where it is none; of the report of an error only what it says."""
    try:
        value: Any = json.loads(text) if text is not None else _NOTHING
    except (ValueError, RecursionError):
        return _NOTHING
    if _is_report(value):
        value["error"] = {key: value["error"].get(key) for key in ("type", "message")}
    return value


def _is_report(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("error"), dict) and {"phase", "frames"} <= {*value["error"]}


# --- to read


def pretty(text: str, room: int, whole: bool = True) -> list[str]:
    """The lines of an answer: JSON broken only where a line would be longer than `room`, anything else as it is.

    At most `MOST_LINES`, and one more that says how many are left out; `whole` tells whether `text` is all of it. None
    for the report of an error, which is shown anyway.
    """
    try:
        value = json.loads(text)
        lines = [] if _is_report(value) else _broken(value, max(room, 20))
    except (ValueError, RecursionError):
        lines = text.splitlines()
    left = len(lines) - MOST_LINES
    if left <= 0:
        return lines if whole else [*lines, "… the rest is left out"]
    return [*lines[:MOST_LINES], f"… {'' if whole else 'at least '}{left} more line{'s' if left > 1 else ''}"]


def _broken(value: Any, room: int) -> list[str]:
    flat = _flat(value)
    if len(flat) <= room or not isinstance(value, (dict, list)) or not value:
        return [flat]
    if isinstance(value, dict):
        opened, closed = "{", "}"
        items = [(f"{_flat(key)}: ", item) for key, item in value.items()]
    else:
        opened, closed = "[", "]"
        items = [("", item) for item in value]
    lines = [opened]
    for number, (start, item) in enumerate(items, 1):
        first, *more = _broken(item, room - 2 - len(start))
        lines += [f"  {start}{first}", *(f"  {line}" for line in more)]
        lines[-1] += "," if number < len(items) else ""
    return [*lines, closed]


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- to compare


def difference(before: Reply, now: Reply) -> tuple[str, ...]:
    """What is not as it was, a line each; empty when all is the same."""
    found = islice(_differences(before, now), MOST_DIFFERENCES + 1)
    lines = tuple(found)
    return lines if len(lines) <= MOST_DIFFERENCES else (*lines[:MOST_DIFFERENCES], "and more")


def _differences(before: Reply, now: Reply) -> Iterator[str]:
    if before.status != now.status:
        yield f"status {before.status} -> {now.status}"
    if before.content_type != now.content_type:
        yield f"content type {before.content_type or 'none'} -> {now.content_type or 'none'}"
    if (before.body, before.size) == (now.body, now.size):
        return
    old, new = _value(before.text), _value(now.text)
    if old is _NOTHING or new is _NOTHING:
        yield from _of_texts(before, now)
    else:
        yield from _of_values(old, new, "$")


def _of_texts(before: Reply, now: Reply) -> Iterator[str]:
    if before.size != now.size:
        yield f"{before.size} bytes -> {now.size} bytes"
    old, new = before.text, now.text
    if old is None or new is None:
        yield "the bytes differ"
        return
    lines, others = old.splitlines(), new.splitlines()
    for number, (line, other) in enumerate(zip(lines, others, strict=False), 1):
        if line != other:
            yield f"line {number}: {_short(line)} -> {_short(other)}"


def _of_values(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _of_values(old.get(key, _NOTHING), new.get(key, _NOTHING), f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(old)} items -> {len(new)} items"
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _of_values(one, other, f"{place}[{index}]")
    elif not _same(old, new):
        yield f"{place}: {_shown(old)} -> {_shown(new)}"


def _same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and (old == new or (old != old and new != new))  # NaN differs from itself


def _shown(value: Any) -> str:
    return "nothing" if value is _NOTHING else _short(_flat(value))


def _short(text: str) -> str:
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"
