"""Hints for processes that ended and time that ran out."""

from __future__ import annotations

import ast
import os

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.process.platform import System
from devserver.records.diagnostic import ProcessEnd, TimeLimit
from devserver.usercode import source


def _time_limit(facts: Facts) -> str | None:
    limit = facts.error.facts
    if not isinstance(limit, TimeLimit):
        return None
    loop = _loop_around(facts.path, facts.line_number)
    where = f"the loop of line {loop} is running; " if loop else ""
    unit = "milliseconds" if limit.setting.endswith("_MS") else "seconds"
    also = "\nmeanwhile GET / waits for its answer too, here as in Azure ML" if facts.error.phase == "run" else ""
    return f"{where}raise {limit.setting} ({unit}) if the work needs more{also}"


def _loop_around(path: str, line: int) -> int | None:
    tree = source.tree_of(path)
    loops = [node for node in ast.walk(tree) if isinstance(node, (ast.While, ast.For))] if tree else []
    around = [node.lineno for node in loops if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, default=None)


def _killed(facts: Facts) -> str | None:
    end = facts.error.facts
    if not isinstance(end, ProcessEnd) or end.signal != "SIGKILL":
        return None
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            with open(path) as file:
                text = file.read().strip()
            limit = min(limit, int(text)) if text.isdigit() else limit
    peak = System.peak_memory_of_children()
    used = f", the largest process had {peak / 1e9:.1f} GB" if peak else ""
    return f"the system does this when memory runs out: {limit / 1e9:.1f} GB are allowed here{used}"


HINTS: tuple[Predicate, ...] = (
    _time_limit,
    _killed,
)
