"""What changed on disk, what that asks for, and what is to be watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import Enum, IntEnum
from pathlib import PurePath
from typing import Literal

from devserver.records.record import record
from devserver.records.searches import Names


class Scope(IntEnum):
    """How much has to be done anew. Ordered: whoever has to do two of them does the `max()`."""

    IGNORE = 0
    REPLAY = 10
    CODE = 20  # source files of the user's that were loaded: it is decided then whether init() has to run again
    RELOAD = 30
    REWARM = 40
    RESTART = 50


class Role(Enum):
    """What a watched file is to us."""

    CODE = "code"
    MODEL = "model"
    DATA = "data"  # read, listed or looked for by the script, in no watched folder
    CONFIG = "config"  # configuration, logging.json, swagger files
    SAMPLE = "sample"
    INCLUDED = "included"  # named by --reload_include


SCOPES = {
    Role.CODE: Scope.RELOAD,
    Role.MODEL: Scope.RELOAD,
    Role.DATA: Scope.RELOAD,
    Role.INCLUDED: Scope.RELOAD,
    Role.SAMPLE: Scope.REPLAY,
    Role.CONFIG: Scope.RESTART,
}


@record(frozen=True)
class FileChange:
    """One file that is not what it was; `path` is absolute."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    role: Role


@record(frozen=True)
class ChangeSet:
    """What changed together, in the order in which it was noticed; false when nothing did."""

    changes: tuple[FileChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __or__(self, later: ChangeSet) -> ChangeSet:
        """Both together. What happened last to a file counts; a file in two roles is kept in both."""
        joined = {(change.path, change.role): change for change in (*self.changes, *later.changes)}
        return ChangeSet(tuple(joined.values()))


@record(frozen=True)
class ReloadPlan:
    """What a change set asks for."""

    scope: Scope
    changes: ChangeSet


def plan_reload(
    changes: ChangeSet, warm_roots: Iterable[str] = (), is_loaded_source: Callable[[str], bool] = lambda _: False
) -> ReloadPlan:
    """The widest scope that any of `changes` asks for.

    `warm_roots` are the files and folders which the warm process has imported: what lies in them asks for REWARM.
    `is_loaded_source` says of a path whether it is a source file of the user's that was loaded.
    """
    roots = {PurePath(root) for root in warm_roots}
    scopes = (_scope(change, roots, is_loaded_source) for change in changes.changes)
    return ReloadPlan(max(scopes, default=Scope.IGNORE), changes)


def _scope(change: FileChange, warm_roots: set[PurePath], is_loaded_source: Callable[[str], bool]) -> Scope:
    path = PurePath(change.path)
    warm = not warm_roots.isdisjoint((path, *path.parents))
    only_code = change.role is Role.CODE and is_loaded_source(change.path)
    return max(Scope.CODE if only_code else SCOPES[change.role], Scope.REWARM if warm else Scope.IGNORE)


@record(frozen=True)
class Targets:
    """What to watch. All paths are absolute; none of them needs to exist.

    `code`: code files, the first one is score.py. `data`: other files that were read, or looked for in vain. `links`:
    links on the way to them. `searches`: where a file would win an import. `listed`: folders of which the names count,
    and since when (time.time_ns). `trees`: folders that count with everything in them. `models`, `config`, `samples`:
    files. `include`: globs of more files.
    `exclude`: globs of what is left out, wherever it comes from, score.py excepted; one without a slash is a name at
    any depth, and a folder that is left out is left out with all that it holds. Relative globs start at `base`.
    """

    code: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    searches: Mapping[str, Names] = field(default_factory=dict)
    listed: Mapping[str, int] = field(default_factory=dict)
    trees: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    base: str = ""
