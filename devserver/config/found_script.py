"""The scoring script of a project that names none: where everybody has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from devserver.config.files import ConfigError

PLACES = ("score.py", "src/score.py", "code/score.py")
WITHOUT = "no scoring script: name it with --entry_script score.py, or give a --deployment or --config_file"


def is_script_wanted(values: Mapping[str, Any]) -> bool:
    """Whether these settings, which come from everywhere, want a script to be found.

    Only in the dev loop: who serves or checks without it is a pipeline, which must not guess.
    """
    is_loop = values.get("reload") or values.get("init_vscode")
    named = values.get("entry_script") or values.get("config_file") or values.get("init")
    return bool(is_loop and not named)


def find_script(folder: str) -> str:
    """The one script in the usual places below `folder`, relative to it. Errors: `ConfigError` for none or more."""
    found = [place for place in PLACES if os.path.isfile(os.path.join(folder, place))]
    if not found:
        raise ConfigError(f"{WITHOUT}; there is no {', '.join(PLACES[:-1])} or {PLACES[-1]} here (--init writes one)")
    if len(found) > 1:
        raise ConfigError(f"which script? {' and '.join(found)} are here; name one: azmlinfsrv {found[0]} --reload")
    return found[0]
