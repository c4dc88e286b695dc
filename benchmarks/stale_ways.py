"""Stale answers after saves of other kinds than an edit of score.py: links, large model files, code loaded by its path.

A part of guarantees.py, which starts the command and prints what is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

TIMES = 500
LARGE = b"x" * (2 << 20)
LINKED = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from helper import VALUE
from pathlib import Path

def init():
    global model
    model = Path(os.environ["AZUREML_MODEL_DIR"], "m.txt").read_text()

def run(data):
    return [VALUE, model]
"""
OF_MODEL = """
import os

def init():
    global first
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.bin"), "rb") as file:
        first = int(file.read()[:8])

def run(data):
    return first
"""
BY_PATH = """
import os, runpy
from importlib import util
from importlib.machinery import SourceFileLoader

def by_spec():
    spec = util.spec_from_file_location("by_spec", "one.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VALUE

def init():
    global found
    names = {}
    exec(open("four.py").read(), names)
    found = [by_spec(), SourceFileLoader("by_loader", "two.py").load_module().VALUE,
             runpy.run_path("three.py")["VALUE"], names["VALUE"]]

def run(data):
    return found
"""


class Loop(Protocol):
    """The command with --reload, as guarantees.py starts it."""

    def __enter__(self) -> Loop: ...

    def __exit__(self, *_: object) -> None: ...

    def wait_for(self, name: str) -> object: ...

    def ask(self) -> object: ...


Start = Callable[[Path, str, "tuple[str, ...]"], Loop]
"""A folder, the text of its score.py, and more arguments."""


def links(folder: Path, start: Start) -> int:
    """A release, and a config map's data folder, switched by turns; how many answers were old."""
    for number in (0, 1):
        for name, text in {"score.py": LINKED, "helper.py": f"VALUE = {number}\n"}.items():
            _write(folder / f"release{number}" / name, text)
        _write(folder / f"model/data{number}/m.txt", str(number))
    _point(folder / "current", "release0")
    _point(folder / "model/..data", "data0")
    (folder / "model/m.txt").symlink_to("..data/m.txt")
    wrong, now = 0, [0, 0]
    with start(folder, LINKED, ("--entry_script", "current/score.py", "--model_dir", "model")) as loop:
        loop.wait_for("ready")
        for turn in range(TIMES):
            now[turn % 2] = 1 - now[turn % 2]
            link, target = (("current", f"release{now[0]}"), ("model/..data", f"data{now[1]}"))[turn % 2]
            _point(folder / link, target)
            wrong += loop.ask() != [now[0], str(now[1])]
    return wrong


def models(folder: Path, start: Start) -> int:
    """A model file of 2 MiB that is replaced, or now and then written in place; how many answers were old."""
    path = folder / "model/model.bin"
    _write(path, "00000000")
    wrong = 0
    with start(folder, OF_MODEL, ("--model_dir", "model")) as loop:
        loop.wait_for("ready")
        for number in range(1, TIMES + 1):
            content = f"{number:08}".encode() + LARGE + b"y" * (number % 7)
            new = path if number % 25 == 0 else path.with_name("model.bin.tmp")
            new.write_bytes(content)
            if new != path:
                os.replace(new, path)
            wrong += loop.ask() != number
    return wrong


def by_path(folder: Path, start: Start) -> int:
    """Code by a spec, a loader, runpy and exec: files of one size, edited by turns; how many answers were old."""
    names = ("one", "two", "three", "four")
    now = [100] * len(names)
    for name in names:
        _write(folder / f"{name}.py", "VALUE = 100\n")
    wrong = 0
    with start(folder, BY_PATH, ()) as loop:
        loop.wait_for("ready")
        for number in range(TIMES):
            turn = number % len(names)
            now[turn] = 101 + number % 800
            _write(folder / f"{names[turn]}.py", f"VALUE = {now[turn]}\n")
            wrong += loop.ask() != now
    return wrong


WAYS = {"links": links, "models": models, "by_path": by_path}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _point(link: Path, target: str) -> None:
    new = link.with_name(link.name + ".new")
    new.symlink_to(target)
    os.replace(new, link)
