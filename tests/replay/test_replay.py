"""Samples: what a file stands for, what came of it, and what the loop sends by itself."""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from loop import SERVERS, Loop, answering
from werkzeug.test import EnvironBuilder, run_wsgi_app

from devserver.config.settings import Config
from devserver.config.sources import read_config
from devserver.display import lines
from devserver.process.platform import System
from devserver.process.wire import _HEADER, Inbox
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.records.messages import Remembered
from devserver.records.samples import Sample, SampleSent, Unusable
from devserver.replay.capture import SAMPLE, Latest, knowing_samples, remembering
from devserver.replay.client import NoAnswer, Wire, limit_of, send_all
from devserver.replay.compare import SHOWN, Reply, difference, pretty
from devserver.replay.reader import MOST_BYTES, read_sample
from devserver.replay.rounds import Replays

JSON_TYPE = (("Content-Type", "application/json"),)


def sample(folder: Path, name: str, content: bytes | str, content_type: str | None = None) -> Any:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_sample(str(folder / name), content_type, str(folder))


def to_app(app: Any) -> Any:
    """Sends to a WSGI app in this process."""

    def send(sample: Sample, _limit: float) -> Reply:
        builder = EnvironBuilder(
            sample.target,
            "http://localhost",
            method=sample.method,
            headers=list(sample.headers),
            data=sample.body,
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
        )
        parts, status, headers = run_wsgi_app(app, builder.get_environ(), buffered=True)
        body = b"".join(parts)
        return Reply(int(status.split()[0]), headers.get("Content-Type", ""), len(body), body)

    return send


# --- files


def test_a_json_file(tmp_path: Path) -> None:
    """JSON is a body for /score, byte for byte, also with a byte order mark."""
    for body in (b'{"a": 1}\n', b'\xef\xbb\xbf{"a": 1}'):
        found = sample(tmp_path, "a.json", body)
        assert found == Sample("a.json", str(tmp_path / "a.json"), headers=JSON_TYPE, body=body)


@pytest.mark.parametrize("name", ["a.http", "a.rest", "a.txt"])
def test_a_text_form(tmp_path: Path, name: str) -> None:
    """Method, path and headers come from the text; comments and framing are left out, the body's type is JSON."""
    text = '# mine\n\nPOST http://localhost:5001/score?x=1 HTTP/1.1\r\nHost: a\nX-One:  1 \n\n{"a":\n\n1}'
    found = sample(tmp_path, name, text)
    assert (found.method, found.target, found.body) == ("POST", "/score?x=1", b'{"a":\n\n1}')
    assert found.headers == (("X-One", "1"), *JSON_TYPE)
    assert found.notes == ()


def test_a_text_form_of_several_requests(tmp_path: Path) -> None:
    """The first one is sent, to this server, and a note says so."""
    found = sample(tmp_path, "a.http", "GET https://example.org/score?a=b\n\n###\nGET /swagger.json\n")
    assert (found.method, found.target, found.body) == ("GET", "/score?a=b", b"")
    assert found.notes == ("sent to this server, not to example.org", "only its first request is sent")


@pytest.mark.parametrize(
    ("text", "word"), [("", "does not begin"), ("hello", "does not begin"), ('POST /score\n{"a": 1}', "is no header")]
)
def test_a_wrong_text_form(tmp_path: Path, text: str, word: str) -> None:
    """A text that is no request is not sent, and the reason is one line."""
    found = sample(tmp_path, "a.http", text)
    assert isinstance(found, Unusable)
    assert word in found.problem


def test_a_binary_file(tmp_path: Path) -> None:
    """The content type that was given is for what is neither .json nor .http."""
    assert sample(tmp_path, "a.png", b"\x89PNG", "image/png").headers == (("Content-Type", "image/png"),)
    assert sample(tmp_path, "a.json", "{}", "image/png").headers == JSON_TYPE
    assert sample(tmp_path, "a.http", "GET /score", "image/png").method == "GET"
    unknown = sample(tmp_path, "b.png", b"\x89PNG")
    assert unknown.headers == (("Content-Type", "application/octet-stream"),)
    assert len(unknown.notes) == 1


def test_what_is_no_json_is_sent_as_it_is(tmp_path: Path) -> None:
    """With a note, also for an empty file."""
    for body, note in (("{'a': 1}", "not JSON, sent as it is"), ("", "empty")):
        found = sample(tmp_path, "a.json", body)
        assert (found.headers, found.body) == (JSON_TYPE, body.encode())
        assert note in found.notes[0]


def test_files_that_cannot_be_sent(tmp_path: Path) -> None:
    """Missing, a folder, larger than 100 MB."""
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    found = [read_sample(str(path)) for path in (tmp_path / "gone.json", tmp_path, large)]
    problems = [each.problem for each in found if isinstance(each, Unusable)]
    assert problems == ["there is no such file", "it is a folder, not a file", "the file is larger than 100 MB"]


def test_secrets_are_in_no_representation(tmp_path: Path) -> None:
    """Headers and body of a sample do not appear where a record is printed."""
    found = sample(tmp_path, "a.http", "POST /score\nAuthorization: Bearer tops3cret\n\n{}")
    assert ("Authorization", "Bearer tops3cret") in found.headers
    assert "tops3cret" not in repr(found)


def test_the_same_sample_twice() -> None:
    """A file that is named twice is sent once; two files of one name are told apart by their folders."""
    argv = [
        "--entry_script",
        "s.py",
        *(word for path in ("a/x.json", "./a/x.json", "b/x.json") for word in ("--request", path)),
    ]
    here = os.path.abspath("/p")
    config = read_config(argv, {}, here)
    assert config.samples == (os.path.join(here, "a", "x.json"), os.path.join(here, "b", "x.json"))
    names = [read_sample(path, None, here).name for path in config.samples]
    assert names == [os.path.join("a", "x.json"), os.path.join("b", "x.json")]


# --- answers


def reply(body: Any, status: int = 200) -> Reply:
    text = json.dumps(body).encode()
    return Reply(status, "application/json", len(text), text)


def test_what_differs() -> None:
    """Each place in the JSON that is another one, at most five of them."""
    before, now = {"a": 1, "b": [1, 2], "c": {"d": "x"}}, {"a": 2, "b": [1, 3, 4], "c": {}, "e": None}
    assert difference(reply(before), reply(now)) == (
        "$.a: 1 -> 2",
        "$.b: 2 items -> 3 items",
        "$.b[1]: 2 -> 3",
        '$.c.d: "x" -> nothing',
        "$.e: nothing -> null",
    )
    assert difference(reply(before), reply(before)) == ()
    assert difference(reply([float("nan")]), reply([float("nan")])) == ()
    assert difference(reply([1]), reply([1.0])) == ("$[0]: 1 -> 1.0",)
    assert difference(reply(1), reply(1, 500)) == ("status 200 -> 500",)
    assert len(difference(reply(list(range(9))), reply(list(range(1, 10))))) == 6


def test_what_differs_in_text_and_bytes() -> None:
    """Lines of a text, and that bytes differ."""
    one, two = Reply(200, "text/plain", 3, b"a\nb"), Reply(200, "text/plain", 3, b"a\nc")
    assert difference(one, two) == ("line 2: b -> c",)
    assert difference(Reply(200, "image/png", 1, b"\x89"), Reply(200, "image/png", 1, b"\x88")) == ("the bytes differ",)


def test_pretty() -> None:
    """JSON is broken where a line would be too long; what is no JSON stays."""
    assert pretty('{"a": [1, 2]}', 40) == ['{"a": [1, 2]}']
    assert pretty('{"a": [1, 2], "b": "' + "x" * 30 + '"}', 40) == ["{", '  "a": [1, 2],', f'  "b": "{"x" * 30}"', "}"]
    assert len(pretty(json.dumps(list(range(1000))), 40)) < 20
    assert pretty("a\nb", 40) == ["a", "b"]
    assert pretty("[" * 100_000, 40) == ["[" * 100_000]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (json.dumps(list(range(300))), 290),
        (json.dumps({str(number): "x" * 30 for number in range(300)}), 290),
        (json.dumps([{"rows": list(range(100))}] * 3), 302),
        ("\n".join("x" * 300), 288),
        (json.dumps(list(range(11))), 1),
    ],
    ids=["list", "object", "nested", "text", "one"],
)
def test_what_is_left_out_is_counted(text: str, left: int) -> None:
    """All lines that are not shown, whatever the answer is."""
    shown = pretty(text, 20)
    assert shown[12:] == [f"… {left} more line{'s' if left > 1 else ''}"]
    sent = SampleSent("a", "/a", "POST", "/score", status=200, size=len(text), answer=text)
    assert lines.sample_sent(sent, width=22).endswith(f"\n  {shown[12]}")


def test_what_was_cut_is_not_counted() -> None:
    """Of a long answer only a part is kept: how many lines it has nobody knows."""
    text = "\n".join(["x" * 99] * 700)[:SHOWN]
    assert pretty(text, 20, whole=False)[12:] == ["… at least 644 more lines"]
    assert pretty("[1, 2", 20, whole=False) == ["[1, 2", "… the rest is left out"]


def test_an_error_is_no_answer_to_compare_with(tmp_path: Path) -> None:
    """Neither is it compared, nor is what comes after it compared with it."""
    asked = [sample(tmp_path, "a.json", "1")]
    replies = [(200, b"1"), (500, b'{"message": "x"}'), (503, b"{}"), (200, b"1"), (400, b"no"), (200, b"2")]
    answers: dict[str, Reply] = {}
    found = []
    for status, body in replies:
        reply = Reply(status, "application/json", len(body), body)
        found.append(next(iter(send_all(asked, lambda _sample, _limit, reply=reply: reply, 1.0, answers))).difference)
    assert found == [None, None, None, (), None, ("$: 1 -> 2",)]


def test_which_sample_it_is_the_app_is_told_and_not_the_script() -> None:
    """Only of the samples of this run; the header is taken away in any case."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        return []

    known = knowing_samples(app, ["/p/ä b.json"])
    for path in ("/p/%C3%A4%20b.json", "/etc/passwd", ""):
        known({"HTTP_X_AZMLINFSRV_SAMPLE": path}, None)
    known({}, None)
    assert seen == [{SAMPLE: "/p/ä b.json"}, {}, {}, {}]


BAD_JSON = '{\n  "a": 1,\n  b\n}\n'


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("a.json", BAD_JSON, 3), ("a.http", "POST /score\n\n" + BAD_JSON, 5), ("b.json", "", 1)],
)
@pytest.mark.parametrize("reads", ["json.loads(data)", "parse(data)"])
def test_a_sample_that_is_not_json_is_to_blame(tmp_path: Path, name: str, text: str, line: int, reads: str) -> None:
    """And not the line of the script that reads it; where the request does not come of a sample, it is that line."""
    script = f"import json\ndef init(): pass\ndef run(data):\n    return {reads}['a']\n"
    script += "def parse(text):\n    try:\n        return json.loads(text)\n"
    script += "    except ValueError as error:\n        raise RuntimeError('no') from error\n"
    with Loop(tmp_path, "--request", name, score=script, files={name: text}) as loop:
        error = loop.wait_for("request_failed")["error"]
        assert (error["path"], error["line"], error["code"]) == (str(loop.project / name), line, "sample")
        assert error["type"] == "JSONDecodeError" and "not JSON" in error["hint"]
        assert error["frames"][-1]["path"].endswith("score.py")
        assert loop.ask("[}").json()["error"]["file"] == str(loop.project / "score.py")
        loop.wait_for_nth("request_failed", 2)
    assert f"\n{name}:{line}:" in loop.output()


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf{}", b'{\r\n  "a": 1,\r\n  b\r\n}', b'{"a": 1'])
@pytest.mark.parametrize("reads", ["json.loads(data)", "other(data)"])
def test_a_sample_that_is_not_quite_json(tmp_path: Path, content: bytes, reads: str) -> None:
    """A byte order mark, other line ends; a library that has another reader."""
    script = f"import json\ndef init(): pass\ndef run(data):\n    return {reads}\n"
    script += "def other(text):\n    raise ValueError('Expected object or value')\n"
    project = tmp_path / "project"
    with Loop(tmp_path, "--request", "a.json", score=script, files={"a.json": "{}"}, until="ready") as loop:
        loop.wait_for("replayed")
        loop.save("a.json", content)
        error = loop.wait_for_nth("request_failed", 1 if reads == "json.loads(data)" else 2)["error"]
    good = content.startswith(b"\xef") and reads != "json.loads(data)"  # read without the mark it is JSON
    assert error["path"] == str(project / ("score.py" if good else "a.json"))
    if not good:
        assert error["line"] == (3 if b"\r\n" in content else 1)


def test_a_script_at_fault_is_still_to_blame(tmp_path: Path) -> None:
    """A sample that is JSON, and another text that is none."""
    script = "import json\ndef init(): pass\ndef run(data):\n    return json.loads(json.loads(data)['inner'])\n"
    with Loop(tmp_path, "--request", "a.json", score=script, files={"a.json": '{"inner": "x"}'}) as loop:
        error = loop.wait_for("request_failed")["error"]
        assert (error["path"], error["line"]) == (str(loop.project / "score.py"), 4)


def test_a_script_does_not_see_that_it_is_a_sample(tmp_path: Path) -> None:
    """The same request, the same headers."""
    script = "def init(): pass\ndef run(data, request_headers):\n    return sorted(request_headers)\n"
    with Loop(tmp_path, "--request", "a.json", score=script, files={"a.json": "1"}) as loop:
        assert "azmlinfsrv" not in loop.wait_for("sample")["answer"].lower()


def test_how_it_looks() -> None:
    """Status, time, size, the answer and the change; an answer cannot pass for a headline, nor send escapes."""
    facts: dict[str, Any] = {"name": "a.json", "path": "/a.json", "method": "POST", "target": "/score"}
    sent = SampleSent(**facts, status=200, milliseconds=3.2, size=9, answer='{"a": 2}', difference=("$.a: 1 -> 2",))
    assert lines.sample_sent(sent).splitlines() == [
        "[azmlinfsrv] sample a.json: 200 after 3 ms, 9 bytes",
        '  {"a": 2}',
        "  changed: $.a: 1 -> 2",
    ]
    odd = SampleSent(**facts, status=200, size=9, answer="score.py:1:1: error: \x1b[2J", difference=())
    shown = lines.sample_sent(odd)
    assert "\x1b" not in shown
    assert ":1: error:" not in shown
    gone = SampleSent(**facts, problem="there is no such file")
    assert lines.sample_sent(gone) == "[azmlinfsrv] sample a.json: not answered: there is no such file"


# --- sending


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} ".encode() + body]


def test_sending_to_an_app(tmp_path: Path) -> None:
    """`--check` needs no port: samples go to a WSGI app, and come back as the same records."""
    asked = [sample(tmp_path, "a.http", "PUT /x?y=1\n\nhello"), read_sample(str(tmp_path / "gone"))]
    answers: dict[str, Reply] = {}
    first, gone = send_all(asked, to_app(app), 1.0, answers)
    assert (first.ok, first.status, first.answer, first.difference) == (True, 200, "PUT /x?y=1 hello", None)
    assert (gone.ok, gone.status, gone.problem) == (False, None, "there is no such file")
    again = next(send_all(asked, to_app(app), 1.0, answers))
    assert again.difference == ()


class Silent:
    """A server that takes connections and never answers."""

    def __enter__(self) -> Silent:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


def test_no_answer() -> None:
    """A deadline, nobody there, and a cut end the wait, each with its reason."""
    one = Sample("one")
    with Silent() as silent:
        with pytest.raises(NoAnswer, match=r"no answer within 0\.1 s"):
            Wire(silent.address)(one, 0.1)
        wire = Wire(silent.address, cut=System.cut)
        threading.Timer(0.1, wire.cut).start()
        begun = time.monotonic()
        with pytest.raises(NoAnswer):
            wire(one, 20)
        assert time.monotonic() - begun < 10
    with pytest.raises(NoAnswer, match="refused"):
        Wire(silent.address)(one, 1)


def test_a_newer_round_ends_the_older() -> None:
    """What the older one still waits for is cut off, nothing of it is told, and what it had not sent is not lost."""
    told: list[tuple[int, object]] = []
    done = threading.Event()

    def deliver(generation: int, record: object) -> None:
        told.append((generation, record))
        if len(told) == 3:
            done.set()

    with Silent() as silent:
        config = read_config(["--entry_script", "s.py", "--request", "gone.json"], {}, "/nowhere")
        replays = Replays(deliver)
        replays.remember(Sample("last request"))
        replays.start(1, ChangeSet(), config, silent.address)  # sends what is remembered first
        with closing(silent.listener.accept()[0]):
            only = ChangeSet((FileChange("/nowhere/gone.json", "deleted", Role.SAMPLE),))
            replays.start(2, only, config, "127.0.0.1:1")
            assert done.wait(20)
    assert [generation for generation, _ in told] == [2, 2, 2]
    assert [sent.name for _, sent in told if isinstance(sent, SampleSent)] == ["last request", "gone.json"]


def test_what_a_person_asks_for(tmp_path: Path) -> None:
    """What was sent last, without an option that names it; before that the sample beside the script; or why not."""
    (tmp_path / "score.py").write_text("")
    told: queue.SimpleQueue[object] = queue.SimpleQueue()

    def names() -> list[str]:
        found = []
        while isinstance(record := told.get(timeout=20), SampleSent):
            found.append(record.name)
        return found

    def config(*more: str) -> Config:
        return read_config(["--entry_script", "score.py", "--reload", *more], {}, str(tmp_path))

    replays = Replays(lambda _, record: told.put(record))
    for arguments, says in (((), "sample-request.json"), (("--replay", "failed"), "no request has failed")):
        assert says in str(replays.ask(config(*arguments), is_ready=True))
    assert "no request has come" in str(replays.ask(config("--replay", "last"), is_ready=True))
    replays.start(1, ChangeSet(), config(), "127.0.0.1:1")
    (tmp_path / "sample-request.json").write_text("{}")
    assert replays.ask(config(), is_ready=True) is None
    replays.start(1, ChangeSet(), config(), "127.0.0.1:1")
    assert names() == ["sample-request.json"]
    replays.start(2, ChangeSet(), config(), "127.0.0.1:1")  # nobody has asked for this one
    replays.heard(Sample("last request"), goes_along=False)
    assert "when it is" in str(replays.ask(config(), is_ready=False))
    replays.start(3, ChangeSet(), config(), "127.0.0.1:1")
    assert names() == ["last request"]
    replays.heard(Sample("last request"), goes_along=True)
    for _ in range(2):
        replays.start(4, ChangeSet(), config("--replay", "last", "--request", "sample-request.json"), "127.0.0.1:1")
        assert names() == ["last request", "sample-request.json"]
    assert told.empty()


def test_the_last_of_many_is_told() -> None:
    """At once where there was none for a while, else together with those that come soon after."""
    told: list[Remembered] = []
    is_told = threading.Event()

    def tell(each: Remembered) -> None:
        told.append(each)
        if each.request.name == "99":
            is_told.set()

    latest = Latest(tell, pause=0.2)
    for number in range(100):
        latest(Remembered(Sample(str(number))))
    assert is_told.wait(20)
    assert told[0].request.name == "0" and len(told) < 50


def test_the_time_limit() -> None:
    """A sample has a little more than run(), so that the server's own answer arrives; without a limit 30 s."""
    argv = ["--entry_script", "s.py"]
    assert limit_of(read_config(argv, {}, "/p")) == 30
    assert limit_of(read_config(argv, {"SCORING_TIMEOUT_MS": "0"}, "/p")) == 30
    assert limit_of(read_config(argv, {"SCORING_TIMEOUT_MS": "500"}, "/p")) == 3.5


# --- remembering


def ask(wsgi: Any, body: bytes = b"{}", **environ: Any) -> None:
    to_send = Sample(
        "x", headers=(("Authorization", "s"), *JSON_TYPE), body=body, target=environ.pop("target", "/score")
    )
    to_app(lambda given, start: wsgi({**given, **environ}, start))(to_send, 1.0)


@pytest.mark.parametrize("status", ["200 OK", "500 Oh"])
def test_what_is_remembered(status: str) -> None:
    """The whole request, where it failed or where all are wanted; never what the tool has sent, nor a large body."""

    def answer(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["wsgi.input"].read()
        start_response(status, [])
        return iter([b"answer"])

    for only_failed in (True, False):
        told: list[Any] = []
        wsgi = remembering(answer, told.append, only_failed)
        ask(wsgi, target="/other")
        ask(wsgi, HTTP_X_AZMLINFSRV_REPLAY="1")
        ask(wsgi, b"x" * (10 * 1024 * 1024 + 1))
        assert told == []
        ask(wsgi, b"body", target="/score?a=b")
        assert len(told) == (status != "200 OK" or not only_failed)
        for each in told:
            request = each.request
            assert (request.method, request.target, request.body) == ("POST", "/score?a=b", b"body")
            assert set(request.headers) == {("Authorization", "s"), *JSON_TYPE}


def test_a_large_record_comes_over_the_link() -> None:
    """10 MB in pieces of a pipe are put together without copying them again for each piece."""
    content, inbox, room = b"x" * 4000, Inbox(), 2600
    begun = time.monotonic()
    for number in range(room):
        assert inbox.feed(_HEADER.pack(1, 1, number < room, len(content)) + content) == []
    assert time.monotonic() - begun < 5


# --- live


FRAGILE = "import json\ndef init(): pass\ndef run(data):\n    return json.loads(data)['a']\n"


def test_samples_after_each_load(tmp_path: Path) -> None:
    """Each good load and each change of a sample sends it; a broken one is repaired without a request by hand."""
    files = {"a.json": '{"a": 1}', "b.http": 'POST /score\n\n{"b": 2}\n'}
    arguments = ("--request", "a.json", "--request", "b.http", "--request", "gone.json")
    with Loop(tmp_path, *arguments, score=FRAGILE, files=files) as loop:
        loop.wait_for("replayed", sent=3, failed=2)
        first = loop.wait_for("sample", name="a.json")
        assert (first["status"], first["answer"], first["difference"]) == (200, "1", None)
        assert loop.wait_for("sample", name="b.http")["status"] == 500
        failed = loop.wait_for("request_failed")["error"]
        assert (failed["type"], failed["line"]) == ("KeyError", 4)
        assert loop.wait_for("sample", name="gone.json")["problem"] == "there is no such file"
        loop.save("a.json", '{"a": 3}')
        assert loop.wait_for_nth("replayed", 2)["sent"] == 1
        assert loop.wait_for("sample", answer="3")["difference"] == ["$: 1 -> 3"]
        loop.save("score.py", FRAGILE.replace("['a']", ""))
        assert loop.wait_for_nth("replayed", 3)["failed"] == 1
        assert loop.count("ready") == 2
        (loop.project / "a.json").unlink()
        loop.wait_for("sample", name="a.json", problem="there is no such file")
        loop.save("gone.json", "7")
        assert loop.wait_for("sample", name="gone.json", answer="7")["ok"]
        assert loop.count("ready") == 2


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_the_failed_request_is_sent_again_until_it_passes(tmp_path: Path, server: str) -> None:
    """run() is broken, a request fails, run() is repaired: its answer comes by itself. No secret is told."""
    with Loop(tmp_path, "--replay", "failed", score=answering(1), server=server) as loop:
        assert loop.ask().status == 200
        loop.save("score.py", FRAGILE)
        answer = loop.post("/score?q=1", '{"b": 42}', {"Authorization": "tops3cret", "Cookie": "c00kie"})
        assert answer.status == 500
        loop.save("score.py", FRAGILE + "# still broken\n")
        assert loop.wait_for_nth("sample", 1)["status"] == 500
        loop.save("score.py", FRAGILE.replace("'a'", "'b'"))
        passed = loop.wait_for("sample", status=200)
        assert (passed["answer"], passed["path"], passed["target"]) == ("42", None, "/score?q=1")
        loop.save("score.py", answering(3))
        loop.wait_for_nth("ready", 5)
        loop.ask()
        assert loop.count("sample") == 2
        said = loop.output() + json.dumps(loop.events())
        assert "tops3cret" not in said
        assert "c00kie" not in said


@pytest.mark.parametrize("server", SERVERS)
def test_the_last_request_is_sent_again(tmp_path: Path, server: str) -> None:
    """With its headers, after each reload, also one that came while the script was broken."""
    score = "from flask import request\ndef init(): pass\ndef run(data):\n    return [data, request.headers['X-One']]\n"
    score = score.replace("def run", "from azureml.contrib.services.aml_request import rawhttp\n@rawhttp\ndef run")
    score = score.replace("[data, request.headers['X-One']]", "data.headers['X-One'] + data.get_data(as_text=True)")
    with Loop(tmp_path, "--replay", "last", server=server, score="def init(:", until="not_ready") as loop:
        assert loop.post("/score", "body", {"X-One": "1"}).status == 503
        loop.save("score.py", score)
        assert loop.wait_for_nth("sample", 1)["answer"] == '"1body"'
        loop.save("score.py", score + "#\n")
        assert loop.wait_for_nth("sample", 2)["difference"] == []


def test_a_sample_that_hangs(tmp_path: Path) -> None:
    """The time limit of run() ends it, and the next sample is sent."""
    score = "import json, time\ndef init(): pass\ndef run(data):\n    time.sleep(json.loads(data))\n    return 1\n"
    arguments = ("--request", "a.json", "--request", "b.json")
    env = {"SCORING_TIMEOUT_MS": "300"}
    with Loop(tmp_path, *arguments, score=score, files={"a.json": "600", "b.json": "0"}, env=env) as loop:
        loop.wait_for("replayed", sent=2, failed=1)
        assert loop.wait_for("sample", name="a.json")["status"] == 500
        assert loop.wait_for("sample", name="b.json")["answer"] == "1"
