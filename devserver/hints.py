"""What may help: a record, and the live exception behind it, come in; the record with at most one hint goes out.

Each hint is a small predicate that looks something up (files, fields, columns, names) and speaks only when it found it.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import FrameType, ModuleType
from typing import Any

from devserver import syntax, usercode
from devserver.report import RunError, clean
from devserver.syntax import nearest, shown

_BUDGET = 0.015  # seconds of this thread for all predicates of one error
_WALK = 0.006  # seconds of this thread for one look through the project's folders


@dataclass(frozen=True)
class Facts:
    """What a predicate may look at. `model_dir` is AZUREML_MODEL_DIR as the script sees it; None when it is not set."""

    error: RunError
    exception: BaseException | None = None
    model_dir: str | None = None

    @property
    def script(self) -> str:
        return usercode.script or self.error.path

    @property
    def message(self) -> str:
        return self.error.message

    @cached_property
    def frames(self) -> list[FrameType]:
        """All calls, innermost first; at most 60."""
        trace = self.exception.__traceback__ if self.exception else None
        found: list[FrameType] = []
        while trace is not None:
            found.append(trace.tb_frame)
            trace = trace.tb_next
        return found[:-61:-1]

    @cached_property
    def user_frames(self) -> list[FrameType]:
        return [frame for frame in self.frames if usercode.is_user_code(frame.f_code.co_filename)]

    @property
    def line(self) -> str:
        """The source line of the place."""
        return syntax.line_at(self.error.path, self.error.line)

    def values(self) -> Iterator[tuple[str, Any]]:
        """The local variables of the user's calls, innermost call first, those named in the failing line first."""
        words = set(re.findall(r"[A-Za-z_]\w*", self.line))
        for frame in self.user_frames:
            items = list(frame.f_locals.items())
            yield from sorted(items, key=lambda item: item[0] not in words)

    @cached_property
    def given(self) -> object:
        """What run(), or the outermost wrapper around it, was given as its first argument."""
        outer = self.user_frames[-1] if self.user_frames and self.error.phase in ("run", "response") else None
        if outer is None or not outer.f_code.co_argcount:
            return None
        return outer.f_locals.get(outer.f_code.co_varnames[0])


Predicate = Callable[[Facts], "str | None"]
PREDICATES: list[Predicate] = []  # the first that finds something speaks


def _hint(predicate: Predicate) -> Predicate:
    PREDICATES.append(predicate)
    return predicate


def explain(error: RunError, exception: BaseException | None = None, *, model_dir: str | None = None) -> RunError:
    """The record with a hint where one is known; call it while the exception is alive. Never raises."""
    if error.hint:
        return error
    facts, end = Facts(error, exception, model_dir or None), time.thread_time() + _BUDGET
    for predicate in PREDICATES:
        try:
            hint = predicate(facts)
        except Exception:  # it looks at the user's own objects, which may do anything
            continue
        if hint:
            return replace(error, hint=clean(hint))
        if time.thread_time() > end:
            break
    return error


# ------------------------------------------------------------------ looking up


_SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "env", "mlruns"}


def _files_below(root: str, depth: int = 4, most: int = 3000) -> Iterator[str]:
    """The files below a folder, the nearest first; hidden folders and environments are left out."""
    level, end, count = [root], time.thread_time() + _WALK, 0
    for _ in range(depth + 1):
        deeper: list[str] = []
        for folder in level:
            for entry in _entries(folder):
                count += 1
                if count > most or time.thread_time() > end:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        deeper.append(entry.path)
                elif not entry.name.startswith("."):
                    yield entry.path
        level = deeper


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _roots(facts: Facts) -> list[str]:
    """The folders that are the project: the working directory and the script's own."""
    cwd, folder = os.getcwd(), os.path.dirname(os.path.abspath(facts.script))
    return [cwd] if (folder + os.sep).startswith(cwd.rstrip(os.sep) + os.sep) else [cwd, folder]


def _find(facts: Facts, tail: Sequence[str], roots: Iterable[str] | None = None) -> tuple[str, int] | None:
    """The file whose path ends most like `tail` (its parts), and how many parts agree; the file's name must."""
    best: tuple[str, int] | None = None
    for root in _roots(facts) if roots is None else roots:
        for path in _files_below(root):
            agree = _agreement(path, tail)
            if agree and (best is None or agree > best[1]):
                best = path, agree
    return best


def _agreement(path: str, tail: Sequence[str]) -> int:
    count = 0
    for mine, wanted in zip(reversed(path.split(os.sep)), reversed(tail), strict=False):
        if mine != wanted:
            break
        count += 1
    return count


def _listed(names: Iterable[object], most: int = 8) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    texts = [repr(name)[:40] for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _nearest_of(name: object, names: Iterable[object]) -> str:
    near = nearest(str(name), [item for item in names if isinstance(item, str)], 0.6)
    return f". Nearest: {near!r}" if near else ""


def _short(path: str) -> str:
    return shown(os.path.abspath(path)).replace("\\", "/")


# ---------------------------------------------------------------- source files


@_hint
def _merge_markers(facts: Facts) -> str | None:
    if facts.error.type == "SyntaxError" and re.match(r"<{7}|={7}|>{7}", facts.line):
        return "markers of a merge conflict: keep one side and delete these lines"
    return None


@_hint
def _wrong_bytes(facts: Facts) -> str | None:
    if facts.error.type != "SyntaxError":
        return None
    if "null bytes" in facts.message or "can't decode byte 0xff" in facts.message:
        with open(facts.error.path, "rb") as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        return "the file is UTF-16: save it as UTF-8" if wide else None
    if "decode byte 0x" in facts.message or "Non-UTF-8" in facts.message:
        return "save the file as UTF-8, or say in its first line what it is: # -*- coding: latin-1 -*-"
    if "unicodeescape" in facts.message:
        return 'a backslash starts an escape: write the path with / or as r"..."'
    return None


@_hint
def _odd_character(facts: Facts) -> str | None:
    found = re.search(r"invalid (?:non-printable )?character .*?\(?U\+([0-9A-F]{4,6})", facts.message)
    if facts.error.type != "SyntaxError" or not found:
        return None
    from unicodedata import name

    plain = {
        "2018": "'",
        "2019": "'",
        "201C": '"',
        "201D": '"',
        "2013": "-",
        "2014": "-",
        "2212": "-",
        "00A0": "a space",
    }
    kind = name(chr(int(found[1], 16)), "a character that Python does not know").lower()
    use = plain.get(found[1])
    return f"it is a {kind}, as web pages and word processors write it" + (f"; type {use}" if use else "")


@_hint
def _open_bracket(facts: Facts) -> str | None:
    found = re.match(r"'([(\[{])' was never closed", facts.message)
    if not found:
        return None
    lines, line = syntax.lines_of(facts.error.path), facts.error.line
    indent = len(facts.line) - len(facts.line.lstrip())
    for number, text in enumerate(lines[line:], line + 1):
        word = re.match(r"(\s*)(?:(?:def|class|import|from|return|if|for|while|with|try)\b|@|\w+ *=)", text)
        if word and len(word[1]) <= indent:
            closing = {"(": ")", "[": "]", "{": "}"}[found[1]]
            return f"the bracket of line {line} is still open at line {number}; close it with {closing}"
    return None


@_hint
def _script_elsewhere(facts: Facts) -> str | None:
    """The entry script is not where it was said to be."""
    error = facts.error
    if error.phase not in ("load", "config") or error.excerpt or os.path.exists(error.path):
        return None
    name = os.path.basename(error.path)
    found = _find(facts, [name])
    if found:
        return f"there is one at {_short(found[0])}"
    scripts = [os.path.basename(path) for path in _files_below(os.path.dirname(error.path), 0) if path.endswith(".py")]
    near = nearest(name, scripts, 0.6)
    return f"there is {near} in that folder" if near else None


# ---------------------------------------------------------------------- modules


_DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "dotenv": "python-dotenv",
    "dateutil": "python-dateutil",
    "jwt": "PyJWT",
    "attr": "attrs",
    "Crypto": "pycryptodome",
    "OpenSSL": "pyOpenSSL",
    "serial": "pyserial",
    "fitz": "pymupdf",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "google.protobuf": "protobuf",
    "google.cloud.storage": "google-cloud-storage",
    "sentence_transformers": "sentence-transformers",
    "pytorch_lightning": "pytorch-lightning",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "inference_schema": "inference-schema",
    "azureml.core": "azureml-core",
    "azureml": "azureml-core",
    "azureml.mlflow": "azureml-mlflow",
    "azure.ai.ml": "azure-ai-ml",
    "azure.identity": "azure-identity",
    "azure.keyvault.secrets": "azure-keyvault-secrets",
    "azure.storage.blob": "azure-storage-blob",
    "azure.storage": "azure-storage-blob",
    "azure.cosmos": "azure-cosmos",
    "azure": "azure-identity",
}
_POPULAR = """
accelerate aiohttp altair catboost cloudpickle dask datasets dill duckdb fastapi fasttext flask gensim geopandas
h5py httpx huggingface_hub jax joblib keras langchain librosa lightgbm matplotlib mlflow networkx nltk numba numpy
onnx onnxruntime openai opencensus optuna orjson pandas peft pillow plotly polars prophet psutil pyarrow pydantic
pymongo pyodbc pyspark redis regex requests safetensors scipy seaborn sentencepiece shap spacy sqlalchemy
statsmodels tensorflow tiktoken timm tokenizers torch torchaudio torchvision tqdm transformers ujson xgboost
"""
_PACKAGES = frozenset(_POPULAR.split())
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


@_hint
def _module_moved(facts: Facts) -> str | None:
    """The package is there, its part is not: another version, or a file of the user's hides the package."""
    name = _missing_module(facts)
    top = (name or "").partition(".")[0]
    module = sys.modules.get(top)
    if not name or module is None or top == name:
        return None
    file = getattr(module, "__file__", None) or ""
    if usercode.is_user_file(file) and ("is not a package" in facts.message or _installed(top)):
        return f"your own {_short(file)} is found first" + (f" and hides the package {top}" if _installed(top) else "")
    if name == "sklearn.externals.joblib" or name == "sklearn.externals":
        return "joblib is a package of its own now: import joblib"
    version = _saved_version(facts, top) or ""
    here = f"here {_distribution(top)} {_version(top)} is installed, which has no {name}"
    if version or _is_unpickling(facts):
        return f"the file was saved with {_distribution(top)} {version or 'of another version'}; {here}"
    return here if _version(top) and not usercode.is_user_file(file) else None


@_hint
def _module_of_the_project(facts: Facts) -> str | None:
    """A file of this name lies where Python does not look, or one of nearly this name where it does."""
    name = _missing_module(facts)
    if not name or "." in name:
        return None
    found = _find(facts, [name + ".py"]) or _find(facts, [name, "__init__.py"])
    if found:
        path = _short(found[0]).removesuffix("/__init__.py")
        folder = os.path.dirname(path) or "."
        return (
            f"{path} exists, but its folder is not searched, nor will it be in Azure: "
            f"import it from there, or set AZUREML_SOURCE_DIRECTORY={folder}"
        )
    local = [
        re.sub(r"\.py$", "", entry.name)
        for folder in usercode.wanted_folders(name) or _roots(facts)
        for entry in _entries(folder)
        if entry.name.endswith(".py") or os.path.isdir(entry.path)
    ]
    near = nearest(name, [item for item in local if item.isidentifier()], 0.75)
    if near is None and _is_unpickling(facts) and name not in _DISTRIBUTIONS and name not in _PACKAGES:
        return f"the saved model needs its module: put {name}.py, in which its class was defined, beside the script"
    return f"there is {near}.py; did you mean {near}?" if near else None


@_hint
def _module_not_installed(facts: Facts) -> str | None:
    name = _missing_module(facts)
    if not name:
        return None
    top = name.partition(".")[0]
    if top in _GONE:
        return _GONE[top]
    distribution = (
        _DISTRIBUTIONS.get(name) or _DISTRIBUTIONS.get(".".join(name.split(".")[:2])) or _DISTRIBUTIONS.get(top)
    )
    if distribution is None and top in _PACKAGES:
        distribution = top.replace("_", "-")
    if distribution:
        listed = _listed_in(facts, distribution)
        also = f"{listed} has it already" if listed else "and add it to the environment of the deployment"
        return f"it is not installed here: python -m pip install {distribution} ({also})"
    known = _importable()
    near = next((other for other in known if sorted(other) == sorted(top)), None) or nearest(top, known, 0.84)
    if near:
        return f"did you mean {near}?"
    searched, beside = usercode.wanted_folders(name), os.path.dirname(os.path.abspath(facts.script))
    folder = beside if beside in searched or not searched else searched[0]
    if top != name:
        return f"there is no {name.replace('.', '/')}.py in {folder}"
    return f"there is no {top}.py in {folder}; if it is a package: python -m pip install {top}"


def _listed_in(facts: Facts, distribution: str) -> str | None:
    """The environment file of the project that names the distribution."""
    form = re.compile(rf"^[\s\-]*{re.escape(distribution)}\b", re.M | re.I)
    for root in _roots(facts):
        for path in _files_below(root, 1, 300):
            name = os.path.basename(path)
            if (
                re.fullmatch(r"(?i)(requirements.*\.txt|(conda|env).*\.ya?ml)", name)
                and os.path.getsize(path) < 100_000
            ):
                with open(path, encoding="utf-8", errors="replace") as file:
                    if form.search(file.read()):
                        return _short(path)
    return None


def _importable() -> set[str]:
    """The names of the modules that can be imported here: the standard library's and the installed ones."""
    names = set(sys.stdlib_module_names)
    for folder in sys.path:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            names |= {re.sub(r"(\.py|\..*\.so|\..*\.pyd)$", "", entry.name) for entry in _entries(folder)}
    return {name for name in names if name.isidentifier() and not name.startswith("_")}


def _installed(name: str) -> bool:
    return name in sys.stdlib_module_names or name in _importable()


def _distribution(top: str) -> str:
    return _DISTRIBUTIONS.get(top, top)


def _version(top: str) -> str:
    version = getattr(sys.modules.get(top), "__version__", "")
    return version if isinstance(version, str) else ""


@_hint
def _hidden_by_own_file(facts: Facts) -> str | None:
    """A file of the user's has the name of a module that it hides."""
    found = re.search(r"(?:module|from) '([\w.]+)'", facts.message)
    if facts.error.type not in ("AttributeError", "ImportError") or not found:
        return None
    file = getattr(sys.modules.get(found[1]), "__file__", None) or ""
    if file and usercode.is_user_file(file) and _installed(found[1]):
        return f"your own {_short(file)} is found in place of the module {found[1]}: rename it"
    return None


@_hint
def _circular_import(facts: Facts) -> str | None:
    if facts.error.type not in ("ImportError", "AttributeError") or "partially initialized module" not in facts.message:
        return None
    names = list(dict.fromkeys(os.path.basename(frame.f_code.co_filename) for frame in facts.user_frames[::-1]))
    if len(names) < 2:
        return None
    return f"{names[-2]} and {names[-1]} import each other: import inside the function that needs it"


@_hint
def _name_to_import(facts: Facts) -> str | None:
    found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", facts.message)
    module = sys.modules.get(found[2]) if found else None
    if found is None or module is None:
        return None
    moved = _MOVED_NAMES.get((found[2].partition(".")[0], found[1]))
    if moved:
        return f"{_with_version(found[2])}: {moved}"
    near = nearest(found[1], vars(module), 0.7)
    if near:
        return f"{found[2]} has {near}"
    return f"{_with_version(found[2])} is installed here" if _version(found[2].partition(".")[0]) else None


def _with_version(module: str) -> str:
    top = module.partition(".")[0]
    return f"{_distribution(top)} {_version(top)}".strip()


# ----------------------------------------------------------------------- models


_MODEL_FILES = re.compile(r"(?i)\.(pkl|pickle|joblib|onnx|pt|pth|h5|keras|cbm|safetensors|bin|model)$|^MLmodel$")


_NOT_THERE = re.compile(r"(?i)no such file|not found|doesn't exist|does not exist|(unable|failed) to open")


def _missing_path(facts: Facts) -> str | None:
    """The path that was opened in vain."""
    exception = facts.exception
    if isinstance(exception, (FileNotFoundError, NotADirectoryError)) and exception.filename is not None:
        return exception.filename if isinstance(exception.filename, str) else None
    if _NOT_THERE.search(facts.message):
        named: list[str] = re.findall(r"[\w./\\~:-]*[\w-]\.[A-Za-z]\w{1,7}\b", facts.message)
        return next((path for path in named if not os.path.exists(path)), None)
    return None


@_hint
def _model_dir_not_set(facts: Facts) -> str | None:
    if facts.model_dir or facts.error.phase not in ("load", "init", "run"):
        return None
    named = facts.error.type == "KeyError" and "AZUREML_MODEL_DIR" in facts.message
    path = _missing_path(facts)
    if not named and path is None and "NoneType" not in facts.message:
        return None
    if not named and not any("AZUREML_MODEL_DIR" in _text_of(frame) for frame in facts.user_frames):
        return None
    tail = re.split(r"[\\/]", path)[-3:] if path else _words_of(facts)
    found = _find(facts, [part for part in tail if part]) if tail else None
    if found is None:
        any_model = (file for root in _roots(facts) for file in _files_below(root) if _MODEL_FILES.search(file))
        first = next(any_model, None)
        found = (first, 1) if first else None
    if found is None:
        return "--model_dir was not given: start with --model_dir and the folder that holds the model"
    folder = "/".join(_short(found[0]).split("/")[: -found[1]]) or "."
    return f"--model_dir was not given. There is {_short(found[0])} here: start with --model_dir {folder}"


def _text_of(frame: FrameType) -> str:
    return usercode.source_of(frame.f_code.co_filename) or ""


def _words_of(facts: Facts) -> list[str]:
    """The parts of the path that the failing line builds out of texts."""
    texts = [text for _, text in re.findall(r"""(["'])(.*?)\1""", facts.line)]
    parts = [part for text in texts if text != "AZUREML_MODEL_DIR" for part in re.split(r"[\\/]", text)]
    named = [number for number, part in enumerate(parts) if "." in part]
    return parts[: named[-1] + 1] if named else []


@_hint
def _model_file(facts: Facts) -> str | None:
    """A file that was looked for in the model folder, which holds others."""
    path, folder = _missing_path(facts), facts.model_dir
    if path is None or folder is None:
        return None
    inside = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    if inside.startswith(".."):
        return None
    if not os.path.isdir(folder):
        return f"the model folder {folder} does not exist; the working directory is {os.getcwd()}"
    tail = inside.split(os.sep)
    above = os.path.dirname(os.path.abspath(folder))
    found = _find(facts, tail, [folder]) or _find(facts, tail, [above])
    if found and found[1] >= len(tail):
        better = "/".join(_short(found[0]).split("/")[: -len(tail)]) or "."
        return f"{tail[-1]} is at {_short(found[0])}: start with --model_dir {better}"
    if found and found[1] < len(tail) and _short(found[0]).startswith(_short(folder)):
        return f"the model folder holds it at {os.path.relpath(found[0], folder).replace(os.sep, '/')}"
    names = [os.path.relpath(file, folder).replace(os.sep, "/") for file in _files_below(folder, 4, 500)]
    if not names:
        return f"the model folder {folder} is empty"
    near = nearest(tail[-1], names, 0.5)
    return f"the model folder holds {_listed(names, 5)}" + (f". Nearest: {near!r}" if near and len(names) > 1 else "")


@_hint
def _other_file(facts: Facts) -> str | None:
    """A file that was looked for elsewhere."""
    path = _missing_path(facts)
    if not path:
        return None
    if path.startswith("~"):
        return "~ is not the home folder for open(): use os.path.expanduser()"
    if "\\" in path and os.sep == "/":
        return "backslashes do not separate folders on this system, nor in Azure: use os.path.join() or /"
    beside = os.path.join(os.path.dirname(os.path.abspath(facts.script)), path)
    name = os.path.basename(path)
    if os.path.exists(beside) and not os.path.isabs(path):
        start = f"{name} lies beside the script, but relative paths start at {os.getcwd()}"
        return f"{start}: use os.path.join(os.path.dirname(__file__), {path!r})"
    if facts.model_dir and (found := _find(facts, [name], [facts.model_dir])):
        return f"there is one in the model folder: {_short(found[0])}; join AZUREML_MODEL_DIR and the name"
    found = _find(facts, [part for part in re.split(r"[\\/]", path)[-3:] if part])
    if found:
        return f"there is one at {_short(found[0])}"
    folder = os.path.dirname(path) or "."
    near = nearest(name, [entry.name for entry in _entries(folder)], 0.75)
    return f"there is {os.path.join(folder, near) if folder != '.' else near}" if near else None


@_hint
def _folder_for_file(facts: Facts) -> str | None:
    path = getattr(facts.exception, "filename", None)
    if not isinstance(facts.exception, (IsADirectoryError, PermissionError)) or not isinstance(path, str):
        return None
    names = [entry.name for entry in _entries(path)] if os.path.isdir(path) else []
    return f"it is a folder that holds {_listed(names, 5)}" if names else None


# ---------------------------------------------------------------------- pickles


def _is_unpickling(facts: Facts) -> bool:
    libraries = ("pickle", "joblib", "cloudpickle", "dill")
    names = (frame.f_globals.get("__name__", "") for frame in facts.frames)
    by_library = any(str(name).partition(".")[0].lstrip("_") in libraries for name in names)
    return by_library or bool(re.search(r"\b(pickle|joblib|dill|cloudpickle)\.loads?\(|\bload\(", facts.line))


def _read_file(facts: Facts) -> str | None:
    """The file that was being read: an open file or a path among the variables, or a name in the code."""
    for frame in facts.frames[:12]:
        for value in list(frame.f_locals.values()):
            path = getattr(value, "name", None) if hasattr(value, "read") else value
            if isinstance(path, os.PathLike):
                path = os.fspath(path)
            if isinstance(path, str) and 0 < len(path) < 1000 and "\n" not in path and _is_data(path):
                return path
    texts = [text for frame in facts.user_frames for text in frame.f_code.co_consts if isinstance(text, str)]
    tails = [re.split(r"[\\/]", text)[-1] for text in texts if "." in text and len(text) < 200]
    roots = [facts.model_dir] if facts.model_dir else _roots(facts)
    found = (_find(facts, [tail], roots) for tail in tails)
    return next((item[0] for item in found if item and _is_data(item[0])), None)


def _is_data(path: str) -> bool:
    return os.path.isfile(path) and not path.endswith((".py", ".pyc", ".so", ".pyx"))


@_hint
def _no_pickle(facts: Facts) -> str | None:
    """The file is no pickle but something else, or not the whole of one."""
    path = _read_file(facts) if _is_unpickling(facts) else None
    if path is None:
        return None
    with open(path, "rb") as file:
        head = file.read(400)
    name, size = _short(path), os.path.getsize(path)
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
        if head.startswith(start) and facts.error.type != "RuntimeError":
            return f"{name} is {kind}, not a plain pickle: load it with what saved it"
    if facts.error.type in ("UnicodeDecodeError", "TypeError") and head[:1] == b"\x80":
        return f'{name} is binary: open it with mode "rb"'
    if head.lstrip()[:1] == b"<":
        return f"{name} is a web page or XML, not a model: the download went wrong"
    if facts.error.type in ("UnpicklingError", "KeyError") and head[:1] not in (b"\x80", b"("):
        return f"{name} is no pickle; it begins with {head[:16]!r}"
    return None


@_hint
def _class_of_pickle(facts: Facts) -> str | None:
    found = re.search(r"Can't get attribute '(\w+)' on <module '([\w.]+)'", facts.message)
    if not found:
        return None
    name, module = found[1], found[2]
    if module.endswith(("__main__", "__mp_main__")):
        return f"{name} was pickled in a notebook or script: move it into a module of its own and save the model again"
    top = module.partition(".")[0]
    saved = _saved_version(facts, top)
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    if usercode.is_user_file(file):
        return f"{_short(file)} has no {name}, which it had when the model was saved"
    if _version(top):
        saved = saved or "of another version"
        return f"the file was saved with {_distribution(top)} {saved}; here {_version(top)} is installed"
    return None


@_hint
def _newer_pickle(facts: Facts) -> str | None:
    found = re.search(r"unsupported pickle protocol: (\d+)", facts.message)
    if not found:
        return None
    import pickle

    here = f"Python {sys.version_info[0]}.{sys.version_info[1]}, which reads up to {pickle.HIGHEST_PROTOCOL}"
    return f"the file was saved with a newer version of Python (protocol {found[1]}); this is {here}"


@_hint
def _other_version(facts: Facts) -> str | None:
    """An estimator that another version of scikit-learn saved, which its error does not say."""
    if facts.error.phase not in ("load", "init", "run") or "sklearn" not in sys.modules:
        return None
    if not _is_unpickling(facts) and not any("sklearn" in frame.f_code.co_filename for frame in facts.frames):
        return None
    saved = _saved_version(facts, "sklearn") if _is_unpickling(facts) else None
    if saved and saved != _version("sklearn"):
        return f"the model was saved with scikit-learn {saved}; here {_version('sklearn')} is installed"
    return None


def _saved_version(facts: Facts, top: str) -> str | None:
    """The version that a scikit-learn estimator carries in the file that was being read."""
    path = _read_file(facts) if top in ("sklearn", "numpy") and _is_unpickling(facts) else None
    if path is None or top != "sklearn":
        return None
    with open(path, "rb") as file:
        content = file.read(4_000_000)
    found = re.search(rb"_sklearn_version.{1,12}?(\d+\.\d+(?:\.\w+)*)", content, re.S)
    return found[1].decode() if found else None


# ------------------------------------------------------------------------ names


def _assigned_without_global(path: str, name: str) -> str | None:
    """The function (init() first) that assigns `name` as a local of its own."""
    tree = syntax.tree_of(path)
    for node in sorted(syntax.functions(tree) if tree else [], key=lambda item: item.name != "init"):
        stores = declared = False
        for item in ast.walk(node):
            stores |= isinstance(item, ast.Name) and item.id == name and isinstance(item.ctx, ast.Store)
            declared |= isinstance(item, ast.Global) and name in item.names
        if stores and not declared:
            return node.name
    return None


@_hint
def _forgotten_global(facts: Facts) -> str | None:
    """A name that init() was to set: it set a local one."""
    for name in _suspects(facts):
        if _is_async(facts, "init"):
            return "init() is async: nobody awaits it, so its body never ran. Write def init()"
        function = _assigned_without_global(facts.error.path, name)
        if function and not any(frame.f_code.co_name == function for frame in facts.user_frames):
            return f"{function}() sets a {name} of its own: write `global {name}` at its beginning"
    return None


def _suspects(facts: Facts) -> list[str]:
    """Names that are not there, or are None, in the failing line."""
    if isinstance(facts.exception, UnboundLocalError):
        return []
    if isinstance(facts.exception, NameError):
        return [facts.exception.name] if facts.exception.name else []
    if "NoneType" not in facts.message or not facts.user_frames:
        return []
    scope = facts.user_frames[0]
    words = re.findall(r"[A-Za-z_]\w*", facts.line)
    return [word for word in words if word not in scope.f_locals and scope.f_globals.get(word, "") is None]


def _is_async(facts: Facts, name: str) -> bool:
    return isinstance(syntax.function_named(facts.script, name), ast.AsyncFunctionDef)


@_hint
def _local_by_assignment(facts: Facts) -> str | None:
    if not isinstance(facts.exception, UnboundLocalError) or not facts.user_frames:
        return None
    found = re.search(r"variable '(\w+)'", facts.message)
    frame = facts.user_frames[0]
    if found and found[1] in frame.f_globals:
        return f"{frame.f_code.co_name}() assigns {found[1]}, which makes it local: write `global {found[1]}` first"
    return None


_ALIASES = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "tf": "tensorflow", "sns": "seaborn"}
_OFTEN = {"torch", "joblib", "numpy", "pandas", "requests", "sklearn", "scipy", "cv2", "onnxruntime", "xgboost"}


@_hint
def _forgotten_import(facts: Facts) -> str | None:
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    if name in _ALIASES:
        return f"the import is missing: import {_ALIASES[name]} as {name}"
    if name and (name in sys.stdlib_module_names or name in _OFTEN):
        return f"the import is missing: import {name}"
    return None


@_hint
def _name_in_module(facts: Facts) -> str | None:
    """The name belongs to a module that was imported."""
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    for known, value in facts.frames[0].f_globals.items() if name and facts.frames else ():
        if isinstance(value, ModuleType) and not known.startswith("_") and name in vars(value):
            return f"{known} has it: {known}.{name}"
    return None


@_hint
def _nearest_name(facts: Facts) -> str | None:
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    if not name or not facts.frames:
        return None
    if name in ("ExceptionGroup", "BaseExceptionGroup"):
        return f"{name} came with Python 3.11; this is {sys.version_info[0]}.{sys.version_info[1]}"
    frame = facts.frames[0]
    near = nearest(name, [*frame.f_locals, *frame.f_globals, *vars(builtins)], 0.7)
    return f"did you mean {near}?" if near else None


# ------------------------------------------------------------------ the request


@_hint
def _empty_body(facts: Facts) -> str | None:
    request, exception = facts.error.request, facts.exception
    if request is None or not isinstance(exception, json.JSONDecodeError) or exception.doc.strip():
        return None
    kind = request.content_type.partition(";")[0]
    if "form" in kind:
        return f"a body sent as {kind} does not reach the script: send the header Content-Type: application/json"
    if request.size == 0:
        return "the request has no body" + (" (a GET has none)" if request.method == "GET" else "")
    return None


@_hint
def _no_json(facts: Facts) -> str | None:
    """The request's body is not JSON; says what it looks like."""
    exception = facts.exception
    if not isinstance(exception, json.JSONDecodeError) or facts.error.request is None:
        return None
    text = exception.doc
    if text != facts.given and not (text and facts.error.request.body.startswith(text[:60])):
        return None
    if text.startswith("\ufeff"):
        return "the body begins with a byte order mark: send it without, or decode it as utf-8-sig"
    if re.match(r"\s*[{\[]\s*'", text):
        return "the body is quoted with '; JSON wants double quotes"
    if re.match(r"[\w.]+=", text):
        return "the body is a form, not JSON: send the JSON text itself"
    return f"the body is not JSON; it begins with {text[:24]!r}"


@_hint
def _broken_json_file(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, json.JSONDecodeError) or exception.doc == facts.given:
        return None
    path = _read_file(facts)
    if path is None:
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        same = file.read(len(exception.doc) + 2).replace("\r\n", "\n") == exception.doc.replace("\r\n", "\n").lstrip(
            "\ufeff"
        )
    lines = exception.doc.split("\n")
    near = lines[exception.lineno - 1].strip()[:60] if exception.lineno <= len(lines) else ""
    if not exception.doc.strip():
        return f"{_short(path)} is empty" if same else None
    return f"it is {_short(path)}, line {exception.lineno}: {near}" if same else None


@_hint
def _text_for_object(facts: Facts) -> str | None:
    """A text where an object was meant: JSON that was not parsed, or encoded twice by the client."""
    text = isinstance(facts.exception, (TypeError, AttributeError)) and (
        "string indices must be" in facts.message or "'str' object has no attribute" in facts.message
    )
    for name, value in facts.values() if text else ():
        if not isinstance(value, str) or not re.search(rf"\b{re.escape(name)}\b", facts.line):
            continue
        try:
            inner = json.loads(value[:1_000_000])
        except ValueError:
            continue
        if value == facts.given and isinstance(inner, (dict, list)):
            return f"{name} is the text of the request: parse it first, json.loads({name})"
        if isinstance(inner, (dict, list)):
            return f"{name} is a JSON string: the client encoded it twice"
    return None


@_hint
def _parsed_before(facts: Facts) -> str | None:
    found = re.match(r"the JSON object must be str, bytes or bytearray, not (\w+)", facts.message)
    if not found:
        return None
    if found[1] in ("dict", "list"):
        return f"it is a {found[1]} already: json.loads() is not needed"
    return (
        "it is the request itself (@rawhttp): use request.get_data() or request.get_json()"
        if "equest" in found[1]
        else None
    )


@_hint
def _list_for_object(facts: Facts) -> str | None:
    if "list indices must be integers or slices, not str" not in facts.message:
        return None
    given = _parsed(facts.given)
    return "the body is a JSON list, not an object with fields" if isinstance(given, list) else None


def _parsed(text: object) -> object:
    try:
        return json.loads(text[:1_000_000]) if isinstance(text, (str, bytes)) else text
    except ValueError:
        return None


def _wanted_key(facts: Facts) -> object:
    """The key of a KeyError; of pandas' wordings the first name."""
    exception = facts.exception
    if not isinstance(exception, (KeyError, AttributeError)) or not exception.args:
        return None
    if isinstance(exception, AttributeError):
        return exception.name
    found = re.search(r"\['([^']+)'", str(exception.args[0]))
    return found[1] if found and "index" in str(exception.args[0]) else exception.args[0]


@_hint
def _missing_column(facts: Facts) -> str | None:
    key = _wanted_key(facts)
    for name, value in facts.values() if key is not None else ():
        if type(value).__name__ == "DataFrame" and name in facts.line:
            columns = list(value.columns)
            if key not in columns and (
                isinstance(facts.exception, KeyError) or nearest(str(key), map(str, columns), 0.8)
            ):
                return f"{name} has the columns {_listed(columns)}{_nearest_of(key, columns)}"
    return None


@_hint
def _variable_not_set(facts: Facts) -> str | None:
    """An environment variable; where a .env file holds it, that is said."""
    if not isinstance(facts.exception, KeyError) or not facts.frames:
        return None
    frame = facts.frames[0]
    if frame.f_code.co_name != "__getitem__" or frame.f_globals.get("__name__") != "os":
        return None
    name = str(facts.exception.args[0])
    for root in _roots(facts):
        path = os.path.join(root, ".env")
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                if re.search(rf"^\s*(export\s+)?{re.escape(name)}\s*=", file.read(100_000), re.M):
                    return f"{_short(path)} holds it, but is not read: set it in the terminal before the start"
    return f"the variable {name} is not set here: set it before the start, or read it with os.getenv() and a default"


@_hint
def _missing_key(facts: Facts) -> str | None:
    """A field that the request, or another dictionary at hand, does not have: says which it has."""
    key = _wanted_key(facts)
    if not isinstance(facts.exception, KeyError) or not isinstance(key, (str, int)):
        return None
    request = _parsed(facts.given)
    named = [(name, value) for name, value in facts.values() if name in facts.line and isinstance(value, dict)]
    for name, value in [*named, *([("the request", request)] if isinstance(request, dict) else [])]:
        if key in value or len(value) > 500:
            continue
        what = "the request" if value == request else name
        inside = next((other for other, item in value.items() if isinstance(item, dict) and key in item), None)
        if inside is not None:
            return f"{what} has it inside {inside!r}"
        if not value:
            return f"{what} is empty" if what != "the request" else "the request is an empty object"
        return f"{what} has the fields {_listed(value)}{_nearest_of(key, value)}"
    if isinstance(request, list) and facts.error.phase == "run":
        return "the request is a JSON list, not an object with fields"
    return None


# ------------------------------------------------------------- other libraries


_REMOVED = {
    ("DataFrame", "append"): "removed in pandas 2.0: use pd.concat([a, b])",
    ("Series", "append"): "removed in pandas 2.0: use pd.concat([a, b])",
    ("DataFrame", "iteritems"): "removed in pandas 2.0: use items()",
    ("Series", "iteritems"): "removed in pandas 2.0: use items()",
    ("DataFrame", "ix"): "removed in pandas 1.0: use loc or iloc",
    ("Series", "ix"): "removed in pandas 1.0: use loc or iloc",
    ("DataFrame", "as_matrix"): "removed in pandas 1.0: use to_numpy()",
    ("DataFrame", "applymap"): "removed in pandas 3.0: use map()",
    ("DataFrame", "swapaxes"): "removed in pandas 3.0: use transpose()",
    ("Index", "is_all_dates"): "removed in pandas 2.0",
    ("numpy", "asscalar"): "removed in numpy 1.23: use a.item()",
    ("numpy", "NaN"): "removed in numpy 2.0: use np.nan",
    ("numpy", "Inf"): "removed in numpy 2.0: use np.inf",
    ("numpy", "float_"): "removed in numpy 2.0: use np.float64",
    ("numpy", "product"): "removed in numpy 2.0: use np.prod",
    ("numpy", "in1d"): "removed in numpy 2.4: use np.isin",
    ("numpy", "trapz"): "removed in numpy 2.4: use np.trapezoid",
    ("PIL.Image", "ANTIALIAS"): "removed in pillow 10: use Image.LANCZOS",
    ("tensorflow", "Session"): "removed in tensorflow 2: use tf.compat.v1.Session, or none",
    ("tensorflow", "placeholder"): "removed in tensorflow 2",
    ("collections", "Mapping"): "moved in Python 3.10: use collections.abc",
    ("collections", "Iterable"): "moved in Python 3.10: use collections.abc",
    ("inspect", "getargspec"): "removed in Python 3.11: use inspect.getfullargspec()",
    ("asyncio", "coroutine"): "removed in Python 3.11: use async def",
}
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


@_hint
def _removed_attribute(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, AttributeError) or not exception.name:
        return None
    owner = exception.obj
    name = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    removed = _REMOVED.get((name, exception.name))
    if removed is None:
        return None
    module = name if isinstance(owner, ModuleType) else type(owner).__module__
    version = _with_version(module)
    return removed + (f" (here: {version})" if _version(module.partition(".")[0]) else "")


@_hint
def _nearest_attribute(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, AttributeError) or not exception.name or exception.obj is None:
        return None
    names = [name for name in dir(exception.obj) if not name.startswith("_")]
    near = nearest(exception.name, names, 0.72)
    if near:
        return f"did you mean {near}?"
    module = exception.obj.__name__ if isinstance(exception.obj, ModuleType) else type(exception.obj).__module__
    if _version(module.partition(".")[0]) and not usercode.is_user_file(
        getattr(sys.modules[module], "__file__", "") or ""
    ):
        return f"{_with_version(module)} is installed here; the script may be written for another version of it"
    return None


@_hint
def _no_cuda(facts: Facts) -> str | None:
    asked = re.search(r"\bCUDA\b|NVIDIA driver|torch\.cuda", facts.message)
    if not asked or facts.exception is None or os.path.exists("/dev/nvidia0"):
        return None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return None
    load = " (torch.load takes map_location='cpu')" if "deserialize" in facts.message else ""
    return f"this machine has no CUDA device: choose the CPU when there is none{load}"


# ---------------------------------------------------------------------- results


_FOR_JSON = [
    (r"numpy\.(ndarray|matrix)", "use {0}.tolist()"),
    (r"numpy\.(float|longdouble|half)\w*", "use float({0}), or .tolist() on the whole array"),
    (r"numpy\.u?(int|longlong|byte|short)\w*", "use int({0}), or .tolist() on the whole array"),
    (r"numpy\.bool_?", "use bool({0})"),
    (r"numpy\.datetime64", "use str({0})"),
    (r"numpy\.\w+", "use {0}.item()"),
    (r"pandas\..*DataFrame", 'use {0}.to_dict(orient="records")'),
    (r"pandas\..*(Series|Index|Array|Categorical)", "use {0}.tolist()"),
    (r"pandas\..*(NAType|NaTType)", "use None for a missing value"),
    (r"(pandas\..*Timestamp|datetime\.(datetime|date|time))", "use {0}.isoformat()"),
    (r"(datetime\.timedelta|pandas\..*Timedelta)", "use {0}.total_seconds()"),
    (r"(torch|tensorflow).*", "use {0}.tolist() (a tensor of tensorflow: .numpy().tolist())"),
    (r"scipy\.sparse.*", "use {0}.toarray().tolist()"),
    (r"(bytes|bytearray|memoryview)", "use {0}.decode(), or base64 for what is no text"),
    (
        r"(set|frozenset|dict_keys|dict_values|dict_items|range|map|filter|zip|generator|enumerate|.*deque)",
        "use list({0})",
    ),
    (r"decimal\.Decimal", "use float({0}) or str({0})"),
    (r"(uuid\.UUID|pathlib\..*|ipaddress\..*)", "use str({0})"),
    (r"complex", "use [{0}.real, {0}.imag]"),
    (r"(flask|werkzeug)\..*Response", "return the response itself, not inside something"),
    (r"(function|method|builtin_function_or_method)", "call it: {0}()"),
]


@_hint
def _for_json(facts: Facts) -> str | None:
    """How to turn the part of run()'s result into what JSON knows."""
    found = re.search(r"(a key of )?(result\S*) is ([\w.]+)$", facts.message)
    if facts.error.phase != "response" or found is None:
        return None
    if found[1]:
        return "a key must be text: f-string it, or str(key)"
    if found[3] == "coroutine":
        return "run() is async, which the server does not await: write def run(...)"
    for form, advice in _FOR_JSON:
        if re.fullmatch(form, found[3]):
            return advice.format(found[2] if len(found[2]) < 60 else "it")
    return _for_own_class(found[2], found[3])


def _for_own_class(part: str, name: str) -> str | None:
    from enum import Enum

    module, _, leaf = name.rpartition(".")
    kind = getattr(sys.modules.get(module or "entry_module"), leaf, None)
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return f"use {part}.value"
    if hasattr(kind, "__dataclass_fields__"):
        return f"use dataclasses.asdict({part})"
    ways = ("model_dump", "to_dict", "asdict", "_asdict", "tolist")
    way = next((way for way in ways if callable(getattr(kind, way, None))), None)
    return f"use {part}.{way}()" if way else f"return a dict of what {leaf} holds, e.g. vars({part})"


@_hint
def _odd_result(facts: Facts) -> str | None:
    if facts.error.severity != "warning" or facts.error.phase != "response":
        return None
    if "returned a tuple" in facts.message:
        return "for a status return AMLResponse(body, 400) of azureml_inference_server_http.api.aml_response"
    if "returned None" in facts.message:
        node = syntax.function_named(facts.script, "run")
        found = (
            "return" in "\n".join(syntax.lines_of(facts.script)[node.lineno - 1 : node.end_lineno]) if node else True
        )
        return "not every way through it ends in a return with a value" if found else "it has no return statement"
    if "not valid JSON" in facts.message:
        return "JSON knows no such number: send null (None) in its place"
    return None


# ------------------------------------------------------------- kinds of scripts


@_hint
def _hiding_decorator(facts: Facts) -> str | None:
    """A decorator put a wrapper with (*args, **kwargs) in the place of run()."""
    if not facts.message.startswith("run() cannot accept"):
        return None
    node = syntax.function_named(facts.script, "run")
    if node is None or node.args.vararg or node.args.kwarg or node.args.posonlyargs or not node.decorator_list:
        return None
    name = syntax.line_at(facts.script, node.decorator_list[0].lineno).strip(" @").partition("(")[0]
    return f"the decorator {name} hides the parameters: put @functools.wraps(func) above the wrapper that it returns"


@_hint
def _more_parameters(facts: Facts) -> str | None:
    found = re.match(r"(run|init)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)", facts.message)
    if not found or facts.error.frames:
        return None
    if found[1] == "init":
        return "the server calls init() without arguments"
    return f"only the first parameter is filled: give {found[2]} a default, or describe the input with inference-schema"


@_hint
def _batch_driver(facts: Facts) -> str | None:
    node = syntax.function_named(facts.script, "run") if facts.error.phase in ("run", "response", "load") else None
    first = node.args.args[0].arg if node and node.args.args else ""
    if re.fullmatch(r"(?i)_?mini_?batch\w*", first):
        return f"run({first}) is a batch endpoint's driver: there it gets a list of files, here the text of a request"
    return None


@_hint
def _job_script(facts: Facts) -> str | None:
    """A training or pipeline step in the place of a scoring script."""
    error = facts.error
    if error.type == "SystemExit" and any(frame.f_globals.get("__name__") == "argparse" for frame in facts.frames):
        return "the script reads a command line, as a training or pipeline step does; a scoring script gets none"
    if "does not have a" in error.message and "function defined" in error.message:
        text = usercode.source_of(error.path) or ""
        if not text.strip():
            return "the file is empty"
        other = next(
            (word for word in ("argparse", '__name__ == "__main__"', "mlflow.start_run") if word in text), None
        )
        return f"it looks like a training or pipeline step ({other})" if other else None
    if error.type in ("RunEnvironmentException", "OfflineRunException"):
        return "Run.get_context() works in a job only, not in a scoring script"
    return None


# --------------------------------------------------------- the process and time


@_hint
def _time_limit(facts: Facts) -> str | None:
    found = re.search(r"timed out after .* \((\w+)\)$", facts.message)
    if not found or facts.error.type:
        return None
    loop = _loop_around(facts.error.path, facts.error.line)
    where = f"the loop of line {loop} is running; " if loop else ""
    unit = "milliseconds" if found[1].endswith("_MS") else "seconds"
    return f"{where}set {found[1]} ({unit}) higher if the work needs more time"


def _loop_around(path: str, line: int) -> int | None:
    tree = syntax.tree_of(path)
    loops = [node for node in ast.walk(tree) if isinstance(node, (ast.While, ast.For))] if tree else []
    around = [node.lineno for node in loops if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, default=None)


@_hint
def _killed(facts: Facts) -> str | None:
    if "SIGKILL" not in facts.message or facts.error.type:
        return None
    import resource

    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            with open(path) as file:
                text = file.read().strip()
            limit = min(limit, int(text)) if text.isdigit() else limit
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    used = f", the largest process had {peak / 1e9:.1f} GB" if peak else ""
    return f"the system does this when memory runs out: {limit / 1e9:.1f} GB are allowed here{used}"
