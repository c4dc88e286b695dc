"""Hints for source files that cannot be read as Python."""

from __future__ import annotations

import os
import re

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.diagnostics.hints.lookup import files_below, find, short
from devserver.text import nearest
from devserver.usercode import source


def _merge_markers(facts: Facts) -> str | None:
    if facts.error.type == "SyntaxError" and re.match(r"<{7}|={7}|>{7}", facts.line):
        return "markers of a merge conflict: keep one side and delete these lines"
    return None


def _wrong_bytes(facts: Facts) -> str | None:
    if facts.error.type != "SyntaxError":
        return None
    if "null bytes" in facts.message or "can't decode byte 0xff" in facts.message:
        with open(facts.path, "rb") as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        return "the file is UTF-16: save it as UTF-8" if wide else None
    if "decode byte 0x" in facts.message or "Non-UTF-8" in facts.message:
        return "save the file as UTF-8, or say in its first line what it is: # -*- coding: latin-1 -*-"
    if "unicodeescape" in facts.message:
        return 'a backslash starts an escape: write the path with / or as r"..."'
    return None


def _odd_character(facts: Facts) -> str | None:
    found = re.search(r"invalid (?:non-printable )?character .*?\(?U\+([0-9A-F]{4,6})", facts.message)
    if facts.error.type != "SyntaxError" or not found:
        return None
    from unicodedata import name

    plain = {
        "2018": "'",
        "2019": "'",
        "201C": '"',
        "201D": '"',
        "2013": "-",
        "2014": "-",
        "2212": "-",
        "00A0": "a space",
    }
    kind = name(chr(int(found[1], 16)), "a character that Python does not know").lower()
    use = plain.get(found[1])
    return f"it is a {kind}, as web pages and word processors write it" + (f"; type {use}" if use else "")


def _open_bracket(facts: Facts) -> str | None:
    found = re.match(r"'([(\[{])' was never closed", facts.message)
    if not found:
        return None
    lines, line = source.lines_of(facts.path), facts.line_number
    indent = len(facts.line) - len(facts.line.lstrip())
    for number, text in enumerate(lines[line:], line + 1):
        word = re.match(r"(\s*)(?:(?:def|class|import|from|return|if|for|while|with|try)\b|@|\w+ *=)", text)
        if word and len(word[1]) <= indent:
            closing = {"(": ")", "[": "]", "{": "}"}[found[1]]
            return f"the bracket of line {line} is still open at line {number}; close it with {closing}"
    return None


def _script_elsewhere(facts: Facts) -> str | None:
    """The entry script is not where it was said to be."""
    error = facts.error
    if error.phase not in ("load", "config") or error.excerpt or not error.path or os.path.exists(error.path):
        return None
    name = os.path.basename(error.path)
    found = find(facts, [name])
    if found:
        return f"there is one at {short(found[0])}"
    scripts = [os.path.basename(path) for path in files_below(os.path.dirname(error.path), 0) if path.endswith(".py")]
    near = nearest(name, scripts, 0.6)
    return f"there is {near} in that folder" if near else None


HINTS: tuple[Predicate, ...] = (
    _merge_markers,
    _wrong_bytes,
    _odd_character,
    _open_bracket,
    _script_elsewhere,
)
