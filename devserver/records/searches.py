"""Where an import looked, and which files would change what it finds.

Python takes the first module of a name that lies in one of the folders of its search path, and in one folder a package
before an extension before a source file. So a file that appears in the right place wins the next time, although nothing
that was loaded has changed. A search names such places by folder, name and form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import IntFlag
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from typing import TypeAlias


class Form(IntFlag):
    """What a module may be, strongest first; a namespace is a folder with modules in it, but no `__init__`."""

    PACKAGE = 1
    EXTENSION = 2
    SOURCE = 4
    BYTECODE = 8
    NAMESPACE = 16


REGULAR = Form.PACKAGE | Form.EXTENSION | Form.SOURCE | Form.BYTECODE
ANY = REGULAR | Form.NAMESPACE

Names: TypeAlias = Mapping[str, int]
"""Last parts of modules' names, and the forms in which they would win."""

Searches: TypeAlias = dict[str, dict[str, int]]
"""Folders (absolute), and the names that would win in each of them."""

LARGE = 256 << 10  # bytes of a folder itself: some ten thousand names
_FORMS = {
    **dict.fromkeys(BYTECODE_SUFFIXES, Form.BYTECODE),
    **dict.fromkeys(SOURCE_SUFFIXES, Form.SOURCE),
    **dict.fromkeys(EXTENSION_SUFFIXES, Form.EXTENSION),
}


def stronger_than(origin: str, *, package: bool) -> int:
    """The forms that win against a module found in this file, in the same folder."""
    if package:
        return 0
    form = _form_of(os.path.basename(origin))
    return (form - 1) & REGULAR if form else 0


def matches(folder: str, names: Names, path: str) -> bool:
    """Whether this file, if it is there, wins in the folder."""
    top = folder.rstrip(os.sep) + os.sep
    parts = path[len(top) :].split(os.sep) if path.startswith(top) else []
    if len(parts) == 1:
        return bool(_form_of(parts[0]) & names.get(_stem(parts[0]), 0))
    return len(parts) == 2 and _counts_inside(parts[1], names.get(parts[0], 0))


def present(folder: str, names: Names) -> list[str]:
    """The files that are there and win. In a very large folder they are asked for one by one."""
    found = []
    for name in _likely(names) if _is_large(folder) else _entries(folder):
        forms = names.get(_stem(name), 0)
        path = os.path.join(folder, name)
        if "." not in name:
            found += [os.path.join(path, inner) for inner in _inside(path, forms) if _counts_inside(inner, forms)]
        elif _form_of(name) & forms and os.path.isfile(path):
            found.append(path)
    return found


def packages(folder: str, names: Names) -> list[str]:
    """The folders that are there and would be packages if the right file were in them."""
    inside = (
        name
        for name in (names if _is_large(folder) else _entries(folder))
        if names.get(name, 0) & (Form.PACKAGE | Form.NAMESPACE)
    )
    return [path for path in (os.path.join(folder, name) for name in inside) if os.path.isdir(path)]


def _is_large(folder: str) -> bool:
    """Whether to list it takes longer than to ask for hundreds of names, as far as its own size tells."""
    try:
        return os.stat(folder).st_size > LARGE
    except (OSError, ValueError):
        return False


def _likely(names: Names) -> Iterator[str]:
    for name in names:
        yield name
        yield from (name + suffix for suffix in _FORMS)


def merged(one: Mapping[str, Names], other: Mapping[str, Names]) -> Searches:
    """Both searches as one."""
    found = {folder: dict(names) for folder, names in one.items()}
    for folder, names in other.items():
        mine = found.setdefault(folder, {})
        for name, forms in names.items():
            mine[name] = mine.get(name, 0) | forms
    return found


def _inside(path: str, forms: int) -> list[str]:
    return _entries(path) if forms & (Form.PACKAGE | Form.NAMESPACE) else []


def _counts_inside(name: str, forms: int) -> bool:
    """Whether a file of this name makes of its folder what wins."""
    form = _form_of(name)
    return bool(form and ((_stem(name) == "__init__" and forms & Form.PACKAGE) or forms & Form.NAMESPACE))


def _form_of(name: str) -> int:
    return _FORMS.get(name[len(_stem(name)) :], 0)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):
        return []
