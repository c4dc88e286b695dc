"""How one value of a setting is read from the text of a flag or variable, or from a JSON value.

Each reader returns the value or raises ValueError with a text for the person."""

from __future__ import annotations

from collections.abc import Callable

TRUE_WORDS = {"true", "1", "yes", "y", "on", "t"}
FALSE_WORDS = {"false", "0", "no", "n", "off", "f"}
TEN_YEARS = 10 * 366 * 86400  # seconds; what waits for longer overflows in the system's calls


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS | FALSE_WORDS and not (isinstance(value, float) and value not in (0.0, 1.0)):
        return word in TRUE_WORDS
    raise ValueError(f"{value!r} is neither true nor false")


def _integer(value: object) -> int:
    try:
        number = float(value) if isinstance(value, (int, float)) else float(text(value).strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a whole number") from None
    if number != number or number in (float("inf"), float("-inf")) or number != int(number):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value) if isinstance(value, int) else int(number)


def between(low: int, high: int, what: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _integer(value)
        if not low <= number <= high:
            raise ValueError(f"{value} is not {what}")
        return number

    return parse


def seconds(value: object) -> float:
    try:
        number = float(text(value)) if isinstance(value, str) else float(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not 0 <= number < 86400 * 365:
        raise ValueError(f"{value} is not a number of seconds from 0")
    return number


class OneOf:
    """Reads one of these words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, value: object) -> str:
        if value not in self.words:
            raise ValueError(f"{value!r} is not one of {', '.join(self.words)}")
        return str(value)


def log_level(value: object) -> str:
    level = text(value).strip().upper()
    if level not in {"DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"}:
        raise ValueError(f"{value!r} is not a log level (DEBUG, INFO, WARNING, ERROR, CRITICAL)")
    return level


def exactly_true(value: object) -> bool:
    return value is True or value == "true"


def true_any_case(value: object) -> bool:
    return str(value).lower() == "true"


port_number = between(1, 65535, "a port (1 to 65535)")
port_or_any = between(0, 65535, "a port (1 to 65535)")
