"""Combinations of settings that cannot be, that have no effect, or that a debugger changes."""

from __future__ import annotations

import dataclasses
import os
import re

from devserver.config.files import ConfigError
from devserver.config.found_script import WITHOUT
from devserver.config.settings import DEFAULT_SERVER, Config

INSTRUMENTATION_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
REMOVED = ("AML_DBG_MODEL_INFO", "AML_DBG_RESOURCE_INFO")


def check(config: Config) -> list[str]:
    """What the person should know of these settings, line by line. Errors: `ConfigError` for what cannot be."""
    if config.init:
        return []  # nothing is served
    if not config.entry_script and not config.config_file:
        raise ConfigError(WITHOUT)
    if config.debug is not None and not config.reload:
        raise ConfigError("argument --debug: it needs --reload")
    if config.debug_wait and config.debug is None:
        raise ConfigError("argument --debug_wait: it needs --debug PORT")
    if config.port == 0 and not config.events:
        raise ConfigError("argument --port: 0 is not a port (1 to 65535); it means any free port only with --events")
    if config.health_port == 0 and not config.events:
        raise ConfigError("argument --health_port: 0 is not a port (1 to 65535)")
    if config.separate_health and config.port == config.health_port != 0:
        raise ConfigError(f"--port and --health_port are both {config.port}; choose another for one of them")
    if config.server == "gunicorn" != DEFAULT_SERVER:
        raise ConfigError("gunicorn does not run on Windows; leave --server out, or give --server waitress")
    return [
        *_without_effect(config),
        *_limits_of_waitress(config),
        *_about_model_dir(config),
        *_about_deployment(config),
    ]


def _without_effect(config: Config) -> list[str]:
    found = []
    if config.sources.get("health_port") and not config.separate_health:
        found.append("--health_port has no effect without the environment variable SEPERATE_HEALTH_ENDPOINT=true")
    if config.request and not config.reload and not config.check:
        found.append("--request has no effect without --reload or --check")
    if config.run and not config.reload and not config.check:
        found.append("--run has no effect without --reload or --check")
    if config.page is not None and not config.reload:
        found.append("--page has no effect without --reload")
    if config.worker_preload and config.reload:
        found.append("WORKER_PRELOAD has no effect with --reload: each generation loads the script by itself")
    if config.replay and not config.reload:
        found.append("--replay has no effect without --reload")
    return found


def _limits_of_waitress(config: Config) -> list[str]:
    if config.server != "waitress":
        return []
    found = []
    if config.scoring_timeout_ms and "scoring_timeout_ms" in config.sources:
        found.append(
            "SCORING_TIMEOUT_MS: under waitress a call into C code (a library's, or time.sleep) is not interrupted; "
            "the limit takes effect when it returns"
        )
    if config.worker_timeout and "worker_timeout" in config.sources:
        found.append("WORKER_TIMEOUT has no effect under waitress")
    if config.worker_preload and not config.reload:
        found.append("WORKER_PRELOAD has no effect under waitress")
    return found


def _about_model_dir(config: Config) -> list[str]:
    folder = config.absolute_model_dir
    if folder is None or os.path.isdir(folder):
        return []
    problem = "is not a folder" if os.path.exists(folder) else "does not exist"
    return [f"the model directory {problem}: {folder}"]


def _about_deployment(config: Config) -> list[str]:
    """What differs between a deployment and what is served here."""
    deployed, found = config.deployed, []
    if deployed is None:
        return []
    concurrent = config.limits.concurrent
    if concurrent > config.worker_count:
        found.append(
            f"{deployed.path}: max_concurrent_requests_per_instance is {concurrent}, and WORKER_COUNT "
            f"{config.worker_count}: in Azure ML the others wait; set WORKER_COUNT in environment_variables, too"
        )
    if deployed.app_insights and not (config.appinsights_key or config.connection_string):
        found.append(
            f"{deployed.path}: app_insights_enabled has no effect here without AML_APP_INSIGHTS_KEY or "
            "APPLICATIONINSIGHTS_CONNECTION_STRING"
        )
    return found


def with_usable_telemetry(config: Config) -> Config:
    if not config.appinsights_enabled or config.connection_string or not config.appinsights_key:
        return config
    if INSTRUMENTATION_KEY.fullmatch(config.appinsights_key):
        return config
    note = "Invalid Application Insights instrumentation key provided. Application Insights has been disabled."
    return dataclasses.replace(config, appinsights_enabled=False, notes=(*config.notes, note))


def prepared(config: Config, is_debugged: bool) -> Config:
    """These settings as they are under a debugger: nothing is cut off for taking long, and nothing is forked.

    `is_debugged` says that the command itself was started under one.
    """
    listening = config.debug is not None or is_debugged
    if not listening and config.debug_port is None:
        return config
    notes = ["debugging: no time limits, and the libraries are imported anew on each reload"]
    server = config.server
    if listening and server == "gunicorn" and "server" not in config.sources:
        server = "waitress"
        notes.append("debugging: served by waitress, because gunicorn forks (--server gunicorn keeps it)")
    return dataclasses.replace(
        config, server=server, no_warm=True, worker_timeout=0, scoring_timeout_ms=0, notes=(*config.notes, *notes)
    )
