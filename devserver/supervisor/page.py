"""The supervisor's handle of the page: it starts its process, feeds it, opens it in a browser, and ends it.

All of it may be called from the thread of the keys: what it has to say goes through the loop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from devserver.config.settings import PAGE_PORT, Config
from devserver.display.feed import Feed
from devserver.process.child import launcher_command, pipe
from devserver.process.listener import Listener, ListenError
from devserver.process.platform import Process, System
from devserver.records.messages import Note, PageAt
from devserver.supervisor.generations import Generations

HOST = "127.0.0.1"
LAST_WORDS = 1.0  # seconds in which the page tells its browsers that the tool ends


class PageRoom:
    """The page's process, where there is one, and how it is started."""

    def __init__(
        self,
        config: Config,
        address: str,
        feed: Feed,
        environ: Mapping[str, str],
        lifeline: int,
        generations: Generations,
        say: Callable[[Note | PageAt], None],
    ) -> None:
        self._config = config
        self._address = address
        self._feed = feed
        self._environ = dict(environ)
        self._lifeline = lifeline
        self._generations = generations
        self._say = say
        self._process: Process | None = None
        self._url = ""
        self._port = PAGE_PORT if config.page is None else config.page
        self._is_closed = False
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Whether there is a page now; if not, a line has said why."""
        with self._lock:
            if self._process is not None:
                return True
            if self._is_closed:
                return False
            try:
                self._begin(Listener.bind(HOST, self._port, "--page"))
            except (ListenError, OSError) as error:
                self._say(Note(f"no page: {error}"))
                return False
        return True

    def _begin(self, listener: Listener) -> None:
        with ExitStack() as undo:
            undo.callback(listener.close)
            with ExitStack() as failed:
                told, tell = pipe(failed)
                process = self._launch(told, listener)
                failed.pop_all()
            os.close(told)
            self._brief(tell, process, listener)
            self._port = listener.port  # the same one when it has to be started again
            self._url = f"http://{listener.address}/"
        self._process = process
        self._say(PageAt(self._url))
        self._feed.write_to(tell)
        threading.Thread(target=self._wait, args=(process,), daemon=True, name="page").start()

    def _launch(self, told: int, listener: Listener) -> Process:
        command = [*launcher_command(), "page"]
        with self._generations.making:
            process = System.start(command, [told, self._lifeline], [listener.socket.fileno()], self._environ)
            self._generations.accompany(process.pid)
        return process

    def _brief(self, tell: int, process: Process, listener: Listener) -> None:
        shared = System.share(listener.socket, process.pid)
        config = self._config
        facts = {
            "socket": shared if isinstance(shared, int) else shared.hex(),
            "address": self._address,
            "base": config.base,
            "samples": config.samples,
            "content_type": config.request_content_type,
        }
        try:
            os.write(tell, json.dumps(facts).encode() + b"\n")
        except BrokenPipeError:
            pass  # it is gone already, which is heard of

    def _wait(self, process: Process) -> None:
        code = process.wait()
        System.kill_group(process)
        with self._lock:
            is_unasked = self._process is process and not self._is_closed
            self._process = None
        if is_unasked:
            self._feed.close()
            self._say(Note(f"the page has ended (exit code {code}); press o to start it again"))

    def open(self) -> None:
        """Start it if need be, and show it in a browser."""
        if self.start():
            self._say(Note(f"page: {self._url}"))
            self._open_browser()

    def _open_browser(self) -> None:
        """By a process that has not the mark of this run, and waits for the browser: this is no stray, and stays."""
        command = [sys.executable, *launcher_command(), "open", self._url]
        nothing = subprocess.DEVNULL
        try:
            with self._generations.making:
                opener = subprocess.Popen(
                    command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
                )
                self._generations.accompany(opener.pid)
        except OSError as error:
            self._say(Note(f"no browser could be started: {error.strerror}"))
        else:
            threading.Thread(target=opener.wait, daemon=True, name="browser").start()

    def close(self) -> None:
        """Ends the page, which tells its browsers."""
        with self._lock:
            self._is_closed = True
            process = self._process
        self._feed.close()
        if process is None:
            return
        ended = threading.Thread(target=process.wait, daemon=True)
        ended.start()
        ended.join(LAST_WORDS)
        System.kill_group(process)
