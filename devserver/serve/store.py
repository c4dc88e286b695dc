"""Bytes of one connection that wait to be used: few in memory, many in a file without a name."""

from __future__ import annotations

import os
import tempfile
from typing import IO

KEPT = 1 << 18  # bytes in memory
PASSED = 1 << 13  # bytes that are passed on as they are; more go as a file
PIECE = 1 << 18  # bytes that are read at a time


class Store:
    """Bytes are added at its end and taken from its beginning; `len()` is what is left."""

    def __init__(self, content: bytes = b"", file: int | None = None, begin: int = 0) -> None:
        self._memory: bytes | bytearray = content
        self._file: IO[bytes] | None = None if file is None else open(file, "r+b", buffering=0)
        self._begin = begin
        self._end = len(content) if file is None else os.fstat(file).st_size

    def __len__(self) -> int:
        return self._end - self._begin

    def add(self, data: bytes) -> None:
        """Errors: OSError where there is no room for a file."""
        if self._file is None and self._end + len(data) > KEPT:
            self.to_file()
        if self._file is not None:
            self._file.seek(self._end)
            _write(self._file, data)
        elif self._end:
            self._memory = self._memory if isinstance(self._memory, bytearray) else bytearray(self._memory)
            self._memory += data
        else:
            self._memory = data
        self._end += len(data)

    def peek(self, size: int = PIECE) -> bytes:
        """The first ones, without taking them."""
        if self._file is None:
            return bytes(self._memory[self._begin : self._begin + size])
        self._file.seek(self._begin)
        return self._file.read(min(size, len(self)))

    def skip(self, size: int) -> None:
        """Take them."""
        self._begin += size

    def take(self, size: int = PIECE) -> bytes:
        """The next ones; none when nothing is left."""
        found = self.peek(size)
        self._begin += len(found)
        return found

    def rewind(self) -> None:
        """Put back all that was taken."""
        self._begin = 0

    def to_file(self) -> int:
        """The descriptor of the file that has them, which is made where there is none. Errors: OSError."""
        if self._file is None:
            self._file = _nameless()
            _write(self._file, self._memory)
            self._memory = b""
        return self._file.fileno()

    def passed(self) -> tuple[bytes, int | None, int]:
        """What `Store()` makes another one of: bytes or a descriptor, and where it begins. Errors: OSError."""
        if self._file is None and len(self) <= PASSED:
            return self.peek(PASSED), None, 0
        return b"", self.to_file(), self._begin

    def close(self) -> None:
        """Gives the file back."""
        if self._file is not None:
            self._file.close()


def _write(file: IO[bytes], data: bytes | bytearray) -> None:
    """All of it; a file without a buffer may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _nameless() -> IO[bytes]:
    """On disk, or in memory where no folder can be written."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        return open(os.memfd_create("azmlinfsrv"), "r+b", buffering=0)
