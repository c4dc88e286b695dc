"""What the arguments of the interpreter's audit events say of a file: which one is meant, and what it is opened for."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias
from urllib.parse import unquote

Access: TypeAlias = Literal["reads", "may write", "writes"]


def access_of(mode: object, flags: object) -> Access:
    """What an `open` event is for; a mode that can write where it need not is told from one that does."""
    if isinstance(mode, str):
        return "writes" if set(mode) & set("wax") else "may write" if "+" in mode else "reads"
    if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
        return "reads"
    return "writes" if flags & (os.O_WRONLY | os.O_TRUNC | os.O_APPEND | os.O_EXCL) else "may write"


def absolute(name: object, folder: int = -1) -> str | None:
    """The path that is meant, relative to an open folder where one is given; None for a descriptor and the like."""
    if not isinstance(name, (str, bytes, os.PathLike)):
        return None
    path = os.fsdecode(name)
    if folder >= 0 and not os.path.isabs(path):
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    return os.path.abspath(path)


def database(name: object) -> object:
    """The file of a sqlite database; None for one in memory."""
    text = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""
    if text.startswith("file:"):
        text = unquote(text[5:].partition("?")[0])
        text = text[2:] if text.startswith("//") else text
    return None if text in ("", ":memory:") else text
