"""Text measured and cut in cells of a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from devserver.display.colour import Line
from devserver.records.diagnostic import Request
from devserver.text import clean

TAB = 4
_LIKE_HEADLINE = re.compile(r"(:\d+): (?=(?:error|warning|info)\b)")


def no_headline(line: Line) -> Line:
    """The line, changed by a space where a problem matcher would take it for a headline too."""
    text = "".join(part for _, part in line)
    if not _LIKE_HEADLINE.search(text):
        return line
    return [(role, _LIKE_HEADLINE.sub(r"\1 : ", part)) for role, part in line] if len(line) > 1 else _plain(text)


def _plain(text: str) -> Line:
    return [("", _LIKE_HEADLINE.sub(r"\1 : ", text))]


def request_in_words(request: Request) -> str:
    return cut(one_line(f"{request.method} {request.path}"), 80)


def slice(text: str, left: int, room: int) -> str:
    """The cells `left` to `left + room` of a line, with an ellipsis where something is cut."""
    grid = _grid(text)
    if left == 0 and len(grid) <= room:
        return "".join(grid)
    part = grid[left : left + room]
    if left and part:
        part[:2] = ["…", part[1] or " "] if len(part) > 1 else ["…"]
    if left + room < len(grid):
        part[-2:] = [part[-2] if part[-1] else " ", "…"]
    return "".join(part)


def _grid(text: str) -> list[str]:
    """What stands in each cell of a line; the second cell of a wide character holds nothing."""
    grid: list[str] = []
    for piece in _pieces(text):
        width = width_of(piece)
        if len(piece) > 1:
            grid += piece
        elif width:
            grid += [piece, ""][:width]
        elif grid:
            grid[-1 if grid[-1] else -2] += piece
    return grid


def stripped(line: Line) -> Line:
    role, text = line[-1]
    return [*line[:-1], (role, text.rstrip())]


def _pieces(text: str) -> list[str]:
    """A line in pieces that can be shown: tabs as spaces, what cannot be shown as escapes."""
    if text.isascii() and text.isprintable():
        return list(text)
    found, column = [], 0
    for character in text:
        piece = " " * (TAB - column % TAB) if character == "\t" else clean(character).replace("\n", "\\n")
        column += width_of(piece)
        found.append(piece)
    return found


def width_of(text: str) -> int:
    """Cells of a text that can be shown: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cells_of(text: str) -> int:
    return width_of(text) if "\t" not in text and text.isprintable() else sum(map(width_of, _pieces(text)))


def cut(text: str, room: int) -> str:
    """The beginning of the text that fits into `room` cells."""
    if cells_of(text) <= room:
        return text
    used, found = 0, []
    for character in text:
        used += cells_of(character)
        if used > room - 1:
            break
        found.append(character)
    return "".join(found).rstrip() + "…"


def one_line(text: str | None, keep: bool = False) -> str:
    """Whitespace as single spaces (with `keep` only newlines and tabs are replaced), nothing that cannot be shown."""
    text = clean(text or "")
    return text.replace("\n", " ").replace("\t", " ") if keep else " ".join(text.split())


def indented(text: str, width: int) -> Line:
    text = cut(clean(text).replace("\t", " " * TAB).rstrip(), width - 2)
    return [("", f"  {text}" if text else "")]


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """The line in rows of at most `width` cells, broken at spaces, the later ones indented; colours take no cells.

    A word that is longer than a row stays where it is.
    """
    first, *words = text.split(" ")
    rows, row = [], first
    for word in words:
        longer = f"{row} {word}"
        fits_below = cells_of(_COLOUR.sub("", indent + word)) <= width
        if fits_below and row.strip() and cells_of(_COLOUR.sub("", longer)) > width:
            rows.append(row)
            longer = indent + word
        row = longer
    return [*rows, row]


def filled(line: Line, width: int) -> Line:
    """The same line with spaces where the terminal, which breaks it after `width` cells, would break a word.

    It stays one line for whoever reads it as text.
    """
    found: Line = []
    used = 0
    for word in _words(line):
        size = cells_of("".join(text for _, text in word).rstrip())
        left = width - used % width
        if left < size <= width - len(_LATER_ROW) and used:
            found.append(("", " " * left + _LATER_ROW))
            used += left + len(_LATER_ROW)
        found += word
        used += cells_of("".join(text for _, text in word))
    return [(role, "".join(text for _, text in parts)) for role, parts in groupby(found, key=lambda part: part[0])]


_LATER_ROW = "    "


def _words(line: Line) -> Iterator[Line]:
    """Each with the space behind it; one may have several roles."""
    word: Line = []
    for role, text in line:
        for piece in re.findall(r"[^ ]* |[^ ]+", text):
            word.append((role, piece))
            if piece.endswith(" "):
                yield word
                word = []
    if word:
        yield word
