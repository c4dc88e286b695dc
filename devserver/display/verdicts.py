"""The verdict of a check for people, as JSON, as GitHub annotations and as JUnit's XML."""

from __future__ import annotations

import dataclasses
import json
import os
from xml.sax.saxutils import escape, quoteattr

from devserver.config.settings import Config
from devserver.display import blocks
from devserver.display.lines import bracket, command_ran, sample_sent
from devserver.records.as_json import to_json
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import LoadReport
from devserver.records.record import record
from devserver.records.samples import SampleSent
from devserver.text import shown

FAILED_LOAD, FAILED_SAMPLE = 3, 4


@record(frozen=True)
class SampleVerdict:
    """One sample, and what was reported while it was answered."""

    sent: SampleSent
    errors: tuple[Diagnostic, ...] = ()

    @property
    def message(self) -> str:
        """Why it failed, in one line."""
        error = next((each for each in self.errors if each.severity == "error"), None)
        if error is not None:
            return blocks.headline(error)
        return self.sent.problem or f"status {self.sent.status}"


@record(frozen=True)
class Verdict:
    """What a check has found. `error` is why the script could not be loaded; `notes` do not count as failures.

    `seconds` are those of the whole check, `load_seconds` until the script was loaded, or was known to be unusable, the
    start of its process included. `skipped` names the samples that were not sent, since there was no script for them.
    `command` is what came of --run; `not_run` is that command where it was not run for the same reason.
    `meanwhile` was reported while a command ran that failed.
    """

    error: Diagnostic | None
    loaded: LoadReport | None
    samples: tuple[SampleVerdict, ...]
    notes: tuple[str, ...]
    seconds: float
    load_seconds: float = 0.0
    skipped: tuple[str, ...] = ()
    command: CommandRan | None = None
    not_run: str | None = None
    meanwhile: tuple[Diagnostic, ...] = ()

    @property
    def failed(self) -> tuple[SampleVerdict, ...]:
        return tuple(sample for sample in self.samples if not sample.sent.ok)

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return FAILED_LOAD
        if self.command is not None and not self.command.ok:
            return self.command.exit_code
        return FAILED_SAMPLE if self.failed else 0

    @property
    def summary(self) -> str:
        if self.error is not None:
            what = "init() failed" if self.error.phase == "init" else "the script could not be loaded"
            return f"check failed: {what}"
        count = len(self.samples)
        plural = "" if count == 1 else "s"
        bad = [f"{len(self.failed)} of {count} sample{plural} failed"] if self.failed else []
        bad += [f"the command {self.command.outcome}"] if self.command is not None and not self.command.ok else []
        if bad:
            return f"check failed: {', '.join(bad)}"
        good = [f"{count} sample{plural} answered"] if count else []
        good += ["the command passed"] if self.command is not None else []
        return f"check passed: {', '.join(['the script loads', *good])}"


def render_verdict(verdict: Verdict, config: Config, colour: bool) -> str:
    """The verdict in the format that the configuration asks for; no newline at the end."""
    forms = {"json": _as_json, "github": _as_annotations, "junit": _as_junit}
    form = forms.get(config.check_format)
    return form(verdict, config) if form is not None else _for_people(verdict, config, colour)


def _for_people(verdict: Verdict, config: Config, colour: bool) -> str:
    def block(error: Diagnostic) -> str:
        return blocks.block(error, colour=colour, width=120, full_traceback=config.full_traceback)

    parts = [block(verdict.error)] if verdict.error is not None else []
    for sample in verdict.samples:
        parts.append(sample_sent(sample.sent, colour=colour, width=120))
        parts += [block(error) for error in sample.errors]
    parts += [command_ran(verdict.command, colour=colour, width=120)] if verdict.command is not None else []
    parts += [block(error) for error in verdict.meanwhile]
    parts += [bracket("", f"note: {note}", colour) for note in verdict.notes]
    parts.append(bracket("good" if verdict.exit_code == 0 else "error", verdict.summary, colour))
    return "\n".join(parts)


def _as_json(verdict: Verdict, _config: Config) -> str:
    samples = [
        {"name": each.sent.name, "ok": each.sent.ok, "sent": to_json(each.sent), "errors": to_json(each.errors)}
        for each in verdict.samples
    ]
    ran = verdict.command
    found = {
        "v": 1,
        "ok": verdict.exit_code == 0,
        "exit_code": verdict.exit_code,
        "summary": verdict.summary,
        "seconds": round(verdict.seconds, 3),
        "error": to_json(verdict.error),
        "times": to_json(verdict.loaded.times) if verdict.loaded is not None else None,
        "samples": samples,
        "notes": list(verdict.notes),
        "command": None
        if ran is None
        else {"ok": ran.ok, **dataclasses.asdict(ran), "errors": to_json(verdict.meanwhile)},
    }
    return json.dumps(found, indent=2)


def _as_annotations(verdict: Verdict, config: Config) -> str:
    """Workflow commands, as GitHub Actions takes them, and a last line for people."""
    errors = [verdict.error] if verdict.error is not None else []
    errors += [error for sample in verdict.samples for error in sample.errors]
    errors += verdict.meanwhile
    lines = [_annotation(error) for error in errors]
    silent = [sample for sample in verdict.failed if not sample.errors]
    lines += [f"::error title=sample {_property(each.sent.name)}::{_data(each.message)}" for each in silent]
    ran = verdict.command
    if ran is not None:
        lines.append(f"::{'notice' if ran.ok else 'error'} title=command::{_data(_of_command(ran))}")
    lines += [f"::notice file={_file(_script(config))}::{_data(note)}" for note in verdict.notes]
    return "\n".join([*lines, verdict.summary])


def _of_command(ran: CommandRan) -> str:
    return f"{ran.command}: {ran.outcome}" + (f": {ran.line}" if ran.line and not ran.ok else "")


def _script(config: Config) -> str:
    return shown(config.script, config.base) if config.script else "main"


def _annotation(error: Diagnostic) -> str:
    place = f"file={_file(shown(error.path))},line={error.line},col={error.column}," if error.path else ""
    text = f"{error.type}: {error.message}" if error.type else error.message
    hint = f"\nhint: {error.hint}" if error.hint else ""
    return f"::{error.severity} {place}title={_property(error.phase)}::{_data(text + hint)}"


def _file(path: str) -> str:
    """GitHub knows the files of a repository by slashes, whatever system runs the check."""
    return _property(path.replace(os.sep, "/"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _as_junit(verdict: Verdict, config: Config) -> str:
    name = _script(config)
    block = blocks.block(verdict.error, width=120) if verdict.error is not None else ""
    message = blocks.headline(verdict.error) if verdict.error else ""
    cases = [_case(name, "load and init()", verdict.load_seconds, message, block)]
    for sample in verdict.samples:
        text = "\n".join(blocks.block(error, width=120) for error in sample.errors)
        message = "" if sample.sent.ok else sample.message
        cases.append(_case(name, f"sample {sample.sent.name}", sample.sent.milliseconds / 1000, message, text))
    cases += [_skipped_case(name, f"sample {sample}", verdict.summary) for sample in verdict.skipped]
    ran = verdict.command
    if ran is not None:
        text = "\n".join([ran.line, *(blocks.block(error, width=120) for error in verdict.meanwhile)])
        cases.append(_case(name, f"command {ran.command}", ran.seconds, "" if ran.ok else _of_command(ran), text))
    cases += [_skipped_case(name, f"command {verdict.not_run}", verdict.summary)] if verdict.not_run else []
    failures = (verdict.error is not None) + len(verdict.failed) + (ran is not None and not ran.ok)
    skipped = len(verdict.skipped) + bool(verdict.not_run)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    head = f'<testsuite name="azmlinfsrv" {counts} time="{verdict.seconds:.3f}">'
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', head, *cases, "</testsuite>"])


def _case(group: str, name: str, seconds: float, message: str, text: str) -> str:
    start = _case_start(group, name, seconds)
    if not message:
        return f"{start}/>"
    return f"{start}><failure message={quoteattr(_xml(message))}>{escape(_xml(text))}</failure></testcase>"


def _skipped_case(group: str, name: str, message: str) -> str:
    return f"{_case_start(group, name, 0.0)}><skipped message={quoteattr(_xml(message))}/></testcase>"


def _case_start(group: str, name: str, seconds: float) -> str:
    return f"<testcase classname={quoteattr(group)} name={quoteattr(name)} time={quoteattr(f'{seconds:.3f}')}"


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(char for char in text if char in "\t\n" or ord(char) >= 32)
