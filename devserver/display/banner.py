"""What the settings come to, in words for the first lines: what has no effect is not said to have one."""

from __future__ import annotations

from importlib.util import find_spec

from devserver.config.settings import Config


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
