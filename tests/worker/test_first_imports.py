"""What no first answer waits for."""

from __future__ import annotations

import subprocess
import sys

LATER = ("keep.decide", "keep.compare", "keep.change", "keep.stage", "initialised", "standby")


def test_a_worker_imports_nothing_that_only_a_stage_needs() -> None:
    """A hello script is loaded again sooner than kept."""
    modules = "devserver.worker.main, devserver.worker.kept"
    code = f"import sys, {modules}; print(*(name for name in sys.modules if 'devserver.worker' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "devserver.worker.keep.observing" in done.stdout.split()
    assert not {f"devserver.worker.{name}" for name in LATER} & set(done.stdout.split())
