"""Paths and texts as people see them: escaped, shortened, or the nearest name to one that was misspelt."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable


def path_for_people(path: str, folder: str | None = None) -> str:
    """The path as it is printed: short where it lies below `folder`, on one line, with nothing that cannot be shown."""
    return clean(shown(path, folder)).replace("\n", "\\n") or "?"


def clean(text: str) -> str:
    """The text with everything that a terminal might act on, or cannot show, as escapes; newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def without_colours(text: str) -> str:
    """The text without the sequences that colour a terminal, or move in it."""
    return _SEQUENCE.sub("", text) if "\x1b" in text else text


_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Za-z0-9])")


def nearest(name: str, names: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The name most like `name`, letter case aside; None when none is near."""
    import difflib

    known = {other.casefold(): other for other in names if other != name}
    found = difflib.get_close_matches(name.casefold(), list(known)[:2000], 1, cutoff)
    return known[found[0]] if found else None


def shown(path: str, folder: str | None = None) -> str:
    """The path relative to `folder` (default: the working directory) when it lies below it."""
    try:
        folder = folder or os.getcwd()
    except OSError:
        return path  # the script stands in a folder that was removed
    for base in (folder, os.path.realpath(folder)):
        if path.startswith(base.rstrip(os.sep) + os.sep):
            return path[len(base.rstrip(os.sep)) + 1 :]
    return path
