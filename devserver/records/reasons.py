"""Why a fresh start is made, as data: what the terminal, the events and the tests read, each in its own way."""

from __future__ import annotations

import enum

from devserver.records.record import record


class Why(enum.Enum):
    """The value is the word for it in events."""

    NOT_COMPILED = "not_compiled"
    TEXTS_DIFFER = "texts_differ"
    BROKEN = "broken"
    COMPILER_WARNS = "compiler_warns"
    STATEMENT = "statement"
    SIGNATURE = "signature"
    DOCSTRING = "docstring"
    KIND = "kind"
    FREE_VARIABLES = "free_variables"
    NAME = "name"
    UNPAIRED = "unpaired"
    RAN = "ran"
    NO_RECORD = "no_record"
    SUSPENDED = "suspended"
    CODE_READ = "code_read"
    TEXT_READ = "text_read"
    LINES_READ = "lines_read"
    STAMP_READ = "stamp_read"
    PROGRAM = "program"
    WRITTEN = "written"
    PID = "pid"
    AT_FORK = "at_fork"
    THREADS = "threads"
    CHILDREN = "children"
    DESCRIPTOR = "descriptor"
    SHARED_MEMORY = "shared_memory"
    FILE_LOCK = "file_lock"
    SIGNALS = "signals"
    TIMER = "timer"
    EXIT_HANDLER = "exit_handler"
    SYSTEM = "system"
    DATA = "data"
    GONE = "gone"
    LIBRARY = "library"
    LOST = "lost"


@record(frozen=True)
class Reason:
    """`place`: a function, as in "Model.predict"; `line`: 1-based, in the new text, 0 if none; `fact`: a name."""

    why: Why
    path: str = ""
    place: str = ""
    line: int = 0
    fact: str = ""


NO_FORK = Reason(Why.SYSTEM, fact="this system has no fork that can be relied on")
