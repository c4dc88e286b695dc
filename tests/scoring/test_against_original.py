"""Both servers on the same scripts, the same requests to both: the answers must be equal where the contract says so."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from contract_table import CASES, DIFFERENCES, SCRIPTS, SITES, Case, Difference, Expected, Site
from original import (
    Answer,
    CannotInstall,
    Server,
    exchange,
    original_python,
    package_folder,
    parse,
    running,
    start,
    with_structure_only,
)

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the original was observed on Linux only"),
    pytest.mark.timeout(900),  # the first test may have to install the original
]

SHOWN = 4000  # characters of a server's output beside a failure
CONSOLE_SCRIPT = "import sys\n\nfrom devserver.cli import main\n\nsys.exit(main())\n"


@dataclass(frozen=True)
class Pair:
    """The two servers of one site, side by side."""

    theirs: Server
    ours: Server

    def answers(self, case: Case) -> tuple[Answer, Answer]:
        return self._answer(self.theirs, case), self._answer(self.ours, case)

    def _answer(self, server: Server, case: Case) -> Answer:
        received = exchange(server.health_port if case.health else server.port, case.request())
        for port, word in ((server.port, b"<port>"), (server.health_port, b"<health port>")):
            received = received.replace(b'"%d"' % port, b'"%s"' % word)
        answer = parse(received)
        return with_structure_only(answer) if case.document and answer.status == "200 OK" else answer

    def last_output(self) -> str:
        return f"----- the original:\n{self.theirs.output()[-SHOWN:]}\n----- ours:\n{self.ours.output()[-SHOWN:]}"


@pytest.fixture(scope="module")
def original() -> Path:
    try:
        return original_python()
    except CannotInstall as error:
        pytest.skip(f"the original cannot be installed: {error}")


@pytest.fixture(scope="module")
def pairs(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    with Pairs(original, tmp_path_factory) as pairs:
        yield pairs


class Pairs:
    """Starts the servers of a site when they are asked for first; those of the site before are ended then."""

    def __init__(self, original: Path, folders: pytest.TempPathFactory) -> None:
        self._original = original
        self._folders = folders
        self._stack = contextlib.ExitStack()
        self._at: tuple[str, Pair] | None = None

    def __enter__(self) -> Pairs:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def at(self, name: str) -> Pair:
        if self._at is None or self._at[0] != name:
            self._stack.close()
            self._at = None
            self._at = name, self._stack.enter_context(serving(name, self._original, self._folders.mktemp("site")))
        return self._at[1]


@contextlib.contextmanager
def serving(name: str, original: Path, folder: Path) -> Iterator[Pair]:
    """The two servers of a site, both ready."""
    site = SITES[name]
    folder = folder.resolve()
    root = lay_out(site, folder / "root")
    theirs = start(
        [*their_command(site, original), *arguments(site)],
        root / site.folder,
        environment(site, root, folder / "theirs"),
        folder / "theirs.txt",
    )
    ours = start(
        [*our_command(site, folder), *arguments(site), "--host", "127.0.0.1"],
        root / site.folder,
        {**environment(site, root, folder / "ours"), "PYTHONPATH": package_folder()},
        folder / "ours.txt",
    )
    with running((theirs, ours)):
        yield Pair(theirs, ours)


def lay_out(site: Site, root: Path) -> Path:
    for name, text in {**site.files, site.entry: (SCRIPTS / site.script).read_text(encoding="utf-8")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def their_command(site: Site, python: Path) -> list[str]:
    return [
        str(python),
        *([str(python.parent / "azmlinfsrv")] if site.console else ["-m", "azureml_inference_server_http"]),
    ]


def our_command(site: Site, folder: Path) -> list[str]:
    """By -m, or by a script in a folder of its own, as pip would write it: it may not be installed here."""
    if not site.console:
        return [sys.executable, "-m", "devserver"]
    script = folder / "bin" / "azmlinfsrv"
    script.parent.mkdir()
    script.write_text(CONSOLE_SCRIPT, encoding="utf-8")
    return [sys.executable, str(script)]


def arguments(site: Site) -> list[str]:
    return [*site.arguments, "--port", "{port}"]


def environment(site: Site, root: Path, home: Path) -> dict[str, str]:
    """The settings of the site and no others; a home of its own, since gunicorn keeps a socket there."""
    home.mkdir()
    settings = {name: value.replace("{root}", str(root)) for name, value in site.environment.items()}
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), **settings}


def missing(answer: Answer, expected: Expected) -> list[str]:
    """What of `expected` the answer does not show, one line each."""
    faults = [] if answer.status.startswith(f"{expected.status} ") else [f"status {answer.status}"]
    if expected.shows not in answer.body:
        faults.append(f"body {answer.body[:500]!r} without {expected.shows[:500]!r}")
    for name, values in expected.headers.items():
        if answer.all(name) != list(values):
            faults.append(f"{name}: {answer.all(name)} instead of {list(values)}")
    return faults


ROWS: list[Case | Difference] = sorted([*CASES, *DIFFERENCES], key=lambda row: list(SITES).index(row.site))


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_answer(row: Case | Difference, pairs: Pairs) -> None:
    """Both servers give the same answer; where we differ on purpose each gives the one that the table says."""
    pair = pairs.at(row.site)
    case = row.case if isinstance(row, Difference) else row
    theirs, ours = pair.answers(case)
    print(f"{case.request()[:1000]!r}\n{pair.last_output()}")
    if isinstance(row, Difference):
        assert missing(theirs, row.theirs) == [], "the table is wrong about the original"
        assert missing(ours, row.ours) == [], row.why
    else:
        assert missing(theirs, Expected(row.status, row.shows)) == [], "the table is wrong about the original"
        assert ours == theirs


def test_each_row_has_a_name_of_its_own() -> None:
    """No two rows of the table have the same id, and every site is used."""
    names = [row.id for row in ROWS]
    assert len(names) == len(set(names))
    assert {row.site for row in ROWS} == set(SITES)
