"""What is to be watched, as single files with their roles and as trees with their rules."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from devserver.records.changes import Role, Targets
from devserver.records.record import record
from devserver.records.searches import matches

MODULE_ENDINGS = (".py", ".so", ".pyd")

# Editors, downloads and tools write these while they work; none of them is ever the thing itself.
_LITTER_ENDINGS = (
    "-wal",  # sqlite's: what they hold is in the database when whoever writes has finished
    "-shm",
    "-journal",
    ".swp",
    ".swo",
    ".swx",
    "~",
    ".tmp",
    ".part",
    ".crdownload",
    ".pyc",
    ".log",
    "_jb_tmp___",
    "_jb_old___",
)
_LITTER_STARTS = (".#", ".~lock")
_OLD_LOG = re.compile(r"\.log\.[\w.-]+")  # what a rotating log has put aside
_LITTER_NAMES = frozenset({"nohup.out", "__pycache__", ".git", ".hg", ".svn", ".ipynb_checkpoints", ".DS_Store"})

_GLOB_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|.", re.DOTALL)
_GLOB_WORDS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@record(frozen=True)
class TreeRule:
    """A folder of which the files are not known beforehand, and which of them count.

    With `searched` (names and forms) only modules count that would win an import; none of them was there. With `names`
    only what comes and goes counts, folders too, whatever is in it. `pattern` and `exclude` are regular expressions for
    whole paths with forward slashes; an empty one is no rule. What changed at or after `since_ns` is news.
    """

    root: str
    role: Role
    deep: bool
    pattern: str = ""
    exclude: str = ""
    searched: tuple[tuple[str, int], ...] = ()
    names: bool = False
    since_ns: int | None = None

    def counts(self, path: str) -> bool:
        """Whether a file with this path belongs to the tree."""
        top = self.root.rstrip(os.sep) + os.sep
        if not path.startswith(top):
            return False
        if self.searched:
            return matches(self.root, dict(self.searched), path) and not self.left_out(path)
        parts = path[len(top) :].split(os.sep)
        return (
            self._in_reach(parts) and not any(map(is_litter, parts)) and not self.left_out(path) and self.matches(path)
        )

    def _in_reach(self, parts: list[str]) -> bool:
        return self.deep or len(parts) == 1

    def matches(self, path: str) -> bool:
        return not self.pattern or re.fullmatch(self.pattern, _slashed(path)) is not None

    def left_out(self, path: str) -> bool:
        return bool(self.exclude) and re.fullmatch(self.exclude, _slashed(path)) is not None


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is a by-product that never counts in a tree."""
    by_product = name in _LITTER_NAMES or name.endswith(_LITTER_ENDINGS) or name.startswith(_LITTER_STARTS)
    return by_product or _OLD_LOG.search(name) is not None


def roles_of(targets: Targets) -> dict[str, Role]:
    """The single files and what they are to us; a file that is named twice keeps the widest role."""
    exclude = re.compile(exclude_pattern(targets) or "(?!)")
    single = [
        glob for glob in _anchored(targets.include, targets.base) if not _has_magic(glob) and not os.path.isdir(glob)
    ]
    named = [
        *((path, Role.DATA) for path in targets.data),
        *((path, Role.SAMPLE) for path in targets.samples),
        *((path, Role.INCLUDED) for path in single),
        *((path, Role.MODEL) for path in targets.models),
        *((path, Role.CODE) for path in (*targets.code, *targets.links)),
        *((path, Role.CONFIG) for path in targets.config),
    ]
    first = targets.code[:1]
    return {path: role for path, role in named if path in first or not exclude.fullmatch(_slashed(path))}


def trees_of(targets: Targets) -> list[TreeRule]:
    """The trees; where two overlap, a file belongs to the first one."""
    exclude = exclude_pattern(targets)
    return [
        *(TreeRule(root, Role.MODEL, deep=True, exclude=exclude) for root in targets.trees),
        *(_included(glob, exclude) for glob in _anchored(targets.include, targets.base) if _spans(glob)),
        *(
            TreeRule(folder, Role.CODE, deep=False, exclude=exclude, searched=tuple(sorted(names.items())))
            for folder, names in targets.searches.items()
        ),
        *(
            TreeRule(folder, Role.DATA, deep=False, exclude=exclude, names=True, since_ns=since_ns)
            for folder, since_ns in targets.listed.items()
        ),
    ]


def _spans(glob: str) -> bool:
    return _has_magic(glob) or os.path.isdir(glob)


def _included(glob: str, exclude: str) -> TreeRule:
    if not _has_magic(glob):
        return TreeRule(glob, Role.INCLUDED, deep=True, exclude=exclude)
    names = glob.split(os.sep)
    fixed = next(index for index, name in enumerate(names) if _has_magic(name))
    root = os.sep.join(names[:fixed]) or os.sep
    deep = fixed < len(names) - 1 or "**" in names[fixed]
    return TreeRule(root, Role.INCLUDED, deep, _regex(_slashed(glob)), exclude)


def exclude_pattern(targets: Targets) -> str:
    """One expression for all of `exclude`, folders with what they hold; empty when there is none.

    It is for whole paths with forward slashes.
    """
    globs = [glob.rstrip("/" + os.sep) for glob in targets.exclude]
    anywhere = [f"(?:.*/)?{_regex(glob)}" for glob in globs if glob and _slashed(glob).count("/") == 0]
    anchored = [_regex(_slashed(glob)) for glob in _anchored((g for g in globs if "/" in _slashed(g)), targets.base)]
    return f"(?:{'|'.join(anywhere + anchored)})(?:/.*)?" if anywhere or anchored else ""


def _anchored(globs: Iterable[str], base: str) -> list[str]:
    return [os.path.normpath(os.path.join(base, glob)) for glob in globs]


def _regex(glob: str) -> str:
    """The expression of a glob: `*`, `?` and `[...]` stay within one name, `**` spans folders."""
    return "".join(_GLOB_WORDS.get(token) or _one(token) for token in _GLOB_TOKEN.findall(glob))


def _one(token: str) -> str:
    if len(token) == 1:
        return re.escape(token)
    body = token[1:-1].replace("\\", "\\\\")
    return f"[^{body[1:]}]" if body.startswith("!") else f"[{body}]"


def _has_magic(glob: str) -> bool:
    return any(mark in glob for mark in "*?[")


def _slashed(path: str) -> str:
    return path.replace(os.sep, "/")
