"""The house is as its plan says: floors without arrows upwards, small rooms, one file that asks for the platform."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import ROOT

PACKAGE = ROOT / "devserver"
FLOORS = [  # from the ground; what stands on one floor does not know its neighbours
    {"__init__"},
    {"config", "records", "text"},
    {"watch", "replay", "process", "usercode", "lifecycle"},
    {"serve", "display", "diagnostics"},
    {"scoring", "supervisor", "check", "page"},
    {"worker"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PLATFORM = "process/platform.py"
ONE_DEFAULT = "config/settings.py"  # which server is the default
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """The folder, or the file right in the package, that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "devserver")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "devserver":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


ARROWS = [(module, other) for module, path in MODULES.items() for other in imports(path)]


def test_no_arrow_leads_up_or_sideways() -> None:
    """A room imports only rooms on lower floors."""
    wrong = [
        f"{module} -> {other}"
        for module, other in ARROWS
        if room_of(module) != room_of(other) and FLOOR[room_of(module)] <= FLOOR[room_of(other)]
    ]
    assert not wrong


def test_no_circle_within_a_room() -> None:
    """Imports at the top of modules form no circle; nor do those inside of functions."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, other in ARROWS:
        if other != module and not module.startswith(other + "."):  # a package is there before what stands in it
            graph[module].add(other)
    while leaves := {module for module, others in graph.items() if not others}:
        graph = {module: others - leaves for module, others in graph.items() if module not in leaves}
    assert not graph, sorted(graph)


def test_scoring_knows_nothing_of_reloads() -> None:
    """The scoring half stands on config, records, usercode, texts and what serves it."""
    allowed = {"__init__", "config", "records", "usercode", "text", "serve", "scoring"}
    assert not [f"{a} -> {b}" for a, b in ARROWS if room_of(a) == "scoring" and room_of(b) not in allowed]


def lines_of(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_sizes() -> None:
    """The supervisor is small, few files are long, and the first look shows the design."""
    assert lines_of(PACKAGE / "supervisor" / "supervisor.py") <= 250
    long = [str(path.relative_to(PACKAGE)) for path in FILES if lines_of(path) > 350]
    assert len(long) <= 3, long
    assert not [path for path in FILES if lines_of(path) > 420]
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, sorted(entries)


def questions(path: Path) -> Iterator[str]:
    """Where a file asks for the platform."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Attribute(ast.Name("sys"), "platform") | ast.Attribute(ast.Name("os"), "name"):
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
            case ast.ImportFrom("sys" | "os") if {alias.name for alias in node.names} & {"platform", "name"}:
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"


def test_one_file_asks_for_the_platform() -> None:
    """`sys.platform` and `os.name` stand in process/platform.py; config holds one default."""
    found = [place for path in FILES for place in questions(path)]
    elsewhere = [place for place in found if not place.startswith((PLATFORM, ONE_DEFAULT))]
    assert not elsewhere
    assert sum(place.startswith(ONE_DEFAULT) for place in found) <= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """In a sentence, and not in a form to fill."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert text.split("\n\n")[0].endswith((".", ":"))
    assert not ("come in" in text and "go out" in text) and not ("comes in" in text and "goes out" in text)
