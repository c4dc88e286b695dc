"""Azure ML's modules can be imported in tests as inside the server, also before any script is loaded.

What stands for them is made into the real ones, which need Flask, when something is taken out of them.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

OURS = "azureml_inference_server_http"
NAMES = (
    *(OURS, f"{OURS}.api", f"{OURS}.api.aml_request", f"{OURS}.api.aml_response", f"{OURS}.log_config"),
    *("azureml.contrib.services.aml_request", "azureml.contrib.services.aml_response"),
)


class _Later(ModuleType):
    """Stands for one of them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__path__", "__version__"):
            raise AttributeError(name)  # who looks at every module of the process wants nothing of this one
        if isinstance(sys.modules.get(self.__name__), _Later):
            from devserver.scoring import compat

            compat.install()
        return getattr(sys.modules[self.__name__], name)


def provide() -> None:
    """From now on; what has been imported already stays."""
    for name in NAMES:
        sys.modules.setdefault(name, _Later(name))
