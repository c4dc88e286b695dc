"""JSON with comments, as editors keep it: read, and changed at one place with everything else left as it is.

What was changed is read again and compared with what was meant, and no comment may be lost. Where that fails, the file
is one that only a person should change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

INDENT = 4
UNSAFE = "its comments or its form leave no safe place to change it"
_STRING = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(rf"(?P<string>{_STRING})|(?P<comment>//[^\r\n]*|/\*.*?\*/)", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}:,]", re.DOTALL)
_TRAILING = re.compile(rf"(?P<string>{_STRING})|,(?=\s*[\]}}])", re.DOTALL)


class Fragile(ValueError):
    """A program cannot change this text without harm."""


def parse(text: str) -> Any:
    """The value of JSON with comments and trailing commas. Errors: ValueError."""
    plain = _TRAILING.sub(lambda found: found["string"] or " ", without_comments(text))
    return json.loads(plain)


def without_comments(text: str) -> str:
    """The same text, of the same length, with spaces where comments (and a byte order mark) stand."""
    blanked = _PIECE.sub(lambda found: found["string"] or re.sub(r"[^\r\n]", " ", found["comment"]), text)
    return blanked.replace("\ufeff", " ", 1) if blanked.startswith("\ufeff") else blanked


def comments(text: str) -> list[str]:
    """Every comment, in order."""
    return [found["comment"] for found in _PIECE.finditer(text) if found["comment"]]


def rendered(entries: Sequence[Any], depth: int) -> str:
    """These values as members of a list at this depth, without a comma behind the last."""
    text = ",\n".join(json.dumps(entry, indent=INDENT) for entry in entries)
    return "\n".join(" " * INDENT * depth + line for line in text.split("\n"))


# --- one change


def changed(text: str, key: str, replaced: Mapping[int, Any], added: Sequence[Any]) -> str:
    """The text with other values at these places of the list `key` of the outermost object, and with more at its end.

    Where there is no such list, it is made. Errors: `Fragile`.
    """
    content = parse(text)
    listed = [replaced.get(place, value) for place, value in enumerate(content.get(key, []))]
    if key in content and _list_of(without_comments(text), key) is None:
        raise Fragile(UNSAFE)  # it is spelt with escapes
    after = text
    for place, value in replaced.items():
        after = _with_other(after, key, place, value)
    after = _with_more(after, key, added) if added else after
    if parse(after) != {**content, key: [*listed, *added]} or comments(after) != comments(text):
        raise Fragile(UNSAFE)
    return after


def _with_other(text: str, key: str, place: int, value: Any) -> str:
    plain = without_comments(text)
    start, end = _span(plain, key, place)
    if comments(text[start:end]):
        raise Fragile("there are comments in the entry that would be changed")
    line = text.rfind("\n", 0, start) + 1
    indent = text[line:start][: len(text[line:start]) - len(text[line:start].lstrip(" \t"))]
    newline = _newline(text)
    return text[:start] + json.dumps(value, indent=INDENT).replace("\n", newline + indent) + text[end:]


def _span(plain: str, key: str, place: int) -> tuple[int, int]:
    """Where the object at this place of the list begins and ends."""
    opening = _list_of(plain, key)
    depth, number = 0, 0
    for found in _TOKEN.finditer(plain, opening if opening is not None else len(plain)):
        if found[0] == "{" and depth == 1 and number == place:
            return found.start(), _closing(plain, found.start()) + 1
        number += found[0] == "," and depth == 1
        depth += (found[0] in "[{") - (found[0] in "]}")
    raise Fragile("the entry cannot be found in it")


def _with_more(text: str, key: str, entries: Sequence[Any]) -> str:
    plain = without_comments(text)
    opening = _list_of(plain, key)
    if opening is not None:
        return _before_end(text, plain, opening, rendered(entries, 2), " " * INDENT)
    name, indent = json.dumps(key), " " * INDENT
    return _before_end(text, plain, plain.index("{"), f"{indent}{name}: [\n{rendered(entries, 2)}\n{indent}]", "")


def _before_end(text: str, plain: str, opening: int, new: str, indent: str) -> str:
    """`new` as the last member of the list or object that opens there; comments stay beside what they stand beside."""
    newline = _newline(text)
    closing = _closing(plain, opening)
    last = len(plain[:closing].rstrip())
    comma = "" if plain[last - 1] in "[{," else ","
    between = text[last:closing].rstrip(" \t")
    between += "" if between.endswith("\n") else newline
    return text[:last] + comma + between + new.replace("\n", newline) + newline + indent + text[closing:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _list_of(plain: str, key: str) -> int | None:
    """Where the list of this key of the outermost object opens."""
    depth, before = 0, ["", ""]
    for found in _TOKEN.finditer(plain):
        token = found[0]
        if token == "[" and depth == 1 and before[1] == ":" and before[0] == json.dumps(key):
            return found.start()
        depth += (token in "[{") - (token in "]}")
        before = [before[1], token]
    return None


def _closing(plain: str, opening: int) -> int:
    depth = 0
    for found in _TOKEN.finditer(plain, opening):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth == 0:
            return found.start()
    raise ValueError("a bracket is not closed")
