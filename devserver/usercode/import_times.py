"""How long the libraries take that user code imports."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from time import perf_counter
from types import ModuleType


def measure(loader: object) -> None:
    """Counts how long this library module takes to execute, unless it is imported by another that is measured."""
    execute = getattr(loader, "exec_module", None)
    if not isinstance(loader, (SourceFileLoader, ExtensionFileLoader)) or execute is None or _clock["inside"]:
        return

    def measured(module: ModuleType) -> None:
        del loader.exec_module
        if _clock["inside"]:
            execute(module)
            return
        _clock["inside"], begun = 1.0, perf_counter()
        try:
            execute(module)
        finally:
            _clock["inside"] = 0.0
            _clock["spent"] += perf_counter() - begun

    loader.exec_module = measured  # type: ignore[method-assign]


_clock = {"inside": 0.0, "spent": 0.0}


def import_seconds() -> float:
    """How long the libraries took that user code imported."""
    return _clock["spent"]
