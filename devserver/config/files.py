"""The user's JSON files, read with the place of a mistake."""

from __future__ import annotations

import json
from typing import Any


class ConfigError(Exception):
    """Settings that cannot be used. `str(error)` is one line for the person; `exit_code` is the command's."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def read_json_object(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: the configuration file is not JSON: {error.msg}", 3)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the configuration file is not UTF-8: {error}", 3)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration file cannot be read: {error.strerror}", 3)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: the configuration file cannot be read: {error}", 3)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the configuration file holds {type(content).__name__}, not an object", 3)
    return content
