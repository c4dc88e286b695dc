"""The configuration and the files as last known: what a generation is told of them, and what is watched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.config.sources import read_config
from devserver.diagnostics.exceptions import describe
from devserver.records.messages import Dependencies, LoadReport
from devserver.records.stamps import Stamp, full_stamp
from devserver.supervisor.project import Project

SOME = Stamp(1, 2, 3, "x")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): pass\n")
    return read_config(["--entry_script", "score.py", "--reload", "--reload_exclude", "*.txt"], {}, str(tmp_path))


def broken() -> Config:
    raise ConfigError("argument --port: no")


def test_what_is_watched_follows_what_was_loaded(config: Config, tmp_path: Path) -> None:
    """The script first, then what was loaded; a load that fails adds to it, and one that goes well replaces it."""
    project, script = Project(config, lambda: config), str(tmp_path / "score.py")
    assert project.targets().code == (script,) and script not in project.targets().config
    project.learn({"/p/a.py": SOME})
    project.learn(
        {"/p/b.py": SOME}, LoadReport(False, depends=Dependencies(absent=("/p/c.py",), searches={"/p": {"d": 4}}))
    )
    assert project.targets().code == (script, "/p/a.py", "/p/b.py") and project.targets().data == ("/p/c.py",)
    assert project.targets().searches == {"/p": {"d": 4}} and project.code == ("/p/a.py", "/p/b.py", "/p/c.py")
    project.learn({script: SOME, "/p/b.py": SOME}, LoadReport(True))
    assert (project.targets().code, project.targets().searches) == ((script, "/p/b.py"), {})


def test_a_generation_depends_on_its_settings(config: Config, tmp_path: Path) -> None:
    """It knows the configuration files as they were read, also those that are not there; the script it loads itself."""
    project = Project(config, lambda: config)
    briefing = project.briefing(4, ("azmlinfsrv",), None, project.script_version())
    assert (briefing.generation, briefing.config, briefing.hold) == (4, config, None)
    assert briefing.known[str(tmp_path / "config.json")] is None
    assert str(tmp_path / "score.py") not in briefing.known and briefing.left_out


def test_one_that_holds_depends_on_what_died(config: Config, tmp_path: Path) -> None:
    """It loads nothing, and a change of what the dead one had loaded makes it stale all the same."""
    project, error = Project(config, lambda: config), describe(ValueError("x"), "load")
    briefing = project.briefing(1, (), error, project.script_version())
    assert briefing.hold is error
    assert briefing.known[str(tmp_path / "score.py")] == full_stamp(str(tmp_path / "score.py"))


def test_the_ports_stay(config: Config) -> None:
    """The configuration that is read again has the ports that are bound, whatever it says."""
    project = Project(replace(config, port=1234, host="127.0.0.1"), lambda: replace(config, log_level="DEBUG"))
    project.read_again()
    assert (project.config.port, project.config.host, project.config.log_level) == (1234, "127.0.0.1", "DEBUG")


def test_a_configuration_that_cannot_be_used(config: Config, tmp_path: Path) -> None:
    """What stood before stays in force, and the next generations answer with what is wrong, until it is mended."""
    tries = [broken, lambda: config]
    project = Project(config, lambda: tries.pop(0)())
    (tmp_path / "config.json").write_text("{")
    project.read_again()
    held = project.briefing(1, (), None, project.script_version())
    assert held.hold is not None and held.hold.phase == "config" and "--port" in held.hold.message
    assert held.config == config and held.known[str(tmp_path / "config.json")] is not None
    assert str(tmp_path / "score.py") in held.known
    project.read_again()
    assert project.briefing(2, (), None, {}).hold is None
