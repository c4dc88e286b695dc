"""The event stream is what docs/events.schema.json says: real events are compared with it."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from live import ROOT
from loop import Loop, answering

from devserver.config.settings import Config
from devserver.display import console, events

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))
EVENTS = [name for name, definition in SCHEMA["$defs"].items() if "event" in definition.get("properties", {})]

POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")

SCRIPT = """
import json, os, threading
def init(): pass
def run(data):
    value = json.loads(data)
    if value == "nan":
        return float("nan")
    if value == "die":
        os._exit(5)
    return inner(value)
def inner(value):
    try:
        return value["a"]
    except KeyError as error:
        raise ValueError("no a") from error
"""


def strict(schema: Any) -> Any:
    """The schema, without the permission to have fields that it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in schema and "type" in schema else found


def check(events: list[dict[str, Any]]) -> None:
    for event in events:
        # the event's own schema, so that a failure names the field
        definition = strict({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{event['event']}"})
        jsonschema.Draft202012Validator(definition).validate(event)


def test_the_schema_is_one() -> None:
    """It is valid JSON schema, and allows exactly the events that have a definition."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert [each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]] == EVENTS


def test_every_event_is_described() -> None:
    """Each name that the display writes is in the schema and in the table for people, and no other is."""
    trees = [ast.parse(Path(module.__file__).read_text()) for module in (console, events)]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "event" and call.args]
    names = {name.value for name in made if isinstance(name, ast.Constant)}
    assert names | {"request_failed", "warning"} == set(EVENTS)
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert [name for name in EVENTS if f"| `{name}` |" not in text] == []


def test_a_session_of_the_loop(tmp_path: Path) -> None:
    """What comes of loads, failures, warnings, deaths, samples, a slow answer and the end is as described."""
    files = {"a.json": '{"a": 1}', "b.json": "[}"}
    arguments = ("--request", "a.json", "--request", "b.json", "--request", "gone", "--graceful_timeout", "0.2")
    with Loop(tmp_path, *arguments, score=SCRIPT, files=files) as loop:
        loop.wait_for("replayed")
        loop.ask('{"b": 1}')
        loop.ask('"nan"')
        loop.wait_for("warning")
        with pytest.raises(OSError):
            loop.ask('"die"')
        loop.wait_for("died")
        loop.wait_for_nth("ready", 2)
        loop.save("score.py", "import nothing_of_this_name\n")
        loop.wait_for("not_ready")
        loop.save("score.py", answering(1, init="import os; os._exit(4)"))
        loop.wait_for_nth("died", 2)
        loop.wait_for_nth("not_ready", 2)
        loop.save("score.py", answering(1))
        loop.wait_for_nth("replayed", 2)
    events = loop.events()
    check(events)
    seen = {event["event"] for event in events}
    assert {"listening", "starting", "ready", "not_ready", "restarting", "request_failed", "warning", "died"} <= seen
    assert {"sample", "replayed", "stopping", "stopped"} <= seen
    for event in events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)


def test_without_the_loop(tmp_path: Path) -> None:
    """Without --reload the stream has the same form."""
    from live import Server

    (tmp_path / "score.py").write_text(SCRIPT, encoding="utf-8")
    with Server("--entry_script", "score.py", folder=tmp_path) as server:
        server.post("/score", '{"b": 1}')
        server.wait_for("request_failed")
        server.post("/score", '"nan"')
        server.wait_for("warning")
        with pytest.raises(OSError):
            server.post("/score", '"die"')
        server.wait_for("died")
    check(server.events())


@POSIX
def test_nobody_reads_the_events_any_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """That is said once, and the tool goes on."""
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    shown = console.Console(Config(events=str(pipe)), colour=False)
    shown.note("first")
    os.close(reader)
    for text in ("second", "third"):
        shown.note(text)
    text = capfd.readouterr().out
    assert [text.count(word) for word in ("first", "second", "third", "no more is written: Broken pipe")] == [1] * 4
