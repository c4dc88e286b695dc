"""What a hint may look at: the diagnostic, and the frames and variables of the exception behind it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from types import FrameType
from typing import Any

from devserver.records.diagnostic import Diagnostic
from devserver.records.record import record
from devserver.usercode import loader, source


@record(frozen=True)
class Facts:
    """What a predicate may look at. `model_dir` is AZUREML_MODEL_DIR as the script sees it; None when it is not set."""

    error: Diagnostic
    exception: BaseException | None = None
    model_dir: str | None = None

    @property
    def script(self) -> str:
        """The entry script's path; "" where there is none."""
        return loader.script or self.error.path or ""

    @property
    def folder(self) -> str:
        """Where the script lies, or where it would be looked for."""
        return os.path.dirname(os.path.abspath(self.script)) if self.script else os.getcwd()

    @property
    def path(self) -> str:
        """The file of the place; "" where there is none."""
        return self.error.path or ""

    @property
    def line_number(self) -> int:
        """The line of the place, from 1; 0 where there is none."""
        return self.error.line or 0

    @property
    def message(self) -> str:
        """What an exception says, which is Python's wording or a library's; "" for what was worded here."""
        return self.error.message if self.error.code == "exception" else ""

    @cached_property
    def frames(self) -> list[FrameType]:
        """All calls, innermost first; at most 60."""
        trace = self.exception.__traceback__ if self.exception else None
        found: list[FrameType] = []
        while trace is not None:
            found.append(trace.tb_frame)
            trace = trace.tb_next
        return found[:-61:-1]

    @cached_property
    def user_frames(self) -> list[FrameType]:
        return [frame for frame in self.frames if loader.is_user_code(frame.f_code.co_filename)]

    @property
    def line(self) -> str:
        """The source line of the place."""
        return source.line_at(self.path, self.line_number)

    def values(self) -> Iterator[tuple[str, Any]]:
        """The local variables of the user's calls, innermost call first, those named in the failing line first."""
        words = set(re.findall(r"[A-Za-z_]\w*", self.line))
        for frame in self.user_frames:
            items = list(frame.f_locals.items())
            yield from sorted(items, key=lambda item: item[0] not in words)

    @cached_property
    def given(self) -> object:
        """What run(), or the outermost wrapper around it, was given as its first argument."""
        outer = self.user_frames[-1] if self.user_frames and self.error.phase in ("run", "response") else None
        if outer is None or not outer.f_code.co_argcount:
            return None
        return outer.f_locals.get(outer.f_code.co_varnames[0])

    @cached_property
    def given_json(self) -> object:
        """What run() was given as JSON, parsed."""
        return parsed(self.given)


def parsed(text: object) -> object:
    """What JSON text stands for; anything else as it is; None for what is no JSON, or too long to parse it again."""
    if not isinstance(text, (str, bytes)):
        return text
    try:
        return json.loads(text) if len(text) < _PARSED else None
    except (ValueError, RecursionError):
        return None


_PARSED = 200_000  # characters, or bytes


Predicate = Callable[[Facts], "str | None"]
