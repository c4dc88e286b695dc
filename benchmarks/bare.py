"""The limit: what gunicorn alone answers per second, with nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BODY = b'{"message": "Hello, Ada!"}'
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def application(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    return start("200 OK", HEADERS) and [BODY]
