"""What may help: a record, and the live exception behind it, come in; the record with at most one hint goes out.

Each hint is a small predicate that looks something up (files, fields, columns, names) and speaks only when it found it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from devserver.hints import (
    ends,
    imports,
    libraries,
    models,
    names,
    oddities,
    pickles,
    requests,
    results,
    scripts,
    sources,
)
from devserver.hints.facts import Facts, Predicate
from devserver.report import RunError, clean

_BUDGET = 0.015  # seconds of this thread for all predicates of one error
_ROOMS = (sources, oddities, imports, models, pickles, names, requests, libraries, results, scripts, ends)
PREDICATES: list[Predicate] = [predicate for room in _ROOMS for predicate in room.HINTS]
"""The first that finds something speaks."""


def explain(error: RunError, exception: BaseException | None = None, *, model_dir: str | None = None) -> RunError:
    """The record with a hint where one is known; call it while the exception is alive. Never raises."""
    if error.hint:
        return error
    facts, end = Facts(error, exception, model_dir or None), time.thread_time() + _BUDGET
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
