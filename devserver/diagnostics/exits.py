"""The last words of a worker and its exit code come in; how it ended goes out, with a place and a hint."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable
from typing import Literal

from devserver.diagnostics.exceptions import called_place, problem
from devserver.diagnostics.stacks import STACK_LINE
from devserver.process.platform import System
from devserver.records.diagnostic import Diagnostic, Frame, ProcessEnd, Request
from devserver.records.messages import LastWords, Phase, WorkerDied
from devserver.text import clean
from devserver.usercode import loader, source
from devserver.usercode.source import Place

_TOLD: dict[Phase, Literal["load", "init", "run"]] = {"start": "load", "load": "load", "init": "init"}


def ending_of(
    told: WorkerDied | None, words: LastWords, code: int, script: str | None, files: Iterable[str] = ()
) -> WorkerDied:
    """How a generation ended: as its own parent has told, else as its scoreboard and its exit code say."""
    return told or obituary(words, code, script, files)


def obituary(words: LastWords, code: int, script: str | None, files: Iterable[str] = ()) -> WorkerDied:
    """How a worker ended, from what is known of it afterwards; `files` are the user's files that it had loaded."""
    if words.phase == "told":
        return WorkerDied("run", code, None)
    from devserver.diagnostics import hints  # not before somebody dies: the supervisor lives long and stays small

    phase = _TOLD.get(words.phase, "run")
    error = died(phase, code, idle=words.phase == "idle", dump=words.dump, script=script, files=files)
    return WorkerDied(phase, code, hints.explain(error))


def died(
    phase: str,
    code: int,
    *,
    idle: bool = False,
    dump: str = "",
    script: str | None = None,
    files: Iterable[str] = (),
    request: Request | None = None,
) -> Diagnostic:
    """The process ended by itself: `code` is its exit code, or minus the signal's number, as subprocess says it.

    `idle` says that it answered no request, as far as is known. `dump` is what faulthandler wrote. `files` are the
    user's loaded files; the one call in them that ends a process with this code is the place when there is no dump.
    Else it is the definition of what was running.
    """
    script = script or loader.script
    stack = [item for item in _dumped(dump) if loader.is_user_code(item[0])]
    place = Place(stack[0][0], stack[0][1]) if stack else _exit_call(code, [script, *files] if script else files)
    inside = {"load": " while the script was loaded", "init": " in init()"}.get(phase, "" if idle else " in run()")
    native = f" in {stack[0][2]}" if stack and stack[0][2] not in ("<module>", "init", "run") else ""
    message = (
        f"the worker exited with code {code_in_words(code)}{inside}"
        if code >= 0
        else f"the worker died{inside}: {signal_in_words(-code)}"
    )
    facts = ProcessEnd(code, signal_name(-code) if code < 0 else None)
    place = place or called_place(phase, None, script)
    error = problem(phase, message + native, place, code="process-end", facts=facts)
    frames = [
        Frame(path, line, None, None, None, name, source.line_at(path, line).strip()) for path, line, name in stack
    ]
    return dataclasses.replace(error, frames=tuple(frames[::-1]), traceback=clean(dump[:20000]), request=request)


def signal_name(number: int) -> str:
    """`SIGSEGV`; a real-time signal has none of its own."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_STATUSES = {
    0xC0000005: "access violation",
    0xC0000006: "a page could not be read",
    0xC0000017: "not enough memory",
    0xC000001D: "illegal instruction",
    0xC0000094: "integer division by zero",
    0xC00000FD: "stack overflow",
    0xC0000135: "a DLL was not found",
    0xC0000139: "a DLL has no such entry point",
    0xC000013A: "ended by Ctrl-C",
    0xC0000142: "a DLL could not be initialised",
    0xC0000374: "the heap is corrupt",
    0xC0000409: "stack buffer overrun, or an abort",
    0xC0000417: "an invalid argument for the C library",
    0xE06D7363: "an exception of C++",
}
"""By these exit codes Windows tells of a crash (NTSTATUS)."""


def code_in_words(code: int) -> str:
    """An exit code; one by which Windows tells of a crash as Microsoft writes it, with its name."""
    if code < 0x80000000:
        return str(code)
    return f"0x{code:08X}" + (f" ({_STATUSES[code]})" if code in _STATUSES else "")


def signal_in_words(number: int) -> str:
    """A signal for people: `SIGSEGV (segmentation fault)`."""
    import signal

    name = signal_name(number)
    text = signal.strsignal(number) if name.startswith("SIG") else None
    return f"{name} ({text.lower()})" if text else name


def _dumped(dump: str) -> list[tuple[str, int, str]]:
    """The stack of the thread that crashed, as faulthandler wrote it: (path, line, function), innermost first."""
    last = dump.rpartition("Fatal Python error")[2]  # before it stand those of child processes that crashed earlier
    parts = re.split(r"^(?=Current thread |Thread )", last, flags=re.M)
    mine = next((part for part in parts if part.startswith("Current thread")), parts[-1])
    return [(_unescaped(path), int(line), name) for path, line, name in STACK_LINE.findall(mine)]


def dumped_place(dump: str) -> tuple[str, int] | None:
    """Path and line of the innermost call in the user's own code; of several stacks, of the first that has one."""
    stack = ((_unescaped(path), int(line)) for path, line, _ in STACK_LINE.findall(dump))
    return next((place for place in stack if loader.is_user_code(place[0])), None)


def _unescaped(text: str) -> str:
    """faulthandler writes what is not ASCII as \\xhh, \\uhhhh and \\Uhhhhhhhh."""
    form = r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})"
    return re.sub(form, lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)


def _exit_call(code: int, files: Iterable[str]) -> Place | None:
    """The only call in these files that may have ended the process this way."""
    found = []
    for path in dict.fromkeys(files):
        for node in ast.walk(tree) if (tree := source.tree_of(path)) else ():
            if isinstance(node, ast.Call) and _ends_process(node, code):
                found.append(source.place_of(node, path))
    return found[0] if len(found) == 1 else None


def _ends_process(call: ast.Call, code: int) -> bool:
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    if name == "_exit":
        return code >= 0 and (getattr(call.args[0], "value", code) if call.args else code) == code
    if name == "abort":
        return code < 0 and signal_name(-code) == "SIGABRT"
    if name not in ("kill", "killpg", "raise_signal") or (code >= 0 and not System.kills_with_code):
        return False
    sent = [getattr(item, "attr", None) or getattr(item, "id", None) or getattr(item, "value", 0) for item in call.args]
    return abs(code) in sent or signal_name(abs(code)) in sent
