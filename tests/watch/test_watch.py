"""The watch on real files: each way of saving is one change, and what is no change is none."""

from __future__ import annotations

import errno
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from watchdog.observers.api import EventEmitter

from devserver.records import searches
from devserver.records.changes import ChangeSet, Role, Targets
from devserver.records.stamps import full_stamp
from devserver.watch import observer, watcher
from devserver.watch.watcher import Watch

DEADLINE = 10.0
CHUNK = b"m" * 100_000


class Desk:
    """A project folder, a watch over it, and what the watch has delivered."""

    def __init__(self, project: Path, *, poll: bool = False) -> None:
        self.project = project
        self.said: list[str] = []
        self._arrived: queue.SimpleQueue[ChangeSet] = queue.SimpleQueue()
        self._marks = 0
        self.calm: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.watch = Watch(self._arrived.put, self.said.append, self.calm.put, poll=poll)
        for name in ("score.py", "helper.py", "marker.py", "model/weights.bin", "model/marker.bin"):
            self.write(name, "first")

    def path(self, name: str) -> Path:
        return self.project / name

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")

    def paths(self, *names: str) -> tuple[str, ...]:
        return tuple(str(self.project / name) for name in names)

    def aim(
        self,
        *,
        code: tuple[str, ...] = ("score.py", "helper.py"),
        searches: Mapping[str, Mapping[str, int]] | None = None,
        listed: Mapping[str, int] | None = None,
        **more: tuple[str, ...],
    ) -> None:
        """Watch `code`, the marker, and what else is named; names are relative to the project."""
        code = (*code, "marker.py")
        globs = {key: more.pop(key, ()) for key in ("include", "exclude")}
        rest = {key: self.paths(*names) for key, names in more.items()}
        places = {"searches": searches or {}, "listed": listed or {}}
        targets = Targets(code=self.paths(*code), base=str(self.project), **places, **rest, **globs)
        stamps = {path: full_stamp(path) for path in targets.code}
        self.watch.retarget(targets, {path: stamp for path, stamp in stamps.items() if stamp is not None})

    def begin(self, **targets: tuple[str, ...]) -> None:
        """Start, and wait until changes are noticed."""
        self.watch.start()
        self.aim(**targets)
        self.mark()
        self._wait_for_scans()

    def _wait_for_scans(self) -> None:
        end = time.monotonic() + DEADLINE
        while not all(tree.scanned for tree in list(self.watch._watcher._trees.values())):
            assert time.monotonic() < end
            time.sleep(0.005)

    def next(self) -> dict[str, str]:
        """The next change set: name -> kind."""
        changes = self._arrived.get(timeout=DEADLINE).changes
        return {os.path.relpath(change.path, self.project).replace(os.sep, "/"): change.kind for change in changes}

    def next_roles(self) -> dict[str, Role]:
        changes = self._arrived.get(timeout=DEADLINE).changes
        return {os.path.relpath(change.path, self.project).replace(os.sep, "/"): change.role for change in changes}

    def nothing_yet(self) -> bool:
        return self._arrived.empty()

    def mark(self, name: str = "marker.py") -> None:
        """Change the marker: the next change set holds it alone, so nothing else was seen to change before."""
        self._marks += 1
        self.write(name, f"mark {self._marks}")
        assert list(self.next()) == [name]
        assert self.nothing_yet()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "project")
    yield made
    made.watch.close()


@pytest.fixture
def polling_desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "project", poll=True)
    yield made
    made.watch.close()


def move(source: Path, target: Path) -> None:
    """On Windows again while somebody looks at it, or at what is in it."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return os.rename(source, target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > end:
                raise


# Ways of saving


def in_place(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def by_replacing(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def as_vim(path: Path, text: str) -> None:
    probe = path.with_name("4913")
    probe.write_text("", encoding="utf-8")
    probe.unlink()
    backup = path.with_name(path.name + "~")
    os.rename(path, backup)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    backup.unlink()


def as_pycharm(path: Path, text: str) -> None:
    new, old = (path.with_name(path.name + ending) for ending in ("___jb_tmp___", "___jb_old___"))
    new.write_text(text, encoding="utf-8")
    os.rename(path, old)
    os.rename(new, path)
    old.unlink()


def as_emacs(path: Path, text: str) -> None:
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("me@here.1")
    os.rename(path, path.with_name(path.name + "~"))
    path.write_text(text, encoding="utf-8")
    lock.unlink()


def with_sed(path: Path, text: str) -> None:
    subprocess.run(["sed", "-i", f"s/.*/{text}/", str(path)], check=True, timeout=DEADLINE)


def truncating_first(path: Path, text: str) -> None:
    path.write_text("", encoding="utf-8")
    time.sleep(0.3)
    path.write_text(text, encoding="utf-8")


def holding_it_open(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        time.sleep(0.2)
        file.write(text)
        file.flush()
        time.sleep(0.1)


def in_pieces(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for letter in text:
            file.write(letter)
            file.flush()
            time.sleep(0.01)


def from_elsewhere(path: Path, text: str) -> None:
    new = path.parent.parent / "elsewhere"
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def deleting_first(path: Path, text: str) -> None:
    path.unlink()
    time.sleep(0.05)
    path.write_text(text, encoding="utf-8")


WAYS = [
    in_place,
    by_replacing,
    as_vim,
    as_pycharm,
    as_emacs,
    pytest.param(with_sed, marks=pytest.mark.skipif(shutil.which("sed") is None, reason="there is no sed")),
    truncating_first,
    holding_it_open,
    in_pieces,
    from_elsewhere,
    deleting_first,
]


@pytest.mark.parametrize("save", WAYS)
def test_each_way_of_saving_is_one_change(desk: Desk, save: Callable[[Path, str], None]) -> None:
    """However an editor saves, one change set names score.py alone."""
    desk.begin()
    save(desk.path("score.py"), "second")
    assert desk.next() == {"score.py": "modified"}
    desk.mark()


@pytest.mark.parametrize("save", [in_place, by_replacing, from_elsewhere, deleting_first])
def test_a_model_file_that_is_saved_is_one_change(desk: Desk, save: Callable[[Path, str], None]) -> None:
    """A small model file counts once, however it was written."""
    desk.begin(trees=("model",))
    save(desk.path("model/weights.bin"), "second")
    assert desk.next() == {"model/weights.bin": "modified"}
    desk.mark("model/marker.bin")


def test_several_saves_are_each_told(desk: Desk) -> None:
    """What is delivered becomes the baseline: the next save, also back to the first content, counts again."""
    desk.begin()
    for text in ("second", "first", "second"):
        desk.write("score.py", text)
        assert desk.next() == {"score.py": "modified"}


def test_two_versions_with_the_same_stat_differ(desk: Desk) -> None:
    """A second save of the same length within one tick of the clock counts: recent files are read again."""
    desk.begin()
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    before = desk.path("score.py").stat()
    desk.write("score.py", "SECOND")
    os.utime(desk.path("score.py"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert desk.next() == {"score.py": "modified"}


def test_an_older_time_is_a_change_too(desk: Desk) -> None:
    """A file that is replaced by one with an older time stamp counts."""
    desk.begin()
    old = desk.path("old.txt")
    old.write_text("second", encoding="utf-8")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    os.replace(old, desk.path("score.py"))
    assert desk.next() == {"score.py": "modified"}


def test_a_file_that_is_emptied_or_deleted_for_good_counts(desk: Desk) -> None:
    """Empty and gone are changes, after a moment in which the file could have come back."""
    desk.begin()
    desk.write("score.py", "")
    assert desk.next() == {"score.py": "modified"}
    desk.path("score.py").unlink()
    assert desk.next() == {"score.py": "deleted"}
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "added"}


# What is no change


def touched(desk: Desk) -> None:
    os.utime(desk.path("score.py"))
    os.utime(desk.path("model/weights.bin"))


def saved_without_a_change(desk: Desk) -> None:
    for name in ("score.py", "model/weights.bin"):
        in_place(desk.path(name), "first")
        by_replacing(desk.path(name), "first")


def other_rights(desk: Desk) -> None:
    desk.path("score.py").chmod(0o600)
    desk.path("model/weights.bin").chmod(0o600)


def only_read(desk: Desk) -> None:
    desk.path("score.py").read_bytes()
    desk.path("model/weights.bin").read_bytes()


def editor_files(desk: Desk) -> None:
    for folder in (desk.project, desk.path("model")):
        for name in (".score.py.swp", "score.py~", "#score.py#", "4913", "a.tmp", "a.part", ".~lock.a#"):
            (folder / name).write_text("x", encoding="utf-8")
        (folder / ".#score.py").symlink_to("me@here.1")
        (folder / "#score.py#").unlink()
        (folder / "4913").unlink()


def caches(desk: Desk) -> None:
    for folder in (desk.project, desk.path("model")):
        for name in ("__pycache__", ".git", ".ipynb_checkpoints"):
            (folder / name).mkdir()
            (folder / name / "score.cpython-311.pyc").write_text("x", encoding="utf-8")


def growing_logs(desk: Desk) -> None:
    for _ in range(5):
        for name in ("server.log", "model/train.log"):
            with open(desk.path(name), "a", encoding="utf-8") as file:
                file.write("line\n")


def moved_away_and_back(desk: Desk) -> None:
    move(desk.path("score.py"), desk.path("away.py"))
    move(desk.path("model"), desk.path("away"))
    time.sleep(0.05)
    move(desk.path("away.py"), desk.path("score.py"))
    move(desk.path("away"), desk.path("model"))


def other_files(desk: Desk) -> None:
    desk.write("other.py", "x")
    desk.write("notes/a.txt", "x")


@pytest.mark.parametrize(
    "happens",
    [
        touched,
        saved_without_a_change,
        other_rights,
        only_read,
        editor_files,
        caches,
        growing_logs,
        moved_away_and_back,
        other_files,
    ],
)
def test_what_is_no_change_is_not_told(desk: Desk, happens: Callable[[Desk], None]) -> None:
    """Nothing is delivered for what leaves all contents as they were."""
    desk.begin(trees=("model",))
    happens(desk)
    desk.mark("model/marker.bin")
    desk.mark()


# Many files, large files


def test_a_checkout_of_200_modules_is_one_change(desk: Desk) -> None:
    """All files that are switched at once come in one change set."""
    names = tuple(f"package/m{number}.py" for number in range(200))
    for name in names:
        desk.write(name, "first")
    desk.begin(code=("score.py", *names))
    for name in ("package/unused.py", *names):
        desk.write(name, "second")
    assert desk.next() == dict.fromkeys(names, "modified")
    desk.mark()


def test_a_checkout_of_code_and_model_is_one_change(desk: Desk) -> None:
    """Code waits for model files that change in the same moment, new folders included."""
    desk.begin(trees=("model",))
    names = [f"model/d{number % 10}/f{number}.bin" for number in range(200)]
    for name in (*names[:100], "score.py", *names[100:]):
        desk.write(name, "second")
    assert desk.next() == {"score.py": "modified", **dict.fromkeys(names, "added")}
    desk.mark("model/marker.bin")


def copy_slowly(path: Path, *, reopen: bool) -> None:
    """A copy of 1.5 MB over 1.5 s."""
    with open(path, "wb"):
        pass
    file = open(path, "ab")
    for _ in range(15):
        file.write(CHUNK)
        file.flush()
        if reopen:
            file.close()
        time.sleep(0.1)
        if reopen:
            file = open(path, "ab")
    file.close()


@pytest.mark.parametrize("reopen", [False, True])
@pytest.mark.parametrize("name", ["model/large.bin", "model/weights.bin"])
def test_a_large_model_that_is_copied_in_slowly_is_one_change(desk: Desk, reopen: bool, name: str) -> None:
    """A growing file counts when it has stopped growing, also if each piece is written and closed."""
    desk.begin(trees=("model",))
    copy_slowly(desk.path(name), reopen=reopen)
    assert desk.nothing_yet()
    assert list(desk.next()) == [name]
    desk.mark("model/marker.bin")


def test_code_does_not_wait_for_a_long_copy(desk: Desk) -> None:
    """An edit is told while a model file is still growing, and the model file when it is complete."""
    desk.begin(trees=("model",))
    copy = threading.Thread(target=copy_slowly, args=(desk.path("model/large.bin"),), kwargs={"reopen": False})
    copy.start()
    time.sleep(0.3)
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    assert copy.is_alive()
    copy.join(DEADLINE)
    assert desk.next() == {"model/large.bin": "added"}


# Links and folders that come and go


def point(link: Path, target: str) -> None:
    """Switch a link as deployments do: make a new one, and move it over the old one."""
    new = link.with_name(link.name + "_tmp")
    new.symlink_to(target)
    os.replace(new, link)


def test_a_link_to_score_py_can_be_switched(desk: Desk) -> None:
    """Switching the link is a change, and from then on its new target is watched, the old one no more."""
    desk.write("v1/score.py", "one")
    desk.write("v2/score.py", "two")
    desk.path("score.py").unlink()
    point(desk.path("middle.py"), "v1/score.py")
    point(desk.path("score.py"), "middle.py")
    desk.begin()
    point(desk.path("middle.py"), "v2/score.py")
    assert desk.next() == {"score.py": "modified"}
    desk.write("v2/score.py", "three")
    assert desk.next() == {"score.py": "modified"}
    desk.write("v1/score.py", "four")
    desk.mark()


def test_a_link_to_the_folder_of_score_py_can_be_switched(desk: Desk) -> None:
    """The folder on the way to score.py may be a link."""
    desk.write("v1/app/score.py", "one")
    desk.write("v2/app/score.py", "two")
    point(desk.path("current"), "v1")
    desk.begin(code=("current/app/score.py",))
    point(desk.path("current"), "v2")
    assert desk.next() == {"current/app/score.py": "modified"}
    desk.write("v2/app/score.py", "three")
    assert desk.next() == {"current/app/score.py": "modified"}


def test_a_link_to_the_model_can_be_switched(desk: Desk) -> None:
    """model_dir may be a link: another target is a change, and is watched from then on."""
    move(desk.path("model"), desk.path("model_v1"))
    desk.write("model_v2/weights.bin", "second")
    desk.write("model_v2/marker.bin", "first")
    point(desk.path("model"), "model_v1")
    desk.begin(trees=("model",))
    point(desk.path("model"), "model_v2")
    assert desk.next() == {"model/weights.bin": "modified"}
    desk.write("model_v2/weights.bin", "third!")
    assert desk.next() == {"model/weights.bin": "modified"}
    desk.write("model_v1/weights.bin", "fourth")
    desk.mark("model/marker.bin")


def test_data_links_inside_the_model_can_be_switched(desk: Desk) -> None:
    """The way of Kubernetes: files are links through `..data`, which is switched to a new folder."""
    desk.write("model/..1/config.json", "one")
    point(desk.path("model/..data"), "..1")
    point(desk.path("model/config.json"), "..data/config.json")
    desk.begin(trees=("model",))
    desk.write("model/..2/config.json", "two")
    point(desk.path("model/..data"), "..2")
    shutil.rmtree(desk.path("model/..1"))
    changed = desk.next()
    assert changed["model/config.json"] == changed["model/..data"] == "modified"
    desk.mark("model/marker.bin")


def test_a_folder_that_is_linked_into_the_model_is_watched(desk: Desk) -> None:
    """Files behind a link that leads out of model_dir count as files of model_dir."""
    desk.write("store/deep/blob.bin", "first")
    point(desk.path("model/linked"), "../store")
    desk.begin(trees=("model",))
    desk.write("store/deep/blob.bin", "second")
    assert desk.next() == {"model/linked/deep/blob.bin": "modified"}


def test_a_project_that_is_renamed_away_and_back_is_heard_again(desk: Desk) -> None:
    """Away is deleted, back is added, and the next edit is noticed."""
    desk.begin(trees=("model",))
    away = desk.project.with_name("away")
    move(desk.project, away)
    seen = desk.next()
    while len(seen) < 5:
        seen |= desk.next()
    assert set(seen.values()) == {"deleted"}
    move(away, desk.project)
    seen = desk.next()
    while len(seen) < 5:
        seen |= desk.next()
    assert set(seen.values()) == {"added"}
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    desk.mark("model/marker.bin")


def test_a_project_that_is_removed_and_made_again_is_heard_again(desk: Desk) -> None:
    """The whole folder, and the one above it, may go and come; what is as before is no change."""
    above = desk.project.parent / "above"
    desk.project = above / "project"
    for name in ("score.py", "marker.py", "model/weights.bin", "model/marker.bin"):
        desk.write(name, "first")
    desk.begin(trees=("model",), code=("score.py",))
    shutil.rmtree(above)
    seen = desk.next()
    while len(seen) < 4:
        seen |= desk.next()
    for name in ("score.py", "marker.py", "model/weights.bin", "model/marker.bin"):
        desk.write(name, "second")
    seen = desk.next()
    while len(seen) < 4:
        seen |= desk.next()
    desk.write("score.py", "third")
    assert desk.next() == {"score.py": "modified"}
    desk.mark("model/marker.bin")


def test_a_model_folder_that_is_made_anew_is_one_change(desk: Desk) -> None:
    """rm -r and a fresh copy, at once: only the files that differ count, in one change set."""
    desk.begin(trees=("model",))
    shutil.rmtree(desk.path("model"))
    desk.write("model/weights.bin", "second")
    desk.write("model/marker.bin", "first")
    desk.write("model/deep/new.bin", "new")
    assert desk.next() == {"model/weights.bin": "modified", "model/deep/new.bin": "added"}
    desk.write("model/deep/new.bin", "NEW")
    assert desk.next() == {"model/deep/new.bin": "modified"}
    desk.mark("model/marker.bin")


def test_a_model_folder_may_come_later(desk: Desk) -> None:
    """model_dir need not exist at the start, nor the folder above it."""
    desk.begin(trees=("model", "later/model"))
    desk.write("later/model/weights.bin", "first")
    assert desk.next() == {"later/model/weights.bin": "added"}
    desk.write("later/model/weights.bin", "second")
    assert desk.next() == {"later/model/weights.bin": "modified"}


def test_a_folder_that_is_moved_into_the_model_is_watched(desk: Desk) -> None:
    """A folder that comes from elsewhere counts, and so does what happens in it later."""
    desk.write("other/deep/a.bin", "first")
    desk.begin(trees=("model",))
    move(desk.path("other"), desk.path("model/other"))
    assert desk.next() == {"model/other/deep/a.bin": "added"}
    desk.write("model/other/deep/a.bin", "FIRST")
    assert desk.next() == {"model/other/deep/a.bin": "modified"}


# What to watch


def test_an_edit_while_loading_is_told_at_once(desk: Desk) -> None:
    """What a generation has loaded is compared with the disk as soon as it is known."""
    desk.begin()
    stamps = {path: full_stamp(path) for path in desk.paths("late.py", "score.py") if os.path.exists(path)}
    desk.write("late.py", "first")
    stamps[str(desk.path("late.py"))] = full_stamp(str(desk.path("late.py")))
    desk.write("late.py", "second")
    targets = Targets(code=desk.paths("score.py", "late.py", "marker.py"), base=str(desk.project))
    desk.watch.retarget(targets, {path: stamp for path, stamp in stamps.items() if stamp is not None})
    assert desk.next() == {"late.py": "modified"}
    desk.mark()


def test_old_news_from_a_generation_is_no_change(desk: Desk) -> None:
    """A report that crosses with a change that was told already does not tell it twice."""
    desk.begin()
    path = str(desk.path("score.py"))
    loaded = full_stamp(path)
    assert loaded is not None
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    desk.watch.retarget(Targets(code=(path, *desk.paths("marker.py"))), {path: loaded})
    desk.mark()


def test_roles_are_told(desk: Desk) -> None:
    """Configuration may be created later; samples, model and included files are told apart."""
    desk.write("sample.json", "{}")
    desk.write("prompts/a.txt", "first")
    desk.begin(config=("config.json",), samples=("sample.json",), trees=("model",), include=("prompts/*.txt",))
    desk.write("config.json", "{}")
    assert desk.next_roles() == {"config.json": Role.CONFIG}
    desk.write("sample.json", "[]")
    assert desk.next_roles() == {"sample.json": Role.SAMPLE}
    desk.write("model/weights.bin", "second")
    assert desk.next_roles() == {"model/weights.bin": Role.MODEL}
    desk.write("prompts/a.txt", "second")
    assert desk.next_roles() == {"prompts/a.txt": Role.INCLUDED}
    desk.write("score.py", "second")
    assert desk.next_roles() == {"score.py": Role.CODE}


def test_what_is_excluded_is_not_told_except_score_py(desk: Desk) -> None:
    """Exclude globs hold for code, model and included files, but never for score.py."""
    desk.write("data/deep/a.csv", "first")
    desk.write("model/skip/a.bin", "first")
    excluded = ("helper.py", "*.csv", "model/skip", "score.py")
    desk.begin(trees=("model",), include=("data/**/*",), exclude=excluded)
    for name in ("helper.py", "data/deep/a.csv", "model/skip/a.bin"):
        desk.write(name, "second")
    desk.write("data/deep/a.txt", "second")
    assert desk.next() == {"data/deep/a.txt": "added"}
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    desk.mark("model/marker.bin")


SEARCHED = {"wanted": searches.ANY, "package": searches.ANY, "beside": searches.Form.PACKAGE | searches.Form.EXTENSION}


def test_a_missing_module_is_noticed_when_it_comes(desk: Desk) -> None:
    """Files that win an import count, be they new or packages beside a module, and nothing else there does."""
    desk.write("tests/old.py", "first")
    desk.write("beside.py", "first")
    desk.begin()
    desk.aim(searches={str(desk.project): SEARCHED})
    desk.mark()
    for name in ("notes.txt", "tests/old.py", "beside.py", "other.py", "tests/__init__.py"):
        desk.write(name, "second")
    desk.mark()
    desk.write("wanted.py", "first")
    assert desk.next() == {"wanted.py": "added"}
    desk.write("package/__init__.py", "import os")
    assert desk.next() == {"package/__init__.py": "added"}
    desk.write("beside/__init__.py", "import re")
    assert desk.next() == {"beside/__init__.py": "added"}


def test_a_missing_module_that_came_while_loading_is_noticed(desk: Desk) -> None:
    """A module that was created between its failed import and the report of that is told, and told once."""
    desk.begin()
    desk.write("wanted.py", "first")
    desk.aim(searches={str(desk.project): SEARCHED})
    assert desk.next() == {"wanted.py": "added"}
    desk.aim(searches={str(desk.project): {**SEARCHED, "more": searches.ANY}})
    desk.mark()


def test_names_in_a_listed_folder(desk: Desk) -> None:
    """What comes and goes counts, folders too; what is in the files does not, nor what came before the listing."""
    for name in ("data/a.csv", "data/b.csv"):
        desk.write(name, "first")
    time.sleep(0.03)
    listed = {str(desk.path("data")): time.time_ns()}
    desk.write("data/c.csv", "came while it was loaded")
    desk.begin()
    desk.aim(listed=listed)
    assert desk.next() == {"data/c.csv": "added"}
    desk.write("data/a.csv", "second")
    desk.mark()
    desk.path("data/b.csv").unlink()
    assert desk.next() == {"data/b.csv": "deleted"}
    desk.path("data/more").mkdir()
    assert desk.next() == {"data/more": "added"}


def test_a_link_counts_by_what_it_says(desk: Desk) -> None:
    """A link that is switched is a change, whatever lies behind; the same link made again is none."""
    for name in ("v1/x.py", "v2/x.py"):
        desk.write(name, "the same")
    link = desk.path("current")
    link.symlink_to("v1")
    desk.begin(links=("current",))
    link.unlink()
    link.symlink_to("v1")
    desk.mark()
    by_replacing_a_link(link, "v2")
    assert desk.next() == {"current": "modified"}


def by_replacing_a_link(link: Path, target: str) -> None:
    new = link.with_name("new-link")
    new.symlink_to(target)
    os.replace(new, link)


def test_a_file_that_was_looked_for_in_vain(desk: Desk) -> None:
    """It is told when it comes, also if it came before the watch was told."""
    desk.begin()
    desk.write("early.json", "{}")
    absent = desk.paths("early.json", "late.json")
    desk.watch.retarget(Targets(code=desk.paths("score.py", "marker.py"), data=absent), dict.fromkeys(absent))
    assert desk.next() == {"early.json": "added"}
    desk.write("late.json", "{}")
    assert desk.next_roles() == {"late.json": Role.DATA}


# When the system does not help


def test_polling_finds_the_same(polling_desk: Desk) -> None:
    """Without listening at all, each change is told once, and nothing is said."""
    desk = polling_desk
    desk.begin(trees=("model",))
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    touched(desk)
    desk.write("model/deep/new.bin", "new")
    assert desk.next() == {"model/deep/new.bin": "added"}
    desk.mark()
    assert desk.said == []
    assert not [thread for thread in threading.enumerate() if isinstance(thread, observer.BaseThread)]


def test_polling_waits_for_a_large_model(polling_desk: Desk) -> None:
    """A file that grows is one change also where no end of a write is told."""
    desk = polling_desk
    desk.begin(trees=("model",))
    copy_slowly(desk.path("model/large.bin"), reopen=False)
    assert desk.nothing_yet()
    assert desk.next() == {"model/large.bin": "added"}


def test_a_look_is_made_at_once(polling_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who noticed something can have the files looked at without waiting for the next round."""
    monkeypatch.setattr(watcher, "_SWEEP", 3600.0)
    desk = polling_desk
    desk.watch.start()
    desk.aim()
    desk.write("score.py", "second")
    desk.watch.look(desk.paths("score.py"), 1)
    assert desk.next() == {"score.py": "modified"}


def test_who_asks_is_told_when_nothing_is_pending(desk: Desk) -> None:
    """At once where nothing differs, and after the delivery where something does."""
    desk.begin(trees=("model",))
    desk.watch.look(desk.paths("score.py", "model/weights.bin"), 1)
    assert desk.calm.get(timeout=DEADLINE) == 1
    desk.write("model/weights.bin", "second")
    desk.watch.look(desk.paths("model/weights.bin"), 2)
    assert desk.calm.get(timeout=DEADLINE) == 2
    assert not desk.nothing_yet() and desk.next() == {"model/weights.bin": "modified"}


class Exhausted(observer.BaseObserver):
    """An observer on a system that has no watches left."""

    def __init__(self) -> None:
        super().__init__(EventEmitter)

    def schedule(self, *args: object, **kwargs: object) -> observer.ObservedWatch:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")


def test_where_no_watch_is_left_it_polls_and_says_so_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system refuses to listen, one line says so, and every change is still found."""
    monkeypatch.setattr(observer, "Observer", Exhausted)
    desk.begin(trees=("model",))
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}
    desk.write("model/deep/new.bin", "new")
    assert desk.next() == {"model/deep/new.bin": "added"}
    assert len(desk.said) == 1
    assert "inotify watch limit reached" in desk.said[0]


def test_threads_that_died_are_replaced(desk: Desk) -> None:
    """watchdog's threads can die; the next round notices and listens anew."""
    desk.begin(trees=("model",))
    for thread in [thread for thread in threading.enumerate() if isinstance(thread, observer.BaseThread)]:
        thread.stop()
    desk.write("model/weights.bin", "second")
    assert desk.next() == {"model/weights.bin": "modified"}
    desk.write("score.py", "second")
    assert desk.next() == {"score.py": "modified"}


def test_close_ends_everything_soon(desk: Desk) -> None:
    """Closing takes less than a second, leaves no thread, and can be done twice."""
    before = set(threading.enumerate())
    desk.begin(trees=("model",))
    began = time.monotonic()
    desk.watch.close()
    desk.watch.close()
    assert time.monotonic() - began < 1.0
    assert set(threading.enumerate()) <= before
    desk.write("score.py", "second")
    assert desk.nothing_yet()


def test_a_watch_that_was_never_started_can_be_closed() -> None:
    """Closing needs no start."""
    Watch(lambda changes: None, lambda line: None).close()
