"""No stale answer: whatever a fresh start would read is noticed, and a request after the save has the new answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from loop import SERVERS, Loop

both = pytest.mark.parametrize("server", SERVERS)

TOP = """
import glob, importlib, importlib.util, json, os, runpy, sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
HERE = os.path.dirname(os.path.abspath(__file__))

def at(name):
    return os.path.join(HERE, name)

def by_spec(name):
    spec = importlib.util.spec_from_file_location("by_spec", at(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VALUE

def by_loader(name):
    return SourceFileLoader("by_loader", at(name)).load_module().VALUE

def by_exec(name):
    world = {}
    exec(open(at(name)).read(), world)
    return world["VALUE"]

def by_compile(name):
    world = {}
    exec(compile(Path(at(name)).read_text(), at(name), "exec"), world)
    return world["VALUE"]

def optional():
    try:
        import local_settings
    except ImportError:
        return None
    return local_settings.VALUE

def text_of(name):
    return Path(name).read_text() if os.path.exists(name) else None

def opened(name):
    try:
        with open(name) as file:
            return file.read()
    except OSError:
        return None
"""
MANY = (
    TOP
    + """
import beside

def init():
    global found, listed
    found = {
        "spec": by_spec("parts/spec.py"),
        "loader": by_loader("parts/loader.py"),
        "runpy": runpy.run_path(at("parts/runpy.py"))["VALUE"],
        "exec": by_exec("parts/exec.py"),
        "compile": by_compile("parts/compile.py"),
        "optional": optional(),
        "exists": text_of(at("may_be.txt")),
        "failed": opened(at("later/failed.txt")),
        "outside": opened(at("../outside.txt")),
        "large": len(open(at("large.bin"), "rb").read()),
        "beside": beside.VALUE,
        "listed": sorted(os.path.basename(name) for name in glob.glob(at("listed/*.txt"))),
        "walked": sorted(os.listdir(at("walked"))),
    }

kept = {}

def run(data):
    if "lazy" not in kept:
        kept["lazy"] = opened(at("lazy.txt"))
    return {**found, **kept}
"""
)
PARTS = ("spec", "loader", "runpy", "exec", "compile")
FILES = {
    **{f"parts/{name}.py": "VALUE = 'old'\n" for name in PARTS},
    "beside.py": "VALUE = 'old'\n",
    "listed/a.txt": "a",
    "walked/a.txt": "a",
    "lazy.txt": "old",
}


def steps(loop: Loop) -> list[tuple[str, object, Callable[[], object]]]:
    """What is found under which name, what it is then, and the save that makes it so."""
    large = "x" * (1 << 20) + "y"
    in_parts = [(name, "new", lambda name=name: loop.save(f"parts/{name}.py", "VALUE = 'new'\n")) for name in PARTS]
    return [
        *in_parts,
        ("optional", "came", lambda: loop.save("local_settings.py", "VALUE = 'came'\n")),
        ("exists", "came", lambda: loop.save("may_be.txt", "came")),
        ("failed", "came", lambda: loop.save("later/failed.txt", "came")),
        ("outside", "new", lambda: loop.save("../outside.txt", "new")),
        ("large", len(large) + 5, lambda: loop.save("large.bin", large + "12345")),
        ("beside", "package", lambda: loop.save("beside/__init__.py", "VALUE = 'package'\n")),
        ("listed", ["a.txt", "b.txt"], lambda: loop.save("listed/b.txt", "b")),
        ("walked", ["a.txt", "more"], lambda: (loop.project / "walked" / "more").mkdir()),
        ("lazy", "new", lambda: loop.save("lazy.txt", "new")),
    ]


@both
def test_whatever_is_read_is_noticed(tmp_path: Path, server: str) -> None:
    """Code by any way, files that were missing, large, outside, read late, listed: each is answered by the new."""
    files = {**FILES, "../outside.txt": "old", "large.bin": "x" * (1 << 20) + "y"}
    with Loop(tmp_path, score=MANY, files=files, server=server) as loop:
        assert loop.ask().json()["spec"] == "old"
        for name, value, save in steps(loop):
            save()
            assert loop.ask().json()[name] == value, name
        assert loop.count("restarting") == len(steps(loop))
        assert not list(loop.project.rglob("__pycache__"))
