"""azmlinfsrv: a local server for Azure ML scoring scripts that reloads them on every save."""

from __future__ import annotations

__version__ = "0.1.0"
