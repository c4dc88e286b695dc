"""The command line: supervise, serve, check or write editor files, and the exit code."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from devserver.config.files import ConfigError
from devserver.config.settings import FOR_EDITOR, Config
from devserver.config.sources import HelpAsked, read_config
from devserver.process.streams import is_terminal, open_closed, understand_colours, write_anything

if TYPE_CHECKING:
    from devserver.display.console import Console
    from devserver.process.listener import ListenError

FILES = 1024  # that each process of the tool may have open, where the system lets it choose
FEWEST_FILES = 64  # with which it can work
INTERRUPTED = 130  # exit code, as shells give it


def main() -> None:
    """The console script `azmlinfsrv`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The command with these arguments; returns its exit code."""
    open_closed()
    write_anything()
    try:
        config = _with_stored_names(read_config(arguments))
        _stand_in(config.base)
    except HelpAsked as asked:
        print(asked, end="")
        return 0
    except ConfigError as error:
        return _refuse(error)
    try:
        return _run(config, arguments)
    except KeyboardInterrupt:  # before the server has its own handler, or in a check, which is not done then
        return INTERRUPTED if config.check else 0


def _with_stored_names(config: Config) -> Config:
    from devserver.config.spelling import with_stored_names  # not for a refusal or the help
    from devserver.records.spelling import spelled

    return with_stored_names(config, spelled)


def _stand_in(base: str) -> None:
    """The folder from which paths are meant, where the one in which the command was started is gone."""
    try:
        os.getcwd()
    except OSError:
        os.chdir(base)


def _refuse(error: ConfigError | ListenError) -> int:
    print(f"azmlinfsrv: error: {error}", file=sys.stderr)
    return getattr(error, "exit_code", 1)


def _run(config: Config, arguments: Sequence[str]) -> int:
    from devserver.config.rules import prepared
    from devserver.display.colour import wants_colour
    from devserver.display.console import Console
    from devserver.process import debugger
    from devserver.process.listener import ListenError

    try:
        understand_colours()
        config = _with_name(prepared(config, debugger.is_loaded()))
        if config.init:
            return _init(config, arguments)
        if config.init_vscode:
            return _init_vscode(config.base, arguments)
        _allow_files()
        if config.check:
            return _check(config)
        colour, for_editor = wants_colour(os.environ, is_terminal(sys.stdout)), bool(os.environ.get(FOR_EDITOR))
        console = Console(config, colour, for_editor=for_editor)
        return _supervise(config, arguments, console) if config.reload else _serve(config, console)
    except ConfigError as error:
        return _refuse(error)
    except ListenError as error:
        if config.script and not os.path.exists(config.script):
            _refuse(ConfigError(f"no such script: {config.entry_script}"))  # who mends this first need not come again
        return _refuse(error)


def _with_name(config: Config) -> Config:
    """With a line for the person where the name of the command starts another package's server."""
    from devserver.config.command_names import OTHER_PACKAGE, OWN, SHARED, taken_over

    other = taken_over(os.environ.get("PATH"))
    if other is None:
        return config
    note = f"`{SHARED}` starts {OTHER_PACKAGE} here ({other}), which cannot reload; type {OWN} for this tool"
    return dataclasses.replace(config, notes=(*config.notes, note))


def _allow_files() -> None:
    """As many open files as this takes. Errors: ConfigError where there may not be so many."""
    from devserver.process.platform import System

    allowed = System.allow_files(FILES)
    if allowed < FEWEST_FILES:
        fewest = f"at least {FEWEST_FILES} are needed: raise it with ulimit -n {FILES}, or with the container's limit"
        raise ConfigError(f"a process may open only {allowed} files here, and {fewest}")


def _init(config: Config, arguments: Sequence[str]) -> int:
    from devserver.config import command_names, starter

    started = starter.write(config.base, config.entry_script)
    print(*(f"azmlinfsrv: {line}" for line in started.lines), sep="\n")
    code = 0
    if config.init_vscode:
        named = ("--init", "--entry_script", "--entry-script", config.entry_script)
        others = [word for word in arguments if word not in named]
        code = _init_vscode(started.folder, [*started.arguments, *others])
    command = command_names.command_to_type(sys.argv[0], os.environ.get("PATH"), sys.executable)
    print(f"azmlinfsrv: to serve it: {starter.last_line(started, config.entry_script, command)}")
    return code


def _init_vscode(base: str, arguments: Sequence[str]) -> int:
    from devserver.config import editor_files

    return editor_files.init(base, arguments)


def _supervise(config: Config, arguments: Sequence[str], console: Console) -> int:
    from devserver.config.rules import prepared
    from devserver.process import debugger
    from devserver.process.systems import RUN_VARIABLE
    from devserver.supervisor import start

    mark = os.urandom(16).hex()
    environ = dict(os.environ)

    def reread() -> Config:
        again = read_config(arguments, environ, config.base, config.entry_script)
        return prepared(_with_stored_names(again), debugger.is_loaded())

    added = {RUN_VARIABLE: mark, **(debugger.QUIET if config.debug is not None else {})}
    return start.run(config, reread, console, {**environ, **added}, mark)


def _check(config: Config) -> int:
    from devserver import check
    from devserver.display.colour import wants_colour

    return check.run(config, dict(os.environ), wants_colour(os.environ, is_terminal(sys.stdout)))


def _serve(config: Config, console: Console) -> NoReturn:
    from devserver.process.listener import bind_all, listening_on, with_real_ports
    from devserver.process.platform import leave
    from devserver.process.wire import Briefing

    listeners = bind_all(config)
    console.show(listening_on(listeners))
    config = with_real_ports(config, listeners)
    console.starting()

    from devserver.process.scoreboard import Scoreboard
    from devserver.process.streams import lines
    from devserver.worker.generation import Post
    from devserver.worker.main import run_generation

    briefing, board = Briefing(generation=0, config=config), Scoreboard()
    lines.follow(board.leave_line)
    console.share_line(board.take_line)
    leave(run_generation(Post(briefing, [each.socket for each in listeners], console.tell, board)))
