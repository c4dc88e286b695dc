"""The daily screen in a terminal of 80 and of 120 columns: what stands out, what is quiet, where lines are broken."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live import WINDOWS, Server

if WINDOWS:
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

from at_terminal import AtTerminal

SCORE = """import json, time

def init(): pass

def run(data):
    rows = json.loads(data)
    if rows == "wait":
        with open("go") as gate:
            return gate.read()
    return rows["the key that this request, which has quite another one, does not have"]
"""
JSON = {"Content-Type": "application/json"}
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def rows_of(text: str, columns: int) -> list[str]:
    """The rows of the terminal, as it breaks them: between words, but for absolute paths, which stay links.

    A line that was written over is not among them.
    """
    lines = [CONTROL.sub("", line.split("\x1b[K")[-1]) for line in text.replace("\r\n", "\n").split("\n")]
    cut = [[line[at : at + columns] for at in range(0, max(len(line), 1), columns)] for line in lines]
    for row, following in ((row, parts[number + 1]) for parts in cut for number, row in enumerate(parts[:-1])):
        assert row.endswith(" ") or following.startswith(" ") or re.search(r'[ "]/\S+$', row), (row, following)
    return [row.rstrip() for parts in cut for row in parts]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_first_minutes(tmp_path: Path, columns: int) -> None:
    """Banner, offer, receipt, a line per request, one that takes long, a failure, its repair."""
    files = {"sample-request.json": '{"a": 1}', "model/m": ""}
    loop = AtTerminal(
        tmp_path, "--model_dir", "model", score=SCORE, files=files, env={"NO_COLOR": None, "COLUMNS": None}
    )
    loop.columns = columns
    with loop, ThreadPoolExecutor() as pool:
        loop.sees("press r to send sample-request.json")
        loop.press("r")
        assert loop.wait_for("sample")["status"] == 500
        loop.sees("end of report")
        assert [loop.get("/nowhere").status, loop.request("PUT", "/", "{}").status] == [404, 405]
        assert loop.post("/score", "{}", {**JSON, "Authorization": "secret"}).status == 500
        loop.sees("end of report", 2)
        loop.press("r")
        assert loop.wait_for_nth("sample", 2)["name"] == "last request"
        loop.sees("(2 times)")
        os.mkfifo(loop.project / "go")
        slow = pool.submit(loop.post, "/score", '"wait"', JSON)
        loop.sees("still in run(), 1 s")
        (loop.project / "go").write_text("done")
        assert slow.result(20).json() == "done"
        loop.save("score.py", "def init(): pass\n\ndef run(data): return [data]\n")
        loop.wait_for_nth("ready", 2)
        loop.press("t")
        loop.sees("is from before the last load")
        loop.press("h")
        loop.sees("Score:")
        rows = rows_of(loop.shown(), columns)
    assert "secret" not in loop.output() and "press r" not in loop.output().partition("restarting")[2]
    look(rows, loop)


def look(rows: list[str], loop: Server) -> None:
    """What stands there, row by row."""
    banner = rows[:4]
    assert re.fullmatch(r"azmlinfsrv \S+: score\.py, model_dir model", banner[0])
    assert banner[1:3] == [f"  Local    http://127.0.0.1:{loop.port}", "  Network  not reachable from outside"]
    assert banner[3] == "  Keys     press h for help and details, r to send again, q to quit"
    assert rows[4] == "" and rows[5] == "[azmlinfsrv] starting score.py"
    quiet = [row for row in rows if re.match(r"\d\d:\d\d:\d\d ", row)]
    assert [row.split()[1:4] for row in quiet] == [
        ["GET", "/nowhere", "404"],
        ["PUT", "/", "405"],
        ["POST", "/score", "200"],
    ]
    for number, row in enumerate(rows):
        if row.startswith(("[azmlinfsrv] request failed", "[azmlinfsrv] restarting")):
            assert rows[number - 1] == "" and rows[number - 2] != "", rows[number - 4 : number + 1]
