"""The reasons for a fresh start in words."""

from __future__ import annotations

from dataclasses import replace

from devserver.records.messages import LoadReport
from devserver.records.reasons import Reason, Why
from devserver.text import path_for_people

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
    Why.DATA: "{path}, which was read or looked for, is not as it was",
    Why.GONE: "{path} is gone",
    Why.LIBRARY: "{path} has changed since it was imported",
    Why.LOST: "the process that kept it has ended",
}


def sentence(reason: Reason, folder: str | None = None) -> str:
    """The reason in words, for people, with paths below `folder` relative to it; nothing reads it back."""
    return SENTENCES[reason.why].format(
        path=path_for_people(reason.path, folder), place=reason.place, line=reason.line, fact=reason.fact or "it"
    )


class Whys:
    """Why init() ran again although only code was changed: each reason is told once, wherever it stands by then."""

    def __init__(self) -> None:
        self._told: set[Reason] = set()

    def of(self, loaded: LoadReport, folder: str) -> str:
        """Empty where there is nothing new to tell."""
        if loaded.anew is None or loaded.times.init_ms < 1:
            return ""
        known = replace(loaded.anew, line=0)
        if known in self._told:
            return ""
        self._told.add(known)
        return sentence(loaded.anew, folder)
