"""The process of the page: the event stream comes in by a pipe, and browsers are answered until the tool ends."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import BinaryIO, NoReturn

import waitress

from devserver.display.page.app import MOST_READERS, Page, Place, create_app
from devserver.display.page.state import State
from devserver.display.page.trying import MOST_AT_ONCE, Trials
from devserver.process.platform import SharedSocket, System

FAREWELL = 0.3  # seconds in which browsers hear that the tool has ended


def main(pipe: BinaryIO) -> NoReturn:
    """Serve on the socket of the first line, which is the briefing; every other line is an event."""
    facts = json.loads(pipe.readline())
    shared: SharedSocket = facts["socket"] if isinstance(facts["socket"], int) else bytes.fromhex(facts["socket"])
    place = Place(facts["address"], facts["base"], tuple(facts["samples"]), facts["content_type"])
    state = State(place.base)
    threading.Thread(target=_listen, args=(pipe, state), daemon=True, name="listen").start()
    logging.getLogger("waitress").setLevel(logging.CRITICAL)  # it shall write nothing between the tool's own lines
    app = create_app(Page(place, state, Trials(place.address)))
    waitress.serve(
        app,
        sockets=[System.open_shared(shared)],
        threads=MOST_READERS + MOST_AT_ONCE + 4,
        ident=None,
        clear_untrusted_proxy_headers=False,
        _quiet=True,
    )
    sys.exit(0)


def _listen(pipe: BinaryIO, state: State) -> None:
    for line in pipe:
        try:
            state.apply(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # of a newer tool
    state.end()
    threading.Event().wait(FAREWELL)
    os._exit(0)
