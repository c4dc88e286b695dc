"""`--init_vscode` again, in a sub-folder, and in files that a person has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from devserver.config import editor_files, jsonc, vscode
from devserver.config.editor_files import differences, init, workspace_root

FIRST = ["score.py", "--port", "6000"]


def content(path: Path) -> dict[str, object]:
    found = jsonc.parse(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def tasks(folder: Path) -> Path:
    return folder / ".vscode" / "tasks.json"


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was shown, with paths as on POSIX."""
    return capsys.readouterr().out.replace(os.sep, "/")


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with the files for port 6000."""
    (tmp_path / "project").mkdir()
    assert init(str(tmp_path / "project"), FIRST) == 0
    capsys.readouterr()
    return tmp_path / "project"


# --- again


def test_other_arguments_bring_the_entries_up_to_date(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What changes is shown, an entry a line; the files are those of a first run, and another run changes nothing."""
    assert init(str(project), ["score.py", "--port", "7000"]) == 0
    shown = told(capsys).splitlines()
    assert shown[:3] == [
        '    "azmlinfsrv: reload": args: --port 6000 -> --port 7000',
        '    "azmlinfsrv: reload, for the debugger": args: --port 6000 -> --port 7000',
        "azmlinfsrv: .vscode/tasks.json: updated",
    ]
    assert len(shown) <= 6
    expected = [entry["args"] for entry in vscode.targets(["score.py", "--port", "7000"])[0].entries]
    assert [entry["args"] for entry in content(tasks(project))["tasks"]] == expected  # type: ignore[attr-defined]
    assert init(str(project), ["score.py", "--port", "7000"]) == 0
    assert {line.rpartition(": ")[2] for line in told(capsys).splitlines()} == {"nothing to add"}


def test_what_a_person_has_made_of_an_entry_stays(project: Path) -> None:
    """Keys that we do not write, how a task is shown, other tasks and comments elsewhere."""
    path = tasks(project)
    text = (
        path.read_text().replace('"silent"', '"always"', 1).replace('"tasks": [', '"tasks": [ // ours\n{"label": "x"},')
    )
    text = text.replace('"isBackground": true', '"isBackground": true, "icon": {"id": "flame"}', 1)
    path.write_text("// mine\n" + text)
    assert init(str(project), ["other.py"]) == 0
    after = content(path)["tasks"]
    assert isinstance(after, list)
    assert path.read_text().startswith("// mine\n") and "// ours" in path.read_text()
    assert (after[0], after[1]["icon"], after[1]["presentation"]["reveal"]) == (
        {"label": "x"},
        {"id": "flame"},
        "always",
    )
    assert after[1]["args"][-2:] == ["other.py", "--reload"]


def test_comments_in_an_entry_are_not_lost(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is left alone, and only what has to become other is printed: no 110 lines."""
    path = tasks(project)
    before = path.read_text().replace('"isBackground"', '// for me\n"isBackground"', 1)
    path.write_text(before)
    assert init(str(project), ["score.py", "--port", "7000"]) == 1
    shown = told(capsys)
    assert path.read_text() == before
    assert (
        "comments in the entry" in shown and shown.count("--port 6000 -> --port 7000") == 3 and shown.count("\n") < 10
    )


@pytest.mark.parametrize(
    "before",
    [
        '{"tasks": [{"label": "x"}], "tasks": []}',  # a program reads the last, and would write into the first
        '{"tasks": [], "\\u0074asks": [{"label": "x"}]}',
        '{"a": 1, "ta\\u0073ks": []}',
    ],
)
def test_what_cannot_be_changed_safely_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str
) -> None:
    """What came of it would not be what was meant; only what is missing is printed."""
    path = tasks(tmp_path)
    path.parent.mkdir()
    path.write_text(before)
    assert init(str(tmp_path), FIRST) == 1
    assert path.read_text() == before
    shown = told(capsys)
    assert "no safe place" in shown and json.dumps(vscode.TASK) in shown
    assert (tmp_path / ".vscode" / "launch.json").exists()


def test_differences_are_one_line_each() -> None:
    """By the path to the value; what is long is cut."""
    old = {"a": {"b": 1, "c": "x" * 200}, "args": ["--x", "1", "--y"], "left": 1}
    new = {"a": {"b": 2, "c": "y"}, "args": ["--x", "2", "--y"], "new": True}
    found = list(differences(old, new))
    assert found[0] == "a.b: 1 -> 2" and found[1].endswith('... -> "y"') and len(found[1]) < 130
    assert found[2:] == ["args: --x 1 -> --x 2", "new: nothing -> true"]


# --- where


@pytest.mark.parametrize("mark", [".git", ".vscode", "a.code-workspace"])
def test_the_workspace_above(tmp_path: Path, mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sub-folder the files of the workspace are written, and the command runs in the sub-folder."""
    sub = tmp_path / "models" / "iris"
    sub.mkdir(parents=True)
    (tmp_path / mark).touch() if "." in mark[1:] else (tmp_path / mark).mkdir()
    assert init(str(sub), FIRST) == 0
    assert "azmlinfsrv: ../../.vscode/tasks.json: written" in told(capsys)
    assert not (sub / ".vscode").exists()
    task, place = content(tasks(tmp_path))["tasks"][0], "${workspaceFolder}/models/iris"  # type: ignore[index]
    assert task["options"]["cwd"] == task["problemMatcher"]["fileLocation"][1] == place
    launch = content(tmp_path / ".vscode" / "launch.json")["configurations"]
    assert [entry.get("cwd") for entry in launch] == [place, None]  # type: ignore[attr-defined]


def test_the_nearest_workspace_counts(tmp_path: Path) -> None:
    """A folder that has one of its own is opened by itself."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / ".vscode").mkdir(parents=True)
    assert workspace_root(str(tmp_path / "sub")) == str(tmp_path / "sub")


def test_a_workspace_of_several_folders(tmp_path: Path) -> None:
    """That one of its folders counts that the command is run in."""
    sub = tmp_path / "b" / "deep"
    sub.mkdir(parents=True)
    folders = [{"path": "a"}, {"path": "b"}, {"path": "."}]
    (tmp_path / "all.code-workspace").write_text(f'{{"folders": {json.dumps(folders)}, /* all */}}')
    assert workspace_root(str(sub)) == str(tmp_path / "b")
    (tmp_path / "c").mkdir()
    assert workspace_root(str(tmp_path / "c")) == str(tmp_path)


def test_the_home_folder_is_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VS Code keeps its extensions in a .vscode there."""
    (tmp_path / ".vscode").mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(editor_files.os.path, "expanduser", lambda path: str(tmp_path))
    assert workspace_root(str(tmp_path / "project")) == str(tmp_path / "project")


def test_nothing_in_the_entries_can_be_taken_over() -> None:
    """They start our modules with the interpreter, and not a command that another package may own."""
    for target in vscode.targets(FIRST):
        for entry in (each for each in target.entries if isinstance(each, dict)):
            words = json.dumps([entry.get("command"), entry.get("module"), entry.get("program")])
            assert "azmlinfsrv" not in words
            assert entry.get("module", "devserver") == "devserver"
            assert tuple(entry["args"][: len(vscode.START)]) == vscode.START if "command" in entry else True
