"""The paths of a configuration in the one spelling that their folders have of them.

Windows takes a name in any case, and VS Code starts its tasks in `c:\\project`: under two spellings one save of a file
would be two changes.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from devserver.config.settings import SETTINGS, Config


def with_stored_names(config: Config, spelled: Callable[[str], str]) -> Config:
    """The configuration with its paths as `spelled` has them; what is spelled so already stays as it was given."""
    config = dataclasses.replace(config, base=spelled(config.base))

    def stored(given: Any) -> Any:
        if isinstance(given, tuple):
            return tuple(map(stored, given))
        if not given:
            return given
        whole = os.path.abspath(os.path.join(config.base, given))
        found = spelled(whole)
        return given if found == whole else found

    names = ("given_app_root", "project_file", *(setting.name for setting in SETTINGS if setting.is_path))
    paths = {name: stored(getattr(config, name)) for name in names}
    if config.script and (script := spelled(config.script)) != config.script:  # it may be relative to the app root
        paths["entry_script"] = script
    deployed = config.deployed and dataclasses.replace(
        config.deployed,
        path=stored(config.deployed.path),
        model=stored(config.deployed.model),
        files=stored(config.deployed.files),
    )
    return dataclasses.replace(config, deployed=deployed, **paths)
