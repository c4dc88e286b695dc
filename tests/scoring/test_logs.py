"""Records, print() calls and logging configurations come in; the lines that are written are looked at."""

from __future__ import annotations

import builtins
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devserver.config.files import ConfigError
from devserver.scoring import compat, logs

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([DIWEC]) \[\d+\] ([\w.]+) - (.*)")
server = logging.getLogger("azmlinfsrv")
script = logging.getLogger("my.script")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """print() and the loggers are put back."""
    named = [logging.getLogger(f"azmlinfsrv.{name}") for name in ("print", "swagger", "user_script")]
    known = [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    loggers = {logging.getLogger(), server, script, *named, *known}
    before = [(each, each.level, each.handlers[:], each.propagate, each.disabled) for each in loggers]
    original = builtins.print
    yield
    builtins.print = original
    for each, level, handlers, propagate, disabled in before:
        each.setLevel(level)
        each.handlers[:], each.propagate, each.disabled = handlers, propagate, disabled


class Stream:
    """What was written to sys.stdout or sys.stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str], texts: dict[str, str], name: str) -> None:
        self._capsys, self._texts, self._name = capsys, texts, name

    def getvalue(self) -> str:
        found = self._capsys.readouterr()
        self._texts["out"] += found.out
        self._texts["err"] += found.err
        return self._texts[self._name]


@pytest.fixture
def texts() -> dict[str, str]:
    return {"out": "", "err": ""}


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str], texts: dict[str, str]) -> Stream:
    return Stream(capsys, texts, "out")


@pytest.fixture
def err(capsys: pytest.CaptureFixture[str], texts: dict[str, str]) -> Stream:
    return Stream(capsys, texts, "err")


@pytest.fixture
def use(tmp_path: Path) -> Callable[..., str]:
    """Configure logging with this content as logging.json; returns its path."""

    def used(content: object, level: str = "INFO", in_loop: bool = False) -> str:
        path = tmp_path / "logging.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        logs.configure(str(path), level, in_loop)
        return str(path)

    return used


def lines(stream: Stream) -> list[tuple[str, ...]]:
    """Level, logger and text of each line, all of which must have the contract's format."""
    found = [LINE.fullmatch(line) for line in stream.getvalue().splitlines()]
    assert None not in found, stream.getvalue()
    return [match.groups() for match in found if match]


# --- the packaged configuration


def test_where_records_go(out: Stream, err: Stream) -> None:
    """The server's records and access lines go to stdout without probes, gunicorn's and the script's to stderr."""
    logs.configure(None, "INFO", in_loop=False)
    server.info("a")
    server.debug("hidden")
    logging.getLogger("azmlinfsrv.swagger").warning("b")
    logging.getLogger("gunicorn.access").info("%s", '"GET / HTTP/1.1" 200')
    logging.getLogger("gunicorn.access").info("%s", '"GET /score HTTP/1.1" 200')
    logging.getLogger("gunicorn.error").info("c")
    script.info("hidden")
    assert lines(out) == [
        ("I", "azmlinfsrv", "a"),
        ("W", "azmlinfsrv.swagger", "b"),
        ("I", "gunicorn.access", '"GET /score HTTP/1.1" 200'),
    ]
    assert lines(err) == [("I", "gunicorn.error", "c")]


def test_records_of_the_script(out: Stream, err: Stream) -> None:
    """Without the dev loop the script's own warnings come in the standard library's plain form, as in Azure ML."""
    logs.configure(None, "INFO", in_loop=False)
    script.warning("w")
    logging.basicConfig(level=logging.DEBUG)
    script.info("hidden")
    assert (err.getvalue(), out.getvalue()) == ("WARNING:my.script:w\n", "")


def test_records_in_the_loop(out: Stream, err: Stream) -> None:
    """In the dev loop the script's own records show from INFO in the server's format, gunicorn's only warnings."""
    logs.configure(None, "INFO", in_loop=True)
    script.info("i")
    script.debug("hidden")
    logging.getLogger("gunicorn.access").info("hidden")
    logging.getLogger("gunicorn.error").info("hidden")
    server.info("a")
    assert lines(err) == [("I", "my.script", "i")]
    assert lines(out) == [("I", "azmlinfsrv", "a")]


@pytest.mark.parametrize(
    ("level", "shown"), [("DEBUG", "diwe"), ("INFO", "iwe"), ("WARNING", "we"), ("ERROR", "e"), ("CRITICAL", "")]
)
@pytest.mark.parametrize("in_loop", [False, True])
def test_levels(out: Stream, err: Stream, level: str, shown: str, in_loop: bool) -> None:
    """AZUREML_LOG_LEVEL is honoured for the server's own records."""
    logs.configure(None, level, in_loop)
    for number, text in zip((10, 20, 30, 40), "diwe"):
        server.log(number, text)
    assert "".join(text for _, _, text in lines(out)) == shown


def test_levels_of_the_script_in_the_loop(err: Stream) -> None:
    """A lower level than INFO counts for the script too; a higher one does not silence it."""
    for level in ("DEBUG", "ERROR"):
        logs.configure(None, level, in_loop=True)
        script.debug("d")
        script.info("i")
    assert [text for _, _, text in lines(err)] == ["d", "i", "i"]


def test_traceback_of_a_record(out: Stream) -> None:
    """A record with an exception has its traceback below it."""
    logs.configure(None, "INFO", in_loop=False)
    try:
        raise KeyError("x")
    except KeyError:
        server.exception("failed")
    assert out.getvalue().rstrip().endswith("KeyError: 'x'") and "Traceback (most" in out.getvalue()


# --- print()


def test_print(out: Stream) -> None:
    """One record per call: joined with sep, without end, newlines kept; the text goes on to telemetry."""
    logs.configure(None, "INFO", in_loop=False)
    also = list[str]()
    original = logs.redirect_print(also.append)
    print("a", 1, None)
    print("a", "b", sep="", end="!")
    print("100%s", file=sys.stdout, flush=True)
    print()
    sys.stdout.write("untouched\n")
    original("untouched, too")
    records, rest = out.getvalue().splitlines()[:-2], out.getvalue().splitlines()[-2:]
    assert [LINE.fullmatch(line).groups() for line in records] == [  # type: ignore[union-attr]
        ("I", "azmlinfsrv.print", text) for text in ("a 1 None", "ab", "100%s", "")
    ]
    assert also == ["a 1 None", "ab", "100%s", ""] and rest == ["untouched", "untouched, too"]


def test_print_of_several_lines(out: Stream) -> None:
    """Newlines inside stay in one record."""
    logs.configure(None, "INFO", in_loop=False)
    logs.redirect_print(lambda text: None)
    print("a\nb")
    assert out.getvalue().endswith(" azmlinfsrv.print - a\nb\n") and out.getvalue().count(" - ") == 1


def test_print_to_another_file(out: Stream, err: Stream) -> None:
    """With another file print() is the ordinary one, and its errors are the ordinary ones."""
    logs.configure(None, "INFO", in_loop=False)
    also, other = list[str](), io.StringIO()
    logs.redirect_print(also.append)
    print("a", 1, sep="-", end="!", file=other, flush=True)
    print("b", file=sys.stderr)
    assert (other.getvalue(), err.getvalue(), out.getvalue(), also) == ("a-1!", "b\n", "", [])
    with pytest.raises(TypeError):
        print("a", wrong=1)  # type: ignore[call-overload]


# --- logging.json


def to_stdout(*names: str, form: str = "%(name)s|%(message)s", **more: Any) -> dict[str, Any]:
    """A configuration that has these loggers write to stdout in a form of their own."""
    return {
        "version": 1,
        "formatters": {"own": {"format": form}},
        "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own", "stream": "ext://sys.stdout"}},
        "loggers": {name: {"handlers": ["own"], "level": "DEBUG"} for name in names},
        **more,
    }


def test_own_configuration(use: Callable[..., str], out: Stream) -> None:
    """The user's file is used as it is, and the log says which file that was."""
    path = use(to_stdout("azmlinfsrv", "my.script"))
    server.debug("d")
    script.debug("s")
    assert out.getvalue().splitlines() == [
        f"azmlinfsrv|Loaded logging config from {path}",
        "azmlinfsrv|d",
        "my.script|s",
    ]


def test_servers_lines_stay(use: Callable[..., str], out: Stream) -> None:
    """A file that does not name the server's loggers leaves them as they are, and print() with them."""
    logs.redirect_print(lambda text: None)
    path = use(to_stdout("my.script"))
    server.info("request line")
    print("printed")
    logging.getLogger("gunicorn.access").info("access")
    assert lines(out) == [
        ("I", "azmlinfsrv", f"Loaded logging config from {path}"),
        ("I", "azmlinfsrv", "request line"),
        ("I", "azmlinfsrv.print", "printed"),
        ("I", "gunicorn.access", "access"),
    ]


def test_existing_loggers(use: Callable[..., str], err: Stream) -> None:
    """What the file does not name is disabled, as the standard library does it, unless the file says otherwise."""
    use(to_stdout("x"))
    assert script.disabled
    script.disabled = False
    use(to_stdout("x", disable_existing_loggers=False))
    assert not script.disabled


def test_classes_of_the_original(use: Callable[..., str], out: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file made for Azure ML's own server, which names its classes, works."""
    for name in (compat.PACKAGE, f"{compat.PACKAGE}.log_config"):
        monkeypatch.setitem(sys.modules, name, sys)  # is put back afterwards
    compat.install()
    content = to_stdout("gunicorn.access")
    content["formatters"]["own"] = {"()": f"{compat.PACKAGE}.log_config.AMLLogFormatter"}
    content["filters"] = {"probes": {"()": f"{compat.PACKAGE}.log_config.RootAccessFilter"}}
    content["handlers"]["own"]["filters"] = ["probes"]
    use(content)
    logging.getLogger("gunicorn.access").info("GET / HTTP/1.1")
    logging.getLogger("gunicorn.access").info("GET /x HTTP/1.1")
    assert [text for _, name, text in lines(out) if name == "gunicorn.access"] == ["GET /x HTTP/1.1"]


def test_byte_order_mark(use: Callable[..., str], out: Stream) -> None:
    """A file that a Windows editor wrote is read."""
    use(b"\xef\xbb\xbf" + json.dumps(to_stdout("azmlinfsrv")).encode())
    assert out.getvalue().startswith("azmlinfsrv|Loaded")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", ("logging.json:1:2:", "not JSON")),
        (b"", ("logging.json:1:1:", "not JSON")),
        (b"{\n \xff\xfe{", ("logging.json:2:2:", "not UTF-8")),
        (b"[]", ("list, not an object",)),
        (b"{}", ("version",)),
        (b'{"version": 2}', ("version", "2")),
        (to_stdout("x", handlers={"own": {"class": "nowhere.Handler"}}), ("'own'", "nowhere")),
        (to_stdout("x", handlers={"own": {"class": "logging.StreamHandler", "wrong": 1}}), ("'own'", "wrong")),
        (to_stdout("x", loggers={"x": {"handlers": ["absent"]}}), ("'x'", "absent")),
        (to_stdout("x", root={"level": "LOUD"}), ("root", "LOUD")),
        (to_stdout("x", handlers=[]), ("cannot be used",)),
        (to_stdout("x", handlers={"own": {"class": "logging.FileHandler", "filename": "/no/f"}}), ("'own'", "/no/f")),
    ],
)
def test_broken_configuration(
    use: Callable[..., str], tmp_path: Path, out: Stream, content: object, words: tuple[str, ...]
) -> None:
    """A broken logging.json is one line that names the file and the place in it, exit code 3, and logging goes on."""
    with pytest.raises(ConfigError) as caught:
        use(content)
    text = str(caught.value)
    assert caught.value.exit_code == 3 and text.startswith(str(tmp_path / "logging.json")) and "\n" not in text
    assert [word for word in words if word not in text] == []
    server.info("still here")
    assert lines(out) == [("I", "azmlinfsrv", "still here")]
