"""What VS Code's tasks, launch entries and recommendations hold for a command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from devserver.config.settings import FOR_EDITOR

Entry = dict[str, Any]

DEBUG_PORT = 5678
TASK, DEBUG_TASK = "azmlinfsrv: reload", "azmlinfsrv: reload, for the debugger"
# not `-m devserver`: Python would look for modules of its own library in the project's folder first, as it does from
# 3.13 on for `-c` without -P
START = (
    *(("-P",) if sys.version_info >= (3, 11) else ()),
    *("-c", "import sys; '' in sys.path and sys.path.remove(''); from devserver.cli import main; main()"),
)
WORKSPACE = "${workspaceFolder}"
IN_VENV = f"{WORKSPACE}/.venv/bin/python"
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


def interpreter_in(folder: str) -> str:
    """The one that runs this, for files in `folder`."""
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
