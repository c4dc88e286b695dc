"""Problems that no exception tells: a file, a setting, a limit or a death comes in; a record of it goes out."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections.abc import Iterable

from devserver import syntax, usercode
from devserver.report import (
    STACK_LINE,
    Frame,
    Request,
    RunError,
    Where,
    called_place,
    calls_of,
    clean,
    describe,
    frames_of,
    library_part,
    of_user,
    problem,
    span_of,
)
from devserver.syntax import Place


def script_problem(path: str) -> RunError | None:
    """Why the file cannot be an entry script: missing, a folder, unreadable, a notebook; None if it may be one."""
    if path.endswith(".ipynb"):
        return problem("load", "the entry script is a notebook; save its code as a .py file", Place(path, 1))
    try:
        with open(path, "rb"):
            return None
    except OSError as error:
        return dataclasses.replace(describe(error, "load", script=os.path.abspath(path)), frames=(), traceback="")


def config_problem(message: str) -> RunError:
    """A setting that cannot be used; the place is taken from a message that begins with `path:line:column: `."""
    found = re.match(r"(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): (?P<rest>.*)", message, re.S)
    if found is None:
        path, colon, rest = message.partition(": ")
        place = Place(path, 1) if colon and os.path.isabs(path) else Place(usercode.script or "", 1)
        return problem("config", rest if colon and os.path.isabs(path) else message, place)
    place = Place(found["path"], int(found["line"]), int(found["column"]), int(found["column"]) + 1)
    return problem("config", found["rest"], place)


def missing_function(path: str, name: str) -> RunError:
    """The script has no function of this name: placed at what was probably meant, else at line 1."""
    line, found = _meant(path, name)
    message = f"User script at {os.path.abspath(path)} does not have a {name}() function defined."
    hint = found and f"line {line} {found}"
    error = problem("load", message, syntax.def_line(path, line) if found else Place(path, 1), hint=hint)
    return error if found else dataclasses.replace(error, excerpt=None)


_ALIKE = {
    "init": ("initialize", "initialise", "setup", "load", "load_model", "startup", "init_model"),
    "run": ("predict", "score", "main", "inference", "infer", "handler", "process", "handle", "run_model", "scoring"),
}


def _meant(path: str, name: str) -> tuple[int, str | None]:
    """Line and words for what stands in the script instead of the function."""
    tree = syntax.tree_of(path)
    if tree is None:
        return 1, None
    if line := syntax.binding(path, name):
        return line, f"assigns something else to {name}"
    if buried := _buried(tree, name):
        return buried
    own = {node.name: node for node in syntax.functions(tree) if node.name not in ("init", "run")}
    other = syntax.nearest(name, own, 0.6) or next((item for item in _ALIKE.get(name, ()) if item in own), None)
    return (own[other].lineno, f"defines {other}(): is that the one?") if other else (1, None)


def _buried(tree: ast.Module, name: str) -> tuple[int, str] | None:
    """The function where the server does not see it: in a class or in another function."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            owner = f"class {node.name}" if isinstance(node, ast.ClassDef) else f"{node.name}()"
            words = f"defines it inside {owner}: move it to the top level of the script"
            for inner in node.body:
                if isinstance(inner, syntax.Function) and inner.name == name:
                    return inner.lineno, words
    return None


def wrong_signature(function: object, message: str, *, name: str = "run", script: str | None = None) -> RunError:
    """The function cannot be called as the server calls it: placed at its `def`, past decorators."""
    return problem("load", message, syntax.definition_place(function, name, script or usercode.script))


def timed_out(
    where: Where,
    limit_ms: float,
    *,
    phase: str = "run",
    setting: str = "SCORING_TIMEOUT_MS",
    request: Request | None = None,
    status: int | None = None,
) -> RunError:
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
            span_of(users[-1])[0] if users else called_place(phase, None, usercode.script),
        ),
        frames=frames_of(users),
        hidden=hidden,
        raised_in=raised_in,
        request=request,
        status=status,
    )


# ------------------------------------------------------------------ deaths


def died(
    phase: str,
    code: int,
    *,
    idle: bool = False,
    dump: str = "",
    script: str | None = None,
    files: Iterable[str] = (),
    request: Request | None = None,
) -> RunError:
    """The process ended by itself: `code` is its exit code, or minus the signal's number, as subprocess says it.

    `idle` says that it answered no request, as far as is known. `dump` is what faulthandler wrote. `files` are the
    user's loaded files; the one call in them that ends a process with this code is the place when there is no dump.
    Else it is the definition of what was running.
    """
    script = script or usercode.script
    stack = [item for item in _dumped(dump) if usercode.is_user_code(item[0])]
    place = Place(stack[0][0], stack[0][1]) if stack else _exit_call(code, [script, *files] if script else files)
    inside = {"load": " while the script was loaded", "init": " in init()"}.get(phase, "" if idle else " in run()")
    native = f" in {stack[0][2]}" if stack and stack[0][2] not in ("<module>", "init", "run") else ""
    message = (
        f"the worker exited with code {code}{inside}" if code >= 0 else f"the worker died{inside}: {_signal(-code)}"
    )
    error = problem(phase, message + native, place or called_place(phase, None, script))
    frames = [
        Frame(path, line, None, None, None, name, syntax.line_at(path, line).strip()) for path, line, name in stack
    ]
    return dataclasses.replace(error, frames=tuple(frames[::-1]), traceback=clean(dump[:20000]), request=request)


def signal_name(number: int) -> str:
    """`SIGSEGV`; a real-time signal has none of its own."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signal(number: int) -> str:
    """A signal for people: `SIGSEGV (segmentation fault)`."""
    import signal

    name = signal_name(number)
    text = signal.strsignal(number) if name.startswith("SIG") else None
    return f"{name} ({text.lower()})" if text else name


def _dumped(dump: str) -> list[tuple[str, int, str]]:
    """The stack of the thread that crashed, as faulthandler wrote it: (path, line, function), innermost first."""
    parts = re.split(r"^(?=Current thread |Thread )", dump, flags=re.M)
    mine = next((part for part in parts if part.startswith("Current thread")), parts[-1])
    return [(_unescaped(path), int(line), name) for path, line, name in STACK_LINE.findall(mine)]


def dumped_place(dump: str) -> tuple[str, int] | None:
    """Path and line of the innermost call in the user's own code; of several stacks, of the first that has one."""
    stack = ((_unescaped(path), int(line)) for path, line, _ in STACK_LINE.findall(dump))
    return next((place for place in stack if usercode.is_user_code(place[0])), None)


def _unescaped(text: str) -> str:
    """faulthandler writes what is not ASCII as \\xhh, \\uhhhh and \\Uhhhhhhhh."""
    form = r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})"
    return re.sub(form, lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)


def _exit_call(code: int, files: Iterable[str]) -> Place | None:
    """The only call in these files that may have ended the process this way."""
    found = []
    for path in dict.fromkeys(files):
        for node in ast.walk(tree) if (tree := syntax.tree_of(path)) else ():
            if isinstance(node, ast.Call) and _ends_process(node, code):
                found.append(syntax.place_of(node, path))
    return found[0] if len(found) == 1 else None


def _ends_process(call: ast.Call, code: int) -> bool:
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    if code >= 0:
        given = getattr(call.args[0], "value", code) if call.args else code
        return name == "_exit" and given == code
    if name == "abort":
        return _signal(-code).startswith("SIGABRT")
    sent = [getattr(item, "attr", None) or getattr(item, "id", None) or getattr(item, "value", 0) for item in call.args]
    return name in ("kill", "killpg", "raise_signal") and (-code in sent or _signal(-code).split()[0] in sent)
