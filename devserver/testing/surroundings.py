"""What a script finds around it in a test's process, so that two scripts of one run do not meet.

In Azure ML each script has a process of its own: its variables, its folders on sys.path, its own `utils.py`. Here the
script that is used has all that, and it is put aside when another one is used.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from devserver.config.settings import Config
from devserver.config.variables import variables_of
from devserver.scoring import compat
from devserver.scoring.script import add_to_search_path
from devserver.usercode import loader
from devserver.usercode.loader import UserCode


class Surroundings:
    """Of one script. Those of the script that was used last stay in force; another one's put them aside.

    Use it in a `with` around everything that the script itself does: what is imported in it is the script's own.
    """

    _current: Surroundings | None = None

    def __init__(self, config: Config, variables: dict[str, str]) -> None:
        self._config = config
        self._variables: dict[str, str | None] = {**variables_of(config), **variables}
        self._outside: dict[str, str | None] = {}
        self._modules: dict[str, ModuleType] = {}
        self._added: list[str] = []
        self._own: dict[str, None] = {}
        self._before: frozenset[str] = frozenset()
        self._finder = UserCode()
        self._script = (loader.script, loader.entry)

    def __enter__(self) -> None:
        self._enter()
        self._before = frozenset(sys.modules)
        self._finder.install()

    def __exit__(self, *_: object) -> None:
        self._finder.uninstall()
        new = [name for name in sys.modules if name not in self._before and _is_own(sys.modules[name])]
        self._own |= dict.fromkeys(new)

    def _enter(self) -> None:
        if Surroundings._current is self:
            return
        if Surroundings._current is not None:
            Surroundings._current.leave()
        Surroundings._current = self
        self._outside = _set_variables(self._variables)
        self._extend_path()
        compat.install()
        sys.modules.update(self._modules)
        loader.script, loader.entry = self._script

    def _extend_path(self) -> None:
        before = list(sys.path)
        add_to_search_path(self._config.search_path)
        if self._config.base not in sys.path:
            sys.path.insert(0, self._config.base)
        self._added = [folder for folder in sys.path if folder not in before]

    def leave(self) -> None:
        """Everything is as before; what the script has changed meanwhile is kept for its next turn."""
        if Surroundings._current is not self:
            return
        Surroundings._current = None
        self._variables = _set_variables(self._outside)
        for folder in self._added:
            if folder in sys.path:
                sys.path.remove(folder)
        self._script = (loader.script, loader.entry)
        self._modules = {name: sys.modules.pop(name) for name in self._own if name in sys.modules}


def _set_variables(wanted: dict[str, str | None]) -> dict[str, str | None]:
    """Set them (None: remove); returns how they were."""
    before = {name: os.environ.get(name) for name in wanted}
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def _is_own(module: ModuleType) -> bool:
    """Whether it was loaded from a source file of the user's."""
    spec = getattr(module, "__spec__", None)
    return spec is not None and isinstance(spec.loader, loader.UserLoader)
