"""Hints for model and other files that are not there."""

from __future__ import annotations

import os
import re
from types import FrameType

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.diagnostics.hints.lookup import entries, files_below, find, listed, project_folders, short
from devserver.text import nearest
from devserver.usercode import loader

_MODEL_FILES = re.compile(r"(?i)\.(pkl|pickle|joblib|onnx|pt|pth|h5|keras|cbm|safetensors|bin|model)$|^MLmodel$")


_NOT_THERE = re.compile(r"(?i)no such file|not found|doesn't exist|does not exist|(unable|failed) to open")


def _missing_path(facts: Facts) -> str | None:
    """The path that was opened in vain."""
    exception = facts.exception
    if isinstance(exception, (FileNotFoundError, NotADirectoryError)) and exception.filename is not None:
        return exception.filename if isinstance(exception.filename, str) else None
    if _NOT_THERE.search(facts.message):
        named: list[str] = re.findall(r"[\w./\\~:-]*[\w-]\.[A-Za-z]\w{1,7}\b", facts.message)
        return next((path for path in named if not os.path.exists(path)), None)
    return None


def _model_dir_not_set(facts: Facts) -> str | None:
    if facts.model_dir or facts.error.phase not in ("load", "init", "run"):
        return None
    named = facts.error.type == "KeyError" and "AZUREML_MODEL_DIR" in facts.message
    path = _missing_path(facts)
    if not named and path is None and "NoneType" not in facts.message:
        return None
    if not named and not any("AZUREML_MODEL_DIR" in _text_of(frame) for frame in facts.user_frames):
        return None
    tail = re.split(r"[\\/]", path)[-3:] if path else _words_of(facts)
    found = find(facts, [part for part in tail if part]) if tail else None
    if found is None:
        any_model = (file for root in project_folders(facts) for file in files_below(root) if _MODEL_FILES.search(file))
        first = next(any_model, None)
        found = (first, 1) if first else None
    if found is None:
        return "--model_dir was not given: start with --model_dir and the folder that holds the model"
    folder = "/".join(short(found[0]).split("/")[: -found[1]]) or "."
    return f"--model_dir was not given, but there is {short(found[0])}:\nstart with --model_dir {folder}"


def _text_of(frame: FrameType) -> str:
    return loader.source_of(frame.f_code.co_filename) or ""


def _words_of(facts: Facts) -> list[str]:
    """The parts of the path that the failing line builds out of texts."""
    texts = [text for _, text in re.findall(r"""(["'])(.*?)\1""", facts.line)]
    parts = [part for text in texts if text != "AZUREML_MODEL_DIR" for part in re.split(r"[\\/]", text)]
    named = [number for number, part in enumerate(parts) if "." in part]
    return parts[: named[-1] + 1] if named else []


def _model_file(facts: Facts) -> str | None:
    """A file that was looked for in the model folder, which holds others."""
    path, folder = _missing_path(facts), facts.model_dir
    if path is None or folder is None:
        return None
    top = os.path.abspath(folder)
    if not os.path.abspath(path).startswith(os.path.join(top, "")):  # it may be on another drive
        return None
    inside = os.path.relpath(os.path.abspath(path), top)
    if not os.path.isdir(folder):
        return f"the model folder {folder} does not exist; the working directory is {os.getcwd()}"
    tail = inside.split(os.sep)
    above = os.path.dirname(os.path.abspath(folder))
    found = find(facts, tail, [folder]) or find(facts, tail, [above])
    if found and found[1] >= len(tail):
        better = os.sep.join(os.path.abspath(found[0]).split(os.sep)[: -len(tail)]) or os.sep
        where = f"{tail[-1]} was found {_way(os.path.abspath(folder), better)}: try `--model_dir {short(better)}`"
        return "\n".join([where, *_tree(os.path.abspath(folder), os.path.abspath(found[0]))])
    if found and found[1] < len(tail) and short(found[0]).startswith(short(folder)):
        return f"the model folder holds it at {os.path.relpath(found[0], folder).replace(os.sep, '/')}"
    names = [os.path.relpath(file, folder).replace(os.sep, "/") for file in files_below(folder, 4, 500)]
    if not names:
        return f"the model folder {folder} is empty"
    near = nearest(tail[-1], names, 0.5)
    return f"the model folder holds {listed(names, 5)}" + (f". Nearest: {near!r}" if near and len(names) > 1 else "")


def _way(start: str, end: str) -> str:
    """How to go from one folder to another: `one level up`."""
    steps = os.path.relpath(end, start).split(os.sep)
    if len(set(steps)) > 1 and ".." in steps:
        return f"in {short(end)}"
    count = {1: "one level", 2: "two levels"}.get(len(steps), f"{len(steps)} levels")
    return f"{count} {'up' if '..' in steps else 'down'}"


def _tree(folder: str, file: str) -> list[str]:
    """The way to the file as a tree of few lines, in which the folder that was given is marked."""
    top = os.path.commonpath([folder, os.path.dirname(file)])
    lines = [f"{short(top)}/" + (_GIVEN if top == folder else "")]
    for path in sorted({folder, file} - {top}):
        inside, depth = os.path.relpath(path, top).split(os.sep), len(lines)
        lines += [f"{'  ' * level}{name}/" for level, name in enumerate(inside[:-1], 1)]
        lines.append(f"{'  ' * len(inside)}{inside[-1]}" + (f"/{_GIVEN}" if path == folder else ""))
        if depth + len(inside) > _TREE_LINES:
            return []
    return lines


_GIVEN, _TREE_LINES = "  <- --model_dir", 6


def _other_file(facts: Facts) -> str | None:
    """A file that was looked for elsewhere."""
    path = _missing_path(facts)
    if not path:
        return None
    if path.startswith("~"):
        return "~ is not the home folder for open(): use os.path.expanduser()"
    if "\\" in path and os.sep == "/":
        return "backslashes do not separate folders on this system, nor in Azure: use os.path.join() or /"
    beside = os.path.join(facts.folder, path)
    name = os.path.basename(path)
    if os.path.exists(beside) and not os.path.isabs(path):
        start = f"{name} lies beside the script, but relative paths start at {os.getcwd()}"
        return f"{start}: use os.path.join(os.path.dirname(__file__), {path!r})"
    if facts.model_dir and (found := find(facts, [name], [facts.model_dir])):
        return f"there is one in the model folder: {short(found[0])}; join AZUREML_MODEL_DIR and the name"
    found = find(facts, [part for part in re.split(r"[\\/]", path)[-3:] if part])
    if found:
        return f"there is one at {short(found[0])}"
    folder = os.path.dirname(path) or "."
    near = nearest(name, [entry.name for entry in entries(folder)], 0.75)
    return f"there is {os.path.join(folder, near) if folder != '.' else near}" if near else None


def _folder_for_file(facts: Facts) -> str | None:
    path = getattr(facts.exception, "filename", None)
    if not isinstance(facts.exception, (IsADirectoryError, PermissionError)) or not isinstance(path, str):
        return None
    names = [entry.name for entry in entries(path)] if os.path.isdir(path) else []
    return f"it is a folder that holds {listed(names, 5)}" if names else None


HINTS: tuple[Predicate, ...] = (
    _model_dir_not_set,
    _model_file,
    _other_file,
    _folder_for_file,
)
