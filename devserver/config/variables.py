"""The variables that the script finds in its environment because of the configuration."""

from __future__ import annotations

import os

from devserver.config.settings import Config


def variables_of(config: Config) -> dict[str, str]:
    """The variables that the script finds in its environment because of this configuration."""
    found = {
        "AML_APP_ROOT": config.app_root,
        "AZUREML_ENTRY_SCRIPT": _entry_script_variable(config),
        "AZUREML_MODEL_DIR": config.model_dir,
        "WORKER_COUNT": str(config.worker_count),
        "SERVER_PORT": str(config.port),
        "HEALTH_PORT": _health_port_variable(config),
        "TRANSPORT_PROTOCOL": "rest" if config.rest else "grpc",
        "HTTP_X_MS_SERVER_VERSION": config.server_version if config.send_version else None,
        "AML_APP_INSIGHTS_KEY": config.appinsights_key,
        "AML_APP_INSIGHTS_ENABLED": "true" if config.telemetry_on else "false",
        "AML_CORS_ORIGINS": config.cors_origins,
        "AZUREML_CONFIG_FILE": os.path.realpath(config.config_file) if config.config_file else None,
    }
    return {**config.variables, **{name: value for name, value in found.items() if value is not None}}


def _entry_script_variable(config: Config) -> str | None:
    given = config.script if config._script_is_given else None
    return os.path.realpath(given) if given else None


def _health_port_variable(config: Config) -> str:
    if config.separate_health:
        return str(config.health_port)
    if config.sources.get("port") == "command line" or config.outer_health_port is None:
        return str(config.port)
    return config.outer_health_port
