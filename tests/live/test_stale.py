"""No stale answer: whatever a fresh start would read is noticed, and a request after the save has the new answer."""

from __future__ import annotations

import os
import py_compile
import time
import zipfile
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
        assert loop.count("restarting") == len(steps(loop)), loop._story("each save starts one load")
        assert not list(loop.project.rglob("__pycache__"))


ODD = """
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "first"))
sys.path += [os.path.join(HERE, "lib.zip"), os.path.join(HERE, "second")]
import helper, in_zip, only_bytecode, packaging

def init():
    pass

def run(data):
    try:
        import late
    except ImportError:
        late = None
    return [in_zip.VALUE, only_bytecode.VALUE, helper.VALUE, getattr(packaging, "SHADOW", 0), late and late.VALUE]
"""


def test_code_in_odd_places(tmp_path: Path) -> None:
    """A zip archive, bytecode alone, an earlier folder, the name of a library, an import that run() tries."""
    files = {"second/helper.py": "VALUE = 0\n", "first/readme.txt": ""}
    loop = Loop(tmp_path, score=ODD, files=files, server="waitress")
    zipped(loop.project / "lib.zip", 0)
    compiled(loop.project / "only_bytecode.pyc", 0)
    with loop:
        assert loop.ask().json() == [0, 0, 0, 0, None]
        zipped(loop.project / "lib.zip", 1)
        assert loop.ask().json() == [1, 0, 0, 0, None]
        compiled(loop.project / "only_bytecode.pyc", 1)
        assert loop.ask().json() == [1, 1, 0, 0, None]
        loop.save("first/helper.py", "VALUE = 1\n")
        assert loop.ask().json() == [1, 1, 1, 0, None]
        loop.save("late.py", "VALUE = 1\n")
        assert loop.ask().json() == [1, 1, 1, 0, 1]
        loop.save("packaging.py", "SHADOW = 1\n")
        assert loop.ask().json() == [1, 1, 1, 1, 1]
        assert loop.count("restarting") == 5, loop._story("each save starts one load")


def zipped(path: Path, value: int) -> None:
    new = path.with_suffix(".new")
    with zipfile.ZipFile(new, "w") as archive:
        archive.writestr("in_zip.py", f"VALUE = {value}\n")
    new.replace(path)


def compiled(path: Path, value: int) -> None:
    source = path.with_suffix(".txt")
    source.write_text(f"VALUE = {value}\n")
    py_compile.compile(str(source), cfile=str(path), doraise=True)


LOOKED_FOR = """
from devserver.usercode import loader

def looked_for(): return sorted({name for names in loader.searched.values() for name in names})
def init():
    global before
    before = looked_for()
def run(data): return [name for name in looked_for() if name not in before]
"""


@both
def test_a_server_looks_for_nothing_among_the_users_files(server: str, tmp_path: Path) -> None:
    """What a request imports is there: each name that is looked for in vain is watched, and anew after each reload."""
    with Loop(tmp_path, score=LOOKED_FOR, server=server) as loop:
        assert loop.ask().json() == []


def test_a_module_that_was_missing(tmp_path: Path) -> None:
    """The request right after it was made has its answer, time and again, and not the old error."""
    with Loop(tmp_path, "--no_warm", score="import late\n" + RUN_LATE, until="not_ready") as loop:
        for number in range(2):
            assert (loop.ask().status, loop.get().status) == (503, 503)
            loop.save("late.py", f"VALUE = {number}\n")
            assert loop.ask().json() == number
            (loop.project / "late.py").unlink()


RUN_LATE = "def init(): pass\ndef run(data): return late.VALUE\n"

LINKED = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from helper import VALUE
from pathlib import Path

def init():
    global model
    model = Path(os.environ["AZUREML_MODEL_DIR"], "m.txt").resolve().read_text()

def run(data):
    return [VALUE, model]
"""


def test_links_are_switched(tmp_path: Path) -> None:
    """A release, of which score.py is the same, and a model: each switch is answered by the new at once."""
    files = {
        f"releases/{number}/{name}": text
        for number in range(3)
        for name, text in {"score.py": LINKED, "helper.py": f"VALUE = {number}\n", "model/m.txt": f"m{number}"}.items()
    }
    arguments = ("--entry_script", "current/score.py", "--model_dir", "model", "--no_warm")
    loop = Loop(tmp_path, *arguments, files=files)
    code, model = loop.project / "current", loop.project / "model"
    point(code, "releases/0")
    point(model, "releases/0/model")
    with loop:
        assert loop.ask().json() == [0, "m0"]
        for number in (1, 2):
            point(code, f"releases/{number}")
            assert loop.ask().json() == [number, f"m{number - 1}"]
            point(model, f"releases/{number}/model")
            assert loop.ask().json() == [number, f"m{number}"]
        assert loop.count("restarting") == 4


def point(link: Path, target: str) -> None:
    """Switch a link as deployments do: by a new one that is moved over it."""
    new = link.with_name(link.name + ".new")
    new.symlink_to(target)
    os.replace(new, link)


MODEL = """
import os
import mmap
PATH = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.bin")

def init():
    global first, kept
    with open(PATH, "r+b") as file:  # as np.memmap does without a mode
        first = file.read(4).decode()
        kept = mmap.mmap(file.fileno(), 0)

def run(data):
    return first
"""
LARGE = b"x" * (2 << 20)


@pytest.mark.parametrize(
    ("how", "server"),
    [("replaced", "gunicorn"), ("in place", "waitress"), ("copied slowly", "gunicorn")],
)
def test_a_model_file_is_saved(tmp_path: Path, server: str, how: str) -> None:
    """Opened by a mode that could write, and large: no answer by the old one after the save is complete."""
    arguments = ("--model_dir", "model", "--no_warm")
    files = {"model/model.bin": (b"0000" + LARGE).decode()}
    with Loop(tmp_path, *arguments, score=MODEL, files=files, server=server) as loop:
        assert loop.ask().json() == "0000"
        for number in range(1, 3):
            content = f"{number:04}".encode() + LARGE + b"y" * number
            SAVES[how](loop.project / "model/model.bin", content)
            assert loop.ask().json() == f"{number:04}"


def replace(path: Path, content: bytes) -> None:
    new = path.with_name("model.bin.tmp")
    new.write_bytes(content)
    os.replace(new, path)


def copy_slowly(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        for start in range(0, len(content), 1 << 18):
            file.write(content[start : start + (1 << 18)])
            file.flush()
            time.sleep(0.02)


SAVES: dict[str, Callable[[Path, bytes], object]] = {
    "replaced": replace,
    "in place": Path.write_bytes,
    "copied slowly": copy_slowly,
}
