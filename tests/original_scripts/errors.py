"""Fails as the body says."""

import sys
import time

import flask
import werkzeug.exceptions
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


def throw(error):
    raise error


def slow():
    end = time.monotonic() + 20
    while time.monotonic() < end:
        time.sleep(0.01)
    return "too late"


def swallowed():
    try:
        slow()
    except Exception as error:
        return ["swallowed", type(error).__name__, str(error)]


def interrupted_with_a_finally():
    try:
        slow()
    finally:
        raise ValueError("finally was reached")


def slow_stream():
    yield "one "
    time.sleep(0.6)
    yield "two"


class OwnError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


DEEDS = {
    "value error": lambda: throw(ValueError("secret")),
    "key error": lambda: {}["missing"],
    "recursion": lambda: recursion(),
    "memory": lambda: throw(MemoryError()),
    "system error": lambda: throw(SystemError("odd")),
    "stop iteration": lambda: throw(StopIteration()),
    "unprintable": lambda: throw(OwnError()),
    "surrogate": lambda: throw(ValueError("\ud800")),
    "os error": lambda: throw(OSError(5, "five")),
    "timeout error": lambda: throw(TimeoutError("the script's own")),
    "chained": lambda: chained(),
    "abort 400": lambda: flask.abort(400),
    "abort 409": lambda: flask.abort(409, "taken"),
    "abort response": lambda: flask.abort(flask.Response("own", 418)),
    "bad request": lambda: throw(werkzeug.exceptions.BadRequest("mine")),
    "request json": lambda: flask.request.json,
    "raised response": lambda: throw(AMLResponse("not an exception", 400)),
    "exit": lambda: sys.exit(0),
    "exit 3": lambda: sys.exit(3),
    "keyboard": lambda: throw(KeyboardInterrupt()),
    "generator exit": lambda: throw(GeneratorExit()),
    "slow": slow,
    "swallowed": swallowed,
    "finally": interrupted_with_a_finally,
    "slow stream": lambda: flask.Response(slow_stream()),
    "fine": lambda: "fine",
}


def recursion():
    return recursion()


def chained():
    try:
        throw(ValueError("first"))
    except ValueError as error:
        raise RuntimeError("second") from error


def run(data):
    return DEEDS[data]()
