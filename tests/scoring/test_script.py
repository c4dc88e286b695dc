"""Script files come in; what is loaded, refused and logged of them, and how their time is limited, is looked at."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devserver.config.settings import Config
from devserver.records.diagnostic import Diagnostic
from devserver.scoring import compat
from devserver.scoring.inputs import Mode
from devserver.scoring.script import ScriptProblem, add_to_search_path, load
from devserver.scoring.time_limit import NoLimit, SignalLimit, ThreadLimit, TimeLimit, time_limit
from devserver.usercode import loader
from devserver.worker.reporter import LoadReporter

DEADLINE = 10.0
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGALRM on Windows")
GOOD = "def init(): pass\ndef run(data): return data\n"
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules and the path that a test adds are taken away again; inference-schema knows no other run()."""
    before = dict(sys.modules)
    for name in [name for name in before if name.partition(".")[0] == "inference_schema"]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", sys.path[:])
    compat.install()
    with loader.UserCode():
        yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)
    loader.forget()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def written(text: str = GOOD, name: str = "score.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return written


def problem(path: str | None) -> Diagnostic:
    with pytest.raises(ScriptProblem) as caught:
        load(path)
    return LoadReporter(Config(), path, lambda record: None).failure(caught.value, "load")


# --- loading


def test_a_script(write: Write) -> None:
    """init and run are the script's; the module is called entry_module and knows the file's path."""
    path = write("def init(): return __name__, __file__\ndef run(data): return data\n")
    script = load(path)
    assert (script.init(), script.run("x")) == (("entry_module", path), "x")
    assert (script.path, script.inner, script.form.mode) == (path, None, Mode.PLAIN)
    assert script.describe() == f"Found user script at {path}"


def test_module_is_not_registered(write: Write) -> None:
    """The module is not in sys.modules, so that what fails in Azure ML, as pickling its objects, fails here as well."""
    script = load(write("""
        import pickle
        class Point: pass
        def init(): pass
        def run(data): return pickle.dumps(Point())
        """))  # fmt: skip
    with pytest.raises((pickle.PicklingError, ModuleNotFoundError), match="entry_module"):
        script.run("")
    assert "entry_module" not in sys.modules


def test_the_module_main(write: Write) -> None:
    """Without an entry script the module main is imported from sys.path."""
    sys.path.insert(0, str(Path(write(name="main.py")).parent))
    sys.modules.pop("main", None)
    script = load(None)
    assert script.describe().endswith("main.py") and script.run("x") == "x"


def test_no_module_main(tmp_path: Path) -> None:
    """Without it the import's own error goes on."""
    sys.modules.pop("main", None)
    with pytest.raises(ModuleNotFoundError, match="main"):
        load(None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import nowhere_to_be_found", ModuleNotFoundError),
        ("def init(:", SyntaxError),
        ("raise KeyError('x')", KeyError),
        ("raise SystemExit(0)", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
        ("open('/nowhere')", FileNotFoundError),
        ("x = 1\0", SyntaxError),
    ],
)
def test_what_a_script_raises(write: Write, text: str, error: type[BaseException]) -> None:
    """What a script raises while it is executed goes on as it is; it may be loaded again."""
    with pytest.raises(error):
        load(write(text))
    assert "entry_module" not in sys.modules
    assert load(write()).run(1) == 1


def test_no_bytecode(write: Write, tmp_path: Path) -> None:
    """An edit of equal length within the same second is what runs next; nothing is written beside the script."""
    for value in (1, 2, 3):
        write(f"VALUE = {value}\n", "helper.py")
        sys.modules.pop("helper", None)
        sys.path.insert(0, str(tmp_path))
        script = load(write(f"import helper\ndef init(): pass\ndef run(data): return [{value}, helper.VALUE]\n"))
        assert script.run("") == [value, value]
    assert not list(tmp_path.rglob("__pycache__"))


# --- refusals


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("def run(data): pass", 1, "does not have a init() function defined"),
        ("def init(): pass", 1, "does not have a run() function defined"),
        ("", 1, "does not have a init() function defined"),
        ("def init(): pass\nrun = 5", 2, "does not have a run() function defined"),
        ("def init(): pass\n\ndef run(): pass", 3, "run() needs to accept an argument for input data."),
        (
            "def init(): pass\ndef run(request_headers): pass",
            2,
            'run() needs to accept an argument other than "request_headers".',
        ),
        ("def init(): pass\ndef run(a, /): pass", 2, "run() cannot accept positional-only arguments"),
        ("def init(): pass\ndef run(*a): pass", 2, "run() cannot accept positional-only arguments"),
        ("def init(): pass\ndef run(a, **b): pass", 2, "run() cannot accept positional-only arguments"),
    ],
)
def test_scripts_that_cannot_be_used(write: Write, text: str, line: int, words: str) -> None:
    """A missing or unusable function is a problem with its place, in the words that people search for."""
    path = write(text)
    found = problem(path)
    assert (found.phase, found.path, found.line) == ("load", path, line)
    assert words in found.message


def test_both_decorators(write: Write) -> None:
    """@rawhttp, on whatever function, and inference-schema's decorators exclude each other."""
    pytest.importorskip("inference_schema", reason="inference-schema is not installed")
    found = problem(
        write("""
        from azureml_inference_server_http.api.aml_request import rawhttp
        from inference_schema.schema_decorators import input_schema
        from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
        @rawhttp
        def other(): pass
        def init(): pass
        @input_schema("data", Standard([1]))
        def run(data): pass
        """)
    )
    assert "run() cannot be decorated with both @rawhttp and @input_schema" in found.message


def test_missing_script(tmp_path: Path) -> None:
    """A missing file is said to be missing, on line 1 of itself."""
    found = problem(str(tmp_path / "score.py"))
    assert (found.phase, found.line, found.column, found.type) == ("load", 1, 1, "FileNotFoundError")
    assert found.path == str(tmp_path / "score.py") and found.frames == ()


def test_folder_and_links(tmp_path: Path) -> None:
    """A folder, and a link that leads nowhere or to itself, are refused as what they are."""
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "nowhere.py").symlink_to("absent.py")
    kinds = [problem(str(tmp_path / name)).type for name in (".", "loop.py", "nowhere.py")]
    assert kinds[1:] == ["OSError", "FileNotFoundError"]
    assert kinds[0] in ("IsADirectoryError", "PermissionError")


def test_unreadable_script(write: Write) -> None:
    """A file that may not be read is refused as such."""
    path = Path(write())
    path.chmod(0)
    try:
        path.open(encoding="utf-8").close()
    except PermissionError:
        assert problem(str(path)).type == "PermissionError"
    else:
        pytest.skip("this user may read every file")


@pytest.mark.parametrize("name", ["score", "score.txt", "score.pyc", "score.PY", "score.py.bak"])
def test_file_of_another_name(write: Write, name: str) -> None:
    """What Azure ML does not load by its name is refused, although it holds a script."""
    path = write(name=name)
    found = problem(path)
    assert (found.phase, found.path, found.line) == ("load", path, 1) and "does not end in .py" in found.message


def test_notebook(write: Write) -> None:
    """A notebook is refused with what to do."""
    assert "save its code as a .py file" in problem(write("{}", "score.ipynb")).message


def test_name_of_a_link(write: Write) -> None:
    """A file of another name is loaded where a link gives it the right one."""
    assert load(write(name="score"), "/app/score.py").run(1) == 1


# --- raw and driver scripts


def test_raw_mark_of_any_function(write: Write) -> None:
    """@rawhttp on any function makes run() raw, and does so for this script only."""
    raw = "from azureml.contrib.services.aml_request import rawhttp\n@rawhttp\ndef other(): pass\n"
    assert load(write(raw + GOOD)).form.mode is Mode.RAW
    assert load(write()).form.mode is Mode.PLAIN


def test_driver_script(write: Write, tmp_path: Path) -> None:
    """The run() of a driver's inner script is called, with its signature; init() stays the outer one's."""
    write("def init(): return 'inner'\ndef run(text): return ['inner', text]\n", "inner.py")
    sys.path.insert(0, str(tmp_path))
    outer = write("import inner as driver_module\ndef init(): return 'outer'\ndef run(*anything): pass\n")
    script = load(outer)
    assert (script.init(), script.run("x"), script.form.first) == ("outer", ["inner", "x"], "text")
    inner = str(tmp_path / "inner.py")
    assert script.describe() == f"Found driver script at {outer} and the score script at {inner}"


@pytest.mark.parametrize("value", ["None", "5", "__import__('json')", "type('C', (), {'run': print})"])
def test_other_driver_modules(write: Write, value: str) -> None:
    """A driver_module that is no module with a run is ignored."""
    script = load(write(f"{GOOD}driver_module = {value}\n"))
    assert script.run("x") == "x" and script.inner is None


def test_driver_without_functions(write: Write, tmp_path: Path) -> None:
    """The outer script needs init() and run() all the same; the inner run() must be callable."""
    write("def run(data): pass", "inner.py")
    write("run = 5", "broken.py")
    sys.path.insert(0, str(tmp_path))
    assert "run()" in problem(write("import inner as driver_module\ndef init(): pass")).message
    assert "run()" in problem(write("import broken as driver_module\n" + GOOD)).message


# --- sys.path


def test_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are appended once, in order; one that is there already is not repeated."""
    monkeypatch.setattr(sys, "path", ["/lib", str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    add_to_search_path((".", "/a", "/lib", "/b"))
    add_to_search_path(("/a",))
    assert sys.path == ["/lib", str(tmp_path), "/a", "/b"]


# --- how long run() may take


@pytest.fixture(params=[pytest.param(True, marks=POSIX), False], ids=["signal", "thread"])
def limit_of(request: pytest.FixtureRequest) -> Callable[[int], TimeLimit]:
    return lambda milliseconds: time_limit(milliseconds, in_main_thread=request.param)


def spin(seconds: float) -> None:
    """Python instructions for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_kinds_of_limit() -> None:
    """0 is no limit; in the main thread a signal does it, elsewhere a thread."""
    assert isinstance(time_limit(0, in_main_thread=True), NoLimit)
    assert isinstance(time_limit(5, in_main_thread=False), ThreadLimit)
    if sys.platform != "win32":
        assert isinstance(time_limit(5, in_main_thread=True), SignalLimit)
    with NoLimit() as nothing:
        assert nothing is None and not NoLimit().has_raised(TimeoutError())


def test_loop_is_interrupted(limit_of: Callable[[int], TimeLimit]) -> None:
    """A loop is interrupted by a plain TimeoutError as in Azure ML; `finally` runs."""
    limit, ended, begun = limit_of(50), False, time.monotonic()
    with pytest.raises(TimeoutError) as caught, limit:
        try:
            spin(DEADLINE)
        finally:
            ended = True
    assert ended and 0.04 < time.monotonic() - begun < DEADLINE / 2
    assert type(caught.value) is TimeoutError and limit.has_raised(caught.value)


def test_in_time(limit_of: Callable[[int], TimeLimit]) -> None:
    """A call that is in time is left alone, and so is what comes after it, again and again."""
    limit = limit_of(250)
    for _ in range(5):
        with limit:
            spin(0.001)
    spin(0.3)


def test_swallowed(limit_of: Callable[[int], TimeLimit]) -> None:
    """A broad `except` swallows the interruption, as in Azure ML; the next call has its limit again."""
    limit = limit_of(30)
    with limit:
        try:
            spin(DEADLINE)
        except Exception:
            pass
    spin(0.01)
    with pytest.raises(TimeoutError), limit:
        spin(DEADLINE)


def test_own_timeouts(limit_of: Callable[[int], TimeLimit]) -> None:
    """A script's own exceptions pass, and are not taken for the limit's."""
    limit = limit_of(5000)
    with pytest.raises(TimeoutError) as caught, limit:
        raise TimeoutError("the database")
    assert not limit.has_raised(caught.value)
    with pytest.raises(TimeoutError) as caught, limit:
        raise TimeoutError
    assert not limit.has_raised(caught.value)
    with pytest.raises(KeyError), limit:
        raise KeyError
    with pytest.raises(SystemExit), limit:
        raise SystemExit


@POSIX
def test_signal_interrupts_a_system_call() -> None:
    """In the main thread a sleep is interrupted, too."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError), SignalLimit(50):
        time.sleep(DEADLINE)
    assert time.monotonic() - begun < DEADLINE / 2


def test_thread_waits_for_c_code() -> None:
    """In another thread a call into C code is finished first, and the interruption comes then."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError), ThreadLimit(20):
        time.sleep(0.15)
        spin(DEADLINE)
    assert 0.15 <= time.monotonic() - begun < DEADLINE / 2


def test_threads_have_limits_of_their_own() -> None:
    """Of several calls at once each is interrupted at its own time, and those in time are not."""
    limit, found = ThreadLimit(150), dict[float, bool]()

    def call(seconds: float) -> None:
        try:
            with limit:
                spin_gently(seconds)
            found[seconds] = True
        except TimeoutError as error:
            found[seconds] = not limit.has_raised(error)

    lengths = [0.0, 0.02, 0.04, DEADLINE, DEADLINE + 1]
    threads = [threading.Thread(target=call, args=(seconds,)) for seconds in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert found == {seconds: seconds < DEADLINE for seconds in lengths}


def spin_gently(seconds: float) -> None:
    """Short sleeps for so long: C code that ends soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


def test_ends_at_the_deadline(limit_of: Callable[[int], TimeLimit]) -> None:
    """Calls that end just when their time is over are interrupted or not, but never anything after them."""
    limit, interrupted = limit_of(3), 0
    for number in range(120):
        try:
            with limit:
                spin(0.0025 + number % 30 * 0.00004)
        except TimeoutError:
            interrupted += 1
        spin(0.0005)
    with limit:
        pass
    assert interrupted < 120


TRACED_AFTERWARDS = """
import sys
from devserver.scoring.time_limit import ThreadLimit
limit = ThreadLimit(20)
try:
    with limit:
        while True: pass
except TimeoutError:
    pass
sys.settrace(lambda *_: None)
(lambda: None)()
sys.settrace(None)
print("traced")
"""


def test_a_debugger_works_after_a_call_that_was_interrupted() -> None:
    """What was thrown has arrived when the call is over: the interpreter does not look for it at each instruction."""
    command = [sys.executable, "-c", TRACED_AFTERWARDS]
    assert subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE).stdout == "traced\n"


def test_threads_that_end_at_the_deadline() -> None:
    """Nor does one of several threads stay behind with a lock taken."""
    limit, strays = ThreadLimit(2), list[BaseException]()

    def work(offset: float) -> None:
        for number in range(60):
            try:
                with limit:
                    spin(0.0015 + offset + number % 20 * 0.00005)
            except TimeoutError:
                pass
            try:
                spin(0.0003)
            except TimeoutError as error:
                strays.append(error)

    threads = [threading.Thread(target=work, args=(0.0002 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)
    assert strays == []
