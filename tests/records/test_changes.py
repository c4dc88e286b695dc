"""Change sets, their one-line summary, and the plan that they ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from devserver.display.lines import files_in_words
from devserver.records.changes import ChangeSet, FileChange, ReloadPlan, Role, Scope, plan_reload
from devserver.records.messages import Dependencies
from devserver.records.stamps import Stamp

HERE = f"{os.sep}p"


def change(path: str, role: Role = Role.CODE, kind: str = "modified") -> FileChange:
    return FileChange(path.replace("/", os.sep), kind, role)  # type: ignore[arg-type]


def changed(*paths: str, role: Role = Role.CODE) -> ChangeSet:
    return ChangeSet(tuple(change(path, role) for path in paths))


def test_scopes_are_ordered() -> None:
    """Merging scopes is max()."""
    ordered = [Scope.IGNORE, Scope.REPLAY, Scope.CODE, Scope.RELOAD, Scope.REWARM, Scope.RESTART]
    assert list(Scope) == ordered == sorted(Scope)


def test_only_loaded_sources_may_leave_init_as_it_is() -> None:
    """Code that was not loaded, data beside it and the model ask for everything anew."""
    loaded = {str(Path("/p/score.py")), str(Path("/p/helper.py"))}.__contains__
    code = changed("/p/score.py", "/p/helper.py")
    assert plan_reload(code, is_loaded_source=loaded).scope == Scope.CODE
    assert plan_reload(code).scope == Scope.RELOAD
    assert plan_reload(code | changed("/p/new.py"), is_loaded_source=loaded).scope == Scope.RELOAD
    assert plan_reload(changed("/p/score.py", role=Role.MODEL), is_loaded_source=loaded).scope == Scope.RELOAD
    assert plan_reload(code, [str(Path("/p"))], loaded).scope == Scope.REWARM


def test_an_empty_change_set_is_false() -> None:
    """Truthiness says whether anything changed."""
    assert not ChangeSet()
    assert changed("/p/score.py")


def test_joining_keeps_the_order_and_the_last_kind() -> None:
    """A file that changed twice is there once, with what happened to it last."""
    first = ChangeSet((change("/p/score.py", kind="deleted"), change("/p/helper.py")))
    later = ChangeSet((change("/p/new.py", kind="added"), change("/p/score.py", kind="added")))
    assert first | later == ChangeSet(
        (change("/p/score.py", kind="added"), change("/p/helper.py"), change("/p/new.py", kind="added"))
    )


def test_joining_keeps_each_role_of_a_file() -> None:
    """A file that is configuration and code asks for the wider of both, however the sets were joined."""
    both = changed("/p/a.json", role=Role.CONFIG) | changed("/p/a.json", role=Role.CODE)
    assert plan_reload(both).scope == Scope.RESTART
    assert files_in_words(both, HERE) == "a.json"


def test_joining_with_itself_or_with_nothing_changes_nothing() -> None:
    """The join is idempotent and has the empty set as its neutral element."""
    some = changed("/p/score.py", "/p/helper.py")
    assert some | some == some | ChangeSet() == ChangeSet() | some == some


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], ""),
        (["/p/score.py"], "score.py"),
        (["/p/score.py", "/p/helper.py"], "score.py, helper.py"),
        (["/p/b.py", "/p/a.py", "/p/c.py"], "b.py, a.py, c.py"),
        (["/p/a.py", "/p/b.py", "/p/c.py", "/p/d.py"], "a.py and 3 more"),
        ([f"/p/model/{number}.bin" for number in range(200)], f"{Path('model/0.bin')} and 199 more"),
        (["/q/score.py"], str(Path("/q/score.py"))),
        (["/p2/score.py"], str(Path("/p2/score.py"))),
    ],
)
def test_summary(paths: list[str], expected: str) -> None:
    """A few names are all shown, many are counted, and paths below the folder are relative to it."""
    assert files_in_words(changed(*paths), HERE) == expected


def test_summary_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, the working directory is the one that people have in mind."""
    monkeypatch.chdir(tmp_path)
    assert files_in_words(changed(os.path.join(os.getcwd(), "score.py"))) == "score.py"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove a working directory")
def test_summary_outlives_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder that was removed under our feet leaves absolute paths, and no error."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.rmtree(folder)
    assert files_in_words(changed("/p/score.py")) == "/p/score.py"


def test_summary_is_one_printable_line() -> None:
    """File names with line breaks, escapes or undecodable bytes cannot break the line or the terminal."""
    text = files_in_words(changed("/p/a\nb\x1b[31m.py", "/p/caf\udce9.bin", "/p/größe.py"), HERE)
    assert text == "a\\nb\\x1b[31m.py, caf\\udce9.bin, größe.py"
    assert text.encode("utf-8")


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        (Role.CODE, Scope.RELOAD),
        (Role.MODEL, Scope.RELOAD),
        (Role.INCLUDED, Scope.RELOAD),
        (Role.SAMPLE, Scope.REPLAY),
        (Role.CONFIG, Scope.RESTART),
    ],
)
def test_each_role_has_its_scope(role: Role, scope: Scope) -> None:
    """What a file is to us decides what its change asks for."""
    changes = changed("/p/file", role=role)
    assert plan_reload(changes) == ReloadPlan(scope, changes)


def test_every_role_is_planned() -> None:
    """A new role cannot be forgotten in the table."""
    assert all(plan_reload(changed("/p/file", role=role)).scope > Scope.IGNORE for role in Role)


def test_nothing_changed_asks_for_nothing() -> None:
    """The empty change set is ignored."""
    assert plan_reload(ChangeSet()) == ReloadPlan(Scope.IGNORE, ChangeSet())


def test_the_widest_of_many_counts() -> None:
    """One file of a wide scope is enough."""
    changes = changed("/p/sample.json", role=Role.SAMPLE) | changed("/p/score.py")
    assert plan_reload(changes).scope == Scope.RELOAD


@pytest.mark.parametrize(
    ("path", "role", "scope"),
    [
        ("/lib/numpy/core/a.py", Role.CODE, Scope.REWARM),
        ("/lib/six.py", Role.CODE, Scope.REWARM),
        ("/lib/numpy", Role.INCLUDED, Scope.REWARM),
        ("/lib/numpy2/a.py", Role.CODE, Scope.RELOAD),
        ("/lib/numpy/sample.json", Role.SAMPLE, Scope.REWARM),
        ("/lib/numpy/a.json", Role.CONFIG, Scope.RESTART),
    ],
)
def test_a_change_below_a_warm_root_rewarms(path: str, role: Role, scope: Scope) -> None:
    """What the warm process has imported cannot be reloaded over it; a wider scope stays."""
    assert plan_reload(changed(path, role=role), warm_roots=["/lib/numpy", "/lib/six.py"]).scope == scope


def test_merging_plans() -> None:
    """Two plans make one of the wider scope and both change sets."""
    sample, code = changed("/p/s.json", role=Role.SAMPLE), changed("/p/score.py")
    assert plan_reload(code | sample) == ReloadPlan(Scope.RELOAD, code | sample)
    assert plan_reload(sample | code) == ReloadPlan(Scope.RELOAD, sample | code)


def test_dependencies_add_up() -> None:
    """What is new is told alone, and is added to what was known."""
    stamp = Stamp(1, 2, 3)
    before = Dependencies({"/a": stamp}, ("/b",), {}, {"/f": 1}, {"/p": {"m": 1}})
    now = Dependencies(
        {"/a": stamp, "/c": stamp}, ("/b", "/d"), {"/l": stamp}, {"/f": 1, "/g": 2}, {"/p": {"m": 1, "n": 2}}
    )
    news = now.without(before)
    assert news == Dependencies({"/c": stamp}, ("/d",), {"/l": stamp}, {"/g": 2}, {"/p": {"m": 1, "n": 2}})
    assert before | news == now and now.without(now) == Dependencies()
    assert now.versions() == {"/a": stamp, "/b": None, "/c": stamp, "/d": None, "/l": stamp}
