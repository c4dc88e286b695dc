"""Everything that the tool can print: nothing comes in, texts made from real small mistakes go out."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace

from devserver.diagnostics import exceptions, exits, hints, problems, return_value
from devserver.display import blocks, lines
from devserver.records import as_json
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.records.diagnostic import Diagnostic, Request
from devserver.records.messages import LoadReport, Times
from devserver.usercode import loader

_SAVED = ChangeSet(tuple(FileChange(f"/p/{name}.py", "modified", Role.CODE) for name in ("score", "preprocess")))
_INIT = "import json\n\n\ndef init():\n    pass\n\n\n"
_RUN = "\n\ndef run(raw_data):\n    return {}\n"

# title, files (score.py first), body of the request
MISTAKES: list[tuple[str, dict[str, str], str]] = [
    (
        "a syntax error in a helper",
        {
            "score.py": "import json\n\nfrom preprocess import clean\n",
            "preprocess.py": '"""Features."""\n\nCOLUMNS = ["age", "income"\n\ndef clean(row):\n    return row\n',
        },
        "",
    ),
    ("a module that is not there", {"score.py": "import json\n\nimport sklaern\n"}, ""),
    ("no init()", {"score.py": "def int():\n    pass\n\n\ndef run(raw_data):\n    return {}\n"}, ""),
    (
        "a model folder that was not given",
        {
            "score.py": "import os\nimport pickle\n\n\ndef init():\n    global model\n    path = os.path.join("
            'os.getenv("AZUREML_MODEL_DIR"), "model.pkl")\n    with open(path, "rb") as file:\n'
            "        model = pickle.load(file)\n" + _RUN,
            "artifacts/model.pkl": "",
        },
        "",
    ),
    (
        "an error behind another, a message of several lines",
        {
            "score.py": "import json\n\n\ndef init():\n    try:\n        json.loads('{')\n"
            '    except ValueError as error:\n        raise RuntimeError("2 faults:\\n  scaler\\n  model") from error\n'
            + _RUN
        },
        "",
    ),
    (
        "a field that the request does not have",
        {
            "score.py": _INIT
            + 'def run(raw_data):\n    data = json.loads(raw_data)\n    return {"sum": sum(data["rows"])}\n'
        },
        '{"data": [1, 2, 3]}',
    ),
    (
        "functions that call each other for ever",
        {
            "score.py": _INIT + "def even(n):\n    return odd(n - 1)\n\n\ndef odd(n):\n    return even(n - 1)\n\n\n"
            "def run(raw_data):\n    return even(7)\n"
        },
        "{}",
    ),
    (
        "a result that JSON cannot hold",
        {"score.py": _INIT + 'def run(raw_data):\n    return {"scores": [{1, 2}], "unit": "€"}\n'},
        "{}",
    ),
    (
        "a result that is not valid JSON",
        {"score.py": _INIT + 'def run(raw_data):\n    return {"mean": float("nan")}\n'},
        "{}",
    ),
    (
        "a long line, tabs and wide characters",
        {
            "score.py": _INIT
            + 'def run(raw_data):\n\ttext = "'
            + "模型" * 30
            + '"; '
            + 'total = len(text) + json.loads(raw_data)["価格"]; return {"total": total, "text": text}\n'
        },
        '{"price": 3}',
    ),
]


def samples() -> Iterator[tuple[str, Diagnostic]]:
    """(title, record) for each kind of mistake; the records' files are gone afterwards, their sources are kept."""
    before, path = os.getcwd(), list(sys.path)
    with tempfile.TemporaryDirectory() as root, loader.UserCode():
        for number, (title, files, body) in enumerate(MISTAKES):
            folder = os.path.join(os.path.realpath(root), str(number))
            _write(folder, files)
            os.chdir(folder)
            sys.path[:] = [folder, *path]
            try:
                yield title, mistake(os.path.join(folder, "score.py"), body)
            finally:
                os.chdir(before)
                sys.path[:] = path
        yield from _without_exception(os.path.join(os.path.realpath(root), "5", "score.py"))


def _write(folder: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def mistake(
    script: str, body: str = "", *, content_type: str = "application/json", model_dir: str | None = None
) -> Diagnostic:
    """Load a script, call init() and run(body), and say what went wrong. Errors: AssertionError when nothing did."""
    phase, request = "load", Request("POST", "/score", content_type, len(body.encode()), body[:200])
    try:
        module = loader.load_script(script)
        for name in ("init", "run"):
            if not callable(getattr(module, name, None)):
                return hints.explain(problems.missing_function(script, name))
        phase = "init"
        module.init()
        phase = "run"
        result = module.run("" if "form" in content_type else body)
    except (Exception, SystemExit) as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without the call here
        sent = request if phase == "run" else None
        found = exceptions.describe(error, phase, request=sent, status=500 if sent else None)
        return hints.explain(found, error, model_dir=model_dir)
    return _of_result(result, module.run, request)


def _of_result(result: object, run: Callable[..., object], request: Request) -> Diagnostic:
    try:
        json.dumps(result)
    except Exception as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        return hints.explain(return_value.unserialisable(result, error, run, request=request), error)
    warning = return_value.result_warning(result, run, request=request)
    assert warning is not None
    return hints.explain(warning)


def _without_exception(script: str) -> Iterator[tuple[str, Diagnostic]]:
    loader.script = script
    dump = (
        f'Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File "{script}", '
    )
    yield "a crash", exits.died("run", -11, dump=dump + "line 10 in run\n", script=script)
    yield "a killed process", hints.explain(exits.died("run", -9, script=script))
    yield "a time limit", hints.explain(problems.timed_out(None, 1000))


def show(colour: bool, width: int) -> str:
    """All blocks and all begin and end lines."""
    parts = [lines.starting("score.py", colour=colour)]
    found = list(samples())
    for title, error in found:
        folder = os.path.dirname(error.path)
        parts += [f"\n# {title}", blocks.block(error, colour=colour, width=width, cwd=folder)]
    error = found[5][1]
    folder = os.path.dirname(error.path)
    parts += ["\n# the same again", blocks.block(error, colour=colour, width=width, cwd=folder, count=3)]
    parts += ["\n# --full_traceback", blocks.block(found[4][1], colour=colour, width=width, full_traceback=True)]
    parts += [
        "\n# begin and end lines",
        lines.restarting(_SAVED, "/p", colour=colour),
        lines.ready(LoadReport(True, times=Times(120, 4, 2300)), 2.5, "http://127.0.0.1:5001/score", colour=colour),
        lines.not_ready(replace(error, phase="load"), 0.1, colour=colour),
        lines.given_up(replace(error, phase="init"), colour=colour),
        lines.restarting_after_death(0.5, colour=colour),
        *(lines.still(phase, 30, colour=colour) for phase in ("load", "init", "run")),
        lines.overran(10, colour=colour),
        lines.stopping(colour=colour),
        lines.request_failed(error, colour=colour),
        lines.end_of_report(colour=colour),
        "\n# for programs",
        as_json.event("error", generation=1, error=replace(error, excerpt=None, traceback="")),
        json.dumps(as_json.error_object(error)),
    ]
    return "\n".join(parts)


def main() -> None:
    """Print everything, without and with colour, as wide as the terminal."""
    import shutil

    width = shutil.get_terminal_size((100, 24)).columns
    for colour in (False, True):
        sys.stdout.write(show(colour, width) + "\n\n")


if __name__ == "__main__":
    main()
