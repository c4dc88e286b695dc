"""The comparison alone: what it calls changed, what it refuses and where, without a process."""

from __future__ import annotations

import pytest

from devserver.display.reasons import SENTENCES, sentence
from devserver.records.reasons import Reason, Why
from devserver.worker.keep.compare import Difference, Source, compare

TEXT = """import json
LIMIT = 1_000


def helper(value, *, times=2):
    "What it does."
    return value * times


class Model:
    rate = 0.5

    def predict(self, x):
        return x


KEYS = {"a": lambda x: x}
"""


def compared(*pairs: tuple[str, str], text: str = TEXT) -> Difference | Reason:
    new = text
    for old, other in pairs:
        assert old in new
        new = new.replace(old, other)
    return compare(Source.of(text), Source.of(new))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("value * times", "times * value", ["helper"]),
        ("        return x", "        y = x\n        return y", ["Model.predict"]),
        ("lambda x: x", "lambda x: -x", ["<lambda>"]),
        ("LIMIT = 1_000", "LIMIT = 1000", []),
        ('"a"', "'a'", []),
        ("import json", "import json;", []),
        ("return value * times", "return (value * times)", []),
        ("return value * times", "return value * times if value else 0.0", ["helper"]),
        ("\n\nclass", "\n# a\n\n\n\nclass", []),
    ],
)
def test_bodies_may_change(old: str, new: str, names: list[str]) -> None:
    difference = compared((old, new))
    assert isinstance(difference, Difference)
    assert [place.name for place in difference.changed] == names


@pytest.mark.parametrize(
    ("old", "new", "why", "line"),
    [
        ("1_000", "1_001", Why.STATEMENT, 2),
        ("1_000", "1_000.0", Why.STATEMENT, 2),
        ("1_000", "True", Why.STATEMENT, 2),
        ("times=2", "times=3", Why.SIGNATURE, 5),
        ("What it does.", "What it did.", Why.DOCSTRING, 5),
        ('    "What it does."\n', "", Why.DOCSTRING, 5),
        ("rate = 0.5", "rate = 0.6", Why.STATEMENT, 11),
        ("class Model", "class Model(dict)", Why.STATEMENT, 10),
        ("def predict(self, x)", "async def predict(self, x)", Why.STATEMENT, 13),
        ("lambda x: x", "lambda x=1: x", Why.STATEMENT, 17),
        ("def helper", "@staticmethod\ndef helper", Why.SIGNATURE, 6),
        ("import json", '"""Doc."""\nimport json', Why.STATEMENT, 1),
        ("KEYS", "print()\nKEYS", Why.STATEMENT, 17),
    ],
)
def test_the_rest_may_not(old: str, new: str, why: Why, line: int) -> None:
    reason = compared((old, new))
    assert isinstance(reason, Reason)
    assert (reason.why, reason.line) == (why, line)


def test_lines_are_those_of_both_texts() -> None:
    difference = compared(("import json", "import json\n\n\n"), ("value * times", "0"))
    assert isinstance(difference, Difference)
    (place,) = difference.changed
    assert (place.old_line, place.new_line, place.old_span, place.new_span) == (5, 8, (5, 7), (8, 10))


def test_names_come_and_go() -> None:
    difference = compared(("def helper(value", "def other(value"))
    assert isinstance(difference, Difference)
    assert [single.name for single in difference.added] == ["other"]
    assert [single.name for single in difference.removed] == ["helper"]


def test_each_reason_has_its_words() -> None:
    assert set(SENTENCES) == set(Why)
    assert sentence(Reason(Why.RAN, place="helper")) == "helper() took part in it"
