"""The parts of the watch, with times and bells made by hand: when a change counts, and what belongs to what."""

from __future__ import annotations

import math
import os
import queue
from pathlib import Path

import pytest
from watchdog.observers.api import EventEmitter, ObservedWatch

from devserver.records.changes import ChangeSet, Role, Targets
from devserver.records.stamps import Stamp, full_stamp
from devserver.watch import debounce, watcher
from devserver.watch.debounce import Debounce, Finish
from devserver.watch.files import TrackedFiles
from devserver.watch.links import resolve
from devserver.watch.observer import FileEvent, FolderObserver, ObservedFolder
from devserver.watch.snapshot import take_snapshot
from devserver.watch.targets import is_litter, roles_of, trees_of

OLD = Stamp(1, 1000, 1, "old")
NEW = Stamp(2, 1000, 1, "new")
NEVER = math.inf
NOW = 1 << 62  # later than any file


def noted(
    role: Role, finish: Finish, *, before: Stamp | None = OLD, after: Stamp | None = NEW, closes: bool = True
) -> Debounce:
    settling = Debounce()
    settling.closes = closes
    settling.note("a", role, before, after, finish, 100.0)
    return settling


# When a change counts


@pytest.mark.parametrize(
    ("finish", "after", "closes", "wait"),
    [
        (Finish.CLOSED, NEW, True, debounce.GRACE),
        (Finish.MOVED, NEW, True, debounce.GRACE),
        (Finish.OPEN, NEW, True, debounce.HELD),
        (Finish.OPEN, NEW, False, debounce.QUIET),
        (Finish.SEEN, NEW, True, debounce.QUIET),
        (Finish.SEEN, None, True, debounce.GONE),
        (Finish.CLOSED, Stamp(2, 0, 1), True, debounce.EMPTY),
    ],
)
def test_code_counts_after(finish: Finish, after: Stamp | None, closes: bool, wait: float) -> None:
    """Code counts at once after a completed write, else after quiet; gone and empty wait for more."""
    settling = noted(Role.CODE, finish, after=after, closes=closes)
    assert settling.due(100.0, NEVER) == pytest.approx(100.0 + wait)
    assert settling.ready(100.0 + wait - 0.001, NEVER) == []
    assert settling.ready(100.0 + wait + 0.001, NEVER) == ["a"]


@pytest.mark.parametrize(
    ("finish", "before", "after", "closes", "wait"),
    [
        (Finish.MOVED, OLD, NEW, True, debounce.MODEL_MOVED),
        (Finish.MOVED, None, NEW, True, debounce.MODEL_MOVED),
        (Finish.CLOSED, OLD, NEW, True, debounce.MODEL_REWRITTEN),
        (Finish.CLOSED, None, NEW, True, debounce.MODEL_NEW),
        (Finish.CLOSED, OLD, Stamp(2, 4, 1), True, debounce.MODEL_REWRITTEN),
        (Finish.CLOSED, OLD, Stamp(2, 0, 1), True, debounce.MODEL_NEW),
        (Finish.CLOSED, OLD, Stamp(2, debounce.PIECE + 1, 1), True, debounce.MODEL_NEW),
        (Finish.CLOSED, Stamp(1, 100000, 1), Stamp(2, 90000, 1), True, debounce.MODEL_REWRITTEN),
        (Finish.CLOSED, Stamp(1, 100000, 1), Stamp(2, 210000, 1), True, debounce.MODEL_NEW),
        (Finish.CLOSED, Stamp(1, 2 << 20, 1), Stamp(2, 2 << 20, 1), True, debounce.MODEL_MORE),
        (Finish.OPEN, OLD, NEW, True, debounce.MODEL_OPEN),
        (Finish.OPEN, OLD, NEW, False, debounce.MODEL_AGAIN),
        (Finish.SEEN, OLD, NEW, True, debounce.MODEL_SEEN),
        (Finish.SEEN, OLD, None, True, debounce.MODEL_GONE),
    ],
)
def test_a_model_counts_after(
    finish: Finish, before: Stamp | None, after: Stamp | None, closes: bool, wait: float
) -> None:
    """A model file counts soon if it is surely complete, and the later the more it looks like a copy under way."""
    settling = noted(Role.MODEL, finish, before=before, after=after, closes=closes)
    assert settling.due(100.0, NEVER) == pytest.approx(100.0 + wait)


def test_included_files_wait_as_their_size_asks() -> None:
    """A small included file is as quick as code, a large one as patient as a model."""
    assert noted(Role.INCLUDED, Finish.CLOSED).due(100.0, NEVER) == pytest.approx(100.0 + debounce.GRACE)
    large = noted(Role.INCLUDED, Finish.CLOSED, before=None, after=Stamp(1, 2 << 20, 1))
    assert large.due(100.0, NEVER) == pytest.approx(100.0 + debounce.MODEL_NEW)


def test_a_file_that_is_written_again_after_its_end_waits_longer() -> None:
    """Closed, then written again: more pieces may follow."""
    settling = noted(Role.MODEL, Finish.CLOSED)
    settling.note("a", Role.MODEL, OLD, Stamp(3, 1100, 1), Finish.CLOSED, 100.02)
    assert settling.due(100.02, NEVER) == pytest.approx(100.02 + debounce.MODEL_AGAIN)


def test_a_second_file_within_the_grace_makes_all_wait_for_quiet() -> None:
    """One of many files is not told before the others, also when the others are not watched."""
    settling = noted(Role.CODE, Finish.CLOSED)
    settling.note_activity("a", 100.0)
    settling.note_activity("other", 100.001)
    assert settling.ready(100.003, NEVER) == []
    assert settling.ready(100.001 + debounce.QUIET + 0.001, NEVER) == ["a"]


def test_code_that_never_rests_is_told_in_the_end() -> None:
    """A file that is written again and again does not put off all changes for ever."""
    settling = noted(Role.CODE, Finish.OPEN)
    for tick in range(1, 30):
        settling.note("a", Role.CODE, OLD, Stamp(tick, tick, 1), Finish.OPEN, 100.0 + tick * 0.05)
    assert settling.ready(100.0 + debounce.CAP - 0.01, NEVER) == []
    assert settling.ready(100.0 + debounce.CAP + 0.01, NEVER) == ["a"]


def test_code_and_model_of_one_moment_are_told_together() -> None:
    """Code waits up to a second for model files that began to change in the same moment."""
    settling = noted(Role.CODE, Finish.CLOSED)
    settling.note("m", Role.MODEL, OLD, NEW, Finish.SEEN, 100.1)
    assert settling.ready(100.5, NEVER) == []
    assert settling.ready(100.1 + debounce.MODEL_SEEN, NEVER) == ["a", "m"]


def test_code_does_not_wait_for_an_old_copy() -> None:
    """A model that has been growing for longer than a second holds nothing up."""
    settling = Debounce()
    settling.note("m", Role.MODEL, OLD, NEW, Finish.OPEN, 100.0)
    for tick in range(1, 20):
        settling.note("m", Role.MODEL, OLD, Stamp(tick, tick, 1), Finish.OPEN, 100.0 + tick * 0.1)
    settling.note("a", Role.CODE, OLD, NEW, Finish.CLOSED, 101.9)
    assert settling.ready(101.9 + debounce.GRACE, NEVER) == ["a"]


def test_code_waits_for_an_area_that_has_just_become_stale() -> None:
    """Folders that came or went a moment ago belong to the same save until they have been walked."""
    settling = noted(Role.CODE, Finish.CLOSED)
    assert settling.ready(100.2, 99.9) == []
    assert settling.ready(99.9 + debounce.TOGETHER, 99.9) == ["a"]


def test_a_ring_without_a_difference_does_not_undo_the_end_of_a_write() -> None:
    """What follows a completed write without changing the file makes it wait for quiet, not for another end."""
    settling = noted(Role.CODE, Finish.CLOSED)
    settling.note("a", Role.CODE, OLD, NEW, Finish.OPEN, 100.001)
    assert settling.ready(100.001 + debounce.QUIET, NEVER) == ["a"]


def test_what_is_dropped_is_not_told() -> None:
    """A file that is as it was before is no change."""
    settling = noted(Role.CODE, Finish.CLOSED)
    settling.drop("a")
    assert settling.due(100.0, NEVER) == NEVER


# A watcher whose bell and clock are moved by hand


class ManualObserver:
    """A bell that hears nothing by itself."""

    refused: frozenset[ObservedFolder] = frozenset()

    def __init__(self, *args: object) -> None:
        self.observed: set[ObservedFolder] = set()

    def observe(self, observed: set[ObservedFolder], afresh: object = None) -> None:
        self.observed = observed

    def is_dead(self) -> bool:
        return False


class ByHand:
    """A watcher that takes a turn when it is told to, at the time that it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *code: Path) -> None:
        monkeypatch.setattr(watcher, "FolderObserver", ManualObserver)
        monkeypatch.setattr(watcher, "_SWEEP", 3600.0)
        self.now = 100.0
        self.delivered: list[ChangeSet] = []
        self._inbox: queue.SimpleQueue[watcher._Message] = queue.SimpleQueue()
        self.watcher = watcher._Watcher(
            self._inbox, self.delivered.append, print, print, poll=False, clock=lambda: self.now
        )
        self.turn(100.0, watcher._Retarget(Targets(code=tuple(map(str, code))), {}, NOW))

    def turn(self, at: float, message: watcher._Message) -> None:
        self.now = at
        self._inbox.put(message)
        self.watcher._turn()


def test_without_ends_of_writes_quiet_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system tells of no end of a write, code counts after a short quiet."""
    path = tmp_path / "score.py"
    path.write_text("one", encoding="utf-8")
    hand = ByHand(monkeypatch, path)
    event = FileEvent(str(path), Finish.OPEN, folder=False)
    path.write_text("two", encoding="utf-8")
    hand.turn(101.0, event)
    path.write_text("three", encoding="utf-8")
    hand.turn(101.03, event)
    assert hand.delivered == []
    hand.turn(101.03 + debounce.QUIET, FileEvent("/elsewhere", Finish.SEEN, folder=False))
    assert len(hand.delivered) == 1


def test_a_ring_for_a_file_that_is_as_before_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bell is no fact: the file is looked at."""
    path = tmp_path / "score.py"
    path.write_text("one", encoding="utf-8")
    hand = ByHand(monkeypatch, path)
    hand.turn(101.0, FileEvent(str(path), Finish.CLOSED, folder=False))
    hand.turn(102.0, FileEvent(str(path), Finish.CLOSED, folder=False))
    assert hand.delivered == []


# Single files and the versions that are known


def versions(tmp_path: Path) -> tuple[str, Stamp, Stamp]:
    path = tmp_path / "score.py"
    path.write_text("one", encoding="utf-8")
    one = full_stamp(str(path))
    path.write_text("two", encoding="utf-8")
    two = full_stamp(str(path))
    assert one is not None
    assert two is not None
    return str(path), one, two


def test_what_was_loaded_is_known(tmp_path: Path) -> None:
    """A generation's version becomes the baseline, although the disk holds another one."""
    path, one, two = versions(tmp_path)
    singles = TrackedFiles()
    singles.retarget({path: Role.CODE}, {path: one}, NOW)
    assert singles.known[path] == one
    assert singles.look(path, closely=True) == two


@pytest.mark.parametrize("newest_first", [False, True])
def test_workers_that_loaded_different_versions_have_to_be_replaced(tmp_path: Path, newest_first: bool) -> None:
    """One worker loaded the old version, another one the new: in either order the difference is still seen."""
    path, one, two = versions(tmp_path)
    singles = TrackedFiles()
    for stamp in (two, one) if newest_first else (one, two):
        singles.retarget({path: Role.CODE}, {path: stamp}, NOW)
    assert singles.known[path] == one


def test_a_late_report_of_an_old_version_is_not_believed(tmp_path: Path) -> None:
    """The version that a delivered change has replaced is not taken for new."""
    path, one, two = versions(tmp_path)
    singles = TrackedFiles()
    singles.retarget({path: Role.CODE}, {path: one}, NOW)
    singles.tell([path])
    singles.settle(path, two)
    singles.retarget({path: Role.CODE}, {path: one}, NOW)
    assert singles.known[path] == two


def test_known_files_keep_their_baseline(tmp_path: Path) -> None:
    """A new list of targets changes nothing for a file that is in both."""
    path, one, _ = versions(tmp_path)
    singles = TrackedFiles()
    singles.retarget({path: Role.CODE}, {path: one}, NOW)
    singles.retarget({path: Role.CODE, "/other.py": Role.CODE}, {}, NOW)
    assert singles.known == {path: one}


def test_a_file_that_came_while_it_was_looked_for_is_not_known(tmp_path: Path) -> None:
    """A file that nobody has loaded counts as new if it is younger than the generation that missed it."""
    path, _, two = versions(tmp_path)
    singles = TrackedFiles()
    singles.retarget({path: Role.CODE}, {}, two.mtime_ns)
    assert path not in singles.known
    singles = TrackedFiles()
    singles.retarget({path: Role.CODE}, {}, NOW)
    assert singles.known[path] == two


# What belongs to what


def test_score_py_is_never_excluded_and_configuration_wins() -> None:
    """A file that is named twice has the widest role; exclude holds for all but the first code file."""
    targets = Targets(
        code=("/p/score.py", "/p/a.py"), config=("/p/c.json",), samples=("/p/c.json",), exclude=("*.py",), base="/p"
    )
    assert roles_of(targets) == {"/p/score.py": Role.CODE, "/p/c.json": Role.CONFIG}


@pytest.mark.parametrize(
    ("glob", "path", "counts"),
    [
        ("*.yaml", "/p/a.yaml", True),
        ("*.yaml", "/p/deep/a.yaml", False),
        ("**/*.yaml", "/p/a.yaml", True),
        ("**/*.yaml", "/p/x/y/a.yaml", True),
        ("data/*/[ab]?.txt", "/p/data/x/a1.txt", True),
        ("data/*/[ab]?.txt", "/p/data/x/c1.txt", False),
        ("data/[!a].txt", "/p/data/b.txt", True),
        ("/etc/*.conf", "/etc/a.conf", True),
        ("**/*.yaml", "/p/.git/a.yaml", False),
        ("**", "/p/a.txt.swp", False),
        ("**", "/q/a.txt", False),
    ],
)
def test_include_globs(glob: str, path: str, counts: bool) -> None:
    """One star stays within a name, two span folders; relative globs start at the base; litter never counts."""
    (tree,) = trees_of(Targets(include=(glob,), base="/p"))
    assert tree.counts(path) is counts


def test_only_the_fixed_part_of_an_include_glob_is_walked() -> None:
    """The tree of a glob begins where its first wildcard does, and is deep only if it has to be."""
    trees = trees_of(Targets(include=("data/sub/*.txt", "data/**/*.txt", "*/a.txt"), base="/p"))
    assert [(tree.root, tree.deep) for tree in trees] == [("/p/data/sub", False), ("/p/data", True), ("/p", True)]


@pytest.mark.parametrize(
    ("glob", "path", "counts"),
    [
        ("*.csv", "/p/model/x/a.csv", False),
        ("cache", "/p/model/cache/deep/a.bin", False),
        ("cache/", "/p/model/cache/a.bin", False),
        ("model/a*", "/p/model/abc/d.bin", False),
        ("model/a*", "/p/model/b/abc", True),
        ("/p/model/**/x.bin", "/p/model/q/x.bin", False),
    ],
)
def test_exclude_globs(glob: str, path: str, counts: bool) -> None:
    """A glob without a slash is a name at any depth; a folder is left out with all that it holds."""
    (tree,) = trees_of(Targets(trees=("/p/model",), exclude=(glob,), base="/p"))
    assert tree.counts(path) is counts


def test_an_included_file_or_folder_may_be_named_plainly(tmp_path: Path) -> None:
    """Without a wildcard an include is a single file, or a folder with all that it holds."""
    (tmp_path / "prompts").mkdir()
    targets = Targets(include=("prompts", "one.txt"), base=str(tmp_path))
    assert roles_of(targets) == {str(tmp_path / "one.txt"): Role.INCLUDED}
    assert [(tree.root, tree.deep) for tree in trees_of(targets)] == [(str(tmp_path / "prompts"), True)]


@pytest.mark.parametrize("name", ["a.swp", "a~", ".#a", "a.tmp", "a.part", "a.crdownload", ".~lock.a#", "a.log"])
def test_litter(name: str) -> None:
    """By-products of editors, downloads and runs are known by their names."""
    assert is_litter(name)
    assert not is_litter("model.bin")
    assert not is_litter("..data")


def test_a_trail_holds_every_link(tmp_path: Path) -> None:
    """Links to links, links on the way, relative ones and circles: each is met once, and it ends."""
    real = Path(os.path.realpath(tmp_path))
    (real / "v1").mkdir()
    (real / "v1" / "score.py").write_text("", encoding="utf-8")
    (real / "current").symlink_to("v1")
    (real / "link.py").symlink_to("current/../current/score.py")
    (real / "round").symlink_to("round")
    way = resolve(str(real / "link.py"))
    assert way.real == str(real / "v1" / "score.py")
    assert way.links == (str(real / "link.py"), str(real / "current"))
    assert len(resolve(str(real / "round" / "a")).links) == 40


def test_a_survey_does_not_leave_by_links_that_lead_upwards(tmp_path: Path) -> None:
    """A link to a folder above, or in a circle, does not make the walk go on for ever."""
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "a.bin").write_text("a", encoding="utf-8")
    (model / "up").symlink_to("..")
    (model / "deep" / "back").symlink_to("../deep")
    (tree,) = trees_of(Targets(trees=(str(model),)))
    seen = take_snapshot(tree, {})
    assert sorted(seen.found) == [str(model / name) for name in ("a.bin", "deep/back", "up")]


def test_a_survey_gives_back_what_is_as_known(tmp_path: Path) -> None:
    """A second walk costs stats only: unchanged files keep the stamp that is known, with its digest."""
    (tmp_path / "a.bin").write_text("a", encoding="utf-8")
    (tree,) = trees_of(Targets(trees=(str(tmp_path),)))
    first = take_snapshot(tree, {})
    (stamp,) = first.found.values()
    assert stamp.digest is not None
    (again,) = take_snapshot(tree, first.found).found.values()
    assert again is stamp


def test_what_is_listened_with_is_given_back_once() -> None:
    """The second time its number may be that of something else."""
    given_back = []

    class Emitter(EventEmitter):
        def on_thread_stop(self) -> None:
            given_back.append(self)
            self.stop()  # as where the folder seems to be gone just then

    FolderObserver(lambda _: None, lambda _: None).close()
    emitter = Emitter(queue.Queue(), ObservedWatch(".", recursive=False))
    emitter.stop()
    emitter.stop()
    assert given_back == [emitter]
