"""Why a fresh start is made, as data: what the terminal, the events and the tests read, each in its own way."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Why(enum.Enum):
    """The value is the word for it in events; `{place}`, `{fact}` and so on in `SENTENCES` are a reason's fields."""

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


@dataclass(frozen=True)
class Reason:
    """`place`: a function, as in "Model.predict"; `line`: 1-based, in the new text, 0 if none; `fact`: a name."""

    why: Why
    path: str = ""
    place: str = ""
    line: int = 0
    fact: str = ""


SENTENCES = {
    Why.NOT_COMPILED: "{path} was not loaded from its text",
    Why.TEXTS_DIFFER: "{path} was loaded twice, with different texts",
    Why.BROKEN: "{path} does not compile",
    Why.COMPILER_WARNS: "the compiler warns of something new in {path}",
    Why.STATEMENT: "{fact} at line {line} runs when the script is loaded",
    Why.SIGNATURE: "{place}() has another {fact}",
    Why.DOCSTRING: "{place}() has another docstring",
    Why.KIND: "{place}() has become another kind of function",
    Why.FREE_VARIABLES: "{place}() uses other outer variables, or super()",
    Why.NAME: "the name {place} may have been looked up ({fact})",
    Why.UNPAIRED: "{place} cannot be found again in the new text",
    Why.RAN: "{place}() took part in it",
    Why.NO_RECORD: "this interpreter does not tell which functions ran",
    Why.SUSPENDED: "{place}() has begun and is not done, or its error is kept",
    Why.CODE_READ: "the code of {place}() was read by {fact}",
    Why.TEXT_READ: "the text of {path} was read by {fact}",
    Why.LINES_READ: "line numbers were asked for ({fact}), and lines have moved",
    Why.STAMP_READ: "the time or size of a source file may have been asked for ({fact})",
    Why.PROGRAM: "the script started a program ({fact})",
    Why.WRITTEN: "{fact}, which init() has written, has changed since",
    Why.PID: "the script asked for the number of its process ({fact})",
    Why.AT_FORK: "the script wants to hear of forks ({fact})",
    Why.THREADS: "threads run: {fact}",
    Why.CHILDREN: "child processes live: {fact}",
    Why.DESCRIPTOR: "{fact} is open",
    Why.SHARED_MEMORY: "memory is shared: {fact}",
    Why.FILE_LOCK: "{fact} is locked",
    Why.SIGNALS: "the script handles {fact}",
    Why.TIMER: "a timer runs ({fact})",
    Why.EXIT_HANDLER: "not all exit handlers are known",
    Why.SYSTEM: "nothing can be forked here ({fact})",
}


def sentence(reason: Reason) -> str:
    """The reason in words, for people; nothing reads it back."""
    return SENTENCES[reason.why].format(
        path=reason.path, place=reason.place, line=reason.line, fact=reason.fact or "it"
    )
