"""Hints for files that cannot be unpickled."""

from __future__ import annotations

import os
import re
import sys
from types import ModuleType

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.diagnostics.hints.lookup import find, project_folders, short
from devserver.diagnostics.hints.packages import distribution, version_of
from devserver.usercode import ownership

_PICKLES = {"pickle", "joblib", "cloudpickle", "dill", "pandas"}
_TEXTS = {"json", "orjson", "rapidjson", "simplejson", "toml", "tomli", "tomllib", "ujson", "yaml"}


def is_unpickling(facts: Facts) -> bool:
    """Whether something that may be a pickle was being read: by load() of any library that is not for text."""
    names = (frame.f_globals.get("__name__", "") for frame in facts.frames)
    if any(_top(name) in _PICKLES - {"pandas"} for name in names):
        return True
    return bool(re.search(r"\bloads?\(|\bread_pickle\(", facts.line)) and _reader(facts) not in _TEXTS


def _reader(facts: Facts) -> str | None:
    """The library whose load() stands in the failing line; None if that is not known."""
    found = re.search(r"(?:\b(\w+)\s*\.\s*)?\b(loads?|read_pickle)\(", facts.line)
    if found is None or not facts.user_frames:
        return None
    name, frame = found[1] or found[2], facts.user_frames[0]
    owner = frame.f_locals.get(name, frame.f_globals.get(name))
    return _top(getattr(owner, "__name__" if isinstance(owner, ModuleType) else "__module__", None)) or None


def _top(module: object) -> str:
    return str(module or "").partition(".")[0].lstrip("_")


def read_file(facts: Facts) -> str | None:
    """The file that was being read: an open file or a path among the variables, or a name in the code."""
    for frame in facts.frames[:12]:
        for value in list(frame.f_locals.values()):
            path = getattr(value, "name", None) if hasattr(value, "read") else value
            if isinstance(path, os.PathLike):
                path = os.fspath(path)
            if isinstance(path, str) and 0 < len(path) < 1000 and "\n" not in path and _is_data(path):
                return path
    texts = [text for frame in facts.user_frames for text in frame.f_code.co_consts if isinstance(text, str)]
    tails = [re.split(r"[\\/]", text)[-1] for text in texts if "." in text and len(text) < 200][:3]
    roots = [facts.model_dir] if facts.model_dir else project_folders(facts)
    found = (find(facts, [tail], roots) for tail in tails)
    return next((item[0] for item in found if item and _is_data(item[0])), None)


def _is_data(path: str) -> bool:
    return os.path.isfile(path) and not path.endswith((".py", ".pyc", ".so", ".pyx"))


def _not_trusted(facts: Facts) -> str | None:
    """The library takes no arbitrary objects unless it is told to."""
    if "weights_only" in facts.message or "Weights only load failed" in facts.message:
        found = re.search(r"GLOBAL ([\w.]+)", facts.message)
        holds = f"{found[1]}, which is not on its list" if found else "more than tensors"
        return (
            f"torch.load() refuses {holds}, unless you trust the file: torch.load(..., weights_only=False);\n"
            "better save model.state_dict(), which needs no trust"
        )
    if "allow_pickle=False" in facts.message:
        return "the file holds Python objects: np.load(..., allow_pickle=True) reads them, if you trust the file"
    return None


def _no_pickle(facts: Facts) -> str | None:
    """The file is no pickle but something else, or not the whole of one."""
    path = read_file(facts) if is_unpickling(facts) else None
    if path is None:
        return None
    with open(path, "rb") as file:
        head = file.read(400)
    name, size = short(path), os.path.getsize(path)
    if head.startswith(b"version https://git-lfs"):
        return f"{name} is a Git LFS pointer of {size} bytes, not the model: run git lfs pull"
    if size == 0:
        return f"{name} is empty: 0 bytes"
    other = _other_format(facts, name, head)
    if other is None and ("truncated" in facts.message or facts.error.type == "EOFError"):
        return f"{name} has only {size} bytes and breaks off: copy or download it again"
    return other


def _other_format(facts: Facts, name: str, head: bytes) -> str | None:
    if b"joblib" in head[:200] and "joblib" not in facts.line:
        return f"{name} was saved with joblib: use joblib.load()"
    if facts.error.type in ("ModuleNotFoundError", "AttributeError", "ImportError"):
        return None
    kinds = {b"\x1f\x8b": "gzip data", b"PK\x03\x04": "a zip archive (torch, keras, numpy)", b"\x89HDF": "an HDF5 file"}
    for start, kind in kinds.items():
        if head.startswith(start) and facts.error.type != "RuntimeError" and _reader(facts) in {None, *_PICKLES}:
            return f"{name} is {kind}, not a plain pickle: load it with what saved it"
    if facts.error.type in ("UnicodeDecodeError", "TypeError") and head[:1] == b"\x80":
        return f'{name} is binary: open it with mode "rb"'
    if head.lstrip()[:1] == b"<":
        return f"{name} is a web page or XML, not a model: the download went wrong"
    if (
        facts.error.type in ("UnpicklingError", "KeyError")
        and not head.startswith(tuple(kinds))
        and head[:1] not in (b"\x80", b"(")
    ):
        return f"{name} is no pickle; it begins with {head[:16]!r}"
    return None


def _class_of_pickle(facts: Facts) -> str | None:
    found = re.search(r"Can't get attribute '(\w+)' on <module '([\w.]+)'", facts.message)
    if not found:
        return None
    name, module = found[1], found[2]
    if module.endswith(("__main__", "__mp_main__")):
        return f"{name} was pickled in a notebook or script: move it into a module of its own and save the model again"
    top = module.partition(".")[0]
    saved = saved_version(facts, top)
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    if ownership.is_user_file(file):
        return f"{short(file)} has no {name}, which it had when the model was saved"
    if version_of(top):
        saved = saved or "of another version"
        return f"the file was saved with {distribution(top)} {saved}; here {version_of(top)} is installed"
    return None


def _newer_pickle(facts: Facts) -> str | None:
    found = re.search(r"unsupported pickle protocol: (\d+)", facts.message)
    if not found:
        return None
    import pickle

    here = f"Python {sys.version_info[0]}.{sys.version_info[1]}, which reads up to {pickle.HIGHEST_PROTOCOL}"
    return f"the file was saved with a newer version of Python (protocol {found[1]}); this is {here}"


def _other_version(facts: Facts) -> str | None:
    """An estimator that another version of scikit-learn saved, which its error does not say."""
    if facts.error.phase not in ("load", "init", "run") or "sklearn" not in sys.modules:
        return None
    if not is_unpickling(facts) and not any("sklearn" in frame.f_code.co_filename for frame in facts.frames):
        return None
    saved = saved_version(facts, "sklearn") if is_unpickling(facts) else None
    if saved and saved != version_of("sklearn"):
        return f"the model was saved with scikit-learn {saved}; here {version_of('sklearn')} is installed"
    return None


def saved_version(facts: Facts, top: str) -> str | None:
    """The version that a scikit-learn estimator carries in the file that was being read."""
    path = read_file(facts) if top in ("sklearn", "numpy") and is_unpickling(facts) else None
    if path is None or top != "sklearn":
        return None
    with open(path, "rb") as file:
        content = file.read(4_000_000)
    found = re.search(rb"_sklearn_version.{1,12}?(\d+\.\d+(?:\.\w+)*)", content, re.S)
    return found[1].decode() if found else None


HINTS: tuple[Predicate, ...] = (
    _not_trusted,
    _no_pickle,
    _class_of_pickle,
    _newer_pickle,
    _other_version,
)
