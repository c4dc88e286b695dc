"""Answers with what a script sees of its world; the request's body says which part."""

import asyncio
import importlib
import inspect
import os
import pickle
import sys
import threading
import time

INITIALISED = []


class Thing:
    pass


def init():
    INITIALISED.append(threading.current_thread() is threading.main_thread())


def name_of_error(action):
    try:
        return action()
    except Exception as error:
        return type(error).__name__


def module_of(name):
    file = importlib.import_module(name).__file__
    return os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else "elsewhere"


def place_on_path(folder):
    """Where `folder` stands on sys.path: before or after the installed packages, or nowhere."""
    path = [os.path.realpath(entry) for entry in sys.path]
    if os.path.realpath(folder) not in path:
        return "absent"
    packages = path.index(os.path.dirname(os.path.dirname(importlib.import_module("flask").__file__)))
    return "before packages" if path.index(os.path.realpath(folder)) < packages else "after packages"


def environment(names):
    return {name: os.environ.get(name) for name in names.split(",")}


def module_attributes():
    return {
        "__name__": __name__,
        "__file__": __file__,
        "__package__": __package__,
        "__doc__": __doc__,
        "spec": [__spec__.name, __spec__.origin],
        "source": inspect.getsource(init),
        "cwd": os.getcwd(),
        "in sys.modules": __name__ in sys.modules,
        "class": Thing.__module__,
    }


PARTS = {
    "attributes": lambda rest: module_attributes(),
    "threads": lambda rest: [INITIALISED, threading.current_thread() is threading.main_thread()],
    "environment": environment,
    "place": place_on_path,
    "import": lambda rest: name_of_error(lambda: module_of(rest)),
    "pickle": lambda rest: name_of_error(lambda: len(pickle.dumps(Thing()))),
    "print": lambda rest: print("one", 2, sep="-", end=""),
    "asyncio": lambda rest: asyncio.run(asyncio.sleep(0, "slept")),
    "argv": lambda rest: sys.argv,
    "everything": lambda rest: dict(os.environ),
    "stdin": lambda rest: sys.stdin.read(),
    "slow": lambda rest: [time.sleep(0.01) for _ in range(500)],
}


def run(request_headers, data, spare="kept", *, named="also kept"):
    part, _, rest = data.partition(" ")
    if part == "headers":
        return {name: request_headers[name] for name in request_headers if name != "Content-Length"}
    if part == "arguments":
        return [type(request_headers).__name__, data, spare, named]
    return PARTS[part](rest)
