"""A worker process from its briefing to its exit code."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from devserver.config.settings import Config
from devserver.config.variables import variables_of
from devserver.display.requests import request_formatter
from devserver.process import debugger, wire
from devserver.process.lifeline import hang_on_again
from devserver.process.platform import System, leave
from devserver.process.scoreboard import Scoreboard
from devserver.process.streams import lines, write_anything
from devserver.process.terminal import Loan
from devserver.process.wire import Briefing, Link
from devserver.records.messages import Keyboard, StopWanted
from devserver.scoring import compat, logs
from devserver.scoring.script import add_to_search_path
from devserver.serve import Plan, runner, serve
from devserver.worker.breakpoints import lend_to_breakpoints
from devserver.worker.forks import wait_until_told
from devserver.worker.generation import Generation, Post

if TYPE_CHECKING:
    from devserver.worker.initialised import Resumption
    from devserver.worker.kept import Keeper
    from devserver.worker.standby import Standby

NO_LIMIT = 86400.0  # seconds: in the dev loop it is the supervisor who ends what takes too long


def _at_once() -> None:
    """Nobody has to be waited for."""


def main(pipe: BinaryIO, link: str, page: str, dump: str) -> NoReturn:
    """The process that the supervisor started; the texts are the descriptors that it passed."""
    briefing = wire.read_briefing(pipe)
    if not briefing.stands_by:
        System.obey(pipe)
    sender = wire.Link(System.inherited_descriptor(link, os.O_WRONLY))
    board = Scoreboard((System.inherited_descriptor(page), System.inherited_descriptor(dump)))
    leave(begin(briefing, sender, board, pipe), with_group=True)


def begin(
    briefing: Briefing,
    link: Link,
    scoreboard: Scoreboard,
    control: BinaryIO,
    wait_until_told: Callable[[], None] = _at_once,
) -> int:
    """The generation of this briefing in this process, until it ends; returns the exit code.

    `control` is the pipe by which the supervisor tells it more.
    """
    System.adopt_orphans()
    write_anything()
    lines.follow(scoreboard.leave_line)
    scoreboard.answer_when_asked()
    _stand_in(briefing.config.base)
    sys.argv = list(briefing.arguments)
    loan = Loan(lambda lent: link.send(Keyboard(lent)))
    lend_to_breakpoints(loan)
    _hear_keyboard(lambda: link.send(StopWanted()))
    listeners, paused = wire.open_listeners(briefing), lambda: loan.used or debugger.is_loaded()
    tools = (link.descriptor, *scoreboard.descriptors, control.fileno())
    keeper = _keeper(briefing.channel, listeners, tools) if briefing.channel >= 0 else None
    standby = _standby(control, link) if briefing.stands_by else None
    return run_generation(
        Post(briefing, listeners, link.send, scoreboard, wait_until_told, paused, keeper, standby),
        lambda generation, resumption: _go_on(generation, resumption, link),
    )


def _keeper(channel: int, listeners: Sequence[socket.socket], tools: Sequence[int]) -> Keeper:
    from devserver.worker.kept import Keeper  # only where something can be kept: a plain start does without

    return Keeper(channel, listeners, tools)


def _standby(control: BinaryIO, link: Link) -> Standby:
    from devserver.worker.standby import Standby

    return Standby(control, link.send)


def _go_on(generation: Generation, resumption: Resumption, link: Link) -> NoReturn:
    """In a fork of the initialised stage: it is the generation of this order from here on, until it ends."""
    heard, page, dump, told = resumption.descriptors
    code = 1
    try:
        System.lead_own_group()
        hang_on_again()
        resumption.begin()
        System.adopt_orphans()
        link.move(heard)
        scoreboard = Scoreboard((page, dump))
        lines.follow(scoreboard.leave_line)
        scoreboard.answer_when_asked()
        _hear_keyboard(lambda: link.send(StopWanted()))
        keeper = generation.post.keeper
        listeners = [socket.socket(fileno=listener) for listener in keeper.listeners] if keeper is not None else []
        post = replace(
            generation.post,
            briefing=resumption.order.briefing,
            listeners=listeners,
            recorder=scoreboard,
            wait_until_told=lambda: wait_until_told(told),
            keeper=None,
        )
        generation.take_post(post, resumption)
        code = serve(_plan_of(generation))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code, with_group=True)


def ignore_keyboard() -> None:
    """What is typed is not for this process, which is no generation yet."""
    for number in (signal.SIGINT, *System.suspend_signals):
        signal.signal(number, signal.SIG_IGN)


def _hear_keyboard(stop: Callable[[], None]) -> None:
    """While the script has the keyboard, Ctrl-C is heard here, and Ctrl-Z would stop what nobody lets go on."""
    signal.signal(signal.SIGINT, lambda *_: stop())
    for number in System.suspend_signals:
        signal.signal(number, lambda *_: None)


def _stand_in(folder: str) -> None:
    """The project folder may have been removed since the tool began, and made again or not."""
    while True:
        try:
            return os.chdir(folder)
        except OSError:
            folder = os.path.dirname(folder)  # a process that stands in a removed folder can do very little


def run_generation(post: Post, go_on: Callable[[Generation, Resumption], NoReturn] | None = None) -> int:
    """Serve until a signal; returns the exit code, 3 where the script could not be loaded outside of the dev loop."""
    config, in_loop = post.briefing.config, post.number is not None
    os.environ.update(variables_of(config))
    serve_with = runner(config.server)
    _extend_path(config)
    logs.configure(None, config.log_level, in_loop, request_formatter(os.environ))
    compat.install()
    return serve_with(_plan_of(Generation(post, go_on)))


def _plan_of(generation: Generation) -> Plan:
    config, in_loop = generation.config, generation.in_loop
    return Plan(
        server=config.server,
        listeners=generation.post.listeners,
        factory=generation.make_app,
        workers=config.worker_count,
        worker_timeout=config.worker_timeout,
        # a large model may take longer than any answer: only a limit that was asked for counts while it loads
        limit_loading="worker_timeout" in config.sources,
        graceful_timeout=NO_LIMIT if in_loop else 30.0,
        preload=config.worker_preload and not in_loop,
        close_connections=in_loop,
        headers=generation.headers,
        gate=generation.gate,
        witness=generation,
    )


def _extend_path(config: Config) -> None:
    """As in Azure ML: where the working directory is on the path already, it stands first there.

    Call it when all of this package is imported: a file of the user's may have the name of a library.
    """
    is_there = config.base in sys.path
    add_to_search_path(config.search_path)
    if is_there:
        sys.path.remove(config.base)
    if is_there or config.base not in sys.path:
        sys.path.insert(0, config.base)
