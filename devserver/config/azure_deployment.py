"""What an online deployment of Azure ML says, as far as it concerns a server on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Given:
    """A text of a file, and the line and column at which it stands, from 1."""

    text: str
    line: int
    column: int


@dataclass(frozen=True)
class Probe:
    """How Azure ML asks whether the server lives, or is ready; all in seconds but `failures`."""

    name: str
    initial_delay: int = 10
    period: int = 10
    timeout: int = 2
    failures: int = 30

    @property
    def patience(self) -> int:
        """After how many seconds from the start it gives up."""
        return self.initial_delay + self.period * self.failures


@dataclass(frozen=True)
class Limits:
    """What Azure ML allows a deployment. `file` says so; where it is None, these are a managed endpoint's defaults."""

    request_seconds: float = 5.0
    concurrent: int = 1
    liveness: Probe = Probe("liveness_probe")
    readiness: Probe = Probe("readiness_probe")
    file: str | None = None


@dataclass(frozen=True)
class Requirement:
    """A package that is asked for. `version` is a specifier as pip writes it, "" for any version.

    `path` and `line` say where.
    """

    name: str
    version: str
    source: Literal["conda", "pip"]
    path: str
    line: int


@dataclass(frozen=True)
class Deployment:
    """What the file at `path` says, paths absolute.

    `script` is None where it was not asked for; `names_script` says whether the file has one. `model` is the model's
    own file or folder, None where it is not on this machine. `variables` are those of the script's environment. `files`
    were read beside it, so that they count as changes, too. `notes` are lines for the person.
    """

    path: str
    script: str | None = None
    names_script: bool = False
    model: str | None = None
    model_is_file: bool = False
    variables: Mapping[str, Given] = field(default_factory=dict)
    request_timeout: Given | None = None
    app_insights: bool | None = None
    limits: Limits = Limits()
    requirements: tuple[Requirement, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def model_dir(self) -> str | None:
        """AZUREML_MODEL_DIR as Azure ML mounts it."""
        return os.path.dirname(self.model) if self.model else None
