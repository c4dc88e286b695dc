"""`--check`, by the real command: the verdict's exit code, what it says in each format, and that nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from live import COMMAND, ROOT, environment
from mistakes import HAS_COLUMNS

from devserver.diagnostics.azure_advice import Answered, on_answer, on_load

GOOD = "import json\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return {'n': json.loads(data)['n']}\n"
LIMIT = 60.0


def check(folder: Path, *arguments: str, script: str = "score.py") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--entry_script", script, "--check", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "good.json").write_text('{"n": 1}', encoding="utf-8")
    (tmp_path / "bad.json").write_text('{"m": 1}', encoding="utf-8")
    return tmp_path


def test_a_good_script_passes(project: Path) -> None:
    """Exit code 0, with and without a sample, and the answer is shown."""
    assert check(project).returncode == 0
    done = check(project, "--request", "good.json")
    assert done.returncode == 0, done.stderr
    assert '{"n": 1}' in done.stdout and "check passed: the script loads, 1 sample answered" in done.stdout


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("def init(: pass\n", "score.py:1:"),
        (GOOD.replace("pass", "raise ValueError('no')"), "score.py:5:"),
        (GOOD.replace("def run", "def predict"), "score.py:"),
        (GOOD.replace("pass", "import os; os._exit(3)"), "score.py:5:"),
    ],
    ids=["syntax", "init", "no run", "death in init"],
)
def test_a_script_that_does_not_load_is_a_3(project: Path, source: str, place: str) -> None:
    """Whatever keeps it from loading is named with its place."""
    (project / "score.py").write_text(source, encoding="utf-8")
    done = check(project, "--request", "good.json")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith(place) or f"\n{place}" in done.stdout


def test_each_failing_sample_counts_and_the_next_goes_on(project: Path) -> None:
    """An exception, a missing file and a death of the process: exit code 4, and the good sample is answered."""
    (project / "score.py").write_text(
        GOOD.replace("return", "import os; '9' in data and os._exit(7)\n    return"), encoding="utf-8"
    )
    (project / "deadly.json").write_text('{"n": 9}', encoding="utf-8")
    samples = ["bad.json", "none.json", "deadly.json", "good.json"]
    done = check(project, *(word for name in samples for word in ("--request", name)), "--check_format", "json")
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == 4
    assert [(each["name"], each["ok"]) for each in found["samples"]] == list(
        zip(samples, [False] * 3 + [True], strict=True)
    )
    bad, missing, deadly, _ = found["samples"]
    assert (bad["errors"][0]["type"], bad["errors"][0]["line"]) == ("KeyError", 10)
    assert missing["sent"]["problem"] == "there is no such file"
    assert "exited with code 7" in deadly["errors"][0]["message"]


def test_a_hanging_sample_is_cut_off_by_the_time_limit(project: Path) -> None:
    """The line that was running is named, and the next sample goes on."""
    (project / "score.py").write_text(GOOD.replace("return", "while '5' in data: pass\n    return"), encoding="utf-8")
    (project / "hangs.json").write_text('{"n": 5}', encoding="utf-8")
    command = [*COMMAND, "--entry_script", "score.py", "--check", "--request", "hangs.json", "--request", "good.json"]
    env = environment({"SCORING_TIMEOUT_MS": "300"})
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, timeout=LIMIT, encoding="utf-8"
    )
    assert done.returncode == 4
    assert "score.py:9:" in done.stdout and "sample good.json: 200" in done.stdout


def test_github_annotations_name_file_and_line(project: Path) -> None:
    """One workflow command per problem, in one line each."""
    done = check(project, "--request", "bad.json", "--check_format", "github")
    column = 18 if HAS_COLUMNS else 1
    assert f"::error file=score.py,line=9,col={column},title=run::KeyError: 'n'" in done.stdout
    (project / "score.py").write_text("x = [\n", encoding="utf-8")
    done = check(project, "--check_format", "github")
    assert "::error file=score.py,line=1,col=5,title=load::SyntaxError: '[' was never closed" in done.stdout


def test_junit_is_xml_with_one_case_per_sample(project: Path) -> None:
    """What the script prints does not get into it."""
    (project / "score.py").write_text(GOOD.replace("pass", "print('<noise>')"), encoding="utf-8")
    done = check(project, "--request", "good.json", "--request", "bad.json", "--check_format", "junit")
    suite = ElementTree.fromstring(done.stdout.encode())
    assert (suite.get("tests"), suite.get("failures"), done.returncode) == ("3", "1", 4)
    assert [case.find("failure") is not None for case in suite] == [False, False, True]
    times = [float(case.get("time", "0")) for case in suite]
    assert all(0 < seconds < float(suite.get("time", "0")) for seconds in times), times


@pytest.mark.parametrize("script", ["x = [\n", "def init(): 1 / 0\ndef run(data): pass\n", "import os; os._exit(5)\n"])
def test_junit_skips_what_cannot_be_sent(project: Path, script: str) -> None:
    """Where the script cannot be loaded, each sample is a case that was skipped; the load took its time."""
    (project / "score.py").write_text(script)
    done = check(project, "--request", "good.json", "--request", "nowhere.json", "--check_format", "junit")
    suite = ElementTree.fromstring(done.stdout.encode())
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert (counts, done.returncode) == (["3", "1", "0", "2"], 3)
    load, *samples = suite
    assert load.find("failure") is not None and float(load.get("time", "0")) > 0
    assert [case.get("name") for case in samples] == ["sample good.json", "sample nowhere.json"]
    reasons = [skipped.get("message", "") for case in samples for skipped in case.iter("skipped")]
    assert len(reasons) == 2 and all(reason.startswith("check failed: ") for reason in reasons)


def test_no_port_is_needed(project: Path) -> None:
    """The port of the settings is neither bound nor checked."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = check(project, "--port", str(taken.getsockname()[1]), "--host", "127.0.0.1", "--request", "good.json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["hello", "streaming"])
def test_samples_pass(name: str) -> None:
    """The samples of this project pass their own check."""
    folder = ROOT / "samples" / name
    done = check(ROOT, "--request", str(folder / "sample-request.json"), script=str(folder / "score.py"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_notes_would_azure_accept_it(project: Path) -> None:
    """A package that the requirements beside the script do not name, and a status that the router replaces."""
    pytest.importorskip("requests")
    script = GOOD.replace("import json", "import json\n\nimport flask\nimport requests")
    script = script.replace("return {'n': json.loads(data)['n']}", "return flask.Response('x', 503)")
    (project / "score.py").write_text(script, encoding="utf-8")
    (project / "requirements.txt").write_text("# packages\nFlask>=2\n", encoding="utf-8")
    done = check(project, "--request", "good.json", "--check_format", "json")
    notes = json.loads(done.stdout)["notes"]
    assert any(note.startswith("requests: imported, but not named in requirements.txt") for note in notes), notes
    assert any("status 503" in note for note in notes), notes


# --- the notes themselves


def answered(**facts: object) -> tuple[str, ...]:
    given = {"seconds": 0.1, "status": 200, "content_type": "application/json", "body": b"{}", "has_schema": False}
    return on_answer(Answered(**{**given, **facts}))  # type: ignore[arg-type]


def test_a_good_answer_has_no_note() -> None:
    """Nothing is said without a reason."""
    assert answered() == ()
    assert answered(has_schema=True) == ()
    assert answered(has_schema=True, body=None) == ()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"seconds": 2.5}, ["liveness"]),
        ({"seconds": 5.5}, ["request_timeout_ms", "liveness"]),
        ({"status": 500}, ["424"]),
        ({"has_schema": True, "body": b"text"}, ["schema"]),
        ({"has_schema": True, "body": None, "content_type": "text/plain"}, ["schema"]),
    ],
)
def test_each_note_has_its_reason(facts: dict[str, object], words: list[str]) -> None:
    """One line for each cause."""
    notes = answered(**facts)
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("requirements.txt", "pytest==1\n", True),
        ("requirements.txt", "other\n", False),
        ("conda.yml", "name: x\ndependencies:\n  - python=3.11\n  - pip:\n    - PyTest>=7\n", True),
        ("conda.yaml", "dependencies:\n  - python=3.11\n", False),
    ],
)
def test_packages_are_compared_with_the_files_beside_the_script(
    tmp_path: Path, name: str, content: str, named: bool
) -> None:
    """Names count in any spelling; the standard library and unknown modules are never missed."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    notes = on_load(["pytest", "pytest.mark", "json", "no_such_module"], str(tmp_path))
    assert (notes == ()) is named
    assert named or notes[0].startswith("pytest: imported, but not named in")


def test_without_such_files_nothing_is_compared(tmp_path: Path) -> None:
    """A folder without requirements says nothing about packages."""
    assert on_load(["pytest"], str(tmp_path)) == ()
    assert sys.modules["pytest"]


LEFT_OPEN = """
import os, sys
from devserver import check
from devserver.config.sources import read_config
check.run(read_config(sys.argv[1:], {}, os.getcwd()), dict(os.environ), False)
opened = [os.readlink(f"/proc/self/fd/{number}") for number in range(100) if os.path.lexists(f"/proc/self/fd/{number}")]
print("left open:", [name for name in opened if "memfd:azmlinfsrv" in name or "deleted" in name])
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing lists open files here")
def test_nothing_is_left_open_of_processes_that_ended(project: Path) -> None:
    """Each sample that kills the process has a new one started; what was kept of the old one is given back."""
    (project / "score.py").write_text(GOOD.replace("return", "import os; os._exit(7)\n    return"))
    samples = ["--request", "good.json", "--request", "bad.json"]
    command = [sys.executable, "-c", LEFT_OPEN, "--entry_script", "score.py", "--check", *samples]
    done = subprocess.run(command, cwd=project, env=environment({}), capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout.rstrip().endswith("left open: []"), done.stdout + done.stderr
