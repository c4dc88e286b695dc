"""Hints for scripts of another kind than is served here."""

from __future__ import annotations

import re

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.records.diagnostic import Signature
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
    node = source.function_named(facts.script, "run") if facts.error.phase in ("run", "response", "load") else None
    first = node.args.args[0].arg if node and node.args.args else ""
    if re.fullmatch(r"(?i)_?mini_?batch\w*", first):
        return f"run({first}) is a batch endpoint's driver: there it gets a list of files, here the text of a request"
    return None


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


HINTS: tuple[Predicate, ...] = (
    _hiding_decorator,
    _more_parameters,
    _batch_driver,
    _job_script,
)
