"""Hints for imports that failed."""

from __future__ import annotations

import os
import re
import sys

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.diagnostics.hints.lookup import entries, files_below, find, project_folders, short
from devserver.diagnostics.hints.packages import (
    DISTRIBUTIONS,
    NAMESPACES,
    PACKAGES,
    distribution,
    distribution_of,
    importable,
    installed_version,
    is_installed,
    version_of,
    with_version,
)
from devserver.diagnostics.hints.pickles import is_unpickling, saved_version
from devserver.text import nearest
from devserver.usercode import loader, ownership

_GONE = {
    "distutils": "it left the standard library in Python 3.12 (pip install setuptools brings it back)",
    "imp": "it left the standard library in Python 3.12: use importlib",
    "asyncore": "it left the standard library in Python 3.12",
    "cgi": "it left the standard library in Python 3.13",
    "pipes": "it left the standard library in Python 3.13: use shlex",
}


def _missing_module(facts: Facts) -> str | None:
    if isinstance(facts.exception, ModuleNotFoundError) and facts.exception.name:
        return facts.exception.name
    return None


def _no_entry_script(facts: Facts) -> str | None:
    """The module that is served when nobody names a script."""
    if facts.script or _missing_module(facts) != "main":
        return None
    folders = [folder for folder in loader.wanted_folders("main") if os.path.isdir(folder)]
    where = f" in {' or '.join(folders[:3])}" if folders else ""
    return f"no entry script is named, and there is no main.py{where}: name one with --entry_script"


def _module_moved(facts: Facts) -> str | None:
    """The package is there, its part is not: another version, or a file of the user's hides the package."""
    name = _missing_module(facts)
    top = (name or "").partition(".")[0]
    module = sys.modules.get(top)
    if not name or module is None or top == name:
        return None
    file = getattr(module, "__file__", None) or ""
    if ownership.is_user_file(file) and ("is not a package" in facts.message or is_installed(top)):
        return f"your own {short(file)} is found first" + (f" and hides the package {top}" if is_installed(top) else "")
    if name == "sklearn.externals.joblib" or name == "sklearn.externals":
        return "joblib is a package of its own now: import joblib"
    version = saved_version(facts, top) or ""
    here = f"here {distribution(top)} {version_of(top)} is installed, which has no {name}"
    if version or is_unpickling(facts):
        return f"the file was saved with {distribution(top)} {version or 'of another version'}; {here}"
    return here if version_of(top) and not ownership.is_user_file(file) else None


def _module_of_the_project(facts: Facts) -> str | None:
    """A file of this name lies where Python does not look, or one of nearly this name where it does."""
    name = _missing_module(facts)
    if not name or "." in name or distribution_of(name):
        return None
    if found := _lies_elsewhere(facts, name):
        return found
    near = _near_module(facts, name)
    if near is None and is_unpickling(facts):
        return f"the saved model needs its module: put {name}.py, in which its class was defined, beside the script"
    return near


def _lies_elsewhere(facts: Facts, name: str) -> str | None:
    package = (name, "__init__.py")
    found = find(facts, [name + ".py"]) or find(facts, package)
    if found is None or (found[0].endswith("__init__.py") and found[1] < len(package)):
        return None  # any package has an __init__.py
    path = os.path.dirname(found[0]) if found[0].endswith("__init__.py") else found[0]
    folder = os.path.dirname(path)
    if os.path.realpath(folder) in {os.path.realpath(entry) for entry in sys.path}:
        return None
    return (
        f"{short(path)} exists, but its folder is not searched, nor will it be in Azure: "
        f"import it from there, or set AZUREML_SOURCE_DIRECTORY={short(folder)}"
    )


def _near_module(facts: Facts, name: str) -> str | None:
    """A module of nearly this name in a folder that was searched."""
    local: dict[str, str] = {}
    for folder in loader.wanted_folders(name) or project_folders(facts):
        for entry in entries(folder):
            if entry.name.endswith(".py"):
                local.setdefault(entry.name.removesuffix(".py"), entry.name)
            elif entry.is_dir() and any(inner.name.endswith(".py") for inner in entries(entry.path)):
                local.setdefault(entry.name, f"a folder {entry.name}")
    near = nearest(name, [item for item in local if item.isidentifier()], 0.75)
    return f"there is {local[near]}; did you mean {near}?" if near else None


def _module_not_installed(facts: Facts) -> str | None:
    name = _missing_module(facts)
    if not name:
        return None
    top = name.partition(".")[0]
    if top in _GONE:
        return _GONE[top]
    wanted = _as_written(facts, name)
    distribution = distribution_of(wanted)
    if distribution:
        return _to_install(facts, distribution, wanted)
    if top in NAMESPACES:
        return f"no package that is installed here has {wanted}"
    known = importable() | PACKAGES | {name.partition(".")[0] for name in DISTRIBUTIONS}
    near = next((other for other in sorted(known) if sorted(other) == sorted(top) and other != top), None)
    near = near or nearest(top, known, 0.84)
    return f"did you mean {near}?" if near else _nowhere(facts, name)


def _as_written(facts: Facts, name: str) -> str:
    """The whole module that the failing line wants; the exception names only the first part that is not there."""
    written = re.search(rf"(?<![\w.]){re.escape(name)}(?:\.\w+)*", facts.line)
    wanted = written[0] if written else name
    part = re.search(rf"\bfrom\s+{re.escape(wanted)}\s+import\s+(\w+)", facts.line)
    return f"{wanted}.{part[1]}" if part and f"{wanted}.{part[1]}" in DISTRIBUTIONS else wanted


def _to_install(facts: Facts, distribution: str, wanted: str) -> str:
    version = installed_version(distribution)
    if version:
        return f"{distribution} {version} is installed here, which has no {wanted}"
    listed = _listed_in(facts, distribution)
    also = f"{listed} has it already" if listed else "and add it to the environment of the deployment"
    return f"it is not installed here: python -m pip install {distribution} ({also})"


def _nowhere(facts: Facts, name: str) -> str:
    """Neither a file nor a package that is known: to install a name that is misspelt is dangerous."""
    top = name.partition(".")[0]
    searched = loader.wanted_folders(name)
    folder = facts.folder if facts.folder in searched or not searched else searched[0]
    if top != name:
        return f"there is no {name.replace('.', '/')}.py in {folder}"
    if listed := _listed_in(facts, top.replace("_", "-")) or _listed_in(facts, top):
        return f"it is not installed here: install what {listed} names"
    return f"there is no {top}.py in {folder}; if it is a package, check its exact name before you install it"


def _listed_in(facts: Facts, distribution: str) -> str | None:
    """The environment file of the project that names the distribution."""
    form = re.compile(rf"^[\s\-]*{re.escape(distribution)}\b", re.M | re.I)
    for root in project_folders(facts):
        for path in files_below(root, 1, 300):
            name = os.path.basename(path)
            if (
                re.fullmatch(r"(?i)(requirements.*\.txt|(conda|env).*\.ya?ml)", name)
                and os.path.getsize(path) < 100_000
            ):
                with open(path, encoding="utf-8", errors="replace") as file:
                    if form.search(file.read()):
                        return short(path)
    return None


def _hidden_by_own_file(facts: Facts) -> str | None:
    """A file of the user's has the name of a module that it hides."""
    found = re.search(r"(?:module|from) '([\w.]+)'", facts.message)
    if facts.error.type not in ("AttributeError", "ImportError") or not found:
        return None
    file = getattr(sys.modules.get(found[1]), "__file__", None) or ""
    if file and ownership.is_user_file(file) and is_installed(found[1]):
        return f"your own {short(file)} is found in place of the module {found[1]}: rename it"
    return None


def _circular_import(facts: Facts) -> str | None:
    if facts.error.type not in ("ImportError", "AttributeError") or "partially initialized module" not in facts.message:
        return None
    names = list(dict.fromkeys(os.path.basename(frame.f_code.co_filename) for frame in facts.user_frames[::-1]))
    if len(names) < 2:
        return None
    return f"{names[-2]} and {names[-1]} import each other: import inside the function that needs it"


_MOVED_NAMES = {
    ("collections", "Mapping"): "it is in collections.abc since Python 3.10",
    ("collections", "Iterable"): "it is in collections.abc since Python 3.10",
    ("sklearn", "joblib"): "joblib is a package of its own now: import joblib",
    ("sklearn", "Imputer"): "it is SimpleImputer in sklearn.impute now",
    ("flask", "Markup"): "it is in markupsafe now",
    ("flask", "escape"): "it is in markupsafe now",
    ("werkzeug", "url_quote"): "use urllib.parse.quote",
    ("jinja2", "Markup"): "it is in markupsafe now",
    ("scipy", "interp"): "use numpy.interp",
    ("pandas", "Panel"): "removed in pandas 1.0",
}


def _name_to_import(facts: Facts) -> str | None:
    found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", facts.message)
    module = sys.modules.get(found[2]) if found else None
    if found is None or module is None:
        return None
    moved = _MOVED_NAMES.get((found[2].partition(".")[0], found[1]))
    if moved:
        return f"{with_version(found[2])}: {moved}"
    near = nearest(found[1], vars(module), 0.7)
    if near:
        return f"{found[2]} has {near}"
    return f"{with_version(found[2])} is installed here" if version_of(found[2].partition(".")[0]) else None


HINTS: tuple[Predicate, ...] = (
    _no_entry_script,
    _module_moved,
    _module_of_the_project,
    _module_not_installed,
    _hidden_by_own_file,
    _circular_import,
    _name_to_import,
)
