"""Whether a load may have failed because another process had what it needs: a lock, a port, a database file, memory.

Nothing tells for sure: a library has errors of its own for that, and a script may say it in any words. So it is the
other way round: what the code and the files alone decide fails again whoever else lives, and all the rest may not.
"""

from __future__ import annotations

import builtins

from devserver.records.diagnostic import Diagnostic, ProcessEnd

OF_THE_CODE = (
    *(SyntaxError, NameError, ImportError, AttributeError, TypeError),
    *(ValueError, LookupError, ArithmeticError, RecursionError, NotImplementedError),
    *(FileNotFoundError, NotADirectoryError, IsADirectoryError),
)
OF_FILES = ("JSONDecodeError", "UnpicklingError")  # libraries' own names for what cannot be read
NOT_BY_ITSELF = (None, "SIGKILL")  # with no signal the script has ended itself; this one comes where memory is short


def is_possible(error: Diagnostic | None) -> bool:
    """Whether another process may be the reason: of the exception, or of one behind it, or of the process's end."""
    if error is None:
        return False
    if isinstance(error.facts, ProcessEnd):
        return error.facts.signal in NOT_BY_ITSELF
    return error.code == "exception" and any(map(_may_pass, (error.type, *(cause.type for cause in error.causes))))


def _may_pass(kind: str) -> bool:
    """By the name of the exception's class; one of a library's is unknown here."""
    known = getattr(builtins, kind, Exception)
    of_the_code = isinstance(known, type) and issubclass(known, OF_THE_CODE)
    return not of_the_code and not kind.endswith(OF_FILES)
