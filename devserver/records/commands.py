"""What came of the command of `--run`."""

from __future__ import annotations

from devserver.records.record import record

TIMED_OUT = 124  # as the command `timeout` says it
NOT_STARTED = 127  # as a shell says it


@record(frozen=True)
class CommandRan:
    """The command ended, or was ended after its time.

    `exit_code` as a shell says it: 128 and the signal's number for a signal. `line` is the first line of its output
    that tells of a failure, "" where there is none, or where the output was not kept.
    """

    command: str
    exit_code: int
    seconds: float
    line: str = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        if self.exit_code == TIMED_OUT:
            return f"was cut off after {self.seconds:.0f} s (--run_timeout)"
        how = "passed" if self.ok else f"failed with exit code {self.exit_code}"
        return f"{how} after {self.seconds:.1f} s"
