"""azmlinfsrv: a local server for Azure ML scoring scripts that reloads them on every save."""

__version__ = "0.1.0"
