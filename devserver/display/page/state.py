"""What the page shows, made of the lines of the event stream.

Sections change one by one; each has a number that grows with every change, so that a browser that comes late or was
away gets the sections it has not seen as they are now, and nothing twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devserver.display import blocks
from devserver.records import as_json
from devserver.records.commands import CommandRan

MOST_REQUESTS = 50
MOST_RELOADS = 30
MOST_NOTES = 30
MOST_DIFFERENCES = 3  # of a sample's answer, in a note
Event = Mapping[str, Any]
Json = dict[str, Any]


@dataclass
class Section:
    """One part of the page: its value as JSON, and the number of its last change."""

    value: Any
    changed: int = 1


class State:
    """All sections. `apply` is called from one thread, the rest from any. `base` is where shown paths begin."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._change = threading.Condition()
        self._number = 1
        self._urgent = 1  # the last change that is not of requests alone
        self._answered = 0
        self._reloads: deque[Json] = deque(maxlen=MOST_RELOADS)
        self._requests: deque[Json] = deque(maxlen=MOST_REQUESTS)
        self._notes: deque[Json] = deque(maxlen=MOST_NOTES)
        self._saved = 0  # the generation that the latest save has replaced, or will
        self._sections = {
            "status": Section({"state": "starting", "generation": None, "at": None, "url": "", "reloads": []}),
            "problem": Section(None),
            "requests": Section([]),
            "notes": Section([]),
        }

    def apply(self, event: Event) -> None:
        """One line of the stream. Events and fields that are not known are left alone."""
        with self._change:
            match event["event"]:
                case "listening":
                    self._set("status", {**self._status, "url": event["url"]})
                case "starting" | "restarting":
                    self._saved = self._status["generation"] or 0
                    self._enter("starting", event)
                case "ready":
                    self._ready(event)
                case "not_ready":
                    self._loaded("not ready", event)
                    self._show_problem(event["error"], event)
                case "died":
                    self._enter("starting", event)
                    self._show_problem(event["error"], event)
                case "request_failed" | "warning":
                    self._show_problem(event["error"], event)
                case "config_kept":
                    self._show_problem(event["error"], event)
                    self._note(event, "the deployment cannot be used; the values from before stay")
                case "request":
                    self._answered += 1
                    self._requests.appendleft({"number": self._answered, **_only(event, *_OF_REQUEST)})
                    self._set("requests", list(self._requests))
                case "slow":
                    self._note(event, f"{event['phase']} goes on for {event['seconds']:g} s")
                case "overran":
                    self._note(event, "work in flight was not finished in time after a save, and was cut off")
                case "sample" if not event["ok"] or event["difference"]:
                    self._note(event, _of_sample(event))
                case "command":
                    self._note(event, _of_command(event))
                case "keyboard" if event["lent"]:
                    self._note(event, "a debugger, or input() in the script, has the keyboard of the terminal")
                case "note":
                    self._note(event, event["text"])
                case "stopping" | "stopped":
                    self._enter("stopped", event)
            self._change.notify_all()

    def end(self) -> None:
        """Nothing comes any more: the tool has ended."""
        with self._change:
            self._set("status", {**self._status, "state": "stopped"})
            self._change.notify_all()

    def news(self, seen: int, patience: float) -> tuple[int, Json]:
        """The sections that have changed since `seen`, once there are any; none after `patience` seconds."""
        with self._change:
            self._change.wait_for(lambda: self._number > seen, patience)
            changed = {name: part.value for name, part in self._sections.items() if part.changed > seen}
            return self._number, changed

    def rest(self, seen: int, seconds: float) -> None:
        """Wait, but no longer than until something else than requests has changed since `seen`."""
        with self._change:
            self._change.wait_for(lambda: self._urgent > seen, seconds)

    # --- each kind

    @property
    def _status(self) -> Json:
        value: Json = self._sections["status"].value
        return value

    def _set(self, name: str, value: Any) -> None:
        self._number += 1
        self._sections[name] = Section(value, self._number)
        if name != "requests":
            self._urgent = self._number

    def _enter(self, state: str, event: Event) -> None:
        generation = event.get("generation") or self._status["generation"]
        self._set("status", {**self._status, "state": state, "generation": generation, "at": event["at"]})

    def _loaded(self, state: str, event: Event) -> None:
        ok = state != "not ready"
        self._reloads.append(
            {"seconds": event["seconds"], "ok": ok, **_only(event, "at", "generation", "times", "warm")}
        )
        self._enter(state, event)
        self._set("status", {**self._status, "reloads": list(self._reloads)})

    def _ready(self, event: Event) -> None:
        self._loaded("ready" if event.get("kept_ms") is None else "kept", event)
        problem = self._sections["problem"].value
        if problem is not None and problem["generation"] <= self._saved:
            self._set("problem", None)

    def _note(self, event: Event, text: str) -> None:
        self._notes.appendleft({"at": event["at"], "text": text})
        self._set("notes", list(self._notes))

    def _show_problem(self, error: Json | None, event: Event) -> None:
        if error is None:
            return
        generation = event.get("generation") or 0
        headline = blocks.headline(as_json.from_json(error), cwd=self._base, count=event.get("count", 1))
        self._set("problem", {"headline": headline, "at": event["at"], "generation": generation, "error": error})


def _of_sample(event: Event) -> str:
    came = f"not answered: {event['problem']}" if event["problem"] else f"{event['status']}"
    differences = event["difference"] or ()
    more = [f"and {len(differences) - MOST_DIFFERENCES} more"] if len(differences) > MOST_DIFFERENCES else []
    return "; ".join([f"sample {event['name']}: {came}", *differences[:MOST_DIFFERENCES], *more])


def _of_command(event: Event) -> str:
    ran = CommandRan(event["command"], event["exit_code"], event["seconds"], event["line"])
    return ": ".join(filter(None, (ran.command, ran.outcome, ran.line)))


_OF_REQUEST = ("at", "generation", "method", "target", "status", "milliseconds", "size", "headline")


def _only(event: Event, *names: str) -> Json:
    return {name: event.get(name) for name in names}
