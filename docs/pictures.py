"""Makes the pictures of docs/pictures: small broken scripts go in, SVG images of the real terminal come out.

python docs/pictures.py            (needs `pip install rich`, Linux or macOS)
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).resolve().parent / "pictures"
ROOT = FOLDER.parent.parent
COLUMNS, DEADLINE = 100, 30.0
BODY = '{"data": [[1, 2, 3]]}'
# The picture must not load a font from elsewhere.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px;}} .{unique_id}-title {{font-size: 18px; font-weight: bold;
font-family: sans-serif;}} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>{lines}</defs>{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>"""


@dataclass(frozen=True)
class Case:
    """A broken script: its files, and the event that says that its report stands in the terminal."""

    name: str
    files: dict[str, str]
    until: str = "not_ready"
    environ: dict[str, str] = field(default_factory=dict)


CASES = (
    Case(
        "syntax-error-in-a-helper",
        {
            "score.py": "import json\n\nfrom preprocess import clean\n\n\ndef init():\n    pass\n\n\n"
            'def run(raw_data):\n    return sum(clean(json.loads(raw_data)["data"][0]))\n',
            "preprocess.py": '"""Features."""\n\nCOLUMNS = ["age", "income"\n\n\ndef clean(row):\n    return row\n',
        },
    ),
    Case(
        "model-dir-not-given",
        {
            "score.py": "import os\nimport pickle\n\n\ndef init():\n    global model\n"
            '    path = os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.pkl")\n    with open(path, "rb") as f:\n'
            "        model = pickle.load(f)\n\n\ndef run(raw_data):\n    return model\n",
            "artifacts/model.pkl": "",
        },
    ),
    Case(
        "missing-field",
        {
            "score.py": "import json\n\n\ndef init():\n    pass\n\n\ndef total(row):\n    return sum(row)\n\n\n"
            'def run(raw_data):\n    data = json.loads(raw_data)\n    return {"total": total(data["features"][0])}\n'
        },
        "request_failed",
    ),
    Case(
        "result-that-json-cannot-hold",
        {
            "score.py": "import datetime\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n"
            '    result = {"label": "setosa", "at": datetime.datetime(2024, 5, 1)}\n    return {"results": [result]}\n'
        },
        "request_failed",
    ),
    Case(
        "time-limit",
        {
            "score.py": "import json\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n"
            '    rows, i = json.loads(raw_data)["data"], 0\n    while i < len(rows):\n        rows[i].sort()\n'
            "    return rows\n"
        },
        "request_failed",
        {"SCORING_TIMEOUT_MS": "500"},
    ),
    Case(
        "segmentation-fault",
        {
            "score.py": "import ctypes\n\n\ndef init():\n    pass\n\n\ndef native_sum(row):\n"
            "    return ctypes.string_at(0)\n\n\ndef run(raw_data):\n    return native_sum(raw_data)\n"
        },
        "died",
    ),
)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            screen = record(case, Path(folder))
        (FOLDER / f"{case.name}.svg").write_text(draw(screen, case.name.replace("-", " ")), encoding="utf-8")
        print(FOLDER / f"{case.name}.svg")


def record(case: Case, folder: Path) -> str:
    """What the terminal shows, from the line that starts the first load on."""
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    events = folder / "events.jsonl"
    command = [sys.executable, "-m", "devserver", "--entry_script", "score.py", "--reload", "--host", "127.0.0.1"]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **case.environ}
    environ = {name: value for name, value in environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [*command, "--port", "0", "--events", str(events)],
        cwd=folder, env=environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = bytearray()
    reader = threading.Thread(target=read_all, args=(master, seen), daemon=True)
    reader.start()
    try:
        if case.until == "not_ready":
            wait_for(events, "not_ready")
        else:
            wait_for(events, "ready")
            ask(wait_for(events, "listening")["url"])
            wait_for(events, case.until)
            if case.until == "died":
                wait_for(events, "ready", 2)
    finally:
        process.terminate()
        process.wait(DEADLINE)
        reader.join(2)
        os.close(master)
    text = seen.decode("utf-8", "replace").replace("\r\n", "\n")
    lines = text.replace(str(folder.resolve()), "~/project").split("\n")
    start = next(number for number, line in enumerate(lines) if "starting" in line)
    return "\n".join(line for line in lines[start:] if "stopping" not in line).rstrip()


def read_all(master: int, seen: bytearray) -> None:
    while True:
        try:
            seen += os.read(master, 65536)
        except OSError:
            return


def wait_for(events: Path, name: str, count: int = 1) -> dict[str, str]:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        lines = events.read_text().splitlines() if events.exists() else []
        found = [record for record in map(json.loads, lines) if record["event"] == name]
        if len(found) >= count:
            return dict(found[count - 1])
        time.sleep(0.02)
    raise SystemExit(f"no event {name} within {DEADLINE:g} s")


def ask(url: str) -> None:
    request = urllib.request.Request(url, BODY.encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=DEADLINE).close()
    except (urllib.error.HTTPError, OSError):
        pass


def draw(screen: str, title: str) -> str:
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="standard")
        console.print(Text.from_ansi(screen))
    return console.export_svg(title=f"azmlinfsrv: {title}", code_format=SVG)


if __name__ == "__main__":
    main()
