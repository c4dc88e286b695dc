"""What programs read of a diagnostic: its code, its facts and its place, and never its words."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from mistakes import INIT, World

from devserver.config.files import CONFIG, ConfigError, read_json_object
from devserver.config.settings import Config
from devserver.diagnostics import exceptions, exits, hints, problems, return_value
from devserver.diagnostics.stacks import stack_of
from devserver.display import blocks, verdicts
from devserver.records import as_json
from devserver.records.diagnostic import (
    Diagnostic,
    MissingFunction,
    ProcessEnd,
    ResultPart,
    Signature,
    TimeLimit,
)
from devserver.usercode import loader, ownership

PLACELESS = problems.config_problem(ConfigError("argument --port: 'x' is no number"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path, monkeypatch)
    yield found
    found.close()


def refused(work: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        work()
    return caught.value


# ------------------------------------------------------------------ code and facts


def test_each_kind_has_its_code_and_facts(world: World) -> None:
    """As fields, and the same after a way through JSON."""
    script = world.write({"score.py": "def run(*args):\n    pass\n\ndef int():\n    pass\n"})
    module = loader.load_script(script)
    missing = problems.missing_function(script, "init")
    signature = problems.wrong_signature(module.run, "run() cannot be called")
    limit = problems.timed_out(None, 3000, setting="WORKER_TIMEOUT")
    exited, killed = exits.died("run", 7, script=script), exits.died("init", -signal.SIGTERM, script=script)
    part = return_value.unserialisable({"a": [{1}]}, TypeError("no"), module.run)
    key = return_value.unserialisable({(1, 2): 3}, TypeError("no"), module.run)
    found = [(each.code, each.facts) for each in (missing, signature, limit, exited, killed, part, key)]
    assert found == [
        ("missing-function", MissingFunction("init", 4)),
        ("signature", Signature(True)),
        ("time-limit", TimeLimit("WORKER_TIMEOUT", 3000)),
        ("process-end", ProcessEnd(7)),
        ("process-end", ProcessEnd(-15, "SIGTERM")),
        ("unserialisable", ResultPart('result["a"][0]', "set")),
        ("unserialisable", ResultPart("result", "tuple", key=True)),
    ]
    for error in (missing, signature, limit, exited, killed, part, key):
        assert as_json.from_json(json.loads(json.dumps(as_json.to_json(error)))) == error


@pytest.mark.parametrize(
    ("value", "code"), [(None, "result-none"), ((1, 2), "result-tuple"), (float("nan"), "result-not-a-number")]
)
def test_odd_results_have_a_code(value: object, code: str) -> None:
    """One for each kind."""
    warning = return_value.result_warning(value, None)
    assert warning is not None and warning.code == code


def test_hints_do_not_read_our_words(world: World) -> None:
    """What is worded here may be worded otherwise: the hints stay."""
    script = world.write(
        {
            "score.py": "def timed(f):\n    return lambda *args: f(*args)\n\n@timed\ndef run(a):\n    pass\n"
            "\nimport argparse\n"
        }
    )
    module = loader.load_script(script)
    errors = [
        problems.wrong_signature(module.run, "x"),
        problems.missing_function(script, "init"),
        problems.timed_out(None, 1000),
        exits.died("run", -9, script=script),
        return_value.unserialisable({"a": {1}}, TypeError("no"), module.run),
        *filter(None, [return_value.result_warning(value, module.run) for value in (None, (1,), float("nan"))]),
    ]
    for error in errors:
        said = hints.explain(error).hint
        assert said is not None and hints.explain(replace(error, message="?")).hint == said, error


def test_our_words_do_not_speak_for_an_exception(world: World) -> None:
    """A library's sentence in a problem that we have worded is no exception of that library."""
    text = "the logging configuration cannot be used: No CUDA GPUs are available"
    error = problems.config_problem(ConfigError(text, 3, path=world.write({"score.py": INIT})))
    raised = RuntimeError("No CUDA GPUs are available")
    assert hints.explain(error, raised).hint is None


# ------------------------------------------------------------------------ places


def test_a_file_of_settings_that_is_not_json_has_a_place(tmp_path: Path) -> None:
    """Path, line and column are fields of the error, and no part of what is wrong."""
    path = tmp_path / "odd: 3:4: name.json"
    path.write_text('{\n  "port": }')
    error = refused(lambda: read_json_object(str(path), CONFIG))
    assert (error.path, error.line, error.column) == (str(path), 2, 11)
    assert str(error) == f"{path}:2:11: {error.problem}"
    found = problems.config_problem(error)
    assert (found.path, found.line, found.column, found.message) == (str(path), 2, 11, error.problem)
    assert found.code == "configuration"


def test_a_problem_that_looks_like_a_place_has_none() -> None:
    """What a person typed is not taken for a place."""
    found = problems.config_problem(ConfigError("/tmp/x:3:4: no such configuration file"))
    assert (found.path, found.message) == (None, "/tmp/x:3:4: no such configuration file")


def test_a_problem_without_a_place_names_none() -> None:
    """Not in the block, not in what programs read."""
    assert (PLACELESS.path, PLACELESS.line, PLACELESS.column, PLACELESS.excerpt) == (None, None, None, None)
    for full in (False, True):
        text = blocks.block(PLACELESS, full_traceback=full)
        assert text == "error: argument --port: 'x' is no number"
    found = as_json.error_object(PLACELESS)
    assert (found["file"], found["line"], found["column"]) == (None, None, None)
    assert as_json.from_json(json.loads(json.dumps(as_json.to_json(PLACELESS)))) == PLACELESS


def test_an_exception_without_a_script_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the module `main` is not there."""
    monkeypatch.setattr(loader, "script", None)
    error = exceptions.describe(ModuleNotFoundError("No module named 'main'", name="main"), "load")
    assert (error.path, error.line, error.column) == (None, None, None)
    assert blocks.headline(error) == "error: ModuleNotFoundError: No module named 'main'"
    assert blocks.block(replace(error, thread="t")).startswith(blocks.headline(error))


@pytest.mark.parametrize("form", ["github", "junit", "json", "human"])
def test_a_verdict_without_a_place(form: str) -> None:
    """Each format of a check can tell it."""
    verdict = verdicts.Verdict(PLACELESS, None, (), (), 0.1)
    text = verdicts.render_verdict(verdict, Config(check_format=form), False)
    assert "argument --port" in text and "None" not in text.replace('"None"', "")
    if form == "github":
        assert text.startswith("::error title=config::argument --port")
    if form == "junit":
        ElementTree.fromstring(text.partition("\n")[2])
    if form == "json":
        assert json.loads(text)["error"]["path"] is None


# ------------------------------------------------------------------------ stacks


def test_one_walk_says_all_of_a_stack(world: World) -> None:
    """The user's calls, the library's between and below them, and none of ours."""
    script = world.write(
        {
            "score.py": """
            import json

            def run(data):
                return list(map(inner, [data]))

            def inner(data):
                return json.loads(data)  # HERE
            """
        }
    )
    module = loader.load_script(script)
    with pytest.raises(json.JSONDecodeError) as caught:
        module.run("{")
    assert caught.value.__traceback__ is not None
    stack = stack_of(caught.value.__traceback__.tb_next)
    assert [call.code.co_name for call in stack.users] == ["run", "inner"]
    assert (stack.place.path, stack.place.line) == world.marked() if stack.place else False
    assert stack.hidden == len(stack.shown) - 2 >= 2
    assert (stack.raised_in or "").startswith("json/decoder.py")
    assert [frame.function for frame in stack.frames] == ["run", "inner"]


def test_a_traceback_is_walked_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the text and the causes need it."""
    script = world.write({"score.py": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e\n"})
    walked = []
    monkeypatch.setattr(exceptions, "stack_of", lambda where: walked.append(where) or stack_of(where))
    with pytest.raises(ValueError) as caught:
        loader.load_script(script)
    exceptions.describe(caught.value, "load")
    assert sorted(type(each).__name__ for each in walked) == ["KeyError", "ValueError"]


def test_our_calls_are_one_rule() -> None:
    """The same for reports and for what telemetry sends."""
    own = compile("def call(work): work()", os.path.join(ownership.PACKAGE, "made_up.py"), "exec")
    names: dict[str, Any] = {}
    exec(own, names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["call"](lambda: 1 / 0)
    trace = caught.value.__traceback__
    assert trace is not None and trace.tb_next is not None
    assert ownership.without_own_calls(trace.tb_next) is trace.tb_next.tb_next
    assert ownership.without_own_calls(None) is None
    assert not ownership.is_own_code(__file__) and ownership.is_own_code("<frozen importlib._bootstrap>")


def test_only_ours_is_not_nothing() -> None:
    """A fault of our own keeps its calls."""
    own = compile("1 / 0", os.path.join(ownership.PACKAGE, "made_up.py"), "exec")
    try:
        exec(own, {})
    except ZeroDivisionError:
        trace = sys.exc_info()[2]
        assert trace is not None
        assert ownership.without_own_calls(trace.tb_next) is trace.tb_next


def test_diagnostics_compare_by_all_they_hold() -> None:
    """Two of the same kind are told apart by their facts."""
    one, other = (Diagnostic("error", "run", "", "m", None, None, None, facts=ProcessEnd(code)) for code in (1, 2))
    assert one != other and hash(one) != hash(other)
