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
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

FOLDER = Path(__file__).resolve().parent / "pictures"
ROOT = FOLDER.parent.parent
COLUMNS, DEADLINE = 100, 30.0
BODY = '{"data": [[1, 2, 3]]}'
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)
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


DAY = {
    "score.py": "import json\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n"
    '    rows = json.loads(raw_data)["data"]\n'
    '    return {"totals": [sum(row) for row in rows], "unit": rows[0]["unit"] if len(rows) > 1 else "EUR"}\n',
    "sample-request.json": BODY,
    "model/weights.bin": "",
}
TWO_ROWS = '{"data": [[1, 2, 3], [4, 5, 6]]}'


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            screen = record(case, Path(folder))
        save(case.name, draw(screen, case.name.replace("-", " ")))
    for columns in (80, 120):
        with tempfile.TemporaryDirectory() as folder:
            screen = record_day(Path(folder), columns)
        for theme, background in ((SVG_EXPORT_THEME, "black"), (DEFAULT_TERMINAL_THEME, "white")):
            save(f"daily-screen-{columns}-{background}", draw(screen, "a day", columns, theme))


def save(name: str, picture: str) -> None:
    (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")
    print(FOLDER / f"{name}.svg")


class Terminal:
    """The command in a terminal of its own, and what it shows there; for use in a `with`."""

    def __init__(self, folder: Path, columns: int, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self.events = folder / "events.jsonl"
        self._folder = folder
        taking = [sys.executable, "-c", TAKE_TERMINAL]  # else there are no keys
        command = [
            *taking,
            sys.executable,
            "-m",
            "devserver",
            "--entry_script",
            "score.py",
            "--reload",
            "--host",
            "127.0.0.1",
        ]
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **(environ or {})}
        left_out = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
        self._process = subprocess.Popen(
            [*command, "--port", "0", "--events", str(self.events), *arguments],
            cwd=folder,
            env={name: value for name, value in variables.items() if name not in left_out},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = bytearray()
        self._reader = threading.Thread(target=read_all, args=(self._master, self._seen), daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE)
        self._reader.join(2)
        os.close(self._master)

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def sees(self, text: str, times: int = 1) -> None:
        end = time.monotonic() + DEADLINE
        while self._seen.count(text.encode()) < times:
            if time.monotonic() > end:
                raise SystemExit(f"{text!r} was not shown within {DEADLINE:g} s")
            time.sleep(0.02)

    def lines(self) -> list[str]:
        """What is left on the screen: what was written over is not."""
        text = self._seen.decode("utf-8", "replace").replace("\r\n", "\n")
        lines = text.replace(str(self._folder.resolve()), "~/project").split("\n")
        return [line.split("\x1b[K")[-1].replace("\r", "") for line in lines if "stopping" not in line]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def record(case: Case, folder: Path) -> str:
    """What the terminal shows, from the line that starts the first load on."""
    write(folder, case.files)
    terminal = Terminal(folder, COLUMNS, environ=case.environ)
    with terminal:
        if case.until == "not_ready":
            wait_for(terminal.events, "not_ready")
        else:
            wait_for(terminal.events, "ready")
            ask(wait_for(terminal.events, "listening")["url"])
            wait_for(terminal.events, case.until)
            if case.until == "died":
                wait_for(terminal.events, "ready", 2)
    lines = terminal.lines()
    start = next(number for number, line in enumerate(lines) if "starting" in line)
    return "\n".join(lines[start:]).rstrip()


def record_day(folder: Path, columns: int) -> str:
    """Banner, receipt, request lines, an error, a reload: what somebody sees in the first minutes."""
    write(folder, DAY)
    terminal = Terminal(folder, columns, "--model_dir", "model")
    with terminal:
        url = wait_for(terminal.events, "listening")["url"]
        terminal.sees("press r to send")
        terminal.press("r")
        terminal.sees("sample sample-request.json")
        ask(url)
        ask(url.replace("score", "scores"))
        ask(url, "no JSON at all", {"x-ms-request-id": "x" * 101})
        ask(url, TWO_ROWS)
        terminal.sees("end of report")
        (folder / "score.py").write_text(DAY["score.py"].replace('rows[0]["unit"] if len(rows) > 1 else ', ""), "utf-8")
        wait_for(terminal.events, "ready", 2)
        ask(url, TWO_ROWS)
    return "\n".join(terminal.lines()).rstrip()


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


def ask(url: str, body: str = BODY, headers: dict[str, str] | None = None) -> None:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json", **(headers or {})})
    try:
        urllib.request.urlopen(request, timeout=DEADLINE).close()
    except (urllib.error.HTTPError, OSError):
        pass


def draw(screen: str, title: str, columns: int = COLUMNS, theme: TerminalTheme = SVG_EXPORT_THEME) -> str:
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=columns, file=nowhere, force_terminal=True, color_system="standard")
        console.print(Text.from_ansi(screen))
    return console.export_svg(title=f"azmlinfsrv: {title}", code_format=SVG, theme=theme)


if __name__ == "__main__":
    main()
