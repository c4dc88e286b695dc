"""`--init_vscode`: puts the entries for VS Code into the workspace's files, or brings those of before up to date.

What a person has written stays: other entries, comments, keys that we do not write, and how a task is shown. Where a
file cannot be changed safely, it is left alone, and only what is missing in it is printed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devserver.config import jsonc
from devserver.config.vscode import WORKSPACE, Target, interpreter_in, targets

TASTE = ("presentation", "runOptions", "console", "justMyCode")  # what a person has chosen in an entry of ours
SHOWN = 100  # characters of a value that has changed


def init(base: str, arguments: Sequence[str]) -> int:
    """Write the files for the command with these arguments, run in `base`. Returns the exit code."""
    root = workspace_root(base)
    folder = os.path.relpath(base, root).replace(os.sep, "/")
    done = [_put(root, base, in_folder(target, folder)) for target in targets(arguments, interpreter_in(root))]
    return 0 if all(done) else 1


# --- where


def workspace_root(base: str) -> str:
    """The folder that is opened in VS Code: the nearest at or above `base` that looks so, or `base` itself.

    The home folder is none: VS Code has a folder .vscode of its own there.
    """
    home = os.path.expanduser("~")
    for folder in (base, *map(str, Path(base).parents)):
        if folder == home:
            break
        found = _opened_in(folder, base)
        if found is not None:
            return found
    return base


def _opened_in(folder: str, base: str) -> str | None:
    """This folder, or the one that a workspace file in it names, where it is one that is opened."""
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    listed = [each for name in names if name.endswith(".code-workspace") for each in _listed(folder, name)]
    holding = [each for each in listed if f"{base}{os.sep}".startswith(each.rstrip(os.sep) + os.sep)]
    if holding:
        return max(holding, key=len)
    return folder if listed or ".vscode" in names or ".git" in names else None


def _listed(folder: str, name: str) -> list[str]:
    """The folders of a workspace of several folders."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            content = jsonc.parse(file.read())
        paths = [each["path"] for each in content["folders"]]
        return [os.path.normpath(os.path.join(folder, path)) for path in paths]
    except (OSError, ValueError, KeyError, TypeError):
        return [folder]


def in_folder(target: Target, folder: str) -> Target:
    """The same entries for a command that is run in this folder of the workspace."""
    if folder == ".":
        return target
    return dataclasses.replace(target, entries=[_in_folder(entry, f"{WORKSPACE}/{folder}") for entry in target.entries])


def _in_folder(entry: Any, place: str) -> Any:
    if not isinstance(entry, dict):
        return entry
    if "problemMatcher" in entry:
        matcher = {**entry["problemMatcher"], "fileLocation": ["autoDetect", place]}
        return {**entry, "options": {**entry.get("options", {}), "cwd": place}, "problemMatcher": matcher}
    return {**entry, "cwd": place} if entry.get("request") == "launch" else entry


# --- what


@dataclass(frozen=True)
class Merge:
    """What has to happen to the list of a file: entries at places become others, and more come to its end."""

    replaced: Mapping[int, Any]
    added: Sequence[Any]
    changes: Sequence[str]  # what becomes other, a line each

    @property
    def is_needed(self) -> bool:
        return bool(self.replaced or self.added)


def merge(found: Sequence[Any], target: Target) -> Merge:
    """Compares what stands in a list with what belongs into it."""
    places = {_known_by(entry, target): place for place, entry in enumerate(found)}
    replaced: dict[int, Any] = {}
    added, changes = [], []
    for entry in target.entries:
        place = places.get(_known_by(entry, target))
        if place is None:
            added.append(entry)
        elif isinstance(entry, dict) and (updated := _updated(found[place], entry)) != found[place]:
            replaced[place] = updated
            changes += [f'    "{_known_by(entry, target)}": {line}' for line in differences(found[place], updated)]
    return Merge(replaced, added, changes)


def _known_by(entry: Any, target: Target) -> Any:
    name = target.name_of(entry)
    return name if isinstance(name, str) else None


def _updated(old: Any, new: dict[str, Any]) -> Any:
    """Our entry with what the person has added to it, and with the person's taste."""
    return _over(old, {key: value for key, value in new.items() if key not in TASTE or key not in old})


def _over(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _over(old.get(key), value) for key, value in new.items()}}


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """What becomes other, a line for each value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in new:
            if old.get(key) != new[key]:
                yield from differences(old.get(key), new[key], f"{name}.{key}" if name else key)
    elif isinstance(old, list) and isinstance(new, list):
        before, after = _middle(old, new)
        yield f"{name}: {_words(before)} -> {_words(after)}"
    else:
        yield f"{name}: {_short(old)} -> {_short(new)}"


def _middle(old: list[Any], new: list[Any]) -> tuple[list[Any], list[Any]]:
    """Without what is the same at the beginning and at the end, but for the word before."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    if start and str(old[start - 1]).startswith("--"):
        start -= 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[start : len(old) - end], new[start : len(new) - end]


def _words(values: list[Any]) -> str:
    return _cut(" ".join(map(str, values))) if values else "nothing"


def _short(value: Any) -> str:
    return "nothing" if value is None else _cut(json.dumps(value))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


# --- into the files


def _put(root: str, base: str, target: Target) -> bool:
    """Shows what becomes of this file, and does it. Returns whether it holds every entry now."""
    path = os.path.join(root, target.path)
    shown = f"azmlinfsrv: {os.path.relpath(path, base)}"
    planned = Merge({}, target.entries, ())
    try:
        before = _read(path)
        planned = merge(entries_in(before, target), target)
        after = changed(before, target, planned)
        print(*planned.changes, sep="\n", end="\n" if planned.changes else "")
        if after != before:
            _write(path, after)
    except (OSError, ValueError) as error:
        print(f"{shown}: not changed: {error}", *_by_hand(target, planned), sep="\n")
        return False
    print(f"{shown}: {_done(planned)}")
    return True


def _done(planned: Merge) -> str:
    return "written" if planned.added else "updated" if planned.replaced else "nothing to add"


def changed(text: str, target: Target, planned: Merge) -> str:
    """The file's text after that. Errors: ValueError where it cannot be changed safely."""
    if _is_empty(text):
        return _new(target)
    return jsonc.changed(text, target.key, planned.replaced, planned.added)


def _is_empty(text: str) -> bool:
    return not text.strip("\ufeff \t\r\n")


def entries_in(text: str, target: Target) -> list[Any]:
    """What stands in the file's list. Errors: ValueError where there can be none."""
    if _is_empty(text):
        return []
    content = jsonc.parse(text)
    found = content.get(target.key, []) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"there is no list {json.dumps(target.key)} in it")
    return found


def _new(target: Target) -> str:
    return json.dumps({**target.head, target.key: list(target.entries)}, indent=jsonc.INDENT) + "\n"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _by_hand(target: Target, planned: Merge) -> Iterator[str]:
    """Only what is missing."""
    if planned.changes:
        yield from (f"What has to become other in {json.dumps(target.key)}:", *planned.changes)
    if planned.added:
        yield from (f"What belongs into {json.dumps(target.key)}:", jsonc.rendered(planned.added, 1))
