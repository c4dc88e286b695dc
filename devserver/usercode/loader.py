"""Loads the user's own source files, from their text alone, whoever asks for them, and remembers what it read.

Python's own loader of source files trusts bytecode that has the time and size of its source, which two saves in one
second may share. So it is stood in for: for a file of the user's, bytecode is neither read nor written.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from devserver.records.searches import ANY, REGULAR, Searches, stronger_than
from devserver.records.stamps import Stamp, full_stamp, read_stamped, stat_stamp
from devserver.usercode import executions, import_times
from devserver.usercode.ownership import (
    caused_by_user,
    folders_of,
    imported_by_user,
    is_user_file,
    is_users_namespace,
    user_folders,
)

# One process loads one generation of user code, so these are the process's own, like sys.modules.
loaded: dict[str, Stamp] = {}  # absolute path -> the stamp of exactly what was loaded
sources: dict[str, str] = {}  # absolute path -> the text that was compiled, newlines as \n
modules: dict[str, None] = {}  # third-party modules (dotted names, in order) that user code imported or caused
indirect: set[str] = set()  # those of them that no import of the user's own names: a library asked for them
missing: dict[str, tuple[str, ...]] = {}  # module name -> the user's folders in which it was looked for in vain
searched: Searches = {}  # the user's folders, and the modules that would be found there if they came
ahead: set[str] = set()  # what was imported before the script, and would be found in its folder if it came
lazily_ahead: set[str] = set()  # modules that were imported before the script although it does not name them
script: str | None = None  # the absolute path of the entry script, once it was asked for
entry: ModuleType | None = None  # the entry script's module as far as it was executed; it stands in no other list
hearers: list[Callable[[str, Stamp], None]] = []  # called with each file of the user's that has been read


def forget() -> None:
    """Start anew: nothing has been loaded."""
    global script, entry
    script = entry = None
    for book in (loaded, sources, modules, indirect, missing, searched, ahead, lazily_ahead):
        book.clear()


def is_user_code(path: str) -> bool:
    """True for a file of the user's that was loaded or is there.

    Compiled extensions name sources that are nowhere on this machine (`pandas/_libs/index.pyx`).
    """
    return is_user_file(path) and (os.path.abspath(path) in sources or os.path.isfile(path))


def source_of(path: str) -> str | None:
    """The text of a source file as it was loaded; of one that was not loaded, as it is now; None without one."""
    known = sources.get(os.path.abspath(path))
    if known is not None:
        return known
    if stat_stamp(path) is None:
        return None  # to open a FIFO may take for ever
    try:
        with open(path, "rb") as file:
            return decode(file.read())
    except (OSError, ValueError):
        return None


def decode(content: bytes) -> str:
    """Source bytes as text with newlines as \\n; where the declared encoding does not fit, escapes for odd bytes."""
    from importlib.util import decode_source

    try:
        return decode_source(content)
    except (SyntaxError, UnicodeError, LookupError):
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8", "replace" if wide else "backslashreplace")
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


# --------------------------------------------------------------------- loading


class UserLoader(SourceFileLoader):
    """Loads a source file of the user's: from its text alone, never from bytecode, and keeps what it read."""

    def get_code(self, fullname: str) -> CodeType:
        """The compiled module. Errors: OSError, SyntaxError (always with its place)."""
        return _compiled(self, self.get_filename(fullname), sys._getframe(1))


def _compiled(loader: Any, path: str, caller: FrameType) -> CodeType:
    """What a loader of source files makes of a file of the user's; it may have a `get_data` of its own."""
    plain = getattr(type(loader), "get_data", None) is SourceFileLoader.get_data
    content = read_user_file(path) if plain else _read_by(loader, path)
    try:
        code: CodeType = loader.source_to_code(content, path)
    except (SyntaxError, ValueError, LookupError) as error:
        raise _placed(error, content, path) from None
    if plain:
        executions.tell(os.path.abspath(path), sources[os.path.abspath(path)], code, caller)
    return code


def read_user_file(path: str) -> bytes:
    """The content of a file of the user's; its stamp and text are kept, also for tracebacks. Errors: OSError."""
    content, stamp = read_stamped(path)
    _keep(path, content, stamp)
    return content


def _read_by(loader: Any, path: str) -> bytes:
    """What the loader makes of the file, which may be anything; the stamp is of the file itself."""
    stamp = full_stamp(path)
    content: bytes = loader.get_data(path)
    if stamp is not None:
        _keep(path, content, stamp)
    return content


def _keep(path: str, content: bytes, stamp: Stamp) -> None:
    know(path, decode(content), stamp)
    for hear in hearers:
        hear(os.path.abspath(path), stamp)


def know(path: str, text: str, stamp: Stamp) -> None:
    """From now on this is what was loaded from the file, also for tracebacks."""
    name = os.path.abspath(path)
    loaded[name], sources[name] = stamp, text
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")]
    linecache.cache[path] = (len(text), None, lines, path)  # no time: never outdated


_SourceLoader: Any = SourceFileLoader.__mro__[2]  # importlib's own, which all loaders of source files inherit from
_get_code: Callable[[Any, str], Any] = _SourceLoader.get_code


def _get_user_code(self: Any, fullname: str) -> Any:
    """In place of the standard loader's way to code: `importlib`, `runpy`, `pkgutil` and others all come by here."""
    path = self.get_filename(fullname)
    return _compiled(self, path, sys._getframe(1)) if is_user_file(path) else _get_code(self, fullname)


def _placed(error: Exception, content: bytes, path: str) -> SyntaxError:
    """The SyntaxError with the place that Python leaves out, or puts elsewhere, for bad bytes and bad encodings."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    at = _bad_byte(content)
    if isinstance(error, SyntaxError) and (error.lineno or 0) > 0 and (at is None or "decode byte 0x" not in message):
        return error
    start = content.rfind(b"\n", 0, at or 0) + 1
    line = content.count(b"\n", 0, start) + 1
    text = decode(content).split("\n")[line - 1]
    column = len(content[start : at or 0].decode("utf-8", "replace")) + 1
    return SyntaxError(message, (path, line, min(column, len(text) + 1), text))


def _bad_byte(content: bytes) -> int | None:
    """Where the first byte stands that does not fit the file's encoding, or is zero."""
    from io import BytesIO
    from tokenize import detect_encoding

    try:
        encoding = detect_encoding(BytesIO(content).readline)[0]
    except SyntaxError:
        encoding = "utf-8"
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    zero = content.find(b"\0")
    return zero if zero >= 0 else None


def load_script(path: str, name: str = "entry_module") -> ModuleType:
    """Execute the file as a module of this name and return it.

    As in Azure ML it never stands in `sys.modules`: what needs that fails here as it fails there.
    Errors: whatever the script raises; OSError when it cannot be read.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    global script, entry
    script = os.path.abspath(path)
    spec = spec_from_file_location(name, path, loader=UserLoader(name, path))
    assert spec is not None and spec.loader is not None
    entry = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_main() -> ModuleType:
    """Import the module `main` from sys.path, which is served where no entry script is named.

    Errors: whatever it raises; ModuleNotFoundError where there is none.
    """
    global script, entry
    from importlib import import_module

    try:
        module = import_module("main")
    except ModuleNotFoundError as error:
        if error.name == "main":
            missing["main"] = user_folders(sys.path)  # nobody's code asked for it, but to make it is the repair
        raise
    script = os.path.abspath(module.__file__) if module.__file__ else None
    entry = module
    return module


# --------------------------------------------------------------------- finding


class UserCode:
    """A finder that stands before the others, asks them, and has the user's own files loaded by `UserLoader`.

    Use it in a `with`, or by `install()` and `uninstall()`.
    """

    def install(self) -> UserCode:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        _SourceLoader.get_code = _get_user_code
        for name in ahead:
            _note_search(name, None, None, REGULAR)
        return self

    def uninstall(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        _SourceLoader.get_code = _get_code

    def __enter__(self) -> UserCode:
        return self.install()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say; a plain source file of the user's gets our loader."""
        for finder in list(sys.meta_path):
            ask = getattr(finder, "find_spec", None)
            spec = ask(fullname, path, target) if ask is not None and finder is not self else None
            if spec is not None:
                _note_search(fullname, path, spec)
                return _take_note(spec)
        by_user = caused_by_user(sys._getframe(1))
        if by_user:
            missing[fullname] = user_folders(sys.path if path is None else path)
        if by_user or path is None:
            _note_search(fullname, path, None)
        return None


def _note_search(fullname: str, path: Sequence[str] | None, spec: ModuleSpec | None, forms: int = ANY) -> None:
    """Which files, if they came, would be found in place of what this search has found, or not found."""
    name = fullname.rpartition(".")[2]
    origin = os.path.abspath(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    if spec is not None:
        if origin is None and spec.origin is not None:
            return  # built in: nothing is searched before it
        forms = REGULAR
    is_package = spec is not None and spec.submodule_search_locations is not None
    place = os.path.dirname(os.path.dirname(origin) if is_package else origin) if origin else None
    for folder, is_users in _places(tuple(sys.path if path is None else path)):
        if folder == place:
            if is_users and origin is not None:
                _book(folder)[name] = stronger_than(origin, package=is_package)
            return
        if is_users:
            book = _book(folder)
            book[name] = book.get(name, 0) | forms
        elif spec is None and forms == REGULAR:
            return  # what was imported ahead was found among the libraries


def _book(folder: str) -> dict[str, int]:
    return searched.setdefault(folder, {})


@lru_cache(maxsize=512)
def _places(entries: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
    """The folders of a search path (absolute), and which of them are the user's."""
    return tuple((folder, is_user_file(os.path.join(folder, "x.py"))) for folder in dict.fromkeys(folders_of(entries)))


def _take_note(spec: ModuleSpec) -> ModuleSpec:
    origin = spec.origin if spec.has_location else None
    if origin is not None and is_user_file(origin):
        if type(spec.loader) is SourceFileLoader:
            spec.loader = UserLoader(spec.name, origin)
        elif (stamp := stat_stamp(origin)) is not None:  # an extension module: its source is not what is loaded
            loaded[os.path.abspath(origin)] = stamp
    elif is_users_namespace(spec):
        pass  # a folder of the user's without __init__.py: what lies in it is found by itself
    elif spec.name.partition(".")[0] not in sys.stdlib_module_names and caused_by_user(sys._getframe(2)):
        modules[spec.name] = None
        if not imported_by_user(sys._getframe(2)):
            indirect.add(spec.name)
        import_times.measure(spec.loader)
    return spec


def found_beside_script(searched: Iterable[str]) -> list[str]:
    """The user's modules that were found in the script's own folder, where that is none of the `searched` ones."""
    folder = os.path.dirname(os.path.realpath(script)) if script else ""
    if folder in map(os.path.realpath, searched):
        return []
    entries = [os.path.realpath(entry) for entry in sys.path if os.path.isabs(entry)]  # none asks for a lost folder
    if entries.count(folder) != 1:  # twice: the script put it there itself
        return []
    known = {os.path.realpath(path) for path in loaded}
    return [name for name, module in list(sys.modules.items()) if _root_of(name, module, known) == folder]


def _root_of(name: str, module: ModuleType, known: set[str]) -> str | None:
    """The folder in which a module of the user's was found by its name; None for parts of packages and others."""
    file = getattr(module, "__file__", None)
    if "." in name or not isinstance(file, str) or os.path.realpath(file) not in known:
        return None
    folder = os.path.dirname(os.path.realpath(file))
    return os.path.dirname(folder) if hasattr(module, "__path__") else folder


def wanted_folders(name: str) -> tuple[str, ...]:
    """The user's folders in which the module was looked for in vain (absolute); creating it there is the repair."""
    return missing.get(name, ())
