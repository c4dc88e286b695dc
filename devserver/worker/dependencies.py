"""All that a generation depends on: gathered while it loads and works, for the supervisor and for the gate."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping

from devserver.config.settings import Config
from devserver.process.outputs import Outputs
from devserver.process.workload import Workload
from devserver.records.messages import Dependencies, FileWritten, ProgramStarted, Told
from devserver.records.stamps import Stamp, leave_unread, link_stamp
from devserver.usercode import loader
from devserver.usercode.opened_files import OpenedFiles
from devserver.watch.links import resolve
from devserver.watch.targets import is_litter
from devserver.worker.known import Files, Known, Links, Listings, Places
from devserver.worker.model_tree import ModelTree


class Dependence:
    """`known`: what else is known of files (None: not there); `left_out`: an expression for paths that do not count."""

    def __init__(
        self,
        config: Config,
        known: Mapping[str, Stamp | None],
        left_out: str,
        tell: Callable[[Told], None],
        workload: Workload,
    ) -> None:
        self._config = config
        self._workload = workload
        self._tell = tell
        self._left_out = re.compile(left_out) if left_out else None
        self._script = os.path.realpath(config.script) if config.script else None
        self._outputs = Outputs(config.events)
        model = config.model_tree
        folder = os.path.dirname(model) if model and config.model_is_file else model
        self._roots = [config.base, *config.search_path, *([folder] if folder else [])]
        self.opened = OpenedFiles(self._roots, self._wrote, lambda: tell(ProgramStarted(time.time_ns())))
        self.links: dict[str, Stamp] = {}
        known_files = (self.opened.stamps, loader.loaded)
        self._tree = ModelTree(model, self._counts, self.opened.written, known_files)
        self._listings = Listings(self._listed, self._tree.names_in, self._matters)
        self._files = Files((known, loader.loaded), (self.opened.stamps, self._tree.stamps), self.counts)
        places = Places(self.opened.absent, loader.searched, self.counts)
        # the listings first: they have the model tree forget what is known elsewhere
        self.known = Known((self._listings, self._files, Links(self.links), places))
        self._told = Dependencies()
        self._sizes_told = (0, 0, 0, 0)

    def go_on(self, workload: Workload) -> None:
        """This process is another generation now: what was found of files that have changed since counts no more."""
        self._workload = workload
        self._files.forget()

    def look(self) -> None:
        """Before anything is loaded: take down how the links and the model folder are."""
        self._note_links([*self._roots, *([self._config.script] if self._config.script else [])])
        self._tree.look()
        for folder in self._tree.folders:
            self._listings.note(folder)

    def counts(self, path: str) -> bool:
        """Whether a change of this file matters."""
        if self._left_out is None or path == self._script:
            return True
        return self._left_out.fullmatch(path.replace(os.sep, "/")) is None

    def _counts(self, path: str) -> bool:
        return self.counts(path) and not self._outputs.hold(path)

    def _wrote(self, path: str, done: bool) -> None:
        leave_unread(path)
        self._tell(FileWritten(path, time.time_ns(), done, self.opened.is_apart))

    def _matters(self, path: str) -> bool:
        """Whether it matters that this comes or goes: not what the script itself makes."""
        return path not in self.opened.written and self._counts(path)

    # --- what is told

    def found(self) -> Dependencies:
        """All of it, apart from the code itself and from what lies in the model folder."""
        self._note_links([*loader.loaded, *self.opened.stamps])
        self._sizes_told = self._sizes()
        self._told = Dependencies(
            {path: stamp for path, stamp in list(self.opened.stamps.items()) if self._is_apart(path)},
            tuple(self.opened.absent),
            dict(self.links),
            {folder: at for folder, at in list(self.opened.listed.items()) if self._is_apart(folder)},
            {folder: dict(names) for folder, names in list(loader.searched.items())},
        )
        return self._told

    def works(self) -> None:
        """A request is being worked on."""
        self._workload.begins(time.time_ns())
        self.opened.begins()

    def worked(self) -> None:
        """It has been. What it has taught is told."""
        self.opened.ends()
        self._workload.ends(time.time_ns())
        if self._sizes() != self._sizes_told:
            before = self._told
            self._tell(self.found().without(before))

    def _sizes(self) -> tuple[int, int, int, int]:
        opened = self.opened
        return (
            len(opened.stamps),
            len(opened.absent),
            len(opened.listed),
            sum(map(len, list(loader.searched.values()))),
        )

    def _is_apart(self, path: str) -> bool:
        """Whether no other folder holds it that is watched with everything in it."""
        top = self._config.model_tree
        if not top or not path.startswith(os.path.join(top, "")):
            return path != top
        return any(map(is_litter, path[len(top) :].split(os.sep)))

    # --- how it is kept

    def _listed(self) -> list[str]:
        self._tree.forget()
        return [*self._tree.folders, *list(self.opened.listed)]

    def _note_links(self, paths: Iterable[str]) -> None:
        """The links on the way to these; where one is a file that was read itself, its content counts."""
        ways = {folder: resolve(folder) for folder in {os.path.dirname(path) for path in paths}}
        for path in paths:
            links = ways[os.path.dirname(path)].links
            for link in (*links, *(resolve(path).links if os.path.islink(path) else ())):
                stamp = link_stamp(link)
                if link not in self.links and link not in loader.loaded and link not in self.opened.stamps and stamp:
                    self.links[link] = stamp
