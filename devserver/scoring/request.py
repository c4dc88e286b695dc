"""The request as this server knows it: Flask's own, with what is noted about it on the way."""

from __future__ import annotations

from typing import Any

import flask

from devserver.records import diagnostic
from devserver.scoring.responses import Ids

BODY_SHOWN = 200  # characters


class Request(flask.Request):
    """A request that carries what the server notes about it."""

    ids: Ids
    begun: float
    kept_body: bytes | None = None
    is_reported = False  # a report tells what came of it

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """As in Flask; the body is kept for a report in case that run() fails."""
        data = super().get_data(*args, **kwargs)
        if isinstance(data, bytes):
            self.kept_body = data
        return data

    @property
    def target(self) -> str:
        """The path with its query, as it was sent."""
        query = self.query_string.decode("latin-1")
        return f"{self.path}?{query}" if query else self.path

    @property
    def facts(self) -> diagnostic.Request:
        """What a report shows of it."""
        body = self.kept_body or b""
        return diagnostic.Request(
            method=self.method,
            path=self.target,
            content_type=self.content_type or "",
            size=self.content_length or len(body),
            body=body.decode("utf-8", "replace")[:BODY_SHOWN],
        )


def current() -> Request:
    """The request that is being answered."""
    return flask.request._get_current_object()  # type: ignore[attr-defined, no-any-return]
