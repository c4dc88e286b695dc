"""Azure ML's modules can be imported in tests as inside the server, also before any script is loaded."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OURS = "azureml_inference_server_http"
OLD = ("azureml", "azureml.contrib", "azureml.contrib.services")
OLD_MODULES = ("azureml.contrib.services.aml_request", "azureml.contrib.services.aml_response")


class _Ready(Loader):
    """Of a module that is there already, or is an empty package."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return sys.modules.get(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if not hasattr(module, "__path__") and module.__name__ in OLD:
            module.__path__ = []


class AzureModules(MetaPathFinder):
    """Provides them when one is asked for; Flask is imported then, and not before."""

    _busy = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for our modules, and for the packages above them where nothing is installed."""
        if self._busy or name not in (OURS, *OLD, *OLD_MODULES):
            return None
        self._busy = True
        try:
            return self._spec(name, path)
        finally:
            self._busy = False

    def _spec(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        if name in OLD:
            installed = PathFinder.find_spec(name, path)
            return installed or importlib.util.spec_from_loader(name, _Ready(), is_package=True)
        from devserver.scoring import compat

        if name not in sys.modules:
            compat.install()
        return importlib.util.spec_from_loader(name, _Ready(), is_package=name == OURS)


def provide() -> None:
    """From now on; once is enough."""
    if not any(isinstance(finder, AzureModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, AzureModules())
