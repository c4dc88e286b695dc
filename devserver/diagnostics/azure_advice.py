"""What a managed endpoint in Azure would not accept of a script or an answer, in a line for each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from devserver.config.azure_deployment import Deployment, Limits
from devserver.diagnostics import environment
from devserver.records.record import record
from devserver.text import path_for_people

NAMING_FILES = (
    *("requirements.txt", "conda.yml", "conda.yaml", "conda_dependencies.yml", "conda_dependencies.yaml"),
    *("environment.yml", "environment.yaml", "env.yml", "env.yaml"),
)
_REQUIREMENT = re.compile(r"\s*-?\s*[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)")
DEFAULTS = Limits()
_NOT_PACKAGES = {"python", "pip", "dependencies", "channels", "name", "conda-forge", "defaults"}


@record(frozen=True)
class Answered:
    """One answer of run(): `seconds` until it was made, and whether its script declares JSON by a schema."""

    seconds: float
    status: int
    content_type: str
    body: bytes | None
    has_schema: bool


def on_answer(answer: Answered, limits: Limits = DEFAULTS) -> tuple[str, ...]:
    """What a managed endpoint would not take, a line each; the same cause always in the same words."""
    found = list(_too_slow(answer.seconds, limits))
    if answer.status >= 500:
        found.append(
            f"run() answered with status {answer.status}: in Azure the router sends 424 or 502 to the client instead"
        )
    if answer.has_schema and answer.status < 400 and not _is_json(answer):
        found.append("the schema of run() promises JSON, and the answer is none")
    return tuple(found)


def on_form(kind: str) -> str:
    """A form came to a run() that takes text."""
    return (
        f"a body sent as {kind} reaches run() as empty text, here as in Azure ML: "
        "send the header Content-Type: application/json"
    )


def _too_slow(seconds: float, limits: Limits) -> Iterator[str]:
    own = f", as {path_for_people(limits.file)} says" if limits.file else ""
    if seconds > limits.request_seconds:
        unless = own or ", unless request_timeout_ms of its request_settings allows more"
        yield f"run() took longer than {limits.request_seconds:g} s: a managed endpoint gives up then{unless}"
    probe = min(limits.liveness, limits.readiness, key=lambda each: each.timeout)
    if seconds > probe.timeout:
        yield (
            f"run() took longer than {probe.timeout} s: GET / waits behind it, and a {probe.name.replace('_', ' ')} in "
            f"Azure times out{own} unless {probe.name} allows more, or WORKER_COUNT is higher"
        )


def on_start(seconds: float, limits: Limits = DEFAULTS) -> tuple[str, ...]:
    """What a managed endpoint would make of a script that is ready only after so long."""
    probe = min(limits.liveness, limits.readiness, key=lambda each: each.patience)
    if seconds <= probe.patience:
        return ()
    return (
        f"the script was ready after {seconds:.0f} s: Azure ML gives up after {probe.patience} s, which are "
        f"initial_delay + failure_threshold x period of {probe.name}",
    )


def _is_json(answer: Answered) -> bool:
    if answer.body is None:  # streamed: the type is all that is known
        return "json" in answer.content_type
    try:
        json.loads(answer.body)
    except ValueError:
        return False
    return True


def on_load(modules: Iterable[str], folder: str, deployed: Deployment | None = None) -> tuple[str, ...]:
    """Packages that were imported although the files beside the script, which name packages, do not name them.

    `modules` are third-party modules that user code imported, `folder` is where the script lies. Where a deployment
    names packages, nothing beside the script counts, and what it names is compared with what is installed.
    """
    if deployed is not None and deployed.requirements:
        files = list(dict.fromkeys(each.path for each in deployed.requirements))
        named = {_normal(each.name) for each in deployed.requirements}
        return (*environment.differences(deployed.requirements), *_not_named(modules, files, named))
    files = [path for name in NAMING_FILES if os.path.isfile(path := os.path.join(folder, name))]
    return _not_named(modules, files, {name for path in files for name in _named_in(path)}) if files else ()


def _not_named(modules: Iterable[str], files: Sequence[str], named: set[str]) -> tuple[str, ...]:
    wanted = _distributions({module.partition(".")[0] for module in modules})
    missing = sorted(name for name in wanted if _normal(name) not in named)
    if not missing:
        return ()
    names = " and ".join(os.path.basename(path) for path in files)
    return (f"{', '.join(missing)}: imported, but not named in {names}, from which Azure would install",)


def _named_in(path: str) -> set[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    items = lines if path.endswith(".txt") else [line for line in lines if line.lstrip().startswith("-")]
    found = [_REQUIREMENT.match(line) for line in items if not line.lstrip().startswith(("#", "--", "-r ", "-c "))]
    return {_normal(match[1]) for match in found if match} - _NOT_PACKAGES


def _distributions(modules: set[str]) -> set[str]:
    """The distributions that were asked for by these top-level modules, without those that another of them needs."""
    from importlib.metadata import packages_distributions

    known = packages_distributions()
    owners = {module: known[module] for module in modules if known.get(module)}
    asked = {names[0] for names in owners.values() if len(names) == 1}  # of a shared name nobody knows the owner
    return asked - _needed_by(asked)


def _needed_by(distributions: Sequence[str] | set[str]) -> set[str]:
    """What these need, and so is installed with them."""
    from importlib.metadata import PackageNotFoundError, requires

    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        try:
            lines = requires(waiting.pop()) or []
        except PackageNotFoundError:
            continue
        names = {match[1] for line in lines if "extra ==" not in line and (match := _REQUIREMENT.match(line))}
        fresh = {name for name in names if _normal(name) not in {_normal(each) for each in found}}
        found |= fresh
        waiting += fresh
    normal = {_normal(name) for name in found}
    return {name for name in distributions if _normal(name) in normal} | found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def found_beside_script(names: Sequence[str], script: str) -> str:
    """The text of a note: modules that were found beside the script, where Azure ML may not look."""
    listed = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    folder = path_for_people(os.path.dirname(script), None)
    return (
        f"{listed} was imported from {folder}, the script's own folder: Azure ML looks there only "
        "if it is the code folder (AML_APP_ROOT) or AZUREML_SOURCE_DIRECTORY"
    )
