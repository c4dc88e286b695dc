"""Diagnostics for what no exception tells: a script that cannot be used, a setting, a time limit."""

from __future__ import annotations

import ast
import dataclasses
import errno
import inspect
import json
import os
import re

from devserver.config.files import ConfigError
from devserver.diagnostics.exceptions import called_place, chain_of, describe, problem
from devserver.diagnostics.stacks import Where, stack_of
from devserver.records.diagnostic import Diagnostic, MissingFunction, Request, Signature, TimeLimit
from devserver.text import nearest
from devserver.usercode import loader, source
from devserver.usercode.source import Place


def unreadable_script(path: str, error: OSError) -> Diagnostic:
    """There is no such file, it is a folder, or it may not be read."""
    return dataclasses.replace(describe(error, "load", script=os.path.abspath(path)), frames=(), traceback="")


def not_python(path: str) -> Diagnostic:
    """The entry script is, by its name, another kind of file."""
    message = "the name of the entry script does not end in .py, and Azure ML serves no other file"
    if path.endswith(".ipynb"):
        message = "the entry script is a notebook; save its code as a .py file"
    return problem("load", message, Place(path, 1), code="notebook" if path.endswith(".ipynb") else "not-python")


def config_problem(error: ConfigError) -> Diagnostic:
    """A setting that cannot be used, placed in the file that it stands in; a command line has no place."""
    place = None
    if error.path is not None:
        column = error.column or 1
        place = Place(error.path, error.line or 1, column, column + 1 if error.column else 1)
    return problem("config", error.problem, place, code="configuration")


def no_process(error: OSError, interpreter: str) -> Diagnostic:
    """No process can be made, for want of something that is no matter of the script."""
    why = error.strerror or str(error)
    wants = {
        errno.EMFILE: "this one has as many files open as it may (ulimit -n)",
        errno.ENFILE: "all together have as many files open as the system allows",
        errno.EAGAIN: "the system allows no more processes or threads (ulimit -u, or a container's limit)",
        errno.ENOMEM: "there is no memory left",
    }
    if error.filename is not None:
        wants = {errno.ENOENT: f"there is no {interpreter} any more"}
        why = f"{error.filename}: {why}"
    message = f"no process can be started: {wants.get(error.errno or 0, why)}"
    return dataclasses.replace(problem("server", message, None, code="no-process"), type=type(error).__name__)


def missing_function(path: str, name: str) -> Diagnostic:
    """The script has no function of this name: placed at what was probably meant, else at line 1."""
    line, found = _meant(path, name)
    message = f"User script at {os.path.abspath(path)} does not have a {name}() function defined."
    hint = found and f"line {line} {found}"
    place = source.def_line(path, line) if found else Place(path, 1)
    facts = MissingFunction(name, line if found else None)
    error = problem("load", message, place, hint=hint, code="missing-function", facts=facts)
    return error if found else dataclasses.replace(error, excerpt=None)


_ALIKE = {
    "init": ("initialize", "initialise", "setup", "load", "load_model", "startup", "init_model"),
    "run": ("predict", "score", "main", "inference", "infer", "handler", "process", "handle", "run_model", "scoring"),
}


def _meant(path: str, name: str) -> tuple[int, str | None]:
    """Line and words for what stands in the script instead of the function."""
    tree = source.tree_of(path)
    if tree is None:
        return 1, None
    if line := source.binding(path, name):
        return line, f"assigns something else to {name}"
    if buried := _buried(tree, name):
        return buried
    own = {node.name: node for node in source.functions(tree) if node.name not in ("init", "run")}
    other = nearest(name, own, 0.6) or next((item for item in _ALIKE.get(name, ()) if item in own), None)
    return (own[other].lineno, f"defines {other}(): is that the one?") if other else (1, None)


def _buried(tree: ast.Module, name: str) -> tuple[int, str] | None:
    """The function where the server does not see it: in a class or in another function."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            owner = f"class {node.name}" if isinstance(node, ast.ClassDef) else f"{node.name}()"
            words = f"defines it inside {owner}: move it to the top level of the script"
            for inner in node.body:
                if isinstance(inner, source.Function) and inner.name == name:
                    return inner.lineno, words
    return None


def wrong_signature(function: object, message: str, *, name: str = "run", script: str | None = None) -> Diagnostic:
    """The function cannot be called as the server calls it: placed at its `def`, past decorators."""
    place = source.definition_place(function, name, script or loader.script)
    return problem("load", message, place, code="signature", facts=Signature(_is_variadic(function)))


def _is_variadic(function: object) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return any(each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) for each in parameters)


def of_sample(error: Diagnostic, exception: BaseException, path: str) -> Diagnostic:
    """The error of a request that was made of the sample at `path`: placed there if that is no JSON."""
    broken = _broken_json(exception, path)
    place = _place_in_sample(path, broken) if broken is not None else None
    if broken is None or place is None:
        return error
    script = os.path.basename(loader.script or "") or "run()"
    hint = f"the sample is not JSON; {script} was given it as it is"
    return dataclasses.replace(
        problem(error.phase, broken.msg, place, hint, code="sample"),
        type=type(broken).__name__,
        frames=error.frames,
        raised_in=error.raised_in,
        hidden=error.hidden,
        request=error.request,
        traceback=error.traceback,
        status=error.status,
    )


def _broken_json(exception: BaseException, path: str) -> json.JSONDecodeError | None:
    """What Python's json says of the sample: it was asked itself, or another reader has raised a ValueError."""
    chain = [each for _, each in chain_of(exception)]
    asked = next((each for each in chain if isinstance(each, json.JSONDecodeError)), None)
    if asked is not None or not path.lower().endswith(".json"):
        return asked
    if not any(isinstance(each, ValueError) for each in chain):
        return None
    try:
        json.loads(loader.source_of(path) or "")
    except json.JSONDecodeError as broken:
        return broken
    except RecursionError:
        return None
    return None


def _place_in_sample(path: str, broken: json.JSONDecodeError) -> Place | None:
    """The mistake's place in the file, of which the body is all, or all after the head of a request."""
    text = loader.source_of(path)
    body, read = _plain(broken.doc), _plain(broken.doc[: broken.pos])
    start = -1 if text is None else text.rfind(body) if body.strip() else 0
    if text is None or start < 0 or (text.strip() and not body.strip()) or not _BODY_BEGINS.search(text[:start]):
        return None
    before = text[:start] + read
    column = len(before) - before.rfind("\n")
    return Place(path, before.count("\n") + 1, column, column + 1)


def _plain(text: str) -> str:
    """As `loader.source_of` reads it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


_BODY_BEGINS = re.compile(r"^$|\n[ \t]*\n$")


def timed_out(
    where: Where,
    limit_ms: float,
    *,
    phase: str = "run",
    setting: str = "SCORING_TIMEOUT_MS",
    request: Request | None = None,
    status: int | None = None,
) -> Diagnostic:
    """A time limit was hit: placed at the user's line that was running.

    `where` is the exception that interrupted it, or the frame in which its thread is.
    """
    stack = stack_of(where)
    limit = f"{limit_ms:g} ms" if setting.upper().endswith("_MS") else f"{limit_ms / 1000:g} s"
    what = "loading the script" if phase == "load" else f"{phase}()"
    return dataclasses.replace(
        problem(
            phase,
            f"{what} timed out after {limit} ({setting})",
            stack.place or called_place(phase, None, loader.script),
            code="time-limit",
            facts=TimeLimit(setting, limit_ms),
        ),
        frames=stack.frames,
        hidden=stack.hidden,
        raised_in=stack.raised_in,
        request=request,
        status=status,
    )
