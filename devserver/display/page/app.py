"""The page's own server as a Flask app: its files, the stream of what happens, and what the person asks for.

Only browsers on this machine that name it by a loopback name are answered, and only pages that came from here can send
anything: they alone can read the token.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from devserver import __version__
from devserver.display.page import samples
from devserver.display.page.samples import BadRequest
from devserver.display.page.state import State
from devserver.display.page.trying import Trials
from devserver.records.record import record
from devserver.records.samples import Sample

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "files")
TOKEN_HEADER = "X-Azmlinfsrv-Token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MOST_READERS = 16  # streams at once
HEARTBEAT = 5.0  # seconds; a browser that is gone is noticed when something is sent to it
REST = 0.1  # seconds for each new request, before the next are told: to show them takes longer than to answer them
LONGEST_REST = 2.0  # seconds; nobody reads more of them than are shown in that
MOST_BYTES = 100 * 1024 * 1024  # of a request to this server
# VS Code shows pages in a frame of its own; scripts and styles come from files only, and data: is for images answered
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self' vscode-webview: vscode-file: https://*.vscode-cdn.net",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@record(frozen=True)
class Place:
    """Where the page stands: `address` is the scoring server's host:port, `base` the project's folder."""

    address: str
    base: str
    samples: tuple[str, ...] = ()
    content_type: str | None = None


@dataclass
class Page:
    """What the views share. `kept` are sample files that were written from here."""

    place: Place
    state: State
    trials: Trials
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    kept: list[str] = field(default_factory=list)
    readers: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(MOST_READERS))

    @property
    def paths(self) -> Sequence[str]:
        """The sample files."""
        return tuple(dict.fromkeys((*self.place.samples, *self.kept)))


def create_app(page: Page) -> flask.Flask:
    """The app of the page."""
    app = flask.Flask("azmlinfsrv-page", static_folder=None, template_folder=None, root_path=HERE, instance_path=HERE)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    views = _Views(page)
    app.before_request(views.guard)
    app.after_request(_add_headers)
    for name in ("page.js", "page.css", "icon.svg"):
        app.add_url_rule(f"/{name}", name, _file(name))
    app.add_url_rule("/", "index", _file("index.html"))
    app.add_url_rule("/events", view_func=views.events)
    app.add_url_rule("/samples", view_func=views.samples)
    app.add_url_rule("/swagger", view_func=views.swagger)
    for view in (views.try_it, views.cancel, views.keep):
        app.add_url_rule(f"/{view.__name__.partition('_')[0]}", view_func=view, methods=["POST"])
    app.register_error_handler(BadRequest, lambda error: ({"problem": str(error)}, 400))
    return app


def _file(name: str) -> Callable[[], flask.Response]:
    return lambda: flask.send_from_directory(FILES, name)


def _add_headers(response: flask.Response) -> flask.Response:
    response.headers.update(HEADERS)
    return response


def _name_of(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


class _Views:
    def __init__(self, page: Page) -> None:
        self.page = page

    def guard(self) -> ResponseReturnValue | None:
        """Who may ask for what; a refusal, or None."""
        request = flask.request
        host = request.headers.get("Host", "")
        if _name_of(host).lower() not in LOOPBACK:
            return "this page is called by a loopback name only\n", 421
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            return "this page is for itself only\n", 403
        if request.path != "/" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return "this page is for itself only\n", 403
        is_open = request.endpoint in ("index", "page.js", "page.css", "icon.svg", "events", None)
        given = request.headers.get(TOKEN_HEADER, "")
        if not is_open and not secrets.compare_digest(given.encode(), self.page.token.encode()):
            return {"problem": "the token is missing or of another run; load the page again"}, 403
        return None

    # --- what is shown

    def events(self) -> ResponseReturnValue:
        if not self.page.readers.acquire(blocking=False):
            return "too many pages are open\n", 503
        response = flask.Response(self._stream(), mimetype="text/event-stream")
        response.call_on_close(self.page.readers.release)
        return response

    def _stream(self) -> Iterator[str]:
        place = self.page.place
        hello = {"token": self.page.token, "version": __version__, "address": place.address, "base": place.base}
        yield f"retry: 1000\n{_message('hello', hello)}"
        seen = 0
        while True:
            before = seen
            seen, changed = self.page.state.news(seen, HEARTBEAT)
            yield _message("news", changed) if changed else ": still here\n\n"
            if [*changed] == ["requests"]:
                self.page.state.rest(seen, min(LONGEST_REST, REST * (seen - before)))

    def samples(self) -> ResponseReturnValue:
        place = self.page.place
        return {"samples": samples.read_all(self.page.paths, place.content_type, place.base)}

    def swagger(self) -> ResponseReturnValue:
        """Version 3 of the script's swagger document, as the scoring server gives it."""
        asked = Sample("", None, "GET", "/swagger.json?version=3")
        found = self.page.trials.send(asked, "swagger")
        if found.get("status") != 200 or found.get("kind") != "json" or found["is_cut"]:
            return {"document": None, "problem": found.get("problem")}
        return {"document": json.loads(found["text"])}

    # --- what is done

    def try_it(self) -> ResponseReturnValue:
        form = _form()
        return self.page.trials.send(self._request_of(form), str(form.get("id")))

    def cancel(self) -> ResponseReturnValue:
        return {"cancelled": self.page.trials.cancel(str(_form().get("id")))}

    def keep(self) -> ResponseReturnValue:
        form = _form()
        path = samples.keep(str(form.get("name", "")), self._request_of(form), self.page.place.base)
        self.page.kept.append(path)
        return {"path": path}

    def _request_of(self, form: dict[str, Any]) -> Sample:
        return samples.request_of(form, self.page.paths, self.page.place.base)


def _message(name: str, value: object) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def _form() -> dict[str, Any]:
    form = flask.request.get_json(silent=True)
    if not isinstance(form, dict):
        raise BadRequest("this is no form of the page")
    return form
