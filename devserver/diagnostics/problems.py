"""Diagnostics for what no exception tells: a script that cannot be used, a setting, a time limit."""

from __future__ import annotations

import ast
import dataclasses
import os
import re

from devserver.diagnostics.exceptions import called_place, describe, problem
from devserver.diagnostics.stacks import Where, calls_of, frames_of, library_part, of_user, span_of
from devserver.records.diagnostic import Diagnostic, Request
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
    return problem("load", message, Place(path, 1))


def config_problem(message: str) -> Diagnostic:
    """A setting that cannot be used; the place is taken from a message that begins with `path:line:column: `."""
    found = re.match(r"(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): (?P<rest>.*)", message, re.S)
    if found is None:
        path, colon, rest = message.partition(": ")
        place = Place(path, 1) if colon and os.path.isabs(path) else Place(loader.script or "", 1)
        return problem("config", rest if colon and os.path.isabs(path) else message, place)
    place = Place(found["path"], int(found["line"]), int(found["column"]), int(found["column"]) + 1)
    return problem("config", found["rest"], place)


def missing_function(path: str, name: str) -> Diagnostic:
    """The script has no function of this name: placed at what was probably meant, else at line 1."""
    line, found = _meant(path, name)
    message = f"User script at {os.path.abspath(path)} does not have a {name}() function defined."
    hint = found and f"line {line} {found}"
    error = problem("load", message, source.def_line(path, line) if found else Place(path, 1), hint=hint)
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
    return problem("load", message, source.definition_place(function, name, script or loader.script))


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
    calls = calls_of(where)
    users = of_user(calls)
    limit = f"{limit_ms:g} ms" if setting.endswith("_MS") else f"{limit_ms / 1000:g} s"
    what = "loading the script" if phase == "load" else f"{phase}()"
    hidden, raised_in = library_part(calls, users)
    return dataclasses.replace(
        problem(
            phase,
            f"{what} timed out after {limit} ({setting})",
            span_of(users[-1])[0] if users else called_place(phase, None, loader.script),
        ),
        frames=frames_of(users),
        hidden=hidden,
        raised_in=raised_in,
        request=request,
        status=status,
    )
