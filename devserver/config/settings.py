"""The table of settings, and the one frozen `Config` that it becomes."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devserver import __version__
from devserver.config.files import KINDS, Kind
from devserver.config.setting import Setting
from devserver.config.setting import setting as _setting
from devserver.config.values import (
    TEN_YEARS,
    OneOf,
    between,
    boolean,
    exactly_true,
    log_level,
    port_number,
    port_or_any,
    seconds,
    text,
    true_any_case,
)

if TYPE_CHECKING:
    from devserver.config.azure_deployment import Deployment, Limits

PROGRAM = "azmlinfsrv"
PAGE_PORT = 5002
FOR_EDITOR = "AZMLINFSRV_EDITOR"  # a variable of an editor's tasks, which reads what is written
DEFAULT_SERVER = "waitress" if sys.platform == "win32" else "gunicorn"  # where it runs


@dataclass(frozen=True, repr=False)  # it holds keys, and making the text costs at every start
class Config:
    """Every setting of the command, read once.

    Paths are as given; the properties make them absolute. `sources` tells for each field name that is not as by default
    `command line`, `environment`, `deployment`, `file` or `project`; `notes` are lines that the person should see once.
    `deployed` is what --deployment names, as it was read; `variables` of it are those that the script's environment
    does not have from outside. `project_file` is the pyproject.toml that has a table for us.
    """

    entry_script: str | None = _setting(
        None, text, "AZUREML_ENTRY_SCRIPT", flag="--entry_script", is_path=True, in_file=True, metavar="FILE",
        help="the scoring script, a Python file with init() and run()",
    )  # fmt: skip
    model_dir: str | None = _setting(
        None, text, "AZUREML_MODEL_DIR", flag="--model_dir", is_path=True, in_file=True, metavar="DIR",
        help="the folder with the model, handed to the script as AZUREML_MODEL_DIR",
    )  # fmt: skip
    host: str = _setting(
        "0.0.0.0", text, flag="--host", metavar="ADDRESS",
        help="the address to listen on; 127.0.0.1 is reached from this machine only",
    )  # fmt: skip
    port: int = _setting(5001, port_or_any, flag="--port", metavar="PORT", help="the port to listen on, 1 to 65535")
    health_port: int = _setting(
        5000, port_or_any, flag="--health_port", metavar="PORT",
        help="a second port for health checks, used if SEPERATE_HEALTH_ENDPOINT is true",
    )  # fmt: skip
    worker_count: int = _setting(
        1, between(1, 1000, "a number of workers (1 to 1000)"), "WORKER_COUNT", flag="--worker_count", metavar="N",
        help="processes (with waitress: threads) that answer", error_code=1,
    )  # fmt: skip
    server: str = _setting(
        DEFAULT_SERVER, OneOf("gunicorn", "waitress"), flag="--server",
        metavar="NAME", help="gunicorn or waitress",
    )  # fmt: skip
    config_file: str | None = _setting(
        None, text, "AZUREML_CONFIG_FILE", flag="--config_file", is_path=True, metavar="FILE",
        help="a JSON file with settings; their names are those of the environment variables",
    )  # fmt: skip
    deployment: str | None = _setting(
        None, text, flag="--deployment", is_path=True, metavar="FILE",
        help="an online deployment in Azure's YAML: script, model, variables and limits are taken from it",
    )  # fmt: skip
    cors_origins: str | None = _setting(
        None, text, "AML_CORS_ORIGINS", flag="--access_control_allow_origins", in_file=True, metavar="ORIGINS",
        help="origins that browsers may call from, separated by commas (CORS)",
    )  # fmt: skip
    appinsights_key: str | None = _setting(
        None, text, "AML_APP_INSIGHTS_KEY", flag="--appinsights_instrumentation_key", in_file=True, metavar="KEY",
        help="send telemetry to the Application Insights instance with this instrumentation key",
    )  # fmt: skip
    rest: bool = _setting(False, boolean, flag="--rest", switch=True)

    reload: bool = _setting(
        False, boolean, flag="--reload", switch=True,
        help="watch the script, the modules it imports and the model folder; reload on every change",
    )  # fmt: skip
    reload_include: tuple[str, ...] = _setting(
        (), text, flag="--reload_include", is_path=True, repeated=True, metavar="GLOB",
        help="also reload when such a file changes",
    )  # fmt: skip
    reload_exclude: tuple[str, ...] = _setting(
        (), text, flag="--reload_exclude", repeated=True, metavar="GLOB", help="never reload for such a file",
    )  # fmt: skip
    reload_poll: bool = _setting(
        False, boolean, flag="--reload_poll", switch=True,
        help="look at the files again and again instead of being told (network mounts, some containers)",
    )  # fmt: skip
    no_warm: bool = _setting(
        False, boolean, flag="--no_warm", switch=True,
        help="import the libraries anew on every reload, instead of keeping a process that has imported them",
    )  # fmt: skip
    no_keep: bool = _setting(
        False, boolean, flag="--no_keep", switch=True,
        help="call init() on every reload, also if only code was changed that it has nothing to do with",
    )  # fmt: skip
    graceful_timeout: float = _setting(
        5.0, seconds, flag="--graceful_timeout", metavar="SECONDS",
        help="how long a request in flight may go on after a save, before it is cut off",
    )  # fmt: skip
    events: str | None = _setting(
        None, text, flag="--events", is_path=True, metavar="FILE",
        help="write what happens to FILE, one JSON record per line",
    )  # fmt: skip
    request: tuple[str, ...] = _setting(
        (), text, flag="--request", is_path=True, repeated=True, metavar="FILE",
        help="send this sample request after each reload and show its answer: JSON, or a text like an .http file",
    )  # fmt: skip
    request_content_type: str | None = _setting(
        None, text, flag="--request_content_type", metavar="TYPE",
        help="the content type of samples that are neither .json nor .http files",
    )  # fmt: skip
    replay: str | None = _setting(
        None, OneOf("failed", "last"), flag="--replay", metavar="WHICH",
        help="failed: send the last request that failed again after each reload, until it passes; last: the last one",
    )  # fmt: skip
    check: bool = _setting(
        False, boolean, flag="--check", only_flag=True, switch=True,
        help="load the script, call init(), send the --request samples, and exit: 0, 3 (load or init) or 4 (a sample)",
    )  # fmt: skip
    check_format: str = _setting(
        "human", OneOf("human", "json", "github", "junit"), flag="--check_format", metavar="FORMAT",
        help="how --check tells: human, json, github (annotations) or junit",
    )  # fmt: skip
    run: str | None = _setting(
        None, text, flag="--run", metavar="COMMAND",
        help="run this command when the script is loaded, with AZMLINFSRV_URL set: once with --check, which then ends "
        "with its exit code, and after each reload with --reload",
    )  # fmt: skip
    run_timeout: float = _setting(
        600.0, seconds, flag="--run_timeout", metavar="SECONDS", help="how long the command of --run may take",
    )  # fmt: skip
    page: int | None = _setting(
        None, port_or_any, flag="--page", metavar="PORT", alone=PAGE_PORT,
        help=f"with --reload: a page in the browser to look at and try from, on this port ({PAGE_PORT}; 0: any free)",
    )  # fmt: skip
    debug: int | None = _setting(
        None, port_number, flag="--debug", metavar="PORT",
        help="with --reload: a debugger may attach to this port, and then debugs each generation (needs debugpy)",
    )  # fmt: skip
    debug_wait: bool = _setting(
        False, boolean, flag="--debug_wait", switch=True,
        help="with --debug: load nothing until a debugger is attached",
    )  # fmt: skip
    init: bool = _setting(
        False, boolean, flag="--init", only_flag=True, switch=True,
        help="write a first score.py, a sample request and a requirements.txt, here or in the folder that is named",
    )  # fmt: skip
    init_vscode: bool = _setting(
        False, boolean, flag="--init_vscode", only_flag=True, switch=True,
        help="write .vscode/tasks.json and launch.json for this command, or add to them, and exit",
    )  # fmt: skip
    full_traceback: bool = _setting(
        False, boolean, flag="--full_traceback", switch=True, help="show whole tracebacks, library frames too"
    )

    source_directory: str | None = _setting(None, text, "AZUREML_SOURCE_DIRECTORY", in_file=True)
    given_app_root: str | None = _setting(None, text, "AML_APP_ROOT", in_file=True)
    worker_timeout: int = _setting(
        300, between(0, TEN_YEARS, "a number of seconds, from 0 (off) to ten years"), "WORKER_TIMEOUT", error_code=2
    )
    worker_preload: bool = _setting(False, true_any_case, "WORKER_PRELOAD")
    separate_health: bool = _setting(False, true_any_case, "SEPERATE_HEALTH_ENDPOINT")
    send_version: bool = _setting(True, true_any_case, "SERVER_VERSION_LOG_RESPONSE_ENABLED")
    given_version: str = _setting("", text, "HTTP_X_MS_SERVER_VERSION")
    scoring_timeout_ms: int = _setting(
        3600000, between(0, TEN_YEARS * 1000, "a number of milliseconds, from 0 (off) to ten years"),
        "SCORING_TIMEOUT_MS", in_file=True,
    )  # fmt: skip
    service_name: str = _setting("ML service", text, "SERVICE_NAME", in_file=True)
    service_version: str = _setting("1.0", text, "SERVICE_VERSION", in_file=True)
    service_path_prefix: str = _setting("", text, "SERVICE_PATH_PREFIX", in_file=True)
    workspace_name: str = _setting("", text, "WORKSPACE_NAME", in_file=True)
    hostname: str = _setting("Unknown", text, "HOSTNAME", in_file=True)
    appinsights_enabled: bool = _setting(False, exactly_true, "AML_APP_INSIGHTS_ENABLED", in_file=True)
    connection_string: str | None = _setting(None, text, "APPLICATIONINSIGHTS_CONNECTION_STRING")
    log_response: bool = _setting(True, boolean, "APP_INSIGHTS_LOG_RESPONSE_ENABLED", in_file=True)
    model_data: bool = _setting(False, boolean, "AML_MDC_STORAGE_ENABLED", "AML_MODEL_DC_STORAGE_ENABLED", in_file=True)
    debug_port: int | None = _setting(None, port_number, "AZUREML_DEBUG_PORT", in_file=True)
    log_level: str = _setting("INFO", log_level, "AZUREML_LOG_LEVEL", in_file=True)

    base: str = ""
    file_read: str | None = None
    deployed: Deployment | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    project_file: str | None = None
    outer_health_port: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def app_root(self) -> str:
        """AML_APP_ROOT or the working directory, as it was given."""
        return self.given_app_root or self.base

    @property
    def script(self) -> str | None:
        """The scoring script's absolute path with links as they stand, or None where the module `main` is meant."""
        if not self.entry_script:
            return None
        root = self.base if self._script_is_given else self.app_root
        return os.path.abspath(os.path.join(self.base, root, self.entry_script))

    @property
    def _script_is_given(self) -> bool:
        """By its path, and not by what Azure ML sets in a container, which is relative to the app root."""
        return self.sources.get("entry_script") in ("command line", "deployment", "project")

    @property
    def warm(self) -> bool:
        """Whether generations may come from a process that has imported the libraries already."""
        return not self.no_warm and self.debug_port is None

    @property
    def keep(self) -> bool:
        """Whether init() may be spared where an edit does not concern it; under a debugger nothing is forked."""
        debugged = self.debug_port is not None or self.debug is not None
        return self.reload and not (self.no_keep or self.check or debugged)

    @property
    def absolute_model_dir(self) -> str | None:
        """The model folder as an absolute path with links as they stand; None where there is none."""
        return os.path.abspath(os.path.join(self.base, self.model_dir)) if self.model_dir else None

    @property
    def model_tree(self) -> str | None:
        """The folder or file that is the model, absolute: AZUREML_MODEL_DIR, or what a deployment mounts in it."""
        return self.deployed.model if self._model_is_deployed and self.deployed else self.absolute_model_dir

    @property
    def model_is_file(self) -> bool:
        """Whether `model_tree` is a single file, as only a deployment can name it."""
        return self._model_is_deployed and self.deployed is not None and self.deployed.model_is_file

    @property
    def _model_is_deployed(self) -> bool:
        return self.sources.get("model_dir") == "deployment" and self.deployed is not None and bool(self.deployed.model)

    @property
    def name_of_time_limit(self) -> str:
        """What the person has to change for run() to have more time."""
        deployed = self.deployed if self.sources.get("scoring_timeout_ms") == "deployment" else None
        by_request = deployed is not None and "SCORING_TIMEOUT_MS" not in deployed.variables
        return "request_timeout_ms" if by_request else "SCORING_TIMEOUT_MS"

    @property
    def limits(self) -> Limits:
        """What Azure ML would allow."""
        from devserver.config.azure_deployment import Limits

        return self.deployed.limits if self.deployed is not None else Limits()

    @property
    def samples(self) -> tuple[str, ...]:
        """The sample files as absolute paths, each once."""
        return tuple(dict.fromkeys(os.path.abspath(os.path.join(self.base, path)) for path in self.request))

    @property
    def search_path(self) -> tuple[str, ...]:
        """What is appended to sys.path for the script, in this order.

        The script's own folder stands last: in Azure it is found only where it is the app root.
        """
        script = (os.path.dirname(os.path.realpath(self.script)),) if self.script else ()
        source = (os.path.join(self.app_root, self.source_directory),) if self.source_directory else ()
        return tuple(dict.fromkeys((self.app_root, *source, *script)))

    @property
    def server_version(self) -> str:
        """The value of the x-ms-server-version header; empty text means none."""
        return f"{PROGRAM}/{__version__}" if self.send_version else self.given_version

    @property
    def telemetry_on(self) -> bool:
        """True where Application Insights is switched on with a usable key or connection string."""
        return self.appinsights_enabled and bool(self.connection_string or self.appinsights_key)

    @property
    def watched_files(self) -> tuple[str, ...]:
        """Files beside the code that a reload has to notice, whether they exist yet or not."""
        given = [os.path.abspath(os.path.join(self.base, self.config_file))] if self.config_file else []
        given += [self.project_file] if self.project_file else []
        around = self._app_root_and_script()
        found = (path for kind in KINDS for path in kind.places(*around))
        return tuple(dict.fromkeys([*given, *self.deployment_files, *found]))

    @property
    def deployment_files(self) -> tuple[str, ...]:
        """The deployment and what it was read with: where they are broken, the values from before stay."""
        return (self.deployed.path, *self.deployed.files) if self.deployed is not None else ()

    def places(self, kind: Kind) -> tuple[str, ...]:
        """The absolute paths at which a file of this kind is looked for, in this order."""
        return kind.places(*self._app_root_and_script())

    def _app_root_and_script(self) -> tuple[str, str | None]:
        script = self.script
        root = os.path.abspath(os.path.join(self.base, self.app_root))
        return root, os.path.realpath(script) if script else None

    def file_of(self, kind: Kind) -> str | None:
        """The file of this kind that counts, where there is one."""
        return next((path for path in self.places(kind) if os.path.isfile(path)), None)


def _settings() -> tuple[Setting, ...]:
    return tuple(
        Setting(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(Config) if f.metadata
    )


SETTINGS = _settings()
FILE_KEYS = {variable: setting for setting in SETTINGS if setting.in_file for variable in setting.variables}
