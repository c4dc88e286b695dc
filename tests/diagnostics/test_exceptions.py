"""The place, the words and the records of each kind of mistake."""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mistakes import HAS_COLUMNS, INIT, RUN, World

from devserver.diagnostics import exits, hints, problems, return_value
from devserver.diagnostics.exceptions import (
    absent_files,
    describe,
    describe_logging,
    describe_thread,
    describe_unraisable,
)
from devserver.display import blocks
from devserver.process.platform import System
from devserver.records import as_json
from devserver.records.diagnostic import Cause, Diagnostic, Excerpt, Frame, Request
from devserver.records.messages import LoadReport, Times
from devserver.usercode import loader, ownership

REQUEST = Request("POST", "/score", "application/json", 2, "{}")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path, monkeypatch)
    yield found
    found.close()


# ------------------------------------------------------------------- the place

# name, files (the mark stands on the expected line), phase, type, what the message says, column where known
PLACES: list[tuple[str, dict[str, str | bytes], str, str, str, int | None]] = [
    ("raise", {"score.py": "raise ValueError('no')  # HERE\n"}, "load", "ValueError", "no", 1),
    (
        "in a library",
        {"score.py": "import json\n" + INIT + "def run(raw_data):\n    return json.loads('{')  # HERE\n"},
        "run",
        "JSONDecodeError",
        "Expecting property name",
        12,
    ),
    (
        "helper in a package",
        {
            "score.py": "from parts_one.steps import build\n\ndef init():\n    build(None)\n" + RUN,
            "parts_one/__init__.py": "",
            "parts_one/steps.py": "def build(kind):\n    return kind.lower()  # HERE\n",
        },
        "init",
        "AttributeError",
        "'NoneType' object has no attribute 'lower'",
        12,
    ),
    (
        "syntax in a helper",
        {"score.py": "import json\nimport broken_one\n", "broken_one.py": "a = 1\nb = (2,  # HERE\nc = 3\n"},
        "load",
        "SyntaxError",
        "",
        None,
    ),
    (
        "indent",
        {"score.py": INIT + "def run(x):\n    a = 1\n     return a  # HERE\n"},
        "load",
        "IndentationError",
        "",
        None,
    ),
    (
        "tabs",
        {"score.py": "def run(x):\n    if x:\n        a = 1\n\treturn a  # HERE\n"},
        "load",
        "TabError",
        "inconsistent use of tabs",
        None,
    ),
    (
        "in eval",
        {"score.py": INIT + "def run(raw_data):\n    return eval('a + 1', {})  # HERE\n"},
        "run",
        "NameError",
        "name 'a' is not defined",
        12,
    ),
    (
        "syntax in eval",
        {"score.py": INIT + "def run(raw_data):\n    return eval('a +')  # HERE\n"},
        "run",
        "SyntaxError",
        "invalid syntax",
        12,
    ),
    (
        "generator",
        {
            "score.py": INIT + "def cells(row):\n    for cell in row:\n        yield int(cell)  # HERE\n\n"
            "def run(raw_data):\n    return list(cells(['1', 'x']))\n"
        },
        "run",
        "ValueError",
        "invalid literal",
        15,
    ),
    (
        "comprehension",
        {"score.py": INIT + "def run(raw_data):\n    return [1 / n for n in (1, 0)]  # HERE\n"},
        "run",
        "ZeroDivisionError",
        "division by zero",
        13,
    ),
    (
        "own decorator",
        {
            "score.py": "from wraps_one import traced\n" + INIT + "@traced\ndef run(raw_data):\n    return 1\n",
            "wraps_one.py": "import functools\n\ndef traced(func):\n    @functools.wraps(func)\n"
            "    def wrapper(raw_data):\n        return func(raw_data.id)  # HERE\n    return wrapper\n",
        },
        "run",
        "AttributeError",
        "'str' object has no attribute 'id'",
        21,
    ),
    (
        "statement of several lines",
        {
            "score.py": INIT + "def run(raw_data):\n    total = (\n        1\n        + len(\n"
            "            raw_data.rows,  # HERE\n        )\n    )\n    return total\n"
        },
        "run",
        "AttributeError",
        "no attribute 'rows'",
        13,
    ),
    (
        "from",
        {
            "score.py": "def init():\n    try:\n        {}['a']\n    except KeyError as error:\n"
            "        raise RuntimeError('no model') from error  # HERE\n" + RUN
        },
        "init",
        "RuntimeError",
        "no model",
        9,
    ),
    ("exit", {"score.py": "import sys\nsys.exit('stop here')  # HERE\n"}, "load", "SystemExit", "stop here", 1),
    ("exit without words", {"score.py": "raise SystemExit  # HERE\n"}, "load", "SystemExit", "", 1),
    (
        "own class",
        {"score.py": "class Odd(Exception):\n    pass\n\nraise Odd('x')  # HERE\n"},
        "load",
        "Odd",
        "x",
        1,
    ),
    (
        "str raises",
        {"score.py": "class Odd(Exception):\n    def __str__(self):\n        1 / 0\n\nraise Odd()  # HERE\n"},
        "load",
        "Odd",
        "",
        1,
    ),
    (
        "circular import",
        {
            "score.py": "import round_one\n",
            "round_one.py": "from round_two import b\na = 1\n",
            "round_two.py": "from round_one import a  # HERE\nb = 1\n",
        },
        "load",
        "ImportError",
        "partially initialized module",
        1,
    ),
    (
        "init wants an argument",
        {"score.py": "def init(context):  # HERE\n    pass\n" + RUN},
        "init",
        "TypeError",
        "missing 1 required positional argument: 'context'",
        1,
    ),
    (
        "run wants two, below decorators",
        {
            "score.py": "import functools\n" + INIT + "def same(func):\n    return func\n\n@same\n@same\n"
            "def run(a, b):  # HERE\n    return 1\n"
        },
        "run",
        "TypeError",
        "missing 1 required positional argument: 'b'",
        1,
    ),
    (
        "warning as error",
        {"score.py": "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('old')  # HERE\n"},
        "load",
        "UserWarning",
        "old",
        1,
    ),
]


@pytest.mark.parametrize(
    ("files", "phase", "kind", "says", "column"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES]
)
def test_place_is_the_users_own_line(
    world: World, files: dict[str, str | bytes], phase: str, kind: str, says: str, column: int | None
) -> None:
    """Whoever raises, the report names the user's innermost line, the type and the message."""
    import warnings

    with warnings.catch_warnings():
        error = world.mistake(files)
    assert (error.path, error.line) == world.marked()
    assert (error.severity, error.phase, error.type) == ("error", phase, kind)
    assert says in error.message
    if column is not None:
        at_def = kind == "TypeError" and "missing" in says
        assert error.column == (column if HAS_COLUMNS or at_def else 1)
    assert all(ownership.is_user_file(frame.path) for frame in error.frames)


def test_frames_are_the_users_outermost_first(world: World) -> None:
    """Library calls between and below are counted, not listed; the place that raised is named."""
    error = world.mistake(
        "import json\nimport functools\n" + INIT + "def read(text):\n    return json.loads(text)\n\n"
        "def run(raw_data):\n    return functools.reduce(pick, [1, 2])\n\n"
        "def pick(a, b):\n    return read('{')\n"
    )
    assert [frame.function for frame in error.frames] == ["run", "pick", "read"]
    assert error.frames[-1].source == "return json.loads(text)"
    assert error.raised_in == "json/decoder.py raw_decode"
    assert error.hidden == 3
    assert "devserver" not in error.traceback
    assert error.traceback.startswith(f'Traceback (most recent call last):\n  File "{error.path}"')


def test_columns_count_characters(world: World) -> None:
    """Wide and accented characters before the place count as one each."""
    error = world.mistake(INIT + "def run(raw_data):\n    return '模型é' + raw_data.x\n")
    assert error.excerpt is not None
    expected = (20, 30) if HAS_COLUMNS else (1, 1)
    assert (error.excerpt.column, error.excerpt.end_column) == expected


def test_excerpt_is_of_the_source_as_loaded(world: World) -> None:
    """A save between the load and the error does not change what is shown."""
    script = world.write({"score.py": INIT + "def run(raw_data):\n    total = 1\n    return total / 0\n"})
    module = loader.load_script(script)
    world.write({"score.py": "# another text\n" * 30})
    with pytest.raises(ZeroDivisionError) as caught:
        module.run("")
    error = describe(caught.value, "run")
    assert error.excerpt is not None
    assert [text for _, text in error.excerpt.lines] == ["def run(raw_data):", "    total = 1", "    return total / 0"]
    assert error.frames[-1].source == "return total / 0"


def test_excerpt_leaves_blank_lines_out(world: World) -> None:
    """At most two filled lines above and one below, with their own numbers."""
    error = world.mistake("a = 1\nb = 2\n\nc = 3\n\nraise ValueError\n\nd = 4\n")
    assert error.excerpt is not None
    assert error.excerpt.lines == ((4, "c = 3"), (6, "raise ValueError"), (8, "d = 4"))


# ------------------------------------------------------------------ the words


def test_messages_are_safe_to_print(world: World) -> None:
    """Control characters and lone surrogates are escaped, colours left out; other scripts stay, newlines stay."""
    error = world.mistake(r"""raise ValueError("\x1b[31mred\x07 \ud800 значение 模型\r\nnext")""")
    assert error.message == r"red\x07 \ud800 значение 模型" + "\nnext"
    error.message.encode()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_notes_belong_to_the_message(world: World) -> None:
    """add_note() is shown below the message."""
    error = world.mistake("error = ValueError('first')\nerror.add_note('second')\nraise error\n")
    assert error.message == "first\nsecond"


def test_chain_is_told_nearest_first(world: World) -> None:
    """`from` and an exception raised while another was handled, each with the user's line."""
    error = world.mistake(
        """
        def init():
            try:
                try:
                    int("x")
                except ValueError:
                    {}["key"]
            except KeyError as error:
                raise RuntimeError("late") from error

        run = print
        """
    )
    assert [(c.relation, c.type, c.line) for c in error.causes] == [
        ("cause", "KeyError", 6),
        ("while handling", "ValueError", 4),
    ]
    assert "direct cause of the following" in error.traceback
    assert (
        error.traceback.index("ValueError")
        < error.traceback.index("KeyError")
        < error.traceback.index("RuntimeError: late")
    )


def test_suppressed_context_is_not_told(world: World) -> None:
    """`from None` means it."""
    error = world.mistake("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('x') from None\n")
    assert error.causes == ()


def test_circular_chain_ends() -> None:
    """Two exceptions that are each other's cause are told once each."""
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert len(describe(first, "run").causes) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_groups_tell_their_members(world: World) -> None:
    """Nested groups are opened; the place is where the group was raised."""
    error = world.mistake(
        """
        def part(text):
            try:
                int(text)
            except ValueError as error:
                return error

        raise ExceptionGroup("rows", [part("x"), ExceptionGroup("inner", [part("y"), TypeError("z")])])
        """
    )
    assert error.line == 7
    assert [(c.relation, c.type, c.line) for c in error.causes] == [
        ("in group", "ValueError", 3),
        ("in group", "ValueError", 3),
        ("in group", "TypeError", None),
    ]


def test_recursion_is_folded_and_cheap(world: World) -> None:
    """A thousand calls become one cycle with its count, within the time for any report."""
    script = world.write({"score.py": "def even(n):\n    return odd(n)\n\ndef odd(n):\n    return even(n)\n"})
    module = loader.load_script(script)
    with pytest.raises(RecursionError) as caught:
        module.even(1)
    begun = time.thread_time()
    error = describe(caught.value, "run")
    assert time.thread_time() - begun < 0.1
    assert len(error.frames) <= 5
    assert max(frame.repeats for frame in error.frames) > 300
    assert len(error.traceback.split("\n")) < 500


# ---------------------------------------------------------- threads, processes


def test_exception_of_a_thread_names_it(world: World) -> None:
    """What threading.excepthook is given becomes a report with the thread's name."""
    script = world.write({"score.py": "def work():\n    open('never.npy')  # HERE\n"})
    module = loader.load_script(script)
    heard: list[Any] = []
    before, threading.excepthook = threading.excepthook, heard.append
    try:
        thread = threading.Thread(target=module.work, name="warm-up")
        thread.start()
        thread.join(10)
    finally:
        threading.excepthook = before
    error = describe_thread(heard[0], "init")
    assert error is not None
    assert (error.path, error.line, error.thread, error.phase) == (*world.marked(), "warm-up", "init")


def test_thread_that_exits_is_silent() -> None:
    """SystemExit ends a thread without a word, as in Python."""
    args = threading.ExceptHookArgs((SystemExit, SystemExit(), None, threading.current_thread()))
    assert describe_thread(args) is None


def test_unraisable_exception_is_a_warning(world: World) -> None:
    """An exception in __del__, which Python ignores, is told as such."""
    script = world.write({"score.py": "class Model:\n    def __del__(self):\n        1 / 0  # HERE\n"})
    module = loader.load_script(script)
    found: list[Diagnostic | None] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda args: found.append(describe_unraisable(args))
    try:
        module.Model()
        gc.collect()
    finally:
        sys.unraisablehook = before
    assert found[0] is not None
    assert (found[0].severity, found[0].type, (found[0].path, found[0].line)) == (
        "warning",
        "ZeroDivisionError",
        world.marked(),
    )


def test_error_of_another_process_points_into_it(world: World) -> None:
    """concurrent.futures and joblib hand over only a text; its innermost line of the user's is the place."""
    script = world.write({"score.py": "def work():\n    return 1 / 0\n"})

    class RemoteTraceback(Exception):
        pass

    error = ZeroDivisionError("division by zero")
    error.__cause__ = RemoteTraceback(
        f'\n"""\nTraceback (most recent call last):\n  File "{os.__file__}", line 3, in x\n'
        f'  File "{script}", line 2, in work\n"""'
    )
    found = describe(error, "run")
    assert (found.path, found.line, found.causes) == (script, 2, ())


def test_streaming_body_points_into_the_generator(world: World) -> None:
    """An error while the answer is sent has the phase response and the generator's line."""
    script = world.write({"score.py": "def body():\n    yield 'a'\n    raise OSError('gone')  # HERE\n"})
    module = loader.load_script(script)
    with pytest.raises(OSError) as caught:
        list(module.body())
    error = describe(caught.value, "response", request=REQUEST, status=200)
    assert (error.path, error.line, error.phase) == (*world.marked(), "response")


def test_fault_of_ours_is_placed_in_ours() -> None:
    """Only in the phase server may a place be outside of the user's code."""
    with pytest.raises(KeyError) as caught:
        as_json.from_json({"kind": "never"})
    caught.value.__traceback__ = caught.value.__traceback__ and caught.value.__traceback__.tb_next
    assert describe(caught.value, "server").path == as_json.__file__


def test_absent_files_of_a_chain() -> None:
    """Paths that were opened in vain, also behind another exception, are what may repair it."""
    inner = FileNotFoundError(2, "No such file", "model/model.pkl")
    outer = RuntimeError("no model")
    outer.__cause__ = inner
    assert absent_files(outer) == (os.path.abspath("model/model.pkl"),)


# ------------------------------------------------------ problems without exception


@pytest.mark.parametrize(
    ("source", "name", "line", "hint"),
    [
        ("def int():  # HERE\n    pass\n" + RUN, "init", 1, "line 1 defines int(): is that the one?"),
        ("def initialise():\n    pass\n" + RUN, "init", 1, "initialise()"),
        ("#\n\ndef predict(data):\n    pass\n\ndef init():\n    pass\n", "run", 3, "predict()"),
        ("class Model:\n    def run(self, data):\n        pass\n" + INIT, "run", 2, "class Model"),
        ("def main():\n    def run(data):\n        pass\n" + INIT, "run", 2, "main()"),
        ("init = None\n" + RUN, "init", 1, "assigns something else"),
        (RUN, "init", 1, None),
        ("", "run", 1, None),
    ],
)
def test_missing_function_is_placed_at_what_was_meant(
    world: World, source: str, name: str, line: int, hint: str | None
) -> None:
    """A misspelt, hidden or overwritten function is found; else the file alone is named."""
    error = problems.missing_function(world.write({"score.py": source}), name)
    assert f"does not have a {name}() function defined" in error.message
    assert (error.line, error.type, error.phase) == (line, "", "load")
    assert error.hint is None if hint is None else hint in str(error.hint)


def test_wrong_signature_is_placed_at_the_def(world: World) -> None:
    """Past decorators, and at the script's own function where a wrapper hides it."""
    script = world.write(
        {
            "score.py": """
            def timed(func):
                def wrapper(*args, **kwargs):
                    return func(*args, **kwargs)
                return wrapper

            @timed
            def run(raw_data):
                return 1
            """
        }
    )
    error = problems.wrong_signature(loader.load_script(script).run, "run() cannot accept *args")
    assert (error.path, error.line, error.column, error.message) == (script, 7, 1, "run() cannot accept *args")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("from functools import partial\n\ndef work(a, b):\n    pass\n\nrun = partial(work, 1)\n", 6),
        ("class Model:\n    def __call__(self, data):\n        pass\n\nrun = Model()\n", 5),
        ("from elsewhere_one import run\n", 1),
    ],
)
def test_signature_of_what_is_no_plain_function(world: World, source: str, line: int) -> None:
    """A partial, an object, an imported function: the line that makes it run, or its own definition."""
    script = world.write({"score.py": source, "elsewhere_one.py": "#\n\ndef run(*args):\n    pass\n"})
    error = problems.wrong_signature(loader.load_script(script).run, "x")
    here = (script, line) if "elsewhere_one" not in source else (str(world.folder / "elsewhere_one.py"), 3)
    assert (error.path, error.line) == here


def test_entry_script_that_is_not_there(world: World) -> None:
    """A file that cannot be read is told as what the system says of it, on line 1 of itself, without frames."""
    path = str(world.folder / "score.py")
    for kind in (FileNotFoundError, IsADirectoryError, PermissionError):
        error = problems.unreadable_script(path, kind(1, "not to be read", path))
        assert (error.path, error.line, error.type, error.frames) == (path, 1, kind.__name__, ())
        assert error.excerpt is None and error.traceback == ""


# -------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("returned", "says", "column"),
    [
        ('{"scores": [1, {2}]}', 'result["scores"][1] is set', 27),
        ("b'x'", "result is bytes", 12),
        ('{"a": {"b": object()}}', 'result["a"]["b"] is object', 24),
        ("{(1, 2): 3}", "a key of result is tuple", 12),
        ("[x for x in (1, 2j)]", "result[1] is complex", 12),
    ],
)
def test_unserialisable_part_is_named(world: World, returned: str, says: str, column: int) -> None:
    """The message says which part, the place is that part of the return line as far as it is written there."""
    error = world.mistake(INIT + f"def run(raw_data):\n    return {returned}\n")
    assert error.message.endswith(": " + says)
    assert (error.line, error.column, error.phase, error.type) == (5, column, "response", "TypeError")


def test_circular_result(world: World) -> None:
    """A list that holds itself has no part to name; the walk ends all the same."""
    error = world.mistake(INIT + "def run(raw_data):\n    loop = []\n    loop.append(loop)\n    return loop\n")
    assert (error.type, error.message, error.line) == ("ValueError", "Circular reference detected", 7)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("if raw_data:\n        return {'a': {1}}\n    return {'b': 1}", 6),
        ("if not raw_data:\n        return {'a': 1}, 400\n    return {'a': {1}}", 7),
        ("if raw_data:\n        return make()\n    return other()", 4),
        ("def inner():\n        return 5\n    return make()", 7),
        ("return make()", 5),
    ],
)
def test_return_that_fits_the_value_is_the_place(world: World, body: str, line: int) -> None:
    """Of several returns the one whose expression fits; where that is not clear, the def."""
    make = "def make():\n    return {'a': {1}}\n\nother = make\n"
    error = world.mistake(INIT + f"def run(raw_data):\n    {body}\n\n" + make)
    assert error.line == line


def test_async_run_is_placed_at_its_def(world: World) -> None:
    """A coroutine of run() itself is no result but an async run()."""
    with pytest.warns(RuntimeWarning, match="never awaited"):
        error = world.mistake(INIT + "async def run(raw_data):\n    return 1\n")
        gc.collect()
    assert (error.line, error.type) == (4, "TypeError")


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ('{"p": [0.5, float("nan")]}', 'run() returned NaN at result["p"][1]:'),
        ('float("-inf")', "run() returned -Infinity:"),
        ('{"a": 1}, 400', "tuple of 2"),
        ("None", "returned None"),
    ],
)
def test_odd_results_are_warnings(world: World, returned: str, says: str) -> None:
    """NaN, Infinity, a tuple and nothing are answered as in Azure, with a warning at the return."""
    error = world.mistake(INIT + f"def run(raw_data):\n    return {returned}\n")
    assert (error.severity, error.line, error.type) == ("warning", 5, "")
    assert says in error.message


def test_good_results_are_none() -> None:
    """The text NaN inside a string is no NaN."""
    assert return_value.result_warning({"note": "NaN", "n": [1.5, True, None]}, None) is None


# ------------------------------------------------------------- limits and deaths


def test_time_limit_is_placed_at_the_running_line(world: World) -> None:
    """By the exception that interrupted it, or by the frame in which its thread is."""
    script = world.write({"score.py": "def run(stop):\n    while True:\n        stop()  # HERE\n"})
    module = loader.load_script(script)

    def stop() -> None:
        frames.append(problems.timed_out(sys._getframe(1), 3000, setting="WORKER_TIMEOUT"))
        raise TimeoutError

    frames: list[Diagnostic] = []
    with pytest.raises(TimeoutError) as caught:
        module.run(stop)
    trace = caught.value.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    assert trace is not None
    trace.tb_next = None
    by_exception = problems.timed_out(trace, 1000)
    assert (by_exception.path, by_exception.line) == world.marked() == (frames[0].path, frames[0].line)
    assert by_exception.message == "run() timed out after 1000 ms (SCORING_TIMEOUT_MS)"
    assert frames[0].message == "run() timed out after 3 s (WORKER_TIMEOUT)"


CRASH = """
import faulthandler, sys
sys.path.insert(0, {folder!r})
faulthandler.enable(open({dump!r}, "w"))
import score
score.run("")
"""


def test_crash_is_placed_by_faulthandler(world: World) -> None:
    """The innermost line of the user's in the crashed thread, in a folder that is not ASCII."""
    folder = world.folder / "modèle 模型"
    folder.mkdir()
    (folder / "score.py").write_text(
        INIT
        + "def native():\n    faulthandler._sigsegv()\n\ndef run(raw_data):\n    native()\n\nimport faulthandler\n",
        encoding="utf-8",
    )
    dump = world.folder / "dump.txt"
    code = subprocess.run(
        [sys.executable, "-B", "-c", CRASH.format(folder=str(folder), dump=str(dump))], timeout=30
    ).returncode
    error = exits.died("run", code, dump=dump.read_text(encoding="utf-8"), script=str(folder / "score.py"))
    assert (error.path, error.line) == (str(folder / "score.py"), 5)
    assert error.message.startswith("the worker died in run(): SIG") and error.message.endswith(" in native")
    assert [frame.function for frame in error.frames] == ["run", "native"]


@pytest.mark.parametrize(
    ("phase", "code", "says", "line"),
    [
        ("run", 7, "the worker exited with code 7 in run()", 7),
        ("run", 8, "the worker exited with code 8 in run()", 6),
        ("run", -9, "the worker died in run(): SIGKILL (", 6),
        ("init", -9, "the worker died in init(): SIGKILL (", 3),
        ("load", -6, "the worker died while the script was loaded: SIGABRT (", 1),
        ("run", -99, "the worker died in run(): signal 99", 6),
    ],
)
def test_death_without_a_dump(world: World, phase: str, code: int, says: str, line: int) -> None:
    """The only call that ends a process with this code, else the definition of what was running."""
    script = world.write({"score.py": "import os\n\n" + INIT + "def run(raw_data):\n    os._exit(7)\n"})
    error = exits.died(phase, code, script=script)
    assert error.message.startswith(says)
    assert (error.path, error.line) == (script, line)


# ---------------------------------------------------------------------- records


def test_records_travel_as_json() -> None:
    """Every record comes back equal from its JSON text."""
    error = Diagnostic(
        "error",
        "run",
        "KeyError",
        "'é\ud800'",
        "/x/score.py",
        3,
        5,
        excerpt=Excerpt(((2, "a"), (3, "b")), 3, 1, 2),
        frames=(Frame("/x/score.py", 3, 5, 3, 9, "run", "b", 2), Frame("/x/h.py", 1, None, None, None, "f", "")),
        causes=(Cause("cause", "ValueError", "v"),),
        request=REQUEST,
        status=500,
    )
    from devserver.records.stamps import Stamp

    loaded = LoadReport(
        False, {"/x/score.py": Stamp(1, 2, 3, "d")}, ("/x",), ("/x/a.py",), ("numpy",), Times(1.5), error
    )
    assert as_json.from_json(json.loads(json.dumps(as_json.to_json(loaded)))) == loaded


def test_signal_that_the_script_sends_itself(world: World) -> None:
    """The one call that sends this signal is the place; a call that sends another is not."""
    source = "import os, signal\n\ndef run(raw_data):\n    os.kill(1, 0)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    script = world.write({"score.py": source})
    assert [exits.died("run", code, script=script).line for code in (-9, -15, -6)] == [5, 3, 3]


@pytest.mark.parametrize(("with_code", "line"), [(True, 4), (False, 3)])
def test_a_kill_that_becomes_an_exit_code(
    world: World, with_code: bool, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows ends the process with the number of the signal; elsewhere that code is no signal's."""
    monkeypatch.setattr(System, "kills_with_code", with_code)
    script = world.write({"score.py": "import os\n\ndef run(raw_data):\n    os.kill(os.getpid(), 9)\n"})
    assert exits.died("run", 9, script=script).line == line


def test_every_field_of_a_report_is_plain(world: World) -> None:
    """A report of a real mistake goes through JSON unchanged."""
    error = world.mistake("import json\n" + INIT + "def run(raw_data):\n    return json.loads('{')\n")
    again = as_json.from_json(json.loads(json.dumps(as_json.to_json(error))))
    assert again == error
    assert dataclasses.replace(again, hint="x") != error


def test_supervisor_can_import_it_quickly() -> None:
    """The records and their drawing load none of the modules that take long."""
    code = "import sys, devserver.diagnostics.exceptions, devserver.display.blocks; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, encoding="utf-8"
    )
    slow = {"flask", "difflib", "traceback", "tempfile", "importlib.metadata", "numpy", "colorama", "asyncio"}
    assert not slow & set(done.stdout.split())


# ---------------------------------------------------------------------- bounds


def steps_of(work: Callable[[], object]) -> int:
    """How many lines of this package are executed meanwhile."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        if not ownership.is_own_file(frame.f_code.co_filename):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class Group(Exception):
    """What an ExceptionGroup is, also before Python 3.11."""

    def __init__(self, exceptions: list[Exception]) -> None:
        super().__init__("several")
        self.exceptions = exceptions


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("size", [10_000, 100_000])
@pytest.mark.parametrize(
    "make",
    [
        nested,
        lambda size: [*range(size), {1}],
        lambda size: {"rows": [[number] for number in range(size)], "last": {1}},
        lambda size: {str(number): {"inner": [number]} for number in range(size)} | {"last": {1}},
    ],
)
def test_walk_through_a_result_is_bounded(world: World, make: Callable[[int], object], size: int) -> None:
    """However large or deep it is, the same number of steps is enough, or it stays unsaid which part is wrong."""
    world.write({"score.py": "def run(data):\n    pass\n"})
    error = TypeError("Object of type set is not JSON serializable")
    function = loader.load_script(str(world.folder / "score.py")).run
    value = make(size)
    assert steps_of(lambda: return_value.unserialisable(value, error, function)) < 300_000


def test_odd_number_beyond_the_bound_is_told_without_its_place(world: World) -> None:
    """A warning does not depend on how large the result is."""
    function = loader.load_script(world.write({"score.py": "def run(data):\n    pass\n"})).run
    warning = return_value.result_warning([*range(100_000), float("nan")], function)
    assert warning is not None and warning.message.startswith("run() returned something that holds NaN or Infinity")
    assert return_value.result_warning([*range(100_000), "NaN"], function) is None


@pytest.mark.parametrize(
    "script", ["def f(n):\n    return f(n + 1)\nf(0)\n", "import json\njson.loads('[' * 100_000)\n"]
)
def test_report_of_a_recursion_is_bounded(world: World, script: str) -> None:
    """The calls are folded, and a text of 100,000 brackets is not walked through."""
    path = world.write({"score.py": script})
    with pytest.raises(RecursionError) as caught:
        loader.load_script(path)
    work = lambda: blocks.block(hints.explain(describe(caught.value, "load"), caught.value))  # noqa: E731
    assert steps_of(work) < 300_000


def test_groups_within_groups_are_bounded(world: World) -> None:
    """Each holds ten others that each hold ten: some are told."""
    error: Any = ValueError("leaf")
    for _ in range(6):
        error = Group([error] * 10)
    assert steps_of(lambda: describe(error, "run")) < 300_000


# -------------------------------------------------------------- wrong logging calls


LOGGING = """
import logging
log = logging.Logger("with no handler but the test's")

class Odd:
    def __str__(self):
        raise RuntimeError("no text")

def write(text, *values):
    log.warning(text, *values)  # HERE
"""


def logged(module: Any, handler: logging.Handler, text: object, *values: object) -> list[Diagnostic | None]:
    """What is described of one logging call."""
    found: list[Diagnostic | None] = []

    def failed(record: logging.LogRecord) -> None:
        found.append(describe_logging(record, sys.exc_info()[1], sys._getframe(1)))

    handler.handleError = failed  # type: ignore[method-assign]
    module.log.addHandler(handler)
    try:
        module.write(text, *values)
    finally:
        module.log.removeHandler(handler)
    return found


@pytest.mark.parametrize(
    ("text", "values", "type_", "hint"),
    [
        ("rows", (3,), "TypeError", "does not append values"),
        ("rows %s", (3, 4), "TypeError", "does not append values"),
        ("rows %s of %s", (3,), "TypeError", "wants a value"),
        ("rows %d", ("x",), "TypeError", None),
        ("50% of %s", (3,), "TypeError", "wants a value.*%%"),
        ("50%! %s", (3,), "ValueError", "is written %%"),
        ("%(a)s", ({"b": 1},), "KeyError", None),
    ],
)
def test_wrong_logging_call(world: World, text: str, values: tuple[object, ...], type_: str, hint: str | None) -> None:
    """A warning at the call, with its frames and none of ours or of logging's."""
    module = loader.load_script(world.write({"score.py": LOGGING}))
    (found,) = logged(module, logging.StreamHandler(io.StringIO()), text, *values)
    assert found is not None
    assert (found.severity, found.type, found.code) == ("warning", type_, "logging-call")
    assert (found.path, found.line) == world.marked()
    assert found.frames[-1].function == "write"
    said = hints.explain(found).hint
    assert said is None or (hint is not None and re.search(hint, said)), said
    assert hint is None or said is not None


def test_logging_calls_that_fail_otherwise(world: World) -> None:
    """A value without text and a format without a field are told too; a closed stream is not the script's doing."""
    module = loader.load_script(world.write({"score.py": LOGGING}))
    (odd,) = logged(module, logging.StreamHandler(io.StringIO()), "%s", module.Odd())
    assert odd is not None and (odd.type, odd.line) == ("RuntimeError", world.marked()[1])
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(nothing)s %(message)s"))
    (form,) = logged(module, handler, "x")
    assert form is not None and "the format of a log handler" in form.message
    closed = io.StringIO()
    closed.close()
    assert logged(module, logging.StreamHandler(closed), "x") == [None]


def test_crash_of_a_child_process_is_not_taken_for_the_worker_s(world: World) -> None:
    """The last crash in the file counts; child processes of the script write to it, too."""
    script = world.write({"score.py": INIT + "def run(d):\n    one()\n    two()\n"})
    crash = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x01 (most recent call first):\n"
    crash += '  File "{}", line {} in run\n'
    error = exits.died("run", -11, dump=crash.format(script, 5) + crash.format(script, 6), script=script)
    assert error.line == 6
