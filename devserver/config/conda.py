"""The packages that a conda file asks for, as facts: a name, a version, and where it says so.

What is installed is compared elsewhere; here nothing but the file is looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from devserver.config.azure_deployment import Requirement
from devserver.config.files import ConfigError
from devserver.config.yaml_files import Node, read_yaml

WHAT = "the conda file"
_CONDA = re.compile(r"(?:[\w./-]+::)?([A-Za-z0-9_][\w.-]*)\s*(\[[^]]*\])?\s*([=<>!~].*|[\d*][^\s]*.*)?$")
_PIP = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?\s*([=<>!~][^;@#)]*)?")


def read_conda(path: str) -> tuple[Requirement, ...]:
    """What the file asks for. Errors: `ConfigError` with the place."""
    return requirements_of(read_yaml(path, WHAT), path)


def requirements_of(node: Node, path: str) -> tuple[Requirement, ...]:
    """What this mapping asks for; `path` is the file in which it stands. Errors: `ConfigError` with the place."""
    dependencies = node.mapping.get("dependencies")
    if not isinstance(node.value, dict) or (dependencies is not None and not isinstance(dependencies.value, list)):
        wrong = dependencies if isinstance(node.value, dict) and dependencies is not None else node
        what = "dependencies" if wrong is dependencies else WHAT
        wanted = "a list" if wrong is dependencies else "a mapping"
        raise ConfigError(f"{what} is {wrong.kind}, not {wanted}", 3, path=path, line=wrong.line, column=wrong.column)
    return tuple(_all(dependencies, path)) if dependencies is not None else ()


def _all(dependencies: Node, path: str) -> Iterator[Requirement]:
    for item in dependencies.items:
        pip = item.mapping.get("pip")
        if pip is not None:
            for each in pip.items:
                yield from _of_pip(each.text, path, each.line)
        elif not item.mapping and (found := _CONDA.match(item.text.strip())):
            yield Requirement(found[1], _conda_version(found[3] or ""), "conda", path, item.line)


def _conda_version(text: str) -> str:
    """`=1.2` means 1.2 and what begins so, `=1.2=py38_0` names a build, too."""
    text = text.strip().split(" ")[0] if not re.match(r"[<>!~=]=?\s", text) else text.replace(" ", "")
    if text[:1].isdigit():
        text = f"=={text}"
    if text.startswith("=") and not text.startswith("=="):
        version = text[1:].split("=")[0].rstrip("*").rstrip(".")
        return f"=={version}.*" if version else ""
    return text if "|" not in text and text != "*" else ""  # alternatives are conda's own; who knows


def _of_pip(text: str, path: str, line: int) -> Iterator[Requirement]:
    text = text.strip()
    listed = re.match(r"(?:-r|--requirement)[\s=]+(\S+)", text)
    if listed:
        yield from _of_requirements(os.path.join(os.path.dirname(path), listed[1]))
    elif not _is_other_line(text) and (found := _PIP.match(text)):
        yield Requirement(found[1], (found[2] or "").replace(" ", "").rstrip(","), "pip", path, line)


def _is_other_line(text: str) -> bool:
    """An option, an address, or for another platform."""
    return text.startswith("-") or "://" in text.split(" @ ")[0] or _is_for_others(text)


def _is_for_others(text: str) -> bool:
    """A marker that names another platform or Python: not asked for here."""
    _, semicolon, marker = text.partition(";")
    if not semicolon:
        return False
    try:
        from packaging.markers import Marker

        return not Marker(marker.strip()).evaluate()
    except (ImportError, ValueError):
        return True


def _of_requirements(path: str) -> Iterator[Requirement]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for number, text in enumerate(lines, 1):
        if not text.lstrip().startswith(("#", "-")):
            yield from _of_pip(text.partition(" #")[0], path, number)
