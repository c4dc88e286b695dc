"""Frozen dataclasses that cost next to nothing to define.

`dataclass(frozen=True)` compiles six functions for each class at its import: 0.4 ms. With a hundred records every
process of the tool would start 40 ms later, and so would the first answer. Here all records share their functions.
For everybody else, type checkers included, they are dataclasses: `fields`, `replace`, `asdict`, patterns and pickles
work as ever.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool) -> Any:
        """The decorator; it makes frozen classes only, and says so where it is used as `dataclass` does."""
        assert frozen
        return _as_record


def _as_record(cls: type) -> type:
    cls = dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    for name, function in _SHARED.items():
        if name not in vars(cls):
            setattr(cls, name, function)
    return cls


def _init(self: Any, *values: Any, **named: Any) -> None:
    fields, given = self.__dataclass_fields__, self.__dict__
    if not values and named.keys() == fields.keys():
        given.update(named)
        return
    given.update(zip(fields, values, strict=False))
    if len(values) > len(fields) or named.keys() & given.keys() or not named.keys() <= fields.keys():
        raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}; it was given {values} and {named}")
    given.update(named)
    if len(given) < len(fields):
        given.update({name: _default(self, field) for name, field in fields.items() if name not in given})


def _default(self: Any, field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise TypeError(f"{type(self).__name__} needs {field.name}")
    return field.default


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name, field in self.__dataclass_fields__.items() if field.compare)


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, field in self.__dataclass_fields__.items() if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse(_self: Any, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")


_SHARED = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}
