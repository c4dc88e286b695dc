"""The last words of a worker and its exit code come in; how it ended goes out, with a place and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from devserver import hints, problems
from devserver.notes import WorkerDied
from devserver.recorder import LastWords, Phase

_TOLD: dict[Phase, Literal["load", "init", "run"]] = {"start": "load", "load": "load", "init": "init"}


def obituary(words: LastWords, code: int, script: str | None, files: Iterable[str] = ()) -> WorkerDied:
    """How a worker ended, from what is known of it afterwards; `files` are the user's files that it had loaded."""
    if words.phase == "told":
        return WorkerDied("run", code, None)
    phase = _TOLD.get(words.phase, "run")
    error = problems.died(phase, code, idle=words.phase == "idle", dump=words.dump, script=script, files=files)
    return WorkerDied(phase, code, hints.explain(error))
