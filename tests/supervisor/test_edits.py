"""Which changes are a person's: times are given, nothing is read, nobody waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

import pytest

from devserver.process.workload import Spans
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.supervisor.own_writes import OBEYED, PAUSE, OwnWrites

MS = 1_000_000
SECOND = 1000 * MS
NOW = 3600 * SECOND
Kind = Literal["added", "modified", "deleted"]


class Story:
    """Generations one after the other, and files that change in between; `now` is the time of the story."""

    def __init__(self) -> None:
        self.now = NOW
        self.times: dict[str, int | None] = {}
        self.spans = Spans()
        self.outputs: set[str] = set()
        self.held: set[str] = set()
        self.own = OwnWrites(
            lambda path: self.times.get(path), self.outputs.__contains__, self.held.__contains__, lambda _: "/m"
        )

    def load(self, *written: str, seconds: float = 0.1) -> None:
        """A generation begins to load, something writes these files, and it is ready."""
        self.spans = Spans()
        spans = lambda _: self.spans  # noqa: E731
        self.own.launched(self.now, spans)
        self.write(*written, after=seconds / 2)
        self.now += int(seconds / 2 * SECOND)
        self.own.loaded(self.now)

    def request(self, *written: str) -> None:
        """Something is asked, and meanwhile something writes."""
        begun = self.now
        self.write(*written, after=0.005)
        self.now += 5 * MS
        first = self.spans.first if self.spans.first[0] else (begun, self.now)
        self.spans = Spans(first, (*self.spans.busy, (begun, self.now)))

    def write(self, *paths: str, after: float = 0.0) -> None:
        self.now += int(after * SECOND)
        self.times |= dict.fromkeys(paths, self.now)

    def judge(self, *paths: str, kind: Kind = "modified", role: Role = Role.MODEL) -> set[str]:
        """What of it counts as an edit, some time later."""
        changes = ChangeSet(tuple(FileChange(path, kind, role) for path in paths))
        self.verdict = self.own.judge(changes, self.now + 20 * MS)
        return names(self.verdict.edits.changes)


def names(changes: Iterable[FileChange]) -> set[str]:
    return {change.path for change in changes}


@pytest.fixture
def story() -> Story:
    made = Story()
    made.load()
    made.now += SECOND
    return made


def test_what_the_script_has_told_is_its_own(story: Story) -> None:
    """Up to the time that was told; the file is a person's again afterwards."""
    story.own.wrote("/m/a", story.now)
    story.write("/m/a", "/m/b")
    assert story.judge("/m/a", "/m/b") == {"/m/b"}
    story.write("/m/a", after=0.005)
    assert story.judge("/m/a") == {"/m/a"}


def test_a_write_that_takes_long_is_its_own_until_the_work_is_done(story: Story) -> None:
    """It is told when it begins, and when the work in which it is made has ended."""
    story.own.wrote("/m/a", story.now)
    story.spans = Spans(since=story.now - MS)
    story.write("/m/a", after=30)
    assert story.judge("/m/a") == set()
    story.spans = Spans()
    assert story.judge("/m/a") == {"/m/a"}


def test_an_edit_during_the_work_that_writes_the_file(story: Story) -> None:
    """Once the script has closed it, what comes without being told is a person's; not so while it is held or mapped."""
    for path in ("/m/a", "/m/b", "/m/mapped"):
        story.own.wrote(path, story.now)
    story.own.is_mapped = lambda path: path == "/m/mapped"
    story.spans = Spans(since=story.now - MS)
    story.write("/m/a", "/m/b", "/m/mapped", after=0.005)
    assert story.judge("/m/a", "/m/b", "/m/mapped") == set()
    story.write("/m/a", "/m/b", "/m/mapped", after=0.03)  # it was told just before
    assert story.judge("/m/a", "/m/b", "/m/mapped") == set()
    story.own.wrote("/m/quick", story.now)
    story.write("/m/quick")
    assert story.judge("/m/quick") == set()
    script_s = story.times["/m/a"]
    story.write("/m/a", "/m/b", "/m/mapped", after=2)
    story.own.wrote("/m/b", story.now)
    story.write("/m/quick")
    assert story.judge("/m/a", "/m/b", "/m/mapped", "/m/quick") == {"/m/a", "/m/quick"}
    story.spans = Spans()
    story.now += SECOND
    for path in ("/m/a", "/m/b"):
        story.own.wrote(path, story.now, done=True)
    assert story.judge("/m/a", "/m/b") == {"/m/a"}
    story.times["/m/a"] = script_s
    assert story.judge("/m/a", "/m/b") == set()


def test_what_is_told_at_the_end_of_each_work(story: Story) -> None:
    """As a database is, which is told by no opening: each time it is the script's own, until the end."""
    for _ in range(3):
        story.now += SECOND
        story.write("/m/store")
        story.now += MS
        story.own.wrote("/m/store", story.now, done=True)
        assert story.judge("/m/store") == set()
    story.write("/m/store", after=1)
    assert story.judge("/m/store") == {"/m/store"}


def test_what_is_kept_open_to_write(story: Story) -> None:
    """A log that a thread writes while nothing is asked is the script's; a file that it only could write is not."""
    story.held |= {"/m/log", "/m/model"}
    story.own.wrote("/m/log", story.now)
    story.write("/m/log", "/m/model", after=60)
    assert story.judge("/m/log", "/m/model") == {"/m/model"}


def test_what_was_moved_with_its_folder(story: Story) -> None:
    """The folder was told, and what is in it came with it; a file that is gone was deleted by who told it."""
    story.own.wrote("/m/folder", story.now)
    story.times["/m/folder/a"] = story.now
    assert story.judge("/m/folder/a", kind="added") == set()
    story.times["/m/folder/a"] = None
    assert story.judge("/m/folder/a", kind="deleted") == set()
    story.now += 10 * SECOND
    assert story.judge("/m/folder/a", kind="deleted") == {"/m/folder/a"}


def test_output_is_never_a_change(story: Story) -> None:
    """Whatever the time."""
    story.outputs.add("/m/events.jsonl")
    story.write("/m/events.jsonl")
    assert story.judge("/m/events.jsonl") == set()


def test_a_loop_is_stopped(story: Story) -> None:
    """Two reloads at once, one after a pause, and then the file is left out, and named once."""
    for _ in range(OBEYED):
        story.load("/m/a")
        assert story.judge("/m/a") == {"/m/a"} and story.verdict.pause == 0
    story.load("/m/a")
    assert story.judge("/m/a") == {"/m/a"} and story.verdict.pause == PAUSE
    story.load("/m/a")
    assert story.judge("/m/a") == set() and story.verdict.left_out == ("/m/a",)
    story.load("/m/a")
    assert story.judge("/m/a") == set() and story.verdict.left_out == ()


def test_a_loop_by_requests(story: Story) -> None:
    """The first request after each load writes; once that is known, all do so in vain."""
    for _ in range(OBEYED + 1):
        story.load()
        story.request("/m/a")
        assert story.judge("/m/a") == {"/m/a"}
    story.load()
    story.request("/m/a")
    assert story.judge("/m/a") == set() and story.verdict.left_out == ("/m/a",)
    story.request("/m/a")
    assert story.judge("/m/a") == set()


def test_a_loop_by_programs_that_go_on(story: Story) -> None:
    """What each request starts writes when it is answered, under ever new names; without a program that is a person."""
    for number in range(OBEYED + 2):
        story.load()
        story.request()
        story.own.started(story.now)
        story.write(f"/m/{number}", after=0.3)
        assert bool(story.judge(f"/m/{number}", kind="added")) is (number <= OBEYED)
    assert story.verdict.left_out == (f"/m{os.sep}",)
    story.write("/m/model", after=3)
    assert story.judge("/m/model", kind="added") == {"/m/model"}


def test_what_a_child_process_tells(story: Story) -> None:
    """It is its own for a moment longer: when it is done, nobody tells."""
    story.own.wrote("/m/a", story.now, apart=True)
    story.write("/m/a", after=0.8)
    assert story.judge("/m/a", kind="added") == set()
    story.write("/m/a", after=0.8)
    assert story.judge("/m/a") == {"/m/a"}


def test_new_names_each_time(story: Story) -> None:
    """They are counted by their folder; an edit of another file there goes on to count."""
    for number in range(OBEYED + 1):
        story.load(f"/m/{number}")
        assert story.judge(f"/m/{number}", kind="added")
    story.load("/m/x")
    assert story.judge("/m/x", kind="added") == set() and story.verdict.left_out == (f"/m{os.sep}",)
    story.load("/m/y", "/m/model")
    assert story.judge("/m/y", kind="added") == set()
    assert story.judge("/m/model") == {"/m/model"}


def test_an_edit_of_what_is_left_out(story: Story) -> None:
    """When it changes while nothing works it is a person's, and counts from then on."""
    for _ in range(OBEYED + 2):
        story.load("/m/a")
        story.judge("/m/a")
    story.write("/m/a", after=1)
    assert story.judge("/m/a") == {"/m/a"}
    story.load("/m/a")
    assert story.judge("/m/a") == {"/m/a"}


def test_a_person_who_saves_again_and_again(story: Story) -> None:
    """A generation counts once; saves after it is ready, also between many requests, start the count anew."""
    story.load(seconds=1)
    for _ in range(10):
        story.times["/m/a"] = story.now - 300 * MS  # while it was loaded
        assert story.judge("/m/a") == {"/m/a"}
    for _ in range(20):
        story.load()
        story.request()
        story.write("/m/a", after=0.001)
        assert story.judge("/m/a") == {"/m/a"} and story.verdict.pause == 0


def test_requests_without_end_do_not_hide_edits(story: Story) -> None:
    """A save while a later request is answered is a save."""
    for _ in range(10):
        story.load()
        story.request()
        story.request("/m/a")
        assert story.judge("/m/a") == {"/m/a"}


@pytest.mark.parametrize("role", [Role.CODE, Role.CONFIG, Role.SAMPLE])
def test_code_is_always_an_edit(story: Story, role: Role) -> None:
    """The last save wins, however often one saves while the code is loaded."""
    for _ in range(10):
        story.load("/p/score.py")
        assert story.judge("/p/score.py", role=role) == {"/p/score.py"} and story.verdict.pause == 0


def test_an_edit_beside_it_explains_the_reload(story: Story) -> None:
    """What nobody explains is not counted then, but what is left out stays so."""
    for _ in range(OBEYED + 2):
        story.load("/m/a")
        story.judge("/m/a")
    story.load("/m/a")
    story.write("/m/model", after=1)
    assert story.judge("/m/a", "/m/model") == {"/m/model"}
