"""What is compared after a save: kinds of project and tools come in; folders, commands and environments go out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import INSTALL_SECONDS, ROOT, SETTINGS

PEERS = (  # watchdog 7 makes flask deaf: with it no save is noticed
    *("azureml-inference-server-http", "flask", "flask-cors", "gunicorn", "hupper", "inotify", "uvicorn", "waitress"),
    *("watchdog<7", "watchfiles", "colorama", "requests", "numpy", "pandas", "scikit-learn"),
)
VERSIONS = (
    *("flask", "gunicorn", "waitress", "uvicorn", "watchfiles", "watchdog", "inotify", "hupper"),
    *("azureml-inference-server-http", "numpy", "pandas", "scikit-learn", "torch"),
)
TORCH = "torch==2.13.0"
PATCHER = ("hmr", "waitress")
PATCHER_NEEDS = (3, 12)
FLOORS = str(Path(__file__).with_name("floors.py"))

# --- kinds of project


@dataclass(frozen=True)
class Kind:
    """`script` is score.py with {version} in it; `libraries` are what it imports; `parts` adds a helper and a model."""

    name: str
    script: str
    libraries: tuple[str, ...] = ()
    parts: bool = False

    def write(self, folder: Path, version: int) -> None:
        """The whole project, with the glue that the tools need to serve it."""
        (folder / "model").mkdir(parents=True)
        for name, text in GLUE.items():
            (folder / name).write_text(text)
        self.save(folder, "model/weights.json", version)
        self.save(folder, "helper.py", version)
        self.save(folder, "score.py", version)

    def save(self, folder: Path, name: str, version: int) -> None:
        """Write one file in place, as most editors do."""
        with open(folder / name, "w") as file:
            file.write({"score.py": self.script, "helper.py": HELPER, "model/weights.json": WEIGHTS}[name] % version)


HELPER = "VERSION = %d\n"
WEIGHTS = '{"version": %d, "weights": [' + ", ".join(["0.12345"] * 2000) + "]}\n"
_PLAIN = "VERSION = %d\n\n\ndef init():\n    INIT\n\n\ndef run(data):\n    return {'version': VERSION}\n"
_PARTS = """import json
import os

import helper

VERSION = %d


def init():
    global version
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights.json")) as file:
        version = max(VERSION, helper.VERSION, json.load(file)["version"])


def run(data):
    return {"version": version}
"""
_PANDAS = """import numpy
import pandas
from sklearn.ensemble import RandomForestRegressor

VERSION = %d


def init():
    global model
    model = RandomForestRegressor()


def run(data):
    return {"version": int(pandas.DataFrame({"version": numpy.array([VERSION])})["version"].max())}
"""
_TORCH = """import torch

VERSION = %d


def init():
    pass


def run(data):
    return {"version": int(torch.tensor([VERSION]).max())}
"""
_KEPT = """import time


def init():
    time.sleep(3)


def run(data):
    return {"version": %d}
"""
_FOREST = """import numpy
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor


def init():
    global models, row
    values = numpy.random.default_rng(1).random((2000, 10))
    row = values[:1]
    models = [RandomForestRegressor(300, n_jobs=2), HistGradientBoostingRegressor()]
    for model in models:
        model.fit(values, values[:, 0]).predict(row)


def run(data):
    return {"version": %d + int(sum(model.predict(row)[0] for model in models) * 0)}
"""
_NETWORK = """import torch


def init():
    global model
    model = torch.nn.Sequential(*(torch.nn.Linear(1000, 1000) for _ in range(20)))
    model(torch.ones(64, 1000))


def run(data):
    return {"version": %d + int(model(torch.ones(64, 1000)).sum().item() * 0)}
"""
KINDS = {
    kind.name: kind
    for kind in (
        Kind("hello", _PLAIN.replace("INIT", "pass")),
        Kind("parts", _PARTS, parts=True),
        Kind("pandas", _PANDAS, ("numpy", "pandas", "sklearn.ensemble")),
        Kind("torch", _TORCH, ("torch",)),
        Kind("kept", _KEPT),
        Kind("kept-30", _KEPT.replace("sleep(3)", "sleep(30)")),
        Kind("forest", _FOREST, ("numpy", "sklearn.ensemble")),
        Kind("network", _NETWORK, ("torch",)),
        Kind("init", "import time\n\n" + _PLAIN.replace("INIT", "time.sleep(3)")),
    )
}
GLUE = {
    "app.py": """import flask
import score

score.init()
app = flask.Flask(__name__)


@app.post("/score")
def answer():
    return flask.jsonify(score.run(flask.request.get_data()))
""",
    "asgi.py": """import json

import score

score.init()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.dumps(score.run((await receive())["body"])).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
""",
    "patched.py": """import score
import serving

score.init()
serving.serve(score.run)
""",
    "serving.py": """import json
import os
import threading

import waitress

current = []


def app(environ, start):
    body = json.dumps(current[-1](environ["wsgi.input"].read())).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def serve(run):
    current.append(run)
    if len(current) == 1:
        listen = "127.0.0.1:" + os.environ["PORT"]
        threading.Thread(target=waitress.serve, args=(app,), kwargs={"listen": listen}, daemon=True).start()
""",
}

# --- tools


@dataclass(frozen=True)
class Tool:
    """`command` is made from an interpreter and a port; `ours` has a stream of events, `patcher` an own interpreter."""

    name: str
    label: str
    command: Callable[[str, int], Sequence[str]]
    ours: bool = False
    patcher: bool = False


def _ours(*options: str) -> Callable[[str, int], Sequence[str]]:
    def command(python: str, port: int) -> Sequence[str]:
        script = ("--entry_script", "score.py", "--model_dir", "model")
        address = ("--host", "127.0.0.1", "--port", str(port))
        return [python, "-m", "devserver", *script, *address, "--reload", "--events", "../events.jsonl", *options]

    return command


def _uvicorn(python: str, port: int) -> Sequence[str]:
    return [python, "-m", "uvicorn", "--reload", "--reload-include", "*.json", "--port", str(port), "asgi:app"]


def _gunicorn(python: str, port: int) -> Sequence[str]:
    watch = ("--reload", "--reload-engine", "inotify", "--reload-extra-file", "model/weights.json")
    return [python, "-m", "gunicorn", *watch, "--no-control-socket", "--bind", f"127.0.0.1:{port}", "app:app"]


def _flask(python: str, port: int) -> Sequence[str]:
    options = ("--debug", "--extra-files", "model/weights.json", "--port", str(port))
    return [python, "-m", "flask", "--app", "app", "run", *options]


def _hupper(python: str, port: int) -> Sequence[str]:
    watch = ("-w", "model/weights.json")
    return [str(Path(python).with_name("hupper")), *watch, "-m", "waitress", f"--listen=127.0.0.1:{port}", "app:app"]


def _watchmedo(python: str, port: int) -> Sequence[str]:
    watch = ("--directory", ".", "--pattern", "*.py;*.json", "--recursive", "--ignore-directories")
    server = ("--entry_script", "score.py", "--model_dir", "model", "--port", str(port))
    original = [python, "-m", "azureml_inference_server_http", *server]
    return [python, "-m", "watchdog.watchmedo", "auto-restart", *watch, "--", *original]


def _patcher(python: str, _port: int) -> Sequence[str]:
    return [python, "-m", "reactivity.hmr", "patched.py"]


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("warm", "this server", _ours(), ours=True),
        Tool("waitress", "this server, waitress", _ours("--server", "waitress"), ours=True),
        Tool("cold", "this server, --no_warm", _ours("--no_warm"), ours=True),
        Tool("hmr", "hmr (patches in place)", _patcher, patcher=True),
        Tool("uvicorn", "uvicorn --reload (watchfiles)", _uvicorn),
        Tool("gunicorn", "gunicorn --reload (inotify)", _gunicorn),
        Tool("flask", "flask --debug (watchdog)", _flask),
        Tool("hupper", "hupper, waitress", _hupper),
        Tool("watchmedo", "watchmedo, Azure's server", _watchmedo),
    )
}


def environment(port: int) -> dict[str, str]:
    """This environment without settings of the servers, this project importable in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*SETTINGS, "FLASK_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(ROOT), "AZUREML_MODEL_DIR": "model", "PORT": str(port)}


# --- interpreters


def interpreter(torch: bool) -> str:
    """The one of an environment with all tools and libraries, made once and kept in the cache folder."""
    return _made(sys.executable, [*PEERS, *([TORCH] if torch else [])])


def patching_interpreter(given: str | None) -> str | None:
    """The one of an environment with hmr, which wants a newer Python; None where there is none, or no hmr."""
    bases = [given] if given else [sys.executable, *(f"python3.{minor}" for minor in (12, 13))]
    for base in bases:
        try:
            if _version(base) >= PATCHER_NEEDS:
                return _made(base, PATCHER)
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def _version(python: str) -> tuple[int, ...]:
    code = "import json, sys; print(json.dumps(sys.version_info[:2]))"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, timeout=30)
    return tuple(json.loads(done.stdout))


def _made(base: str, packages: Sequence[str]) -> str:
    key = hashlib.sha256(" ".join([base, sys.version, *packages]).encode()).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"azmlinfsrv-benchmark-{key}"
    python = str(home / "bin" / "python")
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {', '.join(packages)} into {home} ...", file=sys.stderr)
        subprocess.run([base, "-m", "venv", str(home)], check=True, timeout=INSTALL_SECONDS)
        subprocess.run([python, "-m", "pip", "install", "-qq", *packages], check=True, timeout=INSTALL_SECONDS)
        (home / "complete").touch()
    return python


def versions(python: str) -> dict[str, str]:
    """Those of the packages that matter and that this interpreter has."""
    names = (*VERSIONS, "hmr")
    code = (
        "import importlib.metadata as m, json, sys\n"
        "print(json.dumps({d.name.lower(): d.version for d in m.distributions() if d.name.lower() in sys.argv[1:]}))"
    )
    done = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, timeout=60)
    found: dict[str, str] = json.loads(done.stdout)
    return {name: found[name] for name in names if name in found}
