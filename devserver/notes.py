"""What a generation tells the supervisor beside a `LoadReport` and `RunError`s: small frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devserver.files import Stamp
from devserver.report import RunError
from devserver.samples import Sample


@dataclass(frozen=True)
class FilesLoaded:
    """Files of the user's that were loaded just now; sent while the rest still loads."""

    files: dict[str, Stamp]


@dataclass(frozen=True)
class FileWritten:
    """The script itself opened this file to write it; what becomes of the file is no change."""

    path: str


@dataclass(frozen=True)
class SawChange:
    """A loaded file is another one now; the generation has stopped accepting."""


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended by itself; `code` is its exit code, or minus the signal's number.

    `error` is None where the end was reported already.
    """

    phase: Literal["load", "init", "run"]
    code: int
    error: RunError | None


@dataclass(frozen=True)
class ColdWanted:
    """The script set these variables before it imported libraries that were imported already; nothing is served."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """A line for the person, said once."""

    text: str


@dataclass(frozen=True)
class Keyboard:
    """A debugger or input() in the script takes (`lent`) or gives back the keyboard."""

    lent: bool


@dataclass(frozen=True)
class StopWanted:
    """Ctrl-C came while the script had the keyboard."""


@dataclass(frozen=True)
class Remembered:
    """A request that `--replay` asks for was answered; it is sent again after the next reload."""

    request: Sample
