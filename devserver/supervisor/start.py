"""From the command to the loop: binds the ports, makes what the supervisor needs, and gives it all back at the end."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing

from devserver.config.settings import Config
from devserver.display.console import Console
from devserver.lifecycle import StopAsked
from devserver.process import debugger, table
from devserver.process.child import Origin
from devserver.process.command import Command, environment
from devserver.process.lifeline import Lifeline
from devserver.process.listener import Listener, bind_all, listening_on, with_real_ports
from devserver.process.platform import System
from devserver.process.reaper import Reaper
from devserver.process.terminal import Terminal
from devserver.records.messages import Gone, Look, Note, Told
from devserver.serve.handoff import Handoff
from devserver.supervisor.arrivals import Arrivals, FilesChanged, Heard, NothingPending, WarmedUp
from devserver.supervisor.generations import Generations
from devserver.supervisor.keeping import Keeping
from devserver.supervisor.keys import Keys
from devserver.supervisor.page import PageRoom
from devserver.supervisor.project import Project
from devserver.supervisor.spawner import Spawner
from devserver.supervisor.stand_in import StandIn
from devserver.supervisor.supervisor import Supervisor
from devserver.watch.watcher import Watch


def run(config: Config, reread: Callable[[], Config], console: Console, environ: dict[str, str], mark: str) -> int:
    """Serve and reload until somebody asks it to stop; returns the exit code. Errors: `ListenError`."""
    arrivals: Arrivals = queue.SimpleQueue()
    with ExitStack() as stack:
        if config.debug is not None:
            console.note(debugger.listen(config.debug))  # before the reaper: what debugpy starts is no stray
        debugger.stand_back()
        lifeline = stack.enter_context(closing(Lifeline()))
        with debugger.unseen():
            reaper = Reaper.start(mark)
        if reaper is not None:
            stack.callback(reaper.close)
        # the reaper, a debugger's adapter, what a shell had started before it became this command
        companions = table.descendants()
        listeners = bind_all(config)
        for listener in listeners:
            stack.callback(listener.close)
        console.show(listening_on(listeners))
        project = Project(with_real_ports(config, listeners), reread)
        terminal = stack.enter_context(Terminal())
        watch = Watch(
            lambda changes: arrivals.put(FilesChanged(changes)),
            lambda line: arrivals.put(Note(line)),
            lambda generation: arrivals.put(NothingPending(generation)),
            poll=config.reload_poll,
        )
        stack.callback(watch.close)
        everything = [*listeners, *_handoff(stack)]
        stand_in = StandIn([each.socket for each in everything])
        stack.callback(stand_in.close)
        origin = Origin(everything, environ, lifeline.descriptor)

        def deliver(generation: int, record: Told | Gone) -> None:
            arrivals.put(Heard(generation, record))

        spawner = Spawner(
            origin,
            sys.path,
            deliver,
            lambda process, told: arrivals.put(WarmedUp(process, told)),
            console.note,
            console.warmed,
            warm=project.config.warm,
            becomes=config.server == "waitress",
        )
        stack.callback(spawner.close)
        keeping = Keeping(deliver, lambda briefing, hear: spawner.launch(briefing, deliver=hear), arrivals.put)
        stack.callback(keeping.close)
        console.keeps(lambda: keeping.kept)
        System.hear_stop_signals(lambda: arrivals.put(StopAsked()))
        generations = Generations(spawner, keeping, terminal, reaper, companions, stand_in)
        console.share_line(generations.take_line)
        address = listeners[-1].address
        where = (address, console.feed, environ, lifeline.descriptor)
        page = PageRoom(project.config, *where, generations, arrivals.put)
        stack.callback(page.close)
        if config.page is not None:
            page.start()
        stack.enter_context(Keys(terminal, lambda key: page.open() if key == Look("page") else arrivals.put(key)))

        def command(config: Config, address: str) -> Command:
            told, making, spare = environment(environ, address), generations.making, generations.spare
            return Command(config.run or "", told, config.base, lambda _: None, making, spare)

        supervisor = Supervisor(arrivals, console, project, generations, spawner, watch, address, command)
        supervisor.begin()
        supervisor.loop()
    console.stopped()
    return 0


def _handoff(stack: ExitStack) -> list[Listener]:
    """Through which unfinished connections pass from one generation to another; none where the system cannot."""
    handoff = Handoff.make()
    if handoff is None:
        return []
    stack.callback(handoff.close)
    return [Listener(end, "") for end in handoff.sockets]
