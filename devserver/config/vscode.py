"""Writes VS Code's tasks, launch entries and recommendations for a command line, or adds to those that are there."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

Entry = dict[str, Any]

DEBUG_PORT = 5678
TASK, DEBUG_TASK = "azmlinfsrv: reload", "azmlinfsrv: reload, for the debugger"
INDENT = 4
# not `-m devserver`: Python would look for the modules of its own library in the project's folder first
START = ("-c", "import sys; '' in sys.path and sys.path.remove(''); from devserver.cli import main; main()")
WORKSPACE = "${workspaceFolder}"
IN_VENV = f"{WORKSPACE}/.venv/bin/python"
FOR_EDITOR = "AZMLINFSRV_EDITOR"  # in the environment of the tasks: an editor reads what is written
DEBUG_EXTENSION = "ms-python.debugpy"

PROBLEM_MATCHER: Entry = {
    "owner": "azmlinfsrv",
    "source": "azmlinfsrv",
    "applyTo": "allDocuments",
    "fileLocation": ["autoDetect", WORKSPACE],
    "pattern": {
        "regexp": r"^(.+?):(\d+):(\d+): (error|warning|info): (.*?)(?: \(to (\d+):(\d+)\))?$",
        "file": 1,
        "line": 2,
        "column": 3,
        "severity": 4,
        "message": 5,
        "endLine": 6,
        "endColumn": 7,
    },
    "background": {
        "activeOnStart": True,
        "beginsPattern": r"^\[azmlinfsrv\] (?:starting|restarting|request failed)\b",
        "endsPattern": r"^\[azmlinfsrv\] (?:ready|not ready|end of report)\b",
    },
}


# --- what is written


def interpreter_for(folder: PurePath, executable: PurePath) -> str:
    """How the files name this interpreter: seen from the workspace where it lies inside."""
    if executable.is_relative_to(folder):
        return f"{WORKSPACE}/{executable.relative_to(folder).as_posix()}"
    return str(executable)


def _interpreter(folder: str) -> str:
    # links on the way to it are followed, but not its own, which leads out of a virtual environment
    executable = Path(sys.executable)
    return interpreter_for(Path(folder).resolve(), executable.parent.resolve() / executable.name)


def tasks(arguments: Sequence[str], interpreter: str) -> list[Entry]:
    """The background tasks that run the command with these arguments."""
    debugged = [*arguments, "--debug", str(DEBUG_PORT)]
    return [_task(TASK, arguments, interpreter), _task(DEBUG_TASK, debugged, interpreter)]


def _task(label: str, arguments: Sequence[str], interpreter: str) -> Entry:
    return {
        "label": label,
        "type": "process",
        "command": interpreter,  # what the Python extension has chosen would need that extension
        "args": [*START, *arguments],
        "options": {"env": {FOR_EDITOR: "vscode"}},
        "isBackground": True,
        "runOptions": {"instanceLimit": 1},
        "presentation": {"panel": "dedicated", "reveal": "silent", "revealProblems": "onProblem", "echo": False},
        "problemMatcher": PROBLEM_MATCHER,
    }


def configurations(arguments: Sequence[str], interpreter: str) -> list[Entry]:
    """The ways to debug the command: started by the debugger, or attached to the background task."""
    common = {"subProcess": True, "justMyCode": True}
    return [
        {
            "name": "azmlinfsrv: debug",
            "type": "debugpy",
            "request": "launch",
            "python": interpreter,
            "module": "devserver",
            "args": list(arguments),
            "console": "integratedTerminal",
            **common,
        },
        {
            "name": "azmlinfsrv: debug, with problems marked",
            "type": "debugpy",
            "request": "attach",
            "connect": {"host": "127.0.0.1", "port": DEBUG_PORT},
            "preLaunchTask": DEBUG_TASK,
            **common,
        },
    ]


@dataclass(frozen=True)
class Target:
    """One file: its `entries` belong into the list `key`; each is known by its field `name`, or is a text itself."""

    path: str
    version: str | None
    key: str
    name: str
    entries: Sequence[Entry | str]

    def name_of(self, entry: Any) -> Any:
        """What an entry of the list is known by."""
        return entry.get(self.name) if isinstance(entry, dict) else entry

    @property
    def head(self) -> Entry:
        """What a new file says beside the list."""
        return {"version": self.version} if self.version is not None else {}


def targets(arguments: Sequence[str], interpreter: str = IN_VENV) -> list[Target]:
    """All files, for the command with the arguments as they were typed, run by this interpreter."""
    given = [*(word for word in arguments if word != "--reload" and not word.startswith("--init")), "--reload"]
    return [
        Target(os.path.join(".vscode", "tasks.json"), "2.0.0", "tasks", "label", tasks(given, interpreter)),
        Target(
            os.path.join(".vscode", "launch.json"),
            *("0.2.0", "configurations", "name"),
            configurations(given, interpreter),
        ),
        Target(os.path.join(".vscode", "extensions.json"), None, "recommendations", "", [DEBUG_EXTENSION]),
    ]


def init(folder: str, arguments: Sequence[str]) -> int:
    """Write the files below `folder`; what cannot be added is printed instead. Returns the exit code."""
    results = [_put(folder, target) for target in targets(arguments, _interpreter(folder))]
    for text, _ in results:
        print(text)
    return 0 if all(done for _, done in results) else 1


def _put(folder: str, target: Target) -> tuple[str, bool]:
    """What to tell of this file, and whether it holds every entry now."""
    path = os.path.join(folder, target.path)
    try:
        before = _read(path)
        after, kept = added(before, target)
        if after != before:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(after)
    except (OSError, ValueError) as error:
        return _by_hand(target, target.entries, f"not changed: {error}"), False
    if kept:
        return _by_hand(target, kept, "has entries of these names already, which differ and were left alone"), False
    return f"azmlinfsrv: {target.path}: {'nothing to add' if after == before else 'written'}", True


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _by_hand(target: Target, entries: Sequence[Entry | str], problem: str) -> str:
    head = f"azmlinfsrv: {target.path}: {problem}. What belongs into {json.dumps(target.key)}:"
    return f"{head}\n{_rendered(entries, 1)}"


# --- into what is there


def added(text: str, target: Target) -> tuple[str, list[Entry | str]]:
    """The file's text with the entries that it lacks, and those that stand there otherwise.

    Comments, commas and everything else stay as they are. Errors: ValueError where the text is not understood.
    """
    if not text.strip("\ufeff \t\r\n"):
        return json.dumps({**target.head, target.key: list(target.entries)}, indent=INDENT) + "\n", []
    content = parse(text)
    found = content.get(target.key, []) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"there is no list {json.dumps(target.key)} in it")
    there = {target.name_of(entry): entry for entry in found if isinstance(entry, (dict, str))}
    missing = [entry for entry in target.entries if target.name_of(entry) not in there]
    kept = [entry for entry in target.entries if there.get(target.name_of(entry), entry) != entry]
    return (_inserted(text, target, missing) if missing else text), kept


def _inserted(text: str, target: Target, entries: Sequence[Entry | str]) -> str:
    plain = without_comments(text)
    opening = _list_of(plain, target.key)
    if opening is not None:
        return _before_end(text, plain, opening, _rendered(entries, 2), " " * INDENT)
    name, indent = json.dumps(target.key), " " * INDENT
    return _before_end(text, plain, plain.index("{"), f"{indent}{name}: [\n{_rendered(entries, 2)}\n{indent}]", "")


def _before_end(text: str, plain: str, opening: int, new: str, indent: str) -> str:
    """`new` as the last member of the list or object that opens there; comments stay beside what they stand beside."""
    newline = "\r\n" if "\r\n" in text else "\n"
    closing = _closing(plain, opening)
    last = len(plain[:closing].rstrip())
    comma = "" if plain[last - 1] in "[{," else ","
    between = text[last:closing].rstrip(" \t")
    between += "" if between.endswith("\n") else newline
    return text[:last] + comma + between + new.replace("\n", newline) + newline + indent + text[closing:]


def _rendered(entries: Sequence[Entry | str], depth: int) -> str:
    text = ",\n".join(json.dumps(entry, indent=INDENT) for entry in entries)
    return "\n".join(" " * INDENT * depth + line for line in text.split("\n"))


# --- JSON with comments

_STRING = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(rf"(?P<string>{_STRING})|(?P<comment>//[^\r\n]*|/\*.*?\*/)", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}:,]", re.DOTALL)
_TRAILING = re.compile(rf"(?P<string>{_STRING})|,(?=\s*[\]}}])", re.DOTALL)


def parse(text: str) -> Any:
    """The value of JSON with comments and trailing commas. Errors: ValueError."""
    plain = _TRAILING.sub(lambda found: found["string"] or " ", without_comments(text))
    return json.loads(plain)


def without_comments(text: str) -> str:
    """The same text, of the same length, with spaces where comments (and a byte order mark) stand."""
    blanked = _PIECE.sub(lambda found: found["string"] or re.sub(r"[^\r\n]", " ", found["comment"]), text)
    return blanked.replace("\ufeff", " ", 1) if blanked.startswith("\ufeff") else blanked


def _list_of(plain: str, key: str) -> int | None:
    """Where the list of this key of the outermost object opens."""
    depth, before = 0, ["", ""]
    for found in _TOKEN.finditer(plain):
        token = found[0]
        if token == "[" and depth == 1 and before[1] == ":" and before[0] == json.dumps(key):
            return found.start()
        depth += (token in "[{") - (token in "]}")
        before = [before[1], token]
    return None


def _closing(plain: str, opening: int) -> int:
    depth = 0
    for found in _TOKEN.finditer(plain, opening):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth == 0:
            return found.start()
    raise ValueError("a bracket is not closed")
