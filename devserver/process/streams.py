"""The standard streams, whatever they are: text of any language gets through, and a terminal is a terminal."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TextIO


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
