"""What VS Code's tasks.json and launch.json hold for a command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]

DEBUG_PORT = 5678
TASK, DEBUG_TASK = "azmlinfsrv: reload", "azmlinfsrv: reload, for the debugger"
# not `-m devserver`: Python would look for the modules of its own library in the project's folder first
START = ("-c", "import sys; '' in sys.path and sys.path.remove(''); from devserver.cli import main; main()")

PROBLEM_MATCHER: Entry = {
    "owner": "azmlinfsrv",
    "source": "azmlinfsrv",
    "applyTo": "allDocuments",
    "fileLocation": ["autoDetect", "${workspaceFolder}"],
    "pattern": {
        "regexp": r"^(.+?):(\d+):(\d+): (error|warning|info): (.*)$",
        "file": 1,
        "line": 2,
        "column": 3,
        "severity": 4,
        "message": 5,
    },
    "background": {
        "activeOnStart": True,
        "beginsPattern": r"^\[azmlinfsrv\] (?:starting|restarting|request failed)\b",
        "endsPattern": r"^\[azmlinfsrv\] (?:ready|not ready|end of report)\b",
    },
}


# --- what is written


def tasks(arguments: Sequence[str]) -> list[Entry]:
    """The background tasks that run the command with these arguments."""
    return [_task(TASK, arguments), _task(DEBUG_TASK, [*arguments, "--debug", str(DEBUG_PORT)])]


def _task(label: str, arguments: Sequence[str]) -> Entry:
    return {
        "label": label,
        "type": "process",
        "command": "${command:python.interpreterPath}",
        "args": [*START, *arguments],
        "isBackground": True,
        "runOptions": {"instanceLimit": 1},
        "presentation": {"panel": "dedicated", "reveal": "silent", "revealProblems": "onProblem", "echo": False},
        "problemMatcher": PROBLEM_MATCHER,
    }


def configurations(arguments: Sequence[str]) -> list[Entry]:
    """The ways to debug the command: started by the debugger, or attached to the background task."""
    common = {"subProcess": True, "justMyCode": True}
    return [
        {
            "name": "azmlinfsrv: debug",
            "type": "debugpy",
            "request": "launch",
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
    """One file: its `entries` belong into the list `key`; each is known by its field `name`."""

    path: str
    version: str
    key: str
    name: str
    entries: Sequence[Entry]


def targets(arguments: Sequence[str]) -> list[Target]:
    """Both files, for the command with the arguments as they were typed."""
    given = [*(word for word in arguments if word != "--reload" and not word.startswith("--init")), "--reload"]
    return [
        Target(os.path.join(".vscode", "tasks.json"), "2.0.0", "tasks", "label", tasks(given)),
        Target(os.path.join(".vscode", "launch.json"), "0.2.0", "configurations", "name", configurations(given)),
    ]
