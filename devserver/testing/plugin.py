"""The pytest plugin: the fixture `scoring_script`, Azure ML's modules, and our report with each test that fails.

pytest imports this in every run of every project that has the package installed, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from devserver.testing import ScriptFailed, azure_modules, load

if TYPE_CHECKING:
    from devserver.testing.scoring import Scoring

OPTIONS = {
    "scoring_script": "the scoring script that the fixture scoring_script loads",
    "scoring_model_dir": "the folder that the script gets as AZUREML_MODEL_DIR",
    "scoring_deployment": "an online deployment in Azure's YAML that names script, model and variables",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each also as a setting of the ini file."""
    group = parser.getgroup("azmlinfsrv", "scoring scripts of Azure ML")
    for name, text in OPTIONS.items():
        group.addoption(f"--{name}", f"--{name.replace('_', '-')}", dest=name, metavar="PATH", help=text)
        parser.addini(name, text, default=None)


def pytest_configure() -> None:
    """Before any test module is imported."""
    azure_modules.provide()


@pytest.fixture(scope="session")
def scoring_script(pytestconfig: pytest.Config) -> Iterator[Scoring]:
    """The script of the options, with init() done: `scoring_script.post(body, headers)` gives its answer."""
    script, model_dir, deployment = (_path(pytestconfig, name) for name in OPTIONS)
    scoring = load(script, model_dir=model_dir, deployment=deployment)
    yield scoring
    scoring.close()


def _path(config: pytest.Config, name: str) -> str | None:
    """An option is relative to where pytest was started, a setting to the file in which it stands."""
    given = config.getoption(name)
    if given:
        return os.path.join(config.invocation_params.dir, str(given))
    folder = config.inipath.parent if config.inipath is not None else config.rootpath
    found = config.getini(name)
    return os.path.join(folder, str(found)) if found else None


# --- reports


def _told() -> list[str]:
    """The reports of this test so far; asking imports nothing."""
    module = sys.modules.get("devserver.testing.scoring")
    return module.told if module is not None else []


def pytest_runtest_setup() -> None:
    """A new test: what was told belongs to the last one."""
    _told().clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """A test that failed shows what the server would have shown."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if call.excinfo is not None and isinstance(call.excinfo.value, ScriptFailed):
        report.longrepr = str(call.excinfo.value)
    if report.failed and (reports := _told()):
        report.sections.append(("azmlinfsrv", "\n\n".join(dict.fromkeys(reports))))
