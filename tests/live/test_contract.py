"""The command as Azure ML's server: what it writes while it starts, and which files it takes for a script."""

from __future__ import annotations

import re
from pathlib import Path

from live import Server

ECHO = "def init(): pass\ndef run(data): return data\n"
RECORD = re.compile(r"I \[\d+\] (?P<logger>\S+) - (?P<text>.*)")


def test_records_of_a_start(tmp_path: Path) -> None:
    """What concerns the script is written by the logger that Azure ML has for it."""
    (tmp_path / "score.py").write_text(ECHO)
    with Server("--entry_script", "score.py", folder=tmp_path) as server:
        assert server.post("/score", b"x").json() == "x"
    records = [(found["logger"], found["text"]) for found in RECORD.finditer(server.output())]
    texts = [text for logger, text in records if logger == "azmlinfsrv.user_script"]
    assert texts == [
        f"Found user script at {tmp_path / 'score.py'}",
        "run() is not decorated. Server will invoke it with the input in JSON string.",
        "Invoking user's init function",
        "Users's init has completed successfully",
    ]


def test_link_with_the_name_of_a_script(tmp_path: Path) -> None:
    """The name of a link counts where it comes from the environment, as in Azure ML, the file's own as an option."""
    (tmp_path / "0123abcd").write_text(ECHO)
    (tmp_path / "score.py").symlink_to("0123abcd")
    with Server(folder=tmp_path, env={"AZUREML_ENTRY_SCRIPT": "score.py"}) as server:
        assert server.post("/score", b"x").json() == "x"
    with Server("--entry_script", "score.py", folder=tmp_path, until=None) as server:
        assert server.process.wait(30) == 3
    assert "does not end in .py" in server.output()
