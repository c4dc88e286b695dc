"""What takes long: the terminal shows that it goes on, and with what."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from at_terminal import AtTerminal
from loop import SERVERS

UNTIL_TOLD = """
import os, time

def wait(name):
    while not os.path.exists(name):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("server", SERVERS)
def test_long_init_and_run_are_seen(tmp_path: Path, server: str) -> None:
    """A moving time, from one second on, of init() and of a call of run(), also of one worker among several."""
    score = f"{UNTIL_TOLD}\ndef init():\n    wait('loaded')\ndef run(data):\n    return wait(data) if data else 1\n"
    arguments = ("--worker_count", "2")
    with (
        AtTerminal(tmp_path, *arguments, score=score, server=server, until="listening") as loop,
        ThreadPoolExecutor() as pool,
    ):
        loop.sees("still in init(), ")
        loop.save("loaded", "")
        loop.wait_for("ready")
        client = pool.submit(loop.ask, "answered")
        loop.sees("still in run(), ")
        assert loop.ask("").json() == 1
        loop.sees("still in run(), ", 3)
        loop.save("answered", "")
        assert client.result(20).status == 200
        moments = [int(each) for each in re.findall(r"still in run\(\), (\d+) s", loop.output())]
        assert moments == sorted(set(moments)) and moments[0] in (1, 2), moments
