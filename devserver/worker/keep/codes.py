"""Trees of code objects: what is inside of what, and which functions of a module can run by themselves."""

from __future__ import annotations

import ctypes
import inspect
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType

_WORD = re.compile(r"\w+")


def inner(code: CodeType) -> list[CodeType]:
    """The code objects right inside of this one, in the order of the text."""
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def everything(code: CodeType) -> Iterator[CodeType]:
    """This code object and all inside of it."""
    yield code
    for child in inner(code):
        yield from everything(child)


def is_container(code: CodeType) -> bool:
    """True for a class body, and for the scope that holds the type parameters of a function or a class."""
    return not code.co_flags & inspect.CO_OPTIMIZED or code.co_name.startswith("<generic parameters of ")


def is_function(code: CodeType) -> bool:
    """True for what a `def` or a `lambda` has made; comprehensions and class bodies run where they stand."""
    return not is_container(code) and (code.co_name == "<lambda>" or not code.co_name.startswith("<"))


def outer_functions(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes; what is inside of a function runs only after it."""
    for child in inner(code):
        if is_function(child):
            yield child
        else:
            yield from outer_functions(child)


def used_in(code: CodeType, without: frozenset[int] = frozenset()) -> Iterator[CodeType]:
    """This code object and all inside of it but for those whose id is left out, with what is inside of them."""
    yield code
    for child in inner(code):
        if id(child) not in without:
            yield from used_in(child, without)


def words_in(code: CodeType) -> Iterator[str]:
    """The texts among the constants of this code object alone, and their words."""
    for constant in code.co_consts:
        yield from _words(constant)


def _words(constant: object) -> Iterator[str]:
    if isinstance(constant, bytes):
        constant = constant.decode("latin-1")
    if isinstance(constant, str):
        yield constant
        yield from _WORD.findall(constant)
    elif isinstance(constant, (tuple, frozenset)):
        for part in constant:
            yield from _words(part)


@lru_cache(maxsize=1)
def _get_extra() -> Callable[..., int] | None:
    for name in ("PyUnstable_Code_GetExtra", "_PyCode_GetExtra"):
        found = getattr(getattr(ctypes, "pythonapi", None), name, None)
        if found is not None:
            found.argtypes = [ctypes.py_object, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p)]
            return found  # type: ignore[no-any-return]
    return None


def is_compiled_otherwise(code: CodeType) -> bool:
    """True where something that runs code in its own way (torch.compile, a debugger) has put a note on it."""
    ask = _get_extra()
    note = ctypes.c_void_p()
    return ask is not None and any(ask(code, number, ctypes.byref(note)) == 0 and note.value for number in range(8))


def positions(code: CodeType) -> object:
    """Lines and columns of this code object alone, to be compared; the same ones may be written in two ways."""
    return code.co_firstlineno, code.co_linetable
