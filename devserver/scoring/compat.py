"""The modules that scripts import from Azure ML's own server, provided here under the same names."""

from __future__ import annotations

import importlib.machinery
import json
import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

import flask

from devserver.scoring.logs import AMLLogFormatter, RootAccessFilter

PACKAGE = "azureml_inference_server_http"
CONTRACT_VERSION = "1.5.1"
RUN_FAILED = "x-ms-run-function-failed"
Function = TypeVar("Function", bound=Callable[..., Any])

# A comma ends a value, but not the one after the weekday of a date.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_COMMA = re.compile("".join(rf"(?!(?<={day}),\s*\d)" for day in (*_DAYS, "Saturday", "Sunday")) + ",")


class AMLRequest(flask.Request):
    """The request that a raw run() is given; a plain `flask.Request` by another name."""


class AMLResponse(flask.Response):
    """An answer whose status and headers the script chooses.

    `message` is the body (text, bytes or an iterable of them); None means `{}`. With `json_str` it is dumped as JSON.
    Header values are split at commas into headers of their own. Errors: TypeError and ValueError for header values
    that are not text or hold a line break.
    """

    def __init__(
        self,
        message: Any,
        status_code: Any,
        response_headers: Mapping[str, str] = {},
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        as_json = json_str or message is None
        body = "{}" if message is None else json.dumps(message) if json_str else message
        body = list(body) if isinstance(body, dict) else body
        super().__init__(body, status=status_code, mimetype="application/json" if as_json else None)
        for name, value in response_headers.items():
            self._add(name, value)
        self.headers[RUN_FAILED] = str(run_function_failed)

    def _add(self, name: str, value: str) -> None:
        if name.lower() == "content-type":
            self.headers["Content-Type"] = value
            return
        for part in _COMMA.split(value):
            self.headers.add(name, part.strip())


class RawMark:
    """Whether `rawhttp` was applied to any function since the script began to load."""

    applied = False


def rawhttp(function: Function) -> Function:
    """Marks the script as one whose run() takes the request itself; returns the function as it is."""
    RawMark.applied = True
    return function


def install() -> None:
    """Registers the modules that scripts import, in place of installed ones.

    Other submodules of an installed `azureml_inference_server_http` stay importable.
    """
    request = {"AMLRequest": AMLRequest, "rawhttp": rawhttp}
    response = {"AMLResponse": AMLResponse}
    formats = {"AMLLogFormatter": AMLLogFormatter, "RootAccessFilter": RootAccessFilter}
    old_names = {
        "azureml.contrib.services.aml_request": _module("azureml.contrib.services.aml_request", request),
        "azureml.contrib.services.aml_response": _module("azureml.contrib.services.aml_response", response),
    }
    api = {
        "aml_request": _module(f"{PACKAGE}.api.aml_request", request),
        "aml_response": _module(f"{PACKAGE}.api.aml_response", response),
    }
    below = {
        "api": _module(f"{PACKAGE}.api", {**api, "__path__": []}, is_package=True),
        "log_config": _module(f"{PACKAGE}.log_config", formats),
    }
    content = {"__version__": CONTRACT_VERSION, "__getattr__": _path_when_asked, **below}
    root = _module(PACKAGE, content, is_package=True)
    for module in (root, *below.values(), *api.values(), *old_names.values()):
        sys.modules[module.__name__] = module


def _path_when_asked(name: str) -> list[str]:
    """Python asks for `__path__` when another module of the package is imported: rarely, and the search is slow."""
    if name != "__path__":
        raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
    path = sys.modules[PACKAGE].__path__ = _installed_path()
    return path


def _installed_path() -> list[str]:
    spec = importlib.machinery.PathFinder.find_spec(PACKAGE)  # importlib.util would ask for the module that is ours
    return list(spec.submodule_search_locations or ()) if spec else []


def _module(name: str, content: Mapping[str, Any], is_package: bool = False) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=is_package)
    vars(module).update(content)
    return module
