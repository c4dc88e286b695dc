"""The configuration and the files as last known: what a generation has to know of them, and what to watch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.diagnostics import problems
from devserver.process.wire import Briefing
from devserver.records.changes import Targets
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import Dependencies, LoadReport
from devserver.records.stamps import Stamp, Versions, versions
from devserver.watch.targets import exclude_pattern


class Project:
    """What the supervisor knows of the person's files; `config` has the ports that are really bound.

    `reread` reads the configuration again. Errors: `ConfigError`.
    """

    def __init__(self, config: Config, reread: Callable[[], Config]) -> None:
        self.config = config
        self._reread = reread
        self._settings = versions(config.watched_files)  # as they were when `config` was read
        self._unusable: Diagnostic | None = None  # the configuration, since it was changed
        self._awaited: tuple[str, ...] = ()  # paths that the configuration names in vain
        self._code: Versions = {}
        self._loaded: set[str] = set()  # of the code, what has been there
        self._depends = Dependencies()

    @property
    def code(self) -> tuple[str, ...]:
        """The files that were loaded, or whose appearance may repair the load."""
        return (*self._code, *self._depends.absent)

    def is_loaded_source(self, path: str) -> bool:
        """Whether this is a Python file that was loaded, also by the name of a link to it."""
        return path.endswith(".py") and not self._loaded.isdisjoint((path, os.path.realpath(path)))

    @property
    def user_folders(self) -> tuple[str, ...]:
        """Where the user's modules are found; the first stands before the libraries."""
        return (self.config.base, *self.config.search_path)

    def read_again(self) -> Diagnostic | None:
        """The configuration was changed. One that cannot be used is what the next generation answers with.

        Where it is the deployment that is broken, the values from before stay, and what is wrong is returned.
        """
        before = versions((*self.config.watched_files, *self._awaited))
        self._awaited = ()
        try:
            config = self._reread()
        except ConfigError as error:
            self._awaited = (error.wanted,) if error.wanted else ()
            self._settings = versions(self._awaited) | before
            problem = problems.config_problem(error)
            self._unusable = None if error.keeps else problem
            return problem if error.keeps else None
        self._settings, self._unusable = versions(config.watched_files) | before, None
        bound = self.config
        self.config = dataclasses.replace(config, host=bound.host, port=bound.port, health_port=bound.health_port)
        return None

    def briefing(
        self, generation: int, arguments: tuple[str, ...], hold: Diagnostic | None, files: Versions
    ) -> Briefing:
        """For a new generation. One that holds loads nothing, and depends on `files` all the same."""
        config, hold = self.config, self._unusable or hold
        known = self._settings | (files if hold is not None else {})
        left_out = exclude_pattern(Targets(exclude=config.reload_exclude, base=config.base))
        return Briefing(generation, config, hold, arguments, known, left_out)

    def script_version(self) -> Versions:
        """The script as it is now."""
        return versions([os.path.realpath(self.config.script)] if self.config.script else [])

    def learn(self, files: Mapping[str, Stamp], loaded: LoadReport | None = None) -> None:
        """What the current generation has loaded; what was known before is kept until a load has gone well."""
        if loaded is not None:
            self._code, self._loaded = ({}, set()) if loaded.ok else (self._code, self._loaded)
            self._depends = loaded.depends if loaded.ok else self._depends | loaded.depends
        self._code |= files
        self._loaded |= files.keys()

    def depend(self, more: Dependencies) -> None:
        """On what the current generation depends, too, since it has worked."""
        self._depends |= more

    def targets(self) -> Targets:
        """What to watch from now on."""
        config = self.config
        script = (config.script,) if config.script else ()
        return Targets(
            code=tuple(dict.fromkeys((*script, *self._code))),
            data=tuple(path for path in (*self._depends.data, *self._depends.absent) if path not in self._code),
            links=tuple(self._depends.links),
            searches=self._depends.searches,
            listed=self._depends.listed,
            trees=(config.model_tree,) if config.model_tree and not config.model_is_file else (),
            models=(config.model_tree,) if config.model_tree and config.model_is_file else (),
            config=(*config.watched_files, *self._awaited),
            samples=config.samples,
            include=config.reload_include,
            exclude=config.reload_exclude,
            base=config.base,
        )
