"""`--init_vscode`: what is written, and that nothing of what was there is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from live import DEADLINE, ROOT, environment

from devserver.config import editor_files, jsonc, vscode

ARGUMENTS = ("--entry_script", "score.py", "--model_dir", "./model")
TASKS, LAUNCH, EXTENSIONS = vscode.targets(ARGUMENTS)
LABELS = [entry["label"] for entry in TASKS.entries]

FULL = """\
// how we work
{
    "version": "2.0.0",
    "tasks": [
        // the tests: "tasks": []
        { "label": "test", "command": "pytest", "args": ["]", "// no comment"] } /* ours */ // the last one
    ],
    "inputs": [{ "tasks": [1] }]
}
"""


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`--init_vscode` in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "devserver", "--init_vscode", *arguments],
        cwd=folder, env=environment({}), capture_output=True, text=True, timeout=DEADLINE,
     encoding="utf-8")  # fmt: skip


ALL = (TASKS, LAUNCH, EXTENSIONS)


def added(before: str, target: vscode.Target = TASKS) -> str:
    """The file's text with our entries."""
    planned = editor_files.merge(editor_files.entries_in(before, target), target)
    assert not planned.replaced
    return editor_files.changed(before, target, planned)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no -P")
def test_samples_are_what_the_command_writes(tmp_path: Path) -> None:
    """samples/vscode holds the files that the command writes in a project with .venv; a second run changes nothing."""
    used = json.dumps(str(Path(sys.executable).parent.resolve() / Path(sys.executable).name))
    for told in ("written", "nothing to add"):
        done = command(tmp_path, *ARGUMENTS)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [f"azmlinfsrv: {t.path}: {told}" for t in ALL]
        for target in ALL:
            sample = ROOT / "samples" / "vscode" / Path(target.path).name
            written = (tmp_path / target.path).read_text("utf-8").replace(used, json.dumps(vscode.IN_VENV))
            assert written == sample.read_text("utf-8")


@pytest.mark.parametrize(
    ("folder", "executable", "named"),
    [
        (PurePosixPath("/p"), PurePosixPath("/p/.venv/bin/python"), "${workspaceFolder}/.venv/bin/python"),
        (PurePosixPath("/p"), PurePosixPath("/project/bin/python"), "/project/bin/python"),
        (
            PureWindowsPath("c:\\Work\\p"),
            PureWindowsPath("C:\\work\\p\\.venv\\Scripts\\python.exe"),
            "${workspaceFolder}/.venv/Scripts/python.exe",
        ),
        (PureWindowsPath("C:\\p"), PureWindowsPath("D:\\Python\\python.exe"), "D:\\Python\\python.exe"),
    ],
)
def test_the_interpreter_that_wrote_the_files_starts_the_task(
    folder: PurePath, executable: PurePath, named: str
) -> None:
    """Seen from the workspace where it lies inside; no extension has to know which one is meant."""
    assert vscode.interpreter_for(folder, executable) == named
    tasks, launch, _ = vscode.targets(ARGUMENTS, named)
    entries = [entry for target in (tasks, launch) for entry in target.entries if isinstance(entry, dict)]
    assert [entry.get("command", entry.get("python")) for entry in entries] == [named, named, named, None]
    assert "${command:" not in json.dumps(entries)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", [vscode.DEBUG_EXTENSION]),
        ('{"recommendations": ["a.b"]}', ["a.b", vscode.DEBUG_EXTENSION]),
        ('{"unwantedRecommendations": []}', [vscode.DEBUG_EXTENSION]),
        (json.dumps({"recommendations": [vscode.DEBUG_EXTENSION]}), [vscode.DEBUG_EXTENSION]),
    ],
)
def test_the_debugger_is_recommended(before: str, after: list[str]) -> None:
    """Beside what is recommended already, and once."""
    text = added(before, EXTENSIONS)
    assert jsonc.parse(text)["recommendations"] == after
    assert added(text, EXTENSIONS) == text


@pytest.mark.parametrize(
    "before",
    [
        FULL,
        FULL.replace("\n", "\r\n"),
        "\ufeff" + FULL,
        FULL.replace("// the last one", ", // the last one"),
        '{"tasks": []}',
        '{"version": "2.0.0", "tasks": [{"label": "a"},]}',
        '{"version": "2.0.0"}',
        "{}",
        '{\n  "version": "2.0.0", // "tasks": [\n}\n',
        '{"tasks": [\n    // nothing yet\n]}',
    ],
)
def test_adds_and_loses_nothing(before: str) -> None:
    """Every character that was there stays, in its order; what is new are the entries, at the end."""
    after = added(before)
    was, now = jsonc.parse(before), jsonc.parse(after)
    assert now == {**was, "tasks": [*was.get("tasks", []), *TASKS.entries]}
    left = iter(after)
    assert all(character in left for character in before)
    assert added(after) == after
    assert ("\r\n" in before) == ("\r\n" in after) and after.count("\n") == after.replace("\r\n", "\n").count("\n")
    if "\r\n" in before:
        assert "\n" not in after.replace("\r\n", "")


def test_comments_stay_beside_their_entry() -> None:
    """The comment behind the last entry does not come to stand behind a new one."""
    after = added(FULL)
    assert '["]", "// no comment"] }, /* ours */ // the last one\n        {\n            "label"' in after


@pytest.mark.parametrize("before", ["{", "[]", '{"tasks": {}}', '{"tasks": null}', "42", "not json", '{"tasks": [}'])
def test_what_is_not_understood_is_left_alone(tmp_path: Path, before: str) -> None:
    """A file that cannot be read as a list of tasks is not touched; the entries are printed, and the exit code is 1."""
    path = tmp_path / TASKS.path
    path.parent.mkdir()
    path.write_text(before, encoding="utf-8")
    done = command(tmp_path, *ARGUMENTS) if before == "{" else None
    with pytest.raises(ValueError):
        added(before)
    if done is not None:
        assert done.returncode == 1 and path.read_text(encoding="utf-8") == before
        assert all(json.dumps(label) in done.stdout for label in LABELS)


def test_arguments_are_handed_on() -> None:
    """Every option that was typed stands in the tasks, and --reload once."""
    typed = ["--init-vscode", "--entry_script", "a b.py", "--reload", "--port", "6000"]
    written = ["--entry_script", "a b.py", "--port", "6000", "--reload"]
    tasks, launch, _ = vscode.targets(typed)
    assert [entry["args"] for entry in tasks.entries] == [
        [*vscode.START, *written],
        [*vscode.START, *written, "--debug", str(vscode.DEBUG_PORT)],
    ]
    assert launch.entries[0]["args"] == written
    assert launch.entries[1]["preLaunchTask"] == tasks.entries[1]["label"]
