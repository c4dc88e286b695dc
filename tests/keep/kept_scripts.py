"""Plays edits of a script: load and init() in a process of its own, then for each save a fork, beside a fresh start."""

from __future__ import annotations

import gc
import importlib.util
import json
import linecache
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

import devserver.worker.keep
from devserver.display.reasons import sentence
from devserver.records.reasons import Reason
from devserver.worker.keep.decide import Plan, decide, still_as_left
from devserver.worker.keep.observing import Observer
from devserver.worker.keep.stage import Initialised, initialised, resume

OURS = os.path.dirname(devserver.worker.keep.__file__) + os.sep
BODIES = ({"x": 1}, {"x": 2}, {"x": 3})


@dataclass(frozen=True)
class Step:
    """What became of one save: the reason's word where a fresh start is made, both answers where it was kept."""

    why: str = ""
    words: str = ""
    changed: tuple[str, ...] = ()
    got: Any = None
    want: Any = None

    @property
    def kept(self) -> bool:
        return not self.why


class Loader(SourceFileLoader):
    """As the tool's: from the text alone, and the observer hears of it."""

    observer: Observer | None = None

    def exec_module(self, module: ModuleType) -> None:
        path = self.path
        with open(path, encoding="utf-8", newline=None) as file:
            text = file.read()
        show(path, text)
        code = compile(text, path, "exec", dont_inherit=True)
        if Loader.observer is not None:
            Loader.observer.executing(path, text, code, module)
        exec(code, vars(module))


class Finder:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = os.path.join(self.folder, name + ".py")
        return (
            importlib.util.spec_from_file_location(name, file, loader=Loader(name, file))
            if os.path.isfile(file)
            else None
        )


def show(path: str, text: str) -> None:
    linecache.cache[path] = (len(text), None, [line + "\n" for line in text.split("\n")], path)


def load(folder: str) -> ModuleType:
    os.chdir(folder)
    sys.meta_path.insert(0, Finder(folder))  # type: ignore[arg-type]
    path = os.path.join(folder, "score.py")
    spec = importlib.util.spec_from_file_location("entry_module", path, loader=Loader("entry_module", path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(module: ModuleType, bodies: Sequence[object]) -> list[Any]:
    return [answer(module, body) for body in bodies]


def answer(module: ModuleType, body: object) -> Any:
    try:
        return json.loads(json.dumps(module.run(json.dumps(body))))
    except Exception as error:
        frames = traceback.format_exception(type(error), error, error.__traceback__)
        return ["error", *(text for text in frames if "kept_scripts.py" not in text)]


def in_fork(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own, as JSON. Errors: RuntimeError with its traceback."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        try:
            result = {"value": work()}
        except BaseException:
            result = {"error": traceback.format_exc()}
        with open(writable, "w") as file:
            json.dump(result, file)
        sys.stdout.flush()
        os._exit(0)
    os.close(writable)
    with open(readable) as file:
        text = file.read()
    os.waitpid(pid, 0)
    result = json.loads(text)
    if "error" in result:
        raise RuntimeError(result["error"])
    return result["value"]


def write(folder: str, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


def is_ours(path: str) -> bool:
    return path.startswith(OURS) or path == __file__


def initialise(folder: str) -> tuple[ModuleType, Initialised]:
    observer = Observer(lambda path: path.startswith(folder + os.sep), is_ours)
    with observer:
        Loader.observer = observer
        module = load(folder)
        module.init()
    Loader.observer = None
    return module, initialised(observer)


def play(
    before: str | Mapping[str, str],
    *saves: str | Mapping[str, str],
    bodies: Sequence[object] = BODIES,
    later: Sequence[str] = (),
) -> list[Step]:
    """A step for each save; a text is that of score.py."""
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        write(folder, _files(before))
        found = in_fork(lambda: _play(folder, [_files(save) for save in saves], bodies, later))
    return [Step(**{**step, "changed": tuple(step["changed"])}) for step in found]


def _files(part: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"score.py": part} if isinstance(part, str) else part


def _play(
    folder: str, saves: Sequence[Mapping[str, str]], bodies: Sequence[object], later: Sequence[str]
) -> list[dict[str, Any]]:
    gc.freeze()  # what the tests have made is not looked through each time
    sys.dont_write_bytecode = True
    warnings.simplefilter("default")
    warnings.showwarning = lambda *_args, **_kwargs: None
    os.environ["SCRATCH"] = folder
    fresh = Fresh(folder, bodies)
    module, stage = initialise(folder)
    if not isinstance(stage.forkable, Reason):
        in_fork(lambda: _resumed(module, stage, Plan(), bodies))  # requests before the first save
    steps = []
    for save in saves:
        write(folder, save)
        contents = {os.path.join(folder, name): text.encode() for name, text in save.items()}
        plan = (
            stage.forkable
            if isinstance(stage.forkable, Reason)
            else still_as_left(stage.history.seen)
            or decide(stage.history, contents, [os.path.join(folder, name) for name in later])
        )
        if isinstance(plan, Reason):
            steps.append({"why": plan.why.value, "words": sentence(plan), "changed": (), "got": None, "want": None})
            continue
        got = in_fork(lambda plan=plan: _resumed(module, stage, plan, bodies))
        steps.append({"why": "", "words": "", "changed": plan.changed, "got": got, "want": fresh.ask()})
    fresh.close()
    return steps


def _resumed(module: ModuleType, stage: Initialised, plan: Plan, bodies: Sequence[object]) -> list[Any]:
    resume(stage, plan, show)
    return answers(module, bodies)


class Fresh:
    """A process that forks a fresh start of the files each time that it is asked."""

    def __init__(self, folder: str, bodies: Sequence[object]) -> None:
        asked, self._ask = os.pipe()
        self._answer, told = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            while os.read(asked, 1):
                result = in_fork(lambda: self._start(folder, bodies))
                os.write(told, json.dumps(result).encode() + b"\n")
            os._exit(0)
        os.close(asked)
        os.close(told)
        self._lines = open(self._answer)
        # what forks or waits in this process counts as the script's own: so it is hidden from it
        self._hide()

    def _hide(self) -> None:
        import devserver.worker.keep.forkable as forkable

        own = str(os.getpid())
        parent, hidden = forkable._parent, f"{self._pid} ("
        forkable._parent = lambda text: "" if text.startswith(hidden) and parent(text) == own else parent(text)

    @staticmethod
    def _start(folder: str, bodies: Sequence[object]) -> Any:
        os.environ["SCRATCH"] = os.path.join(folder, "fresh")
        os.makedirs(os.environ["SCRATCH"], exist_ok=True)
        module = load(folder)
        module.init()
        return answers(module, bodies)

    def ask(self) -> Any:
        os.write(self._ask, b"?")
        return json.loads(self._lines.readline())

    def close(self) -> None:
        os.close(self._ask)
        os.waitpid(self._pid, 0)


def swap(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text
