"""Hints for scripts of another kind than is served here."""

from __future__ import annotations

import json
import re
from types import FrameType

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.records.diagnostic import LoggingCall, Signature
from devserver.usercode import loader, source


def _hiding_decorator(facts: Facts) -> str | None:
    """A decorator put a wrapper with (*args, **kwargs) in the place of run()."""
    found = facts.error.facts
    if not isinstance(found, Signature) or not found.variadic:
        return None
    node = source.function_named(facts.script, "run")
    if node is None or node.args.vararg or node.args.kwarg or node.args.posonlyargs or not node.decorator_list:
        return None
    name = source.line_at(facts.script, node.decorator_list[0].lineno).strip(" @").partition("(")[0]
    return f"the decorator {name} hides the parameters: put @functools.wraps(func) above the wrapper that it returns"


def _more_parameters(facts: Facts) -> str | None:
    found = re.match(r"(run|init)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)", facts.message)
    if not found or facts.error.frames:
        return None
    if found[1] == "init":
        return "the server calls init() without arguments"
    return f"only the first parameter is filled: give {found[2]} a default, or describe the input with inference-schema"


def _batch_driver(facts: Facts) -> str | None:
    """A run() for lists of files took the text of a request, letter by letter, for one."""
    if facts.error.phase not in ("run", "response") or not _took_the_text(facts):
        return None
    node = source.function_named(facts.script, "run")
    first = node.args.args[0].arg if node and node.args.args else ""
    if re.fullmatch(r"(?i)_?mini_?batch\w*", first):
        return f"run({first}) is a batch endpoint's driver: there it gets a list of files, here the text of a request"
    return None


def _took_the_text(facts: Facts) -> bool:
    """Whether the error may come of that: it happened in run() itself, or below it with a part of the text in hand."""
    if facts.error.phase == "response":
        return True
    names = [frame.f_code.co_name for frame in facts.user_frames]
    if "run" not in names or isinstance(facts.exception, (ImportError, NameError, json.JSONDecodeError)):
        return False
    below = facts.user_frames[: names.index("run")]
    return all(_has_letter(frame) for frame in below)


def _has_letter(frame: FrameType) -> bool:
    return any(isinstance(value, str) and len(value) == 1 for value in frame.f_locals.values())


def _job_script(facts: Facts) -> str | None:
    """A training or pipeline step in the place of a scoring script."""
    error = facts.error
    if error.type == "SystemExit" and any(frame.f_globals.get("__name__") == "argparse" for frame in facts.frames):
        return "the script reads a command line, as a training or pipeline step does; a scoring script gets none"
    if error.code == "missing-function":
        text = loader.source_of(facts.path) or ""
        if not text.strip():
            return "the file is empty"
        other = next(
            (word for word in ("argparse", '__name__ == "__main__"', "mlflow.start_run") if word in text), None
        )
        return f"it looks like a training or pipeline step ({other})" if other else None
    if error.type in ("RunEnvironmentException", "OfflineRunException"):
        return "Run.get_context() works in a job only, not in a scoring script"
    return None


def _logging_call(facts: Facts) -> str | None:
    found = facts.error.facts
    if not isinstance(found, LoggingCall):
        return None
    if facts.error.type == "ValueError":
        return "a percent sign in the text of a logging call with values is written %%"
    if found.places < found.values:
        return 'logging does not append values as print() does: give the text a %s for each, as in "rows: %s"'
    return (
        "each %s of the text wants a value after it; a percent sign is written %%"
        if found.places > found.values
        else None
    )


HINTS: tuple[Predicate, ...] = (
    _logging_call,
    _hiding_decorator,
    _more_parameters,
    _batch_driver,
    _job_script,
)
