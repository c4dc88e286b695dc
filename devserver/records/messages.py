"""What a generation tells the supervisor, and what people are told beside a `Diagnostic`: small frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias

from devserver.records.diagnostic import Diagnostic
from devserver.records.reasons import Reason
from devserver.records.record import record
from devserver.records.samples import Sample
from devserver.records.searches import Searches, merged
from devserver.records.stamps import Stamp, Versions


@record(frozen=True)
class FilesLoaded:
    """Files of the user's that were loaded just now; sent while the rest still loads."""

    files: dict[str, Stamp]


@record(frozen=True)
class Dependencies:
    """What else than code a generation depends on. Paths are absolute.

    `data`: files that were read. `absent`: those that were looked for in vain. `links`: on the way to what was loaded.
    `listed`: folders, and when they were listed (time.time_ns). `searches`: where a file would win an import.
    """

    data: dict[str, Stamp] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    links: dict[str, Stamp] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    searches: Searches = field(default_factory=dict)

    def versions(self) -> Versions:
        """All that can be compared, absent files and links included."""
        return {**self.links, **dict.fromkeys(self.absent), **self.data}

    def without(self, told: Dependencies) -> Dependencies:
        """What is new in this one. Folders that were searched are whole, with all that was searched there."""
        known = frozenset(told.absent)
        return Dependencies(
            {path: stamp for path, stamp in self.data.items() if path not in told.data},
            tuple(path for path in self.absent if path not in known),
            {path: stamp for path, stamp in self.links.items() if path not in told.links},
            {folder: at for folder, at in self.listed.items() if folder not in told.listed},
            {folder: names for folder, names in self.searches.items() if names != told.searches.get(folder)},
        )

    def __or__(self, later: Dependencies) -> Dependencies:
        return Dependencies(
            self.data | later.data,
            tuple(dict.fromkeys((*self.absent, *later.absent))),
            self.links | later.links,
            self.listed | later.listed,
            merged(self.searches, later.searches),
        )


@record(frozen=True)
class FileWritten:
    """The script itself writes this file, or has written it until now (time.time_ns); that is no change.

    `done`: the work is done in which it did. `apart`: it was in a child process, of which nobody tells how long it
    goes on.
    """

    path: str
    at_ns: int
    done: bool = False
    apart: bool = False


@record(frozen=True)
class ProgramStarted:
    """The script has started another process (time.time_ns), of which nobody tells what it writes."""

    at_ns: int


@record(frozen=True)
class SawChange:
    """These paths are not what was loaded; the generation has stopped accepting."""

    paths: tuple[str, ...]


@record(frozen=True)
class WorkerDied:
    """A worker ended by itself; `code` is its exit code, or minus the signal's number.

    `error` is None where the end was reported already.
    """

    phase: Literal["load", "init", "run"]
    code: int
    error: Diagnostic | None


@record(frozen=True)
class WorkerReplaced:
    """A worker begins in the place of one that has left; told only where there is no supervisor."""


@record(frozen=True)
class ColdWanted:
    """The script set these variables before it imported libraries that were imported already; nothing is served."""

    names: tuple[str, ...]


@record(frozen=True)
class StandsBy:
    """A process that stands by has called init(), which took so long; with these files loaded it waits for its turn."""

    init_ms: float
    files: Mapping[str, Stamp]


@record(frozen=True)
class Taken:
    """Its turn has come, and it is the next generation; or it cannot be, for this reason."""

    reason: Reason | None


@record(frozen=True)
class Note:
    """A line for the person, said once."""

    text: str


@record(frozen=True)
class Keyboard:
    """A debugger or input() in the script takes (`lent`) or gives back the keyboard."""

    lent: bool


@record(frozen=True)
class StopWanted:
    """Ctrl-C came while the script had the keyboard."""


@record(frozen=True)
class Remembered:
    """A request that `--replay` asks for was answered; it is sent again after the next reload."""

    request: Sample


@record(frozen=True)
class RequestAnswered:
    """A request to /score was answered; told when the answer was sent.

    `size` are the bytes of the answer's body. `headline` says what was wrong with it, where something was.
    """

    method: str
    target: str
    status: int
    milliseconds: float
    size: int
    headline: str | None = None


@record(frozen=True)
class RequestsAnswered:
    """Some of them, oldest first: many a second are told together."""

    requests: tuple[RequestAnswered, ...]


@record(frozen=True)
class Listening:
    """The port is bound; `address` can be called from this machine, and `health`, where there is a port for it.

    `network` can be called from other machines, if anything can.
    """

    host: str
    port: int
    address: str
    health: str = ""
    network: str = ""


@record(frozen=True)
class PageAt:
    """The page can be looked at there."""

    url: str


@record(frozen=True)
class Look:
    """Somebody wants to see something; `text` where it is known already."""

    what: Literal["keys", "help", "watched", "traceback", "clear", "samples", "page"]
    text: str = ""


@record(frozen=True)
class Gone:
    """The child's process ended; a negative code is the number of the signal that ended it."""

    code: int


# "told": its end in run() was reported by itself; "refused": so was the load that failed
Phase = Literal["start", "load", "init", "idle", "run", "told", "refused"]


@record(frozen=True)
class LastWords:
    """`phase` at the end, and what faulthandler wrote when it crashed."""

    phase: Phase
    dump: str = ""


@record(frozen=True)
class Times:
    """How long the parts of a load took, in milliseconds."""

    imports_ms: float = 0.0
    script_ms: float = 0.0
    init_ms: float = 0.0


@record(frozen=True)
class Kept:
    """The process in which init() is over and which waits; the user's files (absolute) that are loaded in it."""

    pid: int
    init_ms: float
    files: tuple[str, ...]


@record(frozen=True)
class LoadReport:
    """What loading one generation taught.

    `files`: absolute path -> stamp of the user's code as loaded; `depends`: on what else it depends.
    `modules`: third-party modules that user code imported; `warm`: the process had imported them before the script.
    `indirect`: those of them for which a library asked at its request. `lazy`: all that were imported, also beside
    them; none where the script sets what they may read.
    `environment`: variables that user code set before it imported one of them. `kept_ms`: how long init() had taken
    that did not run again; None where it ran. `anew`: why it ran although nothing but code has changed. `unkept`: why
    it will have to run again whatever changes; `could_stand_by`: a process could that is none of its forks.
    """

    ok: bool
    files: dict[str, Stamp] = field(default_factory=dict)
    depends: Dependencies = Dependencies()
    modules: tuple[str, ...] = ()
    indirect: frozenset[str] = frozenset()
    lazy: tuple[str, ...] = ()
    times: Times = Times()
    error: Diagnostic | None = None
    warm: bool = False
    environment: tuple[str, ...] = ()
    kept_ms: float | None = None
    anew: Reason | None = None
    unkept: Reason | None = None
    could_stand_by: bool = False


@record(frozen=True)
class Warmed:
    """The imports are done. `refusal` says why no generation can come from this process, or is None.

    `threaded`: the library of which the import has started threads that a fork would lose.
    """

    refusal: str | None
    threaded: str = ""


@record(frozen=True)
class Became:
    """The generation is the warm process itself, from here on."""


@record(frozen=True)
class Refused:
    """There is no generation, and never will be one from here."""

    reason: str


Told: TypeAlias = (
    FilesLoaded
    | FileWritten
    | ProgramStarted
    | Dependencies
    | SawChange
    | WorkerDied
    | WorkerReplaced
    | ColdWanted
    | StandsBy
    | Taken
    | Note
    | Keyboard
    | StopWanted
    | Remembered
    | RequestsAnswered
    | LoadReport
    | Diagnostic
    | Warmed
    | Became
    | Refused
)
"""What a generation tells, and a process that is to become one."""
