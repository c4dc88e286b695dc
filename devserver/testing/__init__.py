"""Scoring scripts in tests: `load` runs init() in this process, and requests are answered without a port.

    from devserver.testing import load

    def test_one(tmp_path):
        with load("score.py", model_dir="model") as scoring:
            assert scoring.post({"data": [1]}).json == [1]

What pytest loads of every installed plugin stands in this package, too; nothing else is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devserver.testing.scoring import Scoring


class ScriptFailed(Exception):
    """No script can be used: settings, load or init() failed; `str()` is the report that the server would show."""


def load(
    script: str | None = None,
    *,
    model_dir: str | None = None,
    deployment: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Scoring:
    """Load the script and run its init(), as the server does.

    Paths are relative to the working directory. What is not given comes from where the server takes it: environment,
    deployment, config.json, pyproject.toml. `variables` are added to the script's environment. Use it in a `with`, or
    close it: until then the script's environment variables, folders and modules are those of this process, or of the
    script that was used last. Errors: `ScriptFailed`.
    """
    __tracebackhide__ = True
    from devserver.testing.scoring import load_script

    return load_script(script, model_dir, deployment, variables or {})
