"""Whether to colour, and the colour of each role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

Segment = tuple[str, str]  # (role, text)
Line = list[Segment]


def wants_colour(environ: Mapping[str, str], is_tty: bool) -> bool:
    """Whether to colour, decided in CPython's order."""
    if environ.get("PYTHON_COLORS") in ("0", "1"):
        return environ["PYTHON_COLORS"] == "1"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_tty and environ.get("TERM") != "dumb"


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """The colour of each role; chosen to be read on black and on white, so no yellow and no blue."""
    from colorama import Fore, Style

    return {
        "place": Style.BRIGHT,
        "error": Style.BRIGHT + Fore.RED,
        "warning": Style.BRIGHT + Fore.MAGENTA,
        "mark": Style.BRIGHT + Fore.RED,
        "hint": Style.BRIGHT + Fore.CYAN,
        "good": Style.BRIGHT + Fore.GREEN,
        "dim": Style.DIM,
        "end": Style.RESET_ALL,
    }


def paint(lines: Iterable[Line], colour: bool) -> str:
    return "\n".join("".join(_painted(role, text, colour) for role, text in line) for line in lines)


def _painted(role: str, text: str, colour: bool) -> str:
    if not colour or not role or not text:
        return text
    return f"{_codes()[role]}{text}{_codes()['end']}"
