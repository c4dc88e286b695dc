"""`--init`: a first scoring script with a request for it, which can be served and changed at once."""

from __future__ import annotations

import os
from dataclasses import dataclass

from devserver.config.command_names import quoted
from devserver.config.files import ConfigError
from devserver.config.found_script import PLACES

SAMPLE = "sample-request.json"
SCRIPT = '''\
"""A scoring script: init() is called once, and run() for every request."""

import json


def init():
    """Load the model here, from the folder in os.environ["AZUREML_MODEL_DIR"] (--model_dir names it)."""


def run(raw_data):
    """Answer a request: `raw_data` is its text, and what is returned becomes JSON."""
    rows = json.loads(raw_data)["data"]
    return {"sums": [sum(row) for row in rows]}
'''
FILES = {
    "score.py": SCRIPT,
    SAMPLE: '{"data": [[1, 2, 3], [4, 5, 6]]}\n',
    "requirements.txt": "# What score.py imports, a package per line, with the version that Azure ML shall install:\n"
    "# scikit-learn==1.5.2\n",
}


@dataclass(frozen=True)
class Started:
    """What was done in `folder`: a line for each file, and the arguments with which the command serves it there."""

    folder: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...]


def write(base: str, given: str | None) -> Started:
    """Write what is not there yet into the folder that is given, or into `base`. Errors: `ConfigError`."""
    folder = os.path.join(base, given) if given else base
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"{given}: this is a file; --init takes the folder in which to write")
    scripts = [place for place in PLACES if os.path.exists(os.path.join(folder, place))]
    try:
        os.makedirs(folder, exist_ok=True)
        lines = [_write(folder, name, text) for name, text in _wanted(folder, scripts).items()]
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    there = [f"{script}: is there, and was left alone" for script in scripts]
    sample = ("--request", SAMPLE) if os.path.exists(os.path.join(folder, SAMPLE)) else ()
    return Started(folder, (*there, *lines), (scripts[0] if scripts else "score.py", *sample))


def _wanted(folder: str, scripts: list[str]) -> dict[str, str]:
    """A script of the person's own needs another sample than ours does."""
    if not scripts:
        return FILES
    without = {"score.py"} if os.path.exists(os.path.join(folder, SAMPLE)) else {"score.py", SAMPLE}
    return {name: text for name, text in FILES.items() if name not in without}


def _write(folder: str, name: str, text: str) -> str:
    try:
        with open(os.path.join(folder, name), "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return f"{name}: is there, and was left alone"
    return f"{name}: written"


def last_line(started: Started, given: str | None, command: str) -> str:
    """The one command to run, in any shell, where this folder was given; `command` is what starts this tool."""
    paths = {word: os.path.normpath(os.path.join(given or "", word)) for word in (*PLACES, SAMPLE)}
    return " ".join([command, *(quoted(paths.get(word, word)) for word in started.arguments), "--reload"])
