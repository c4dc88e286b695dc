"""The standard streams, whatever they are: text of any language gets through, and a terminal is a terminal."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def open_closed() -> None:
    """A standard stream that was closed at the start leads nowhere: no file of ours gets its number.

    Call it before anything is opened.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))


def write_anything() -> None:
    """From now on what the encoding of a standard stream does not have is written as escapes, and is no error.

    A script that prints an arrow runs in Azure, where all is UTF-8; it shall not fail for the code page of a pipe here.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="backslashreplace")


class Lines:
    """Follows what this process, and those that it forks, write to stdout: whether it ends with its line.

    stderr counts where it goes to the same place. What goes there without Python's streams is not seen: C code, and
    programs that are started.
    """

    def __init__(self) -> None:
        self._tell: Callable[[bool], None] = lambda _unfinished: None
        self._former: list[TextIO] = []  # they would close the descriptors

    def follow(self, tell: Callable[[bool], None]) -> None:
        """From now on `tell` is told after each write whether a line is unfinished; it replaces the one before."""
        self._tell = tell
        if not self._former:
            for name in ("stdout", "stderr"):
                self._replace(name)

    def _replace(self, name: str) -> None:
        from devserver.process.platform import System

        stream = getattr(sys, name)
        if not _is_plain(stream) or not System.is_same_file(stream.fileno(), 1):
            return
        stream.flush()
        self._former.append(stream)
        followed = _followed(stream, lambda unfinished: self._tell(unfinished))
        setattr(sys, name, followed)
        setattr(sys, f"__{name}__", followed)


lines = Lines()


class _Followed(io.FileIO):
    """A descriptor that tells, after each write, whether the last line is unfinished."""

    def __init__(self, stream: io.TextIOWrapper, tell: Callable[[bool], None]) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self.name = stream.name
        self._tell = tell

    def write(self, content: ReadableBuffer, /) -> int:
        written = super().write(content)
        if written:
            self._tell(memoryview(content).cast("B")[written - 1] != 10)
        return written


def _is_plain(stream: TextIO | None) -> bool:
    """Whether it is as Python makes it for a file, and nobody has put another in its place."""
    if type(stream) is not io.TextIOWrapper:
        return False
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return type(getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO


def _followed(stream: io.TextIOWrapper, tell: Callable[[bool], None]) -> io.TextIOWrapper:
    """The same stream, but for that."""
    raw = _Followed(stream, tell)
    followed = io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    followed.mode = stream.mode  # type: ignore[misc]  # as Python itself does
    return followed


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may see what is written there."""
    from devserver.process.platform import System  # not before: what is refused is refused at once

    try:
        return stream is not None and System.is_terminal(stream.fileno())
    except (OSError, ValueError):
        return False


def write_whole(stream: TextIO, text: str) -> None:
    """Write all of it at once, so that nothing comes between. Errors: OSError, ValueError where nobody reads it."""
    from devserver.process.platform import System

    stream.flush()
    if System.consoles_take_text and is_terminal(stream):
        stream.write(text)
        stream.flush()
        return
    content = text.encode(stream.encoding or "utf-8", "backslashreplace")
    while content:
        content = content[os.write(stream.fileno(), content) :]


def understand_colours() -> None:
    """From now on a terminal of Windows does what escape sequences say; elsewhere it always does."""
    from devserver.process.platform import System

    if System.consoles_take_text:
        from colorama import just_fix_windows_console

        just_fix_windows_console()
