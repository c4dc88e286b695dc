"""Returns the value that the body names."""

import collections
import datetime
import decimal
import enum
import fractions
import uuid

import numpy

Pair = collections.namedtuple("Pair", "first second")


class Text(str):
    pass


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


def circle():
    ring = []
    ring.append(ring)
    return ring


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


async def later():
    return 1


def unawaited():
    coroutine = later()
    coroutine.close()
    return coroutine


RESULTS = {
    "nothing": lambda: None,
    "empty dictionary": lambda: {},
    "empty text": lambda: "",
    "false": lambda: False,
    "zero": lambda: 0,
    "integer": lambda: 12345678901234567890123,
    "float": lambda: 0.1 + 0.2,
    "float 1.0": lambda: 1.0,
    "text": lambda: 'Grüße \u2028 \U0001f600 </script> \x00 "quoted" \\',
    "lone surrogate": lambda: "\ud800",
    "JSON in text": lambda: '{"a": 1}',
    "list": lambda: [1, "two", None, True, [3.5]],
    "dictionary": lambda: {"b": 1, "a": {"c": []}},
    "tuple": lambda: ({"a": 1}, 404),
    "tuple with headers": lambda: ("text", 201, {"X-Own": "1"}),
    "named tuple": lambda: Pair(1, 2),
    "text subclass": lambda: Text("sub"),
    "integer enumeration": lambda: Level.LOW,
    "ordered dictionary": lambda: collections.OrderedDict(z=1, a=2),
    "counter": lambda: collections.Counter("aab"),
    "integer keys": lambda: {1: "a", 2.5: "b", None: "c", False: "d"},
    "NaN": lambda: [float("nan"), float("inf"), float("-inf")],
    "numpy float64": lambda: numpy.float64(1.5),
    "nested 100": lambda: nested(100),
    "large": lambda: list(range(20000)),
    "bytes": lambda: b"bytes",
    "set": lambda: {1},
    "date": lambda: datetime.date(2024, 5, 6),
    "decimal": lambda: decimal.Decimal("1.5"),
    "fraction": lambda: fractions.Fraction(1, 2),
    "uuid": lambda: uuid.UUID(int=1),
    "object": lambda: object(),
    "enumeration": lambda: Colour.RED,
    "numpy array": lambda: numpy.array([1, 2]),
    "numpy int64": lambda: numpy.int64(1),
    "numpy float32": lambda: {"a": numpy.float32(1)},
    "numpy bool": lambda: numpy.bool_(True),
    "generator": lambda: (n for n in range(3)),
    "coroutine": unawaited,
    "circular": circle,
    "tuple keys": lambda: {(1, 2): 3},
    "nested 100000": lambda: nested(100000),
    "function": lambda: circle,
    "exception": lambda: ValueError("returned, not raised"),
}


def init():
    pass


def run(data):
    return RESULTS[data]()
