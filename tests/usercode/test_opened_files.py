"""Which files count as written by the script itself: a wrong answer here would lose a person's save."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from live import DEADLINE, environment

PROGRAM = """
import json, os, sys, tempfile
sys.path.insert(0, os.getcwd())
from devserver.usercode.opened_files import OpenedFiles
told = []
opened = OpenedFiles([os.getcwd()], told.append)
code = compile(sys.argv[1], os.path.join(os.getcwd(), "score.py"), "exec")
with opened:
    exec(code, {"os": os, "tempfile": tempfile})
print(json.dumps(sorted({os.path.relpath(path) for path in told})))
"""


@pytest.mark.parametrize(
    ("does", "written"),
    [
        ("open('out.txt', 'w').close()", ["out.txt"]),
        ("os.close(os.open('out.txt', os.O_WRONLY | os.O_CREAT))", ["out.txt"]),
        ("open('data.txt').close()", []),
        ("open('data.txt', 'r+').close()", []),
        ("tempfile.TemporaryFile(dir='.').close()", []),
        ("os.makedirs('.', exist_ok=True)", []),
        ("os.makedirs('full', exist_ok=True)", []),
        ("os.makedirs('new')", ["new"]),
        ("os.removedirs('full/empty')", ["full/empty"]),
        ("os.replace('data.txt', 'other.txt')", ["data.txt", "other.txt"]),
        ("os.remove('data.txt')", ["data.txt"]),
    ],
)
def test_what_the_script_writes(does: str, written: list[str], tmp_path: Path) -> None:
    """What is opened to be written, moved or deleted; a folder only where it is really made or deleted."""
    (tmp_path / "data.txt").write_text("1")
    (tmp_path / "full" / "empty").mkdir(parents=True)
    (tmp_path / "full" / "file.txt").write_text("1")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, does],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stdout.strip() == str(written).replace("'", '"'), done.stderr
