"""One mistake for each hint, and mistakes for which no hint is better than a guess."""

from __future__ import annotations

import errno
import os
import pickle
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mistakes import INIT, RUN, World

from devserver.diagnostics import exceptions, exits, hints, problems
from devserver.process.platform import System
from devserver.records.diagnostic import Diagnostic
from devserver.usercode import loader

MODEL = pickle.dumps({"coef": [1, 2]}, protocol=4)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 130452\n"
LOAD_MODEL = """
import os, pickle

def init():
    global model
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl")
    with open(path, "rb") as file:
        model = pickle.load(file)

run = print
"""
PARSE = "import json\n" + INIT + "def run(raw_data):\n    data = json.loads(raw_data)\n    return {}\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    found = World(tmp_path, monkeypatch)
    yield found
    found.close()


def given(returned: str) -> str:
    """A script whose run() returns this."""
    return INIT + f"def run(raw_data):\n    return {returned}\n"


# name, files, what the hint must say
PLAIN: list[tuple[str, dict[str, str | bytes], str]] = [
    # source files
    ("merge", {"score.py": "a = 1\n<<<<<<< HEAD\na = 2\n"}, r"merge conflict"),
    ("latin-1", {"score.py": b"name = 'Ren\xe9'\n"}, r"UTF-8.*coding: latin-1"),
    ("utf-16", {"score.py": "a = 1\n".encode("utf-16")}, r"UTF-16"),
    ("backslash", {"score.py": 'path = "C:\\Users\\me"\n'}, r"backslash"),
    ("quotes", {"score.py": "a = “x”\n"}, r"left double quotation mark.*type \""),
    (
        "open bracket",
        {"score.py": "a = [1,\n     2\n\ndef run(x):\n    pass\n"},
        r"line 1 is still open at line 4; close it with \]",
    ),
    # functions
    ("empty", {"score.py": ""}, r"the file is empty"),
    ("typo", {"score.py": "def int():\n    pass\n" + RUN}, r"defines int\(\)"),
    ("step", {"score.py": "import argparse\nparser = argparse.ArgumentParser()\n"}, r"pipeline step"),
    (
        "command line",
        {
            "score.py": "from argparse import ArgumentParser as A\np = A()\np.add_argument('--x', required=True)\n"
            "p.parse_args([])\n"
        },
        r"reads a command line",
    ),
    ("init's argument", {"score.py": "def init(context):\n    pass\n" + RUN}, r"calls init\(\) without arguments"),
    ("second parameter", {"score.py": INIT + "def run(a, b):\n    pass\n"}, r"give 'b' a default.*inference-schema"),
    (
        "batch",
        {"score.py": INIT + "def run(mini_batch):\n    return [open(f) for f in mini_batch]\n"},
        r"batch endpoint",
    ),
    # names
    ("name", {"score.py": "THRESHOLD = 1\nx = TRESHOLD\n"}, r"did you mean THRESHOLD"),
    ("alias", {"score.py": "x: pd.DataFrame = 1\n"}, r"import pandas as pd"),
    ("module", {"score.py": "x = math.log(2)\n"}, r"import math"),
    ("in a module", {"score.py": "import math\nx = log1p(2)\n"}, r"math\.log1p"),
    ("in eval", {"score.py": INIT + "def run(d):\n    return eval('incme', {'income': 1})\n"}, r"did you mean income"),
    (
        "global",
        {"score.py": "def init():\n    model = 1\n\ndef run(d):\n    return model\n"},
        r"init\(\) sets a model.*`global model`",
    ),
    (
        "still None",
        {"score.py": "model = None\n\ndef init():\n    model = 1\n\ndef run(d):\n    return model.predict(d)\n"},
        r"`global model`",
    ),
    (
        "local",
        {"score.py": "n = 0\n" + INIT + "def run(d):\n    n += 1\n    return n\n"},
        r"run\(\) assigns n.*`global n`",
    ),
    ("attribute", {"score.py": "x = 'a'.uper()\n"}, r"did you mean upper"),
    ("imported name", {"score.py": "from json import load_s\n"}, r"json has loads"),
    ("moved name", {"score.py": "from collections import Mapping\n"}, r"collections\.abc"),
    # modules
    ("pip name", {"score.py": "import skimage\n"}, r"pip install scikit-image"),
    ("popular", {"score.py": "import catboost\n"}, r"pip install catboost"),
    (
        "in the environment file",
        {"score.py": "import catboost\n", "conda.yml": "- pip:\n  - catboost==1\n"},
        r"conda\.yml has it",
    ),
    ("unknown", {"score.py": "import qwertz_features\n"}, r"no qwertz_features\.py in .*if it is a package"),
    (
        "helper's typo",
        {"score.py": "import preproces\n", "preprocess.py": ""},
        r"preprocess\.py; did you mean preprocess",
    ),
    ("package's typo", {"score.py": "import jsno\n"}, r"did you mean json"),
    (
        "other folder",
        {"score.py": "import far_helper\n", "src/far_helper.py": ""},
        r"src/far_helper\.py exists.*AZUREML_SOURCE_DIRECTORY=src",
    ),
    ("part", {"score.py": "import parts_two.steps\n", "parts_two/__init__.py": ""}, r"no parts_two/steps\.py"),
    (
        "hidden",
        {"score.py": "import colorsys\ncolorsys.rgb_to_hls\n", "colorsys.py": "# mine\n"},
        r"your own colorsys\.py",
    ),
    (
        "circular",
        {
            "score.py": "import ring_one\n",
            "ring_one.py": "from ring_two import b\na = 1\n",
            "ring_two.py": "from ring_one import a\n",
        },
        r"ring_one\.py and ring_two\.py import each other",
    ),
    # files
    (
        "no model_dir",
        {"score.py": LOAD_MODEL, "artifacts/model.pkl": MODEL},
        r"artifacts/model\.pkl:\nstart with --model_dir artifacts$",
    ),
    ("no model_dir, none here", {"score.py": LOAD_MODEL}, r"start with --model_dir and"),
    (
        "None in join",
        {
            "score.py": 'import os\n\ndef init():\n    os.path.join(os.getenv("AZUREML_MODEL_DIR"), "m", "iris.pkl")\n'
            + RUN,
            "out/m/iris.pkl": MODEL,
        },
        r"out/m/iris\.pkl:\nstart with --model_dir out$",
    ),
    (
        "below the script's own folder",
        {
            "score.py": 'import os\n\ndef init():\n    os.path.join(os.getenv("AZUREML_MODEL_DIR"), "m.pkl")\n' + RUN,
            "m.pkl": MODEL,
        },
        r"m\.pkl:\nstart with --model_dir \.$",
    ),
    ("elsewhere", {"score.py": "open('labels.txt')\n", "data/labels.txt": ""}, r"there is one at data/labels\.txt"),
    ("home", {"score.py": "open('~/labels.txt')\n"}, r"expanduser"),
    ("near", {"score.py": "open('labels.txt')\n", "label.txt": ""}, r"there is label\.txt"),
    ("folder", {"score.py": "open('data')\n", "data/a.csv": ""}, r"folder that holds 'a\.csv'"),
    ("variable", {"score.py": "import os\nos.environ['NEVER_SET_X']\n"}, r"variable NEVER_SET_X is not set"),
    (".env", {"score.py": "import os\nos.environ['NEVER_SET_X']\n", ".env": "NEVER_SET_X=1\n"}, r"\.env holds it"),
    # other libraries
    ("cuda", {"score.py": "raise RuntimeError('No CUDA GPUs are available')\n"}, r"no CUDA device"),
]


@pytest.mark.parametrize(("files", "says"), [row[1:] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_hint(world: World, files: dict[str, str | bytes], says: str) -> None:
    """The hint says what was found."""
    sys.modules.pop("colorsys", None)
    error = world.mistake(files)
    assert error.hint is not None and re.search(says, error.hint), error


@pytest.mark.skipif(os.sep != "/", reason="backslashes do separate folders there")
def test_backslashes_in_a_path(world: World) -> None:
    """A path of another system."""
    error = world.mistake("open('data\\\\labels.txt')\n")
    assert "backslashes" in str(error.hint)


def test_relative_path_starts_at_the_working_directory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beside a script in a subfolder is not found by its name alone."""
    world.write({"src/score.py": "open('labels.txt')\n", "src/labels.txt": ""})

    import gallery

    error = gallery.mistake(str(world.folder / "src" / "score.py"))
    assert "labels.txt lies beside the script" in str(error.hint)


def test_entry_script_in_another_folder(world: World) -> None:
    """The script is looked for below the working directory, and by a near name."""
    world.write({"src/main_script.py": "", "scores.py": ""})
    for name, says in (("main_script.py", "src/main_script.py"), ("score.py", "scores.py")):
        path = str(world.folder / name)
        error = problems.unreadable_script(path, FileNotFoundError(errno.ENOENT, "No such file or directory", path))
        assert says in str(hints.explain(error).hint)


# ------------------------------------------------------------------ model folder


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"model/sub/1/model.pkl": MODEL},
            r"^model\.pkl was found two levels down: try `--model_dir model/sub/1`\n"
            r"model/  <- --model_dir\n  sub/\n    1/\n      model\.pkl$",
        ),
        (
            {"model.pkl": MODEL, "model/other.txt": b""},
            r"^model\.pkl was found one level up: try `--model_dir \.`\n\./\n  model/  <- --model_dir\n  model\.pkl$",
        ),
        ({"model/regression.pkl": MODEL}, r"the model folder holds 'regression\.pkl'"),
        ({"model/.keep": b""}, r"the model folder model is empty"),
        ({}, r"the model folder model does not exist"),
    ],
)
def test_model_file_off_by_a_folder(
    world: World, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], says: str
) -> None:
    """One level up or down, another name, nothing there."""
    monkeypatch.setenv("AZUREML_MODEL_DIR", "model")
    error = world.mistake({"score.py": LOAD_MODEL, **files}, model_dir="model")
    assert error.hint is not None and re.search(says, error.hint), error.hint


def test_model_file_deeper_than_the_script_asks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script joins two folders of which one is missing."""
    monkeypatch.setenv("AZUREML_MODEL_DIR", "model")
    script = LOAD_MODEL.replace('"model.pkl"', '"iris", "model.pkl"')
    error = world.mistake({"score.py": script, "model/v1/model.pkl": MODEL}, model_dir="model")
    assert error.hint == "the model folder holds it at v1/model.pkl"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LFS, r"model/model\.pkl is a Git LFS pointer"),
        (b"", r"is empty: 0 bytes"),
        (MODEL[:-4], rf"has only {len(MODEL) - 4} bytes and breaks off"),
        (b"<!DOCTYPE html><html>", r"a web page or XML"),
        (b"not a pickle at all", r"is no pickle; it begins with b'not a pickle at"),
        (b"\x1f\x8b\x08\x00zzzz", r"is gzip data"),
        (b"PK\x03\x04zzzz", r"is a zip archive"),
        (b"\x80\x02c__main__\nPreprocessor\n)\x81.", r"Preprocessor was pickled in a notebook"),
        (b"\x80\x02cnever_written_steps\nStep\n)\x81.", r"put never_written_steps\.py, .* beside the script"),
        (b"\x80\x02cown_steps\nStep\n)\x81.", r"own_steps\.py has no Step, which it had"),
        (b"\x80\x63.", r"newer version of Python \(protocol 99\); this is Python 3"),
    ],
)
def test_file_that_is_no_good_pickle(world: World, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str) -> None:
    """Its first bytes and its size tell what it is."""
    monkeypatch.setenv("AZUREML_MODEL_DIR", "model")
    files: dict[str, str | bytes] = {"score.py": LOAD_MODEL, "model/model.pkl": content, "own_steps.py": "a = 1\n"}
    error = world.mistake(files, model_dir="model")
    assert error.hint is not None and re.search(says, error.hint), error


def test_pickle_read_as_text(world: World) -> None:
    """open() without "rb"."""
    error = world.mistake(
        {"score.py": "import pickle\nwith open('m.pkl') as file:\n    pickle.load(file)\n", "m.pkl": MODEL}
    )
    assert error.hint == 'm.pkl is binary: open it with mode "rb"'


def test_joblib_on_a_pointer(world: World) -> None:
    """joblib reports the first byte as a KeyError."""
    pytest.importorskip("joblib")
    error = world.mistake({"score.py": "import joblib\njoblib.load('m.joblib')\n", "m.joblib": LFS})
    assert "Git LFS pointer" in str(error.hint)


def test_pickle_of_another_scikit_learn(world: World) -> None:
    """Both versions are named where a module of the old one is gone."""
    sklearn = pytest.importorskip("sklearn")
    content = (
        b"\x80\x04\x8c\x1asklearn.linear_model.never\x8c\x05Ridge\x93)\x81}\x8c\x10_sklearn_version\x8c\x060.22.1sb."
    )
    files: dict[str, str | bytes] = {
        "score.py": "import sklearn, pickle\nwith open('m.pkl', 'rb') as file:\n    pickle.load(file)\n",
        "m.pkl": content,
    }
    error = world.mistake(files)
    assert "scikit-learn 0.22.1" in str(error.hint) and sklearn.__version__ in str(error.hint)


def test_broken_json_in_the_model_folder(world: World) -> None:
    """The place in the data file, which the message gives without the file."""
    script = "import json\nwith open('settings.json') as file:\n    json.load(file)\n"
    error = world.mistake({"score.py": script, "settings.json": b'{\n  "a": 1\n  "b": 2\n}\n'})
    assert error.hint == 'it is settings.json, line 3: "b": 2'


# -------------------------------------------------------- oddities of Azure ML


POSTPONED = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Row:
    size: int
"""


@pytest.mark.parametrize(
    ("script", "body", "says"),
    [
        (POSTPONED, "", r"does not register score\.py as a module.*\nmove Row into a module of its own"),
        ("import pickle\nclass Model: pass\npickle.dumps(Model())\n", "", r"does not register.*\nmove Model into"),
        ("import entry_module\n", "", r"does not register score\.py"),
        (
            "import flask\n" + given("flask.abort(409)"),
            "{}",
            r"abort\(409\) in run\(\).*500.*AMLResponse\(message, 409\)",
        ),
        ("import json\n" + given("int(json.loads(raw_data))"), "NaN", r"the body holds NaN, which is not JSON"),
        (
            "import json\n" + given("json.loads(raw_data)"),
            "[" * 100_000 + "]" * 100_000,
            r"nested 20000 deep or more, which",
        ),
    ],
)
def test_oddity_of_azure(world: World, script: str, body: str, says: str) -> None:
    """What fails there fails here, and it is said that it is so there too."""
    error = world.mistake(script, body)
    assert error.hint is not None and re.search(says, error.hint), error


def _from_run(error: BaseException) -> BaseException:
    """Without the call of the test itself, which counts as the user's own code."""
    assert error.__traceback__ is not None
    return error.with_traceback(error.__traceback__.tb_next)


def test_no_oddity_where_run_says_it_itself(world: World) -> None:
    """A raw run() that is marked itself is no surprise; one that is raw by another function's mark is."""
    from flask import Request

    head = "import json\ndef rawhttp(f): return f\n" + INIT
    tail = "def run(request):\n    return json.loads(request)\n"
    for mark, says in (("@rawhttp\ndef helper(): pass\n", "@rawhttp on helper() makes"), ("@rawhttp\n", "(@rawhttp)")):
        module = loader.load_script(world.write({"score.py": head + mark + tail}))
        with pytest.raises(TypeError) as caught:
            module.run(Request({}))
        error = _from_run(caught.value)
        hint = hints.explain(exceptions.describe(error, "run"), error).hint
        assert hint is not None and says in hint


def test_value_that_its_schema_cannot_convert(world: World) -> None:
    """The parameter, what came and what was wanted are named; run() itself was not entered."""
    head = "def _deserialize_input_argument(input_data, param_type, param_name):\n"
    source = head + "    sample_data_type = param_type\n    1 / 0\n"
    of_the_library: dict[str, Any] = {}
    exec(compile(source, "<inference_schema>", "exec"), of_the_library)
    with pytest.raises(ZeroDivisionError) as caught:
        of_the_library["_deserialize_input_argument"]("text", OrderedDict, "rows")
    raised = _from_run(caught.value)
    error = hints.explain(exceptions.describe(raised, "run"), raised)
    assert (
        error.hint is not None and "'rows' is a JSON text, which is to become collections.OrderedDict\n" in error.hint
    )
    assert "500 here as in Azure ML" in error.hint


# ------------------------------------------------------------------ the request


@pytest.mark.parametrize(
    ("script", "body", "facts", "says"),
    [
        (PARSE, "5.1,3.5", {}, r"the body is not JSON; it begins with '5\.1,3\.5'"),
        (PARSE, "{'data': 1}", {}, r"JSON wants double quotes"),
        (PARSE, "data=1&b=2", {}, r"the body is a form"),
        (PARSE, "\ufeff{}", {}, r"byte order mark"),
        (PARSE, "", {}, r"the request has no body"),
        (PARSE, '{"a": 1}', {"content_type": "application/x-www-form-urlencoded"}, r"Content-Type: application/json"),
        (PARSE.replace("return {}", "return data['rows']"), '{"data": 1}', {}, r"the request has the fields 'data'"),
        (PARSE.replace("return {}", "return data['row']"), '{"rows": 1, "x": 2}', {}, r"'rows', 'x'\. Nearest: 'rows'"),
        (PARSE.replace("return {}", "return data['rows']"), '{"input": {"rows": 1}}', {}, r"inside 'input'"),
        (PARSE.replace("return {}", "return data['rows']"), "{}", {}, r"empty object"),
        (PARSE.replace("return {}", "return data['rows']"), "[1]", {}, r"the body is a JSON list"),
        (PARSE.replace("return {}", "return data['rows']"), '"{\\"rows\\": 1}"', {}, r"data is a JSON string.*twice"),
        (given("raw_data['rows']"), '{"rows": 1}', {}, r"parse it first, json\.loads\(raw_data\)"),
        (given("raw_data.get('rows')"), '{"rows": 1}', {}, r"parse it first"),
        ("import json\n" + given("json.loads(json.loads(raw_data))"), "{}", {}, r"it is a dict already"),
    ],
)
def test_request(world: World, script: str, body: str, facts: dict[str, Any], says: str) -> None:
    """What the body looks like, and which fields it has."""
    error = world.mistake(script, body, **facts)
    assert error.hint is not None and re.search(says, error.hint), error


def test_request_behind_a_wrapper(world: World) -> None:
    """A decorator's wrapper is given the same text as run()."""
    script = "def same(func):\n    def run(data):\n        return func(data.get('x'))\n    return run\n\n" + INIT
    error = world.mistake(script + "@same\ndef run(data):\n    return 1\n", '{"x": 1}')
    assert "parse it first" in str(error.hint)


# ------------------------------------------------------------------ data frames


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("frame['income']", r"frame has the columns 'age', 'Income'\. Nearest: 'Income'"),
        ("frame[['income']]", r"frame has the columns"),
        ("frame.append(frame)", r"use pd\.concat.*pandas \d"),
        ("frame.dropnan()", r"did you mean dropna"),
    ],
)
def test_data_frame(world: World, line: str, says: str) -> None:
    """Columns, and methods that are gone."""
    pytest.importorskip("pandas")
    error = world.mistake(f"import pandas as pd\nframe = pd.DataFrame([[1, 2]], columns=['age', 'Income'])\n{line}\n")
    assert error.hint is not None and re.search(says, error.hint), error


# ---------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ('{"a": {1}}', r'use list\(result\["a"\]\)'),
        ("b'x'", r"result\.decode\(\)"),
        ('{"t": datetime.datetime(2024, 5, 1)}', r"isoformat"),
        ('{"t": datetime.timedelta(1)}', r"total_seconds"),
        ("decimal.Decimal(1)", r"float\(result\)"),
        ("uuid.uuid4()", r"str\(result\)"),
        ("(n for n in [1])", r"list\(result\)"),
        ("{(1, 2): 3}", r"a key must be text"),
        ("Row(1)", r"dataclasses\.asdict\(result\)"),
        ("[Kind.A]", r"result\[0\]\.value"),
        ("Model()", r"vars\(result\)"),
        ("raw_data.upper", r"call it: result\(\)"),
        ("float('nan')", r"null \(None\)"),
        ("1, 400", r"AMLResponse\(body, 400\)"),
        ("None", r"return with a value"),
    ],
)
def test_result(world: World, returned: str, says: str) -> None:
    """How the part becomes something that JSON knows."""
    script = "import dataclasses, datetime, decimal, enum, uuid\n\n@dataclasses.dataclass\nclass Row:\n    n: int\n\n"
    script += "class Kind(enum.Enum):\n    A = 1\n\nclass Model:\n    pass\n\n"
    error = world.mistake(script + given(returned))
    assert error.hint is not None and re.search(says, error.hint), error


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("np.zeros(3)", r"result\.tolist\(\)"),
        ("[np.float32(1)]", r"float\(result\[0\]\)"),
        ("np.int64(1)", r"int\(result\)"),
        ("np.bool_(True)", r"bool\(result\)"),
        ("{np.int64(1): 2}", r"a key must be text"),
    ],
)
def test_numpy_result(world: World, returned: str, says: str) -> None:
    """Arrays and scalars of numpy."""
    pytest.importorskip("numpy")
    error = world.mistake("import numpy as np\n" + given(returned))
    assert error.hint is not None and re.search(says, error.hint), error


def test_function_without_return(world: World) -> None:
    """Nothing was returned as there is no return at all."""
    assert world.mistake(INIT + "def run(raw_data):\n    raw_data.upper()\n").hint == "it has no return statement"


@pytest.mark.filterwarnings("ignore:coroutine")
def test_async_run(world: World) -> None:
    """The server awaits nothing."""
    assert "write def run" in str(world.mistake(INIT + "async def run(raw_data):\n    return 1\n").hint)


@pytest.mark.filterwarnings("ignore:coroutine")
def test_async_init(world: World) -> None:
    """A name that an async init() was to set is not there, as its body never ran."""
    error = world.mistake("async def init():\n    global model\n    model = 1\n\ndef run(d):\n    return model\n")
    assert "init() is async" in str(error.hint)


# ------------------------------------------------------- signatures, limits, deaths


def test_wrapper_that_hides_the_parameters(world: World) -> None:
    """functools.wraps is named where a decorator of the user's takes the signature away."""
    script = "def timed(func):\n    def wrapper(*args):\n        return func(*args)\n    return wrapper\n\n"
    script += "@timed\ndef run(a):\n    pass\n"
    module = loader.load_script(world.write({"score.py": script}))
    message = "run() cannot accept positional-only arguments, *args, or **kwargs."
    assert "decorator timed hides" in str(hints.explain(problems.wrong_signature(module.run, message)).hint)
    own = loader.load_script(world.write({"score.py": "def run(*args):\n    pass\n"}))
    assert hints.explain(problems.wrong_signature(own.run, message)).hint is None


def test_time_limit_names_the_setting_and_the_loop(world: World) -> None:
    """The loop around the running line is found in the source."""
    script = world.write({"score.py": "def run(go):\n    while True:\n        go()\n"})
    found: list[Diagnostic] = []

    def go() -> None:
        found.append(hints.explain(problems.timed_out(sys._getframe(1), 1000)))
        raise StopIteration

    with pytest.raises(StopIteration):
        loader.load_script(script).run(go)
    assert re.search(r"loop of line 2 .*raise SCORING_TIMEOUT_MS \(milliseconds\)", str(found[0].hint))


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
def test_killed_process_names_the_memory(world: World) -> None:
    """SIGKILL comes from outside."""
    script = world.write({"score.py": INIT + RUN})
    assert re.search(r"memory runs out: [\d.]+ GB", str(hints.explain(exits.died("run", -9, script=script)).hint))


# --------------------------------------------------------------------- restraint

SILENT = [
    "raise ValueError('bad')\n",
    "1 / 0\n",
    "{}['x']\n",
    "[][3]\n",
    "assert 1 == 2\n",
    "int('n/a')\n",
    "open('/never/there/at/all.bin')\n",
    "def f():\n    return f()\nf()\n",
    "class A:\n    pass\nA().zzzzzz\n",
    "qwertzuiop\n",
    "import os\nraise RuntimeError('x') from KeyError('AZUREML_MODEL_DIR')\n",
    "import sys\nsys.exit(3)\n",
]


@pytest.mark.parametrize("script", SILENT)
def test_no_hint_without_a_finding(world: World, script: str) -> None:
    """Nothing was found, nothing is said."""
    assert world.mistake(script).hint is None


def test_predicate_that_raises_is_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of the user's may do anything when they are looked at."""
    script = (
        "class Odd:\n    def __getattribute__(self, name):\n        raise RuntimeError('no')\n\nodd = Odd()\nodd.size\n"
    )
    assert world.mistake(script).type == "RuntimeError"

    def broken(_facts: hints.Facts) -> str:
        raise KeyError

    monkeypatch.setattr(hints, "PREDICATES", [broken, lambda _facts: "second"])
    assert world.mistake("1 / 0\n").hint == "second"


def test_hint_that_is_there_stays(world: World) -> None:
    """A finding that brought its own hint keeps it."""
    error = problems.missing_function(world.write({"score.py": "def int():\n    pass\n"}), "init")
    assert hints.explain(error) is error


def test_values_are_never_told(world: World) -> None:
    """Names, fields and types help; values may be secrets."""
    script = "password = 'hunter2'\nconfig = {'user': 'hunter2'}\nconfig['password']\n"
    error = world.mistake(script)
    assert error.hint == "config has the fields 'user'"


def test_hints_are_quick(world: World) -> None:
    """Also where the project is a large tree."""
    for number in range(40):
        folder = world.folder / f"folder{number}"
        folder.mkdir()
        for other in range(60):
            (folder / f"file{other}.txt").touch()
    script = world.write({"score.py": "open('model/never.pkl')\n"})
    with pytest.raises(FileNotFoundError) as caught:
        loader.load_script(script)
    error = exceptions.describe(caught.value, "load")
    begun = time.thread_time()
    hints.explain(error, caught.value)
    assert time.thread_time() - begun < 0.05 + 2 * System.clock_tick


def test_a_tick_of_a_coarse_clock_ends_no_search(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a thread stands still on Windows and then jumps, however little was done in between."""
    tick = 1 / 64
    asked = iter(range(10**9))
    monkeypatch.setattr(System, "clock_tick", tick)
    monkeypatch.setattr(time, "thread_time", lambda: tick * (next(asked) > 2))
    assert world.mistake({"score.py": "open('labels.txt')\n", "data/labels.txt": ""}).hint
    assert next(asked) > 2


# ---------------------------------------------------- hints that would mislead


def hint_of(world: World, files: dict[str, str | bytes] | str, body: str = "{}") -> str:
    return str(world.mistake(files, body).hint)


@pytest.mark.parametrize(
    ("script", "others", "says"),
    [
        ("import tensorflow\n", {"utils_pkg/__init__.py": ""}, r"pip install tensorflow"),
        ("import qwertz_features\n", {"utils_pkg/__init__.py": ""}, r"no qwertz_features\.py in"),
        ("import nmupy\n", {"a/__init__.py": "", "a/b/__init__.py": ""}, r"did you mean numpy\?"),
        ("import tensorflow\n", {"src/wrappers/tensorflow.py": ""}, r"pip install tensorflow"),
        ("import far_pkg\n", {"src/far_pkg/__init__.py": "", "aaa/__init__.py": ""}, r"^src/far_pkg exists.*=src$"),
        ("import far_helper\n", {"far_helper.txt": "", "lib/far_helper.py": ""}, r"^lib/far_helper\.py exists.*=lib$"),
        ("import preproces\n", {"preprocess/steps.py": ""}, r"there is a folder preprocess; did you mean preprocess"),
        ("import qfeatures\n", {"qfeature/notes.txt": ""}, r"no qfeatures\.py in"),
    ],
)
def test_packages_of_the_project_are_not_taken_for_others(
    world: World, script: str, others: dict[str, str | bytes], says: str
) -> None:
    """Any package has an __init__.py: only the name of its folder tells which it is."""
    said = hint_of(world, {"score.py": script, **others})
    assert re.search(says, said), said


def test_script_below_a_folder_with_packages(world: World) -> None:
    """The README's own walk: the tool's package in the working directory, the script deeper."""
    import gallery

    world.write({"tool/__init__.py": "", "tool/sub/__init__.py": "", "samples/iris/score.py": "import nmupy\n"})
    error = gallery.mistake(str(world.folder / "samples" / "iris" / "score.py"))
    assert error.hint == "did you mean numpy?"


@pytest.mark.parametrize(
    ("script", "distribution"),
    [
        ("from azureml.core.model import Model\n", "azureml-core"),
        ("import azureml.core\n", "azureml-core"),
        ("import azureml.train.automl.runtime\n", "azureml-train-automl-runtime"),
        ("from azureml.automl.runtime.shared import x\n", "azureml-automl-runtime"),
        ("from azureml.monitoring import ModelDataCollector\n", "azureml-monitoring"),
        ("from azureml.ai.monitoring import Collector\n", "azureml-ai-monitoring"),
        ("from azureml import dataprep\n", "azureml-dataprep"),
        ("from azure.storage.blob import BlobClient\n", "azure-storage-blob"),
        ("from azure.keyvault.secrets import SecretClient\n", "azure-keyvault-secrets"),
        ("import azure.search.documents as docs\n", "azure-search-documents"),
        ("from google.cloud import bigquery\n", "google-cloud-bigquery"),
    ],
)
def test_parts_of_a_namespace_are_packages_of_their_own(world: World, script: str, distribution: str) -> None:
    """The distribution that brings this part, and no other one of the family."""
    said = hint_of(world, script)
    assert f"python -m pip install {distribution} " in said, said


@pytest.mark.parametrize("module", ["azureml.never_heard_of", "azure.never_heard_of.it"])
def test_unknown_part_of_a_namespace_is_not_guessed(world: World, module: str) -> None:
    """Nobody is told to install what may not be the right thing."""
    said = hint_of(world, f"import {module}\n")
    assert said == f"no package that is installed here has {module}"


def test_installed_distribution_is_not_to_be_installed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that this version of it does not have."""
    from devserver.diagnostics.hints import imports

    monkeypatch.setattr(imports, "installed_version", lambda name: "1.55.0" if name == "azureml-core" else None)
    said = hint_of(world, "import azureml.core.never\n")
    assert said == "azureml-core 1.55.0 is installed here, which has no azureml.core.never"


@pytest.mark.parametrize("name", ["tensorfow", "catbost", "trasformers", "qwertz_features", "requestss"])
def test_no_command_installs_a_likely_typo(world: World, name: str) -> None:
    """Somebody else may own the misspelt name."""
    assert "pip install" not in hint_of(world, f"import {name}\n")


def test_unknown_package_of_the_project_is_named(world: World) -> None:
    """The environment file says what it is."""
    said = hint_of(world, {"score.py": "import qwertz_features\n", "requirements.txt": "qwertz-features==1.0\n"})
    assert said == "it is not installed here: install what requirements.txt names"


WEIGHTS = (
    "Weights only load failed. This file can still be loaded, to do so you have two options, \\x1b[1mdo those steps "
    "only if you trust the source of the checkpoint\\x1b[0m. \\n\\t(1) In PyTorch 2.6, we changed the default value "
    "of the `weights_only` argument in `torch.load` from `False` to `True`.\\n\\tWeightsUnpickler error: Unsupported "
    "global: GLOBAL __main__.Net was not an allowed global by default."
)
TORCH = f"""
import pickle

class torch:
    @staticmethod
    def load(path):
        with open(path, "rb") as file:
            raise pickle.UnpicklingError("{WEIGHTS}")

torch.load("model.pt")
"""


def test_weights_only_is_named(world: World) -> None:
    """torch.load() that does not trust the file; its colours are not printed as text."""
    error = world.mistake({"score.py": TORCH, "model.pt": b"PK\x03\x04zzzz"})
    assert "refuses __main__.Net" in str(error.hint) and "weights_only=False" in str(error.hint)
    assert "you have two options, do those steps" in error.message
    assert "UnpicklingError: Weights only" in error.traceback and "\x1b" not in error.traceback


def test_objects_in_an_array_are_named(world: World) -> None:
    """numpy's refusal of the same kind."""
    numpy = pytest.importorskip("numpy")
    numpy.savez(world.folder / "a.npz", a=numpy.array([{}], dtype=object))
    said = hint_of(world, {"score.py": "import numpy as np\nnp.load('a.npz')['a']\n"})
    assert "allow_pickle=True" in said


@pytest.mark.parametrize(
    "script",
    [
        "import json\nwith open('a.json', 'rb') as f:\n    json.load(f)\n",
        "from json import load\nwith open('a.json', 'rb') as f:\n    load(f)\n",
    ],
)
def test_text_is_no_pickle(world: World, script: str) -> None:
    """load() is not pickle's alone."""
    said = hint_of(world, {"score.py": script, "a.json": b"PK\x03\x04zzzz"})
    assert "pickle" not in said


def test_batch_driver_does_not_hide_other_mistakes(world: World) -> None:
    """A run() for lists of files, whose init() fails where it is called late."""
    script = """
    import json

    settings = None

    def init():
        global settings
        settings = json.loads("")

    def run(mini_batch):
        if settings is None:
            late()
        return [open(name) for name in mini_batch]

    def late():
        init()
    """
    import gallery

    path = world.write({"score.py": script.replace("def late():\n        init()", "def late():\n        setup()")})
    text = Path(path).read_text().replace("def init():", "def init():\n    pass\n\ndef setup():")
    Path(path).write_text(text)
    error = gallery.mistake(path)
    assert (error.type, "batch" in str(error.hint)) == ("JSONDecodeError", False)


def test_batch_driver_that_calls_another_function(world: World) -> None:
    """Each letter of the text is taken for a file."""
    script = INIT + "def run(mini_batch):\n    return [one(f) for f in mini_batch]\n\ndef one(f):\n    return open(f)\n"
    assert "batch endpoint" in hint_of(world, script)


def test_only_field_is_not_said_twice(world: World) -> None:
    """With one field there is nothing to choose from."""
    script = "import json\n" + INIT + "def run(raw_data):\n    return json.loads(raw_data)['data']\n"
    assert hint_of(world, script, '{"dta": 1}') == "the request has the fields 'dta'"
    assert hint_of(world, script, '{"dta": 1, "b": 2}').endswith("Nearest: 'dta'")


def test_only_column_is_not_said_twice(world: World) -> None:
    """A table is no other case."""
    pytest.importorskip("pandas")
    script = "import pandas as pd\ndf = pd.DataFrame({'dta': [1]})\ndf['data']\n"
    assert hint_of(world, script) == "df has the columns 'dta'"


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("    if raw_data == 'x':\n        return {'a': 1}\n", 4, "not every way"),
        ("    if raw_data:\n        return None\n    return 5\n", 6, "not every way"),
        ("    if raw_data:\n        return\n", 4, "never comes to a return with a value"),
        (
            "    return raw_data.clear() if hasattr(raw_data, 'clear') else print(end='')\n",
            5,
            "what it returns is None",
        ),
        ("    try:\n        return {}['x']\n    except KeyError:\n        pass\n", 4, "not every way"),
        ("    with open(__file__) as f:\n        return print(end='')\n", 6, "what it returns is None"),
        ("    while True:\n        return print(end='')\n", 6, "what it returns is None"),
        ("    'a comment about return'\n", 4, "it has no return statement"),
        ("    def inner():\n        return 1\n    inner()\n", 4, "it has no return statement"),
        ("    if raw_data:\n        return print(end='')\n    else:\n        raise ValueError\n", 6, "what it returns"),
    ],
)
def test_none_is_placed_at_a_return_that_was_taken(world: World, body: str, line: int, says: str) -> None:
    """Where the end of run() may have been reached, nothing but its `def` is marked."""
    error = world.mistake(INIT + "def run(raw_data):\n" + body)
    assert (error.code, error.line) == ("result-none", line) and says in str(error.hint), error.hint


@pytest.mark.parametrize("returned", ["{'a': 1}", "build()"])
def test_a_wrapper_that_changes_the_result_is_not_blamed_on_a_return(world: World, returned: str) -> None:
    """A return that cannot have given such a value is not marked."""
    script = (
        INIT
        + "import functools\ndef pair(f):\n    @functools.wraps(f)\n    def inner(raw):\n        return f(raw), 200\n"
        f"    return inner\n@pair\ndef run(raw_data):\n    return {returned}\n\ndef build():\n    return 1\n"
    )
    error = world.mistake(script)
    text = Path(str(error.path)).read_text().split("\n")[(error.line or 0) - 1]
    assert error.code == "result-tuple"
    assert text.startswith("def run" if returned != "build()" else "    return build()")
