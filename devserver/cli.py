"""The command line comes in; the server runs, with a supervisor or without, and the exit code goes out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from devserver.config import Config, ConfigError, HelpAsked, read_config

if TYPE_CHECKING:  # all else is imported when it is needed, so that help and refusals come at once
    from devserver.console import Console
    from devserver.process import Listener, ListenError


def main() -> None:
    """The console script `azmlinfsrv`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The command with these arguments; returns its exit code."""
    try:
        config = read_config(arguments)
    except HelpAsked as asked:
        print(asked, end="")
        return 0
    except ConfigError as error:
        return _refuse(error)
    try:
        return _run(config, arguments)
    except KeyboardInterrupt:  # before the server has its own handler
        return 0


def _refuse(error: ConfigError | ListenError) -> int:
    print(f"azmlinfsrv: error: {error}", file=sys.stderr)
    return getattr(error, "exit_code", 1)


def _run(config: Config, arguments: Sequence[str]) -> int:
    from devserver import debugging, render
    from devserver.console import Console
    from devserver.process import ListenError

    try:
        config = debugging.prepared(config)
        if config.init_vscode:
            return _init_vscode(config, arguments)
        if config.check:
            return _check(config)
        console = Console(config, render.wants_colour(os.environ, sys.stdout.isatty()))
        return _supervise(config, arguments, console) if config.reload else _serve(config, console)
    except (ConfigError, ListenError) as error:
        return _refuse(error)


def _init_vscode(config: Config, arguments: Sequence[str]) -> int:
    from devserver import editor

    return editor.init(config.base, arguments)


def _supervise(config: Config, arguments: Sequence[str], console: Console) -> int:
    import uuid

    from devserver import debugging
    from devserver.process import RUN_VARIABLE
    from devserver.supervisor import Supervisor

    mark = uuid.uuid4().hex
    environ = dict(os.environ)

    def reread() -> Config:
        return debugging.prepared(read_config(arguments, environ, config.base))

    added = {RUN_VARIABLE: mark, **(debugging.QUIET if config.debug is not None else {})}
    return Supervisor(config, reread, console, {**environ, **added}, mark).run()


def _check(config: Config) -> int:
    from devserver import check, render

    return check.run(config, dict(os.environ), render.wants_colour(os.environ, sys.stdout.isatty()))


def _serve(config: Config, console: Console) -> NoReturn:
    import dataclasses

    from devserver.console import Listening
    from devserver.process import leave

    listeners = _bind(config)
    console.show(Listening.on(listeners))
    config = dataclasses.replace(config, port=listeners[-1].port, health_port=listeners[0].port)
    console.starting()

    from devserver.child import Post, run_generation

    leave(run_generation(Post(config, [each.socket for each in listeners], console.tell)))


def _bind(config: Config) -> list[Listener]:
    """The health port first, where there is one, then the port."""
    from devserver.process import Listener

    health = [Listener.bind(config.host, config.health_port, "--health_port")] if config.separate_health else []
    return [*health, Listener.bind(config.host, config.port)]
