"""YAML files with the place of each key and value, so that a mistake in them can be pointed at.

PyYAML reads them, as Azure ML's own command does, so that `no`, `012` and `2024-01-01` mean the same here and there. It
is imported only when there is such a file to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from devserver.config.files import ConfigError, position

if TYPE_CHECKING:
    import yaml

Value: TypeAlias = "dict[str, Node] | list[Node] | Any"

# Templates hold `{{NAME}}`, which some later step fills in. To YAML it is a mapping, or nonsense; private characters
# of the same number keep every column where it was.
_PLACEHOLDER = re.compile(r"\{\{(\s*[\w.-]+\s*)\}\}")
_HIDDEN = str.maketrans({"\ue000": "{", "\ue001": "{", "\ue002": "}", "\ue003": "}"})


@dataclass(frozen=True)
class Node:
    """A value and where it begins, from 1. `keys` are the places of a mapping's keys.

    `value` is a dict or list of nodes, or what a scalar means in YAML 1.1: text, number, true, date or None.
    """

    value: Value
    line: int
    column: int
    text: str = ""
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def mapping(self) -> dict[str, Node]:
        """The members of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The members of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def kind(self) -> str:
        """What it is, in the words of a person."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return "empty" if self.value is None else repr(self.text)


def read_yaml(path: str, what: str) -> Node:
    """The one document in this file, called `what` in errors. Errors: `ConfigError` with the place, exit code 3."""
    try:
        import yaml
    except ImportError:
        raise ConfigError("YAML files need the package PyYAML; run: pip install PyYAML", 3) from None
    text = _text_of(path, what)
    try:
        return _document(path, what, _PLACEHOLDER.sub("\ue000\ue001\\1\ue002\ue003", text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _problem(path, line, column, f"{what} is not YAML: {_words(error, text, line, column)}") from None
    except yaml.reader.ReaderError as error:
        line, column = position(text[: error.position])
        raise _problem(path, line, column, f"{what} is not YAML: {error.reason}") from None
    except (ValueError, RecursionError) as error:  # a date that is none, for one
        raise _problem(path, 1, 1, f"{what} cannot be used: {error}") from None


def _problem(path: str, line: int, column: int, problem: str) -> ConfigError:
    return ConfigError(problem, 3, path=path, line=line, column=column)


def _text_of(path: str, what: str) -> str:
    content = b""
    try:
        with open(path, "rb") as file:
            content = file.read()
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line, column = position(content[: error.start].decode("utf-8"))
        raise _problem(path, line, column, f"{what} is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise _problem(path, 1, 1, f"{what} cannot be read: {error.strerror}") from None


def _words(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    if line <= len(lines) and lines[line - 1][column - 1 : column] == "\t":
        return "a tab; YAML is indented with spaces"
    return " ".join(f"{error.context or ''} {error.problem or ''}".split())


def _document(path: str, what: str, text: str) -> Node:
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        documents: list[yaml.Node] = []
        while loader.check_node() and (node := loader.get_node()) is not None:
            documents.append(node)
        if not documents:
            raise _problem(path, 1, 1, f"{what} is empty")
        if len(documents) > 1:
            mark = documents[1].start_mark
            raise _problem(path, mark.line + 1, mark.column + 1, f"{what} holds {len(documents)} documents, not one")
        return _Converter(loader).node(documents[0])
    finally:
        loader.dispose()


class _Converter:
    """Makes our nodes of PyYAML's; a node that stands in several places by an alias is converted once."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._known: dict[int, Node] = {}

    def node(self, given: yaml.Node) -> Node:
        import yaml

        known = self._known.get(id(given))
        if known is not None:
            return known
        line, column = given.start_mark.line + 1, given.start_mark.column + 1
        value: Value = {} if isinstance(given, yaml.MappingNode) else []
        keys: dict[str, tuple[int, int]] = {}
        if isinstance(given, yaml.ScalarNode):
            text = given.value.translate(_HIDDEN)
            value = self._loader.construct_object(given)
            found = Node(text if isinstance(value, str) else value, line, column, text)
        else:
            found = Node(value, line, column, keys=keys)
        self._known[id(given)] = found
        if isinstance(given, yaml.MappingNode) and isinstance(value, dict):
            self._fill(given, value, keys)
        elif isinstance(value, list):
            value.extend(self.node(item) for item in given.value)
        return found

    def _fill(self, given: yaml.MappingNode, value: dict[str, Node], keys: dict[str, tuple[int, int]]) -> None:
        self._loader.flatten_mapping(given)  # what `<<` merges
        for key, item in given.value:
            name = str(key.value).translate(_HIDDEN)
            keys[name] = key.start_mark.line + 1, key.start_mark.column + 1
            value[name] = self.node(item)
