"""Who writes to the terminal beside us is followed, and its streams stay what they were."""

from __future__ import annotations

import subprocess
import sys

import pytest
from live import environment

FOLLOWED = """
import io, os, sys
from devserver.process.streams import lines

def facts(stream):
    kinds = type(stream).__name__, type(stream.buffer).__name__, isinstance(stream.buffer, io.RawIOBase)
    kinds = kinds if not kinds[2] else (kinds[0], kinds[2])
    flags = stream.line_buffering, stream.write_through, stream.isatty(), stream.closed
    return (*kinds, stream.name, stream.mode, stream.encoding, stream.errors, stream.fileno(), flags)

before = [facts(stream) for stream in (sys.stdout, sys.stderr)]
told = []
lines.follow(lambda _: told.append("first"))
lines.follow(told.append)
assert [facts(stream) for stream in (sys.stdout, sys.stderr)] == before, before
assert sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__
for text in ("a", "b\\n", "c", "d\\ne", "\\n", ""):
    sys.stdout.write(text)
    sys.stdout.flush()
sys.stderr.write("f\\n")
sys.stderr.flush()
sys.stdout.buffer.write(b"g")
print(told, file=sys.stderr)
"""


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_streams_that_are_followed(options: list[str]) -> None:
    """Each write tells whether its line goes on; what is buffered tells when it is written."""
    command = [sys.executable, *options, "-c", FOLLOWED]
    together = subprocess.run(
        command,
        env=environment({"PYTHONUNBUFFERED": None}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
    )
    told = [True, False, True, True, False, False, *([True] if options else [])]
    assert together.returncode == 0 and f"{told}\n" in together.stdout, together.stdout


def test_stderr_that_goes_elsewhere() -> None:
    """It is not where our lines are."""
    apart = subprocess.run(
        [sys.executable, "-c", FOLLOWED], env=environment({"PYTHONUNBUFFERED": None}), capture_output=True, text=True
    )
    assert apart.stderr == f"f\n{[True, False, True, True, False]}\n"
