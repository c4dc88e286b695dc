"""One hint for a diagnostic, where the mistake is known.

Each hint is a small predicate that looks something up (files, fields, columns, names) and speaks only
when it found it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from devserver.diagnostics.hints import (
    azure_quirks,
    exits,
    imports,
    libraries,
    missing_files,
    pickles,
    requests,
    return_values,
    scripts,
    sources,
    undefined_names,
)
from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.process.platform import System
from devserver.records.diagnostic import Diagnostic
from devserver.text import clean

_BUDGET = 0.015  # seconds of this thread for all predicates of one error
_ROOMS = (
    sources,
    azure_quirks,
    imports,
    missing_files,
    pickles,
    undefined_names,
    requests,
    libraries,
    return_values,
    scripts,
    exits,
)
PREDICATES: list[Predicate] = [predicate for room in _ROOMS for predicate in room.HINTS]
"""The first that finds something speaks."""


def explain(error: Diagnostic, exception: BaseException | None = None, *, model_dir: str | None = None) -> Diagnostic:
    """The record with a hint where one is known; call it while the exception is alive. Never raises."""
    if error.hint:
        return error
    facts, end = Facts(error, exception, model_dir or None), time.thread_time() + _BUDGET + System.clock_tick
    for predicate in PREDICATES:
        try:
            hint = predicate(facts)
        except Exception:  # it looks at the user's own objects, which may do anything
            continue
        if hint:
            return replace(error, hint=clean(hint))
        if time.thread_time() > end:
            break
    return error
