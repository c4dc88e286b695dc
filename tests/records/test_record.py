"""Records behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, dataclass, field
from functools import cached_property

import pytest

from devserver.records.record import record


@record(frozen=True)
class Point:
    """A place."""

    x: int
    y: int = 2
    tags: dict[str, int] = field(default_factory=dict)
    secret: str = field(default="", repr=False, compare=False)

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True)
class Other:
    x: int
    y: int = 2


@record(frozen=True)
class Deeper(Point):
    """One more field."""

    z: int = 3


def test_it_is_made_by_position_by_name_and_by_default() -> None:
    point = Point(1, tags={"a": 1})
    assert (point.x, point.y, point.tags) == (1, 2, {"a": 1})
    assert Point(1).tags is not Point(1).tags
    assert Deeper(1, 2, z=5).z == 5 and Deeper(1).total == 3


@pytest.mark.parametrize(
    ("values", "named", "name"),
    [((), {}, "x"), ((1, 2, {}, "", 5), {}, "5"), ((1,), {"x": 2}, "x"), ((1,), {"q": 2}, "q")],
)
def test_what_does_not_fit_is_named(values: tuple, named: dict, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Point(*values, **named)


def test_it_compares_by_its_fields_and_its_class() -> None:
    point = Point(1, tags={})
    assert point.total == 3  # what is remembered is no field
    assert point == Point(1, secret="other") and point != Point(2)
    assert Deeper(1) != Point(1) and Point(1) != Other(1)
    assert hash(Fixed(1)) == hash(Fixed(1)) and len({Fixed(1), Fixed(1), Fixed(2)}) == 2


@record(frozen=True)
class Fixed:
    """Hashable."""

    x: int


def test_it_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError, match="x"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="x"):
        del point.x  # type: ignore[misc]


def test_it_shows_itself() -> None:
    assert repr(Point(1, secret="key")) == "Point(x=1, y=2, tags={})"


def test_the_tools_for_dataclasses_work() -> None:
    point = Point(1, secret="key")
    assert dataclasses.replace(point, y=5) == Point(1, 5)
    assert dataclasses.asdict(Fixed(1)) == {"x": 1}
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "tags", "secret"]
    assert pickle.loads(pickle.dumps(point)) == copy.copy(point) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)
