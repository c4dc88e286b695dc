"""What the settings come to, in words for the first lines: what has no effect is not said to have one."""

from __future__ import annotations

from importlib.util import find_spec

from devserver import __version__
from devserver.config.settings import Config
from devserver.display.cells import wrapped
from devserver.records.messages import Listening
from devserver.replay.reader import offered
from devserver.text import path_for_people, shown

NOT_OUTSIDE = "not reachable from outside"
KEYS = "press h for help and details, r to send again, q to quit"


def short(config: Config, on: Listening, keys: bool, page: str = "") -> str:
    """What one has to know, in at most four lines: the script, the model, where to call, and that there are `keys`.

    `page` is the page's URL, where there is one.
    """
    script = path_for_people(config.script, config.base) if config.script else "the module main"
    model = path_for_people(config.model_dir, config.base) if config.model_dir else "none"
    more = [f"health: http://{on.health}/"] if on.health else []
    more += [f"page: {page}"] if page else []
    beside = f" ({', '.join(more)})" if more else ""
    rows = [
        f"azmlinfsrv {__version__}: {script}, model_dir {model}",
        f"  Local    http://{on.address}{beside}",
        f"  Network  {f'http://{on.network}' if on.network else NOT_OUTSIDE}",
        *([f"  Keys     {KEYS}"] if keys else []),
    ]
    return "\n".join(rows)


def offer(config: Config) -> str | None:
    """How to send the sample beside the script, where there is one and nobody has named another."""
    path = None if config.samples or config.replay else offered(config.script)
    return f"press r to send {shown(path, config.base)}" if path is not None else None


def banner(config: Config, address: str, health: str, page: str = "", width: int | None = None) -> str:
    """All settings and routes of the server, a line each; `address` and `health` as host:port, `page` as URL.

    Values are broken at words where a line is longer than `width`.
    """
    rows = [
        ("Entry script", config.script or "the module main"),
        ("Model directory", config.model_dir or "none (give one with --model_dir)"),
        *([("Deployment", config.deployed.path)] if config.deployed is not None else []),
        ("Configuration file", config.file_read or "none"),
        ("Server", server(config)),
        ("Worker timeout", worker_timeout(config)),
        ("Application Insights", telemetry(config)),
        ("CORS", cors(config)),
        ("Version header", config.server_version or "none"),
        *([("Watched", watched(config))] if config.reload else []),
        ("Liveness", f"GET  http://{health or _health_address(config, address)}/"),
        ("Score", f"POST http://{address}/score"),
        *([("Page", f"GET  {page}")] if page else []),
    ]
    head = f"Azure ML inference HTTP server v{__version__}"
    texts = [head, *(f"  {name + ':':<22}{value}" for name, value in rows)]
    return "\n".join(row for text in texts for row in (wrapped(text, width, " " * 24) if width else [text]))


def _health_address(config: Config, address: str) -> str:
    return f"{address.rpartition(':')[0]}:{config.health_port}" if config.separate_health else address


def watched(config: Config) -> str:
    names = ["the script", "the modules it imports"]
    names += ["the model directory"] if config.model_dir else []
    names += ["configuration files", *config.reload_include]
    names += ["the samples"] if config.request else []
    return ", ".join(names)


def server(config: Config) -> str:
    what = "thread" if config.server == "waitress" else "worker"
    return f"{config.server}, {config.worker_count} {what}{'s' * (config.worker_count > 1)}"


def worker_timeout(config: Config) -> str:
    if config.server == "waitress":
        return "none (waitress has none)"
    return f"{config.worker_timeout} s" if config.worker_timeout else "none"


def telemetry(config: Config) -> str:
    if not config.telemetry_on:
        return "off"
    from importlib.metadata import PackageNotFoundError, version

    exporter = "azure-monitor-opentelemetry-exporter"
    try:
        version(exporter)
    except PackageNotFoundError:
        return f"off: {exporter} is not installed"
    return "on"


def cors(config: Config) -> str:
    origins = [origin.strip() for origin in (config.cors_origins or "").split(",") if origin.strip()]
    if not origins:
        return "off"
    return f"for {', '.join(origins)}" if find_spec("flask_cors") else "off: flask-cors is not installed"
