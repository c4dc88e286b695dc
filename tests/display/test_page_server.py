"""The page's own server: who is answered, what is sent and kept for the person, and what the page is told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from devserver.display.page import samples
from devserver.display.page.app import FILES, TOKEN_HEADER, Page, Place, create_app
from devserver.display.page.samples import BadRequest
from devserver.display.page.state import State
from devserver.display.page.trying import Trials
from devserver.records.samples import Sample

PNG = b"\x89PNG\r\n\x1a\n\0\0"
OWN = {"Host": "127.0.0.1:5002", "Origin": "http://127.0.0.1:5002", "Sec-Fetch-Site": "same-origin"}


class Scoring(BaseHTTPRequestHandler):
    """A server that answers by the path's query."""

    received: list[tuple[str, dict[str, str], bytes]] = []  # noqa: RUF012
    go_on = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.received.append((self.path, dict(self.headers), body))
        kind, content = "application/json", body
        match self.path.partition("?")[2]:
            case "large":
                content = json.dumps("x" * 20_000_000).encode()
            case "image":
                kind, content = "image/png", PNG
            case "binary":
                kind, content = "application/octet-stream", b"\0\xff"
            case "hang":
                self.go_on.wait(20)
            case "drip":
                self.send_response(200)
                self.end_headers()
                for _ in range(200):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
                return
            case "redirect":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-ms-run-fn-exec-ms", "1.5")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a connection that was cut


@pytest.fixture
def address() -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), Scoring)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    Scoring.received.clear()
    Scoring.go_on.clear()
    yield f"127.0.0.1:{server.server_port}"
    Scoring.go_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(address: str, tmp_path: Path) -> Page:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.png").write_bytes(PNG)
    paths = (str(tmp_path / "a.json"), str(tmp_path / "b.png"))
    return Page(Place(address, str(tmp_path), paths), State(str(tmp_path)), Trials(address, limit=10.0))


@pytest.fixture
def client(page: Page) -> FlaskClient:
    return create_app(page).test_client()


def post(client: FlaskClient, page: Page, path: str, form: object, **headers: str) -> Any:
    given = {**OWN, TOKEN_HEADER: page.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post(path, json=form, headers=given)


def trying(page: Page, body: str = "{}", target: str = "/score", **facts: str) -> dict[str, Any]:
    return page.trials.send(samples.request_of({"body": body, "target": target, **facts}, page.paths, "."), "one")


# --- who is answered


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:5002", "192.168.0.4:5002", "[::2]:5002", ""])
def test_another_name_is_misdirected(client: FlaskClient, host: str) -> None:
    """A name that was made to point here is not this page's."""
    for path in ("/", "/page.js", "/events", "/nothing"):
        assert client.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:5002", "LOCALHOST:9", "127.0.0.1", "[::1]:5002"])
def test_loopback_names_are_answered(client: FlaskClient, host: str) -> None:
    with client.get("/", headers={"Host": host}) as answer:
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy and "default-src 'none'" in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:5002"},  # another origin than http://127.0.0.1:5002
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {TOKEN_HEADER: ""},
        {TOKEN_HEADER: "wrong"},
        {TOKEN_HEADER: "\N{SNOWMAN}".encode().decode("latin-1")},
    ],
)
def test_no_other_page_sends(client: FlaskClient, page: Page, headers: dict[str, str]) -> None:
    """Neither another origin nor somebody without the token sends, cancels, keeps or reads anything."""
    given = {**OWN, TOKEN_HEADER: page.token, **headers}
    for path in ("/try", "/cancel", "/keep"):
        assert client.post(path, json={"name": "x.json", "body": ""}, headers=given).status_code == 403
    for path in ("/samples", "/swagger"):
        assert client.get(path, headers=given).status_code == 403
    assert Scoring.received == [] and not (Path(page.place.base) / "x.json").exists()


def test_no_form_of_another_kind(client: FlaskClient, page: Page) -> None:
    """What a page elsewhere could send without asking is not even read."""
    given = {**OWN, TOKEN_HEADER: page.token}
    assert client.post("/try", data="body=1", headers=given).status_code == 400
    assert post(client, page, "/try", [1]).status_code == 400


def test_no_file_but_its_own(client: FlaskClient) -> None:
    for path in ("/../app.py", "/files/index.html", "/..%2fapp.py", "/page.js/../../app.py"):
        assert client.get(path, headers={"Host": "localhost"}).status_code in (403, 404)


def test_its_files_need_nothing_else() -> None:
    """No text becomes markup or code, nothing stands in the page that its policy forbids, nothing is from elsewhere."""
    script, markup, style = ((Path(FILES) / name).read_text() for name in ("page.js", "index.html", "page.css"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc", script)
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?! src=\"page\.js\")|javascript:", markup)
    assert set(re.findall(r"https?://[^$\s\"`]+", script + markup + style)) <= {"http://www.w3.org/2000/svg"}


# --- what is sent


def test_it_is_sent_as_it_was_written(client: FlaskClient, page: Page) -> None:
    """Method, query, type, headers and body, and nothing else that a script could see."""
    form = {"id": "1", "method": "POST", "target": "/score?q=1", "content_type": "text/x", "headers": "A-b: c d\n\n"}
    answer = post(client, page, "/try", {**form, "body": "höhö"}).get_json()
    assert (answer["status"], answer["run_ms"], answer["notes"]) == (200, "1.5", [])
    ((path, headers, body),) = Scoring.received
    assert (path, body) == ("/score?q=1", "höhö".encode())
    assert (headers["Content-Type"], headers["A-b"]) == ("text/x", "c d")
    assert {"Accept", "Cookie", "Connection"}.isdisjoint(headers)


def test_an_answer_is_compared_with_the_one_before(page: Page) -> None:
    Scoring.received.clear()
    assert trying(page, "[1]")["difference"] is None
    assert trying(page, "[1]")["difference"] == []
    assert trying(page, "[2]")["difference"] is None  # another body


def test_a_body_that_is_not_json(page: Page) -> None:
    """It is sent as it is, with a note."""
    answer = trying(page, "{oops", content_type="application/json")
    assert answer["notes"][0].startswith("the body is not JSON, sent as it is") and answer["text"] == "{oops"


def test_answers_of_each_kind(page: Page) -> None:
    large = trying(page, target="/score?large")
    assert (large["size"], large["is_cut"], len(large["text"])) == (20_000_002, True, 65536)
    assert trying(page, target="/score?image")["image"].startswith("data:image/png;base64,iVBOR")
    binary = trying(page, target="/score?binary")
    assert (binary["kind"], binary["size"], "text" in binary) == ("binary", 2, False)
    assert trying(page, target="/score?redirect")["status"] == 302  # shown, not followed


@pytest.mark.parametrize("target", ["/score?hang", "/score?drip"])
def test_cancelled_and_out_of_time(page: Page, target: str) -> None:
    """Before the answer and in the midst of it; a limit ends it as well as the person."""
    found: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: found.append(trying(page, target=target)))
    asking.start()
    begun = time.monotonic()
    while not Scoring.received and time.monotonic() < begun + 10:
        time.sleep(0.01)
    assert page.trials.cancel("one") and not page.trials.cancel("two")
    asking.join(5)
    assert found[0]["problem"] == "cancelled"
    page.trials._limit = 0.3
    assert trying(page, target=target)["problem"] == "no answer within 0.3 s"


def test_no_proxy_is_asked(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert trying(page)["status"] == 200


def test_nobody_answers(tmp_path: Path) -> None:
    found = Trials("127.0.0.1:1").send(Sample("", headers=()), "one")
    assert "refused" in found["problem"]


@pytest.mark.parametrize(
    "form",
    [
        {"method": "GET /x HTTP/1.1\r\n"},
        {"target": "http://evil.example/"},
        {"target": "/swagger.json"},
        {"target": "/score?a b"},
        {"headers": "no header"},
        {"headers": "a b: c"},
        {"content_type": "a\nb: c"},
        {"body": None, "path": "/etc/passwd"},
    ],
)
def test_what_cannot_be_sent(client: FlaskClient, page: Page, form: dict[str, Any]) -> None:
    answer = post(client, page, "/try", {"id": "1", "body": "{}", **form})
    assert answer.status_code == 400 and answer.get_json()["problem"] and Scoring.received == []


# --- samples


def test_samples_are_shown_and_sent(client: FlaskClient, page: Page) -> None:
    """One that the form cannot hold is sent from its file."""
    text, image = client.get("/samples", headers={**OWN, TOKEN_HEADER: page.token}).get_json()["samples"]
    assert (text["name"], text["body"], image["body"], image["size"]) == ("a.json", '{"a": 1}', None, len(PNG))
    post(client, page, "/try", {"id": "1", "body": None, "path": image["path"]})
    assert Scoring.received[0][2] == PNG


def test_a_sample_is_kept(client: FlaskClient, page: Page, tmp_path: Path) -> None:
    form = {"method": "POST", "target": "/score?x", "headers": "a: b", "content_type": "text/y", "body": "z"}
    assert post(client, page, "/keep", {**form, "name": "new.json"}).status_code == 200
    assert post(client, page, "/keep", {**form, "name": "new.http"}).status_code == 200
    assert (tmp_path / "new.json").read_text() == "z"
    assert (tmp_path / "new.http").read_text() == "POST /score?x\nContent-Type: text/y\na: b\n\nz"
    names = [each["name"] for each in samples.read_all(page.paths, None, str(tmp_path))]
    assert names == ["a.json", "b.png", "new.json", "new.http"]


@pytest.mark.parametrize(
    "name", ["../x.json", "/tmp/x.json", "out/x.json", "a.json", "x.py", "", "no/x.json", "a\0.json"]
)
def test_nothing_is_kept_elsewhere(page: Page, tmp_path: Path, name: str) -> None:
    """Outside of the project, over another file, as code, by a link that leads out of it."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "out").symlink_to(outside)
    with pytest.raises(BadRequest):
        samples.keep(name, Sample("", body=b"z"), str(tmp_path))
    assert list(outside.iterdir()) == [] and (tmp_path / "a.json").read_text() == '{"a": 1}'


# --- what is shown


def events(state: State) -> Callable[..., None]:
    times = iter(range(1, 1000))
    return lambda event, /, **facts: state.apply({"event": event, "at": next(times), **facts})


def sections(state: State) -> dict[str, Any]:
    return state.news(0, 0.0)[1]


ERROR = {
    **{
        "kind": "RunError",
        "severity": "error",
        "phase": "run",
        "type": "KeyError",
        "message": "'a'",
        "path": "/p/s.py",
    },
    **{
        "line": 3,
        "column": 5,
        "excerpt": None,
        "frames": [],
        "raised_in": None,
        "hidden": 0,
        "causes": [],
        "hint": None,
    },
    **{"request": None, "traceback": "", "thread": None, "status": 500, "code": "exception", "facts": None},
}


def test_a_problem_goes_with_a_good_load_after_a_save() -> None:
    state = State("/p")
    happens = events(state)
    happens("ready", generation=1, seconds=0.1)
    happens("request_failed", generation=1, error=ERROR, count=1)
    assert sections(state)["problem"]["headline"] == "s.py:3:5: error: KeyError: 'a'"
    happens("restarting", changes=[])
    happens("request_failed", generation=1, error=ERROR, count=1)  # of work that was in flight
    happens("ready", generation=2, seconds=0.1)
    assert sections(state)["problem"] is None and sections(state)["status"]["state"] == "ready"


def test_a_crash_is_shown_until_it_is_repaired() -> None:
    """The next process is ready without a save: that is no repair."""
    state = State("/p")
    happens = events(state)
    happens("ready", generation=1, seconds=0.1)
    happens("died", generation=1, error=ERROR)
    happens("ready", generation=2, seconds=0.1)
    assert sections(state)["problem"] is not None
    happens("restarting", changes=[])
    happens("ready", generation=3, seconds=0.1, kept_ms=5)
    assert sections(state)["problem"] is None and sections(state)["status"]["state"] == "kept"


def test_what_else_the_terminal_shows() -> None:
    """A deployment that cannot be used, samples that fail or differ, the command of --run, a lent keyboard."""
    state = State("/p")
    happens = events(state)
    happens("ready", generation=1, seconds=0.1)
    happens("config_kept", error=ERROR)
    assert sections(state)["problem"]["headline"].startswith("s.py:3:5: error")
    happens("sample", ok=True, name="a", problem=None, status=200, difference=[])
    happens("sample", ok=True, name="b", problem=None, status=200, difference=["$.a: 1 -> 2", "x", "y", "z"])
    happens("sample", ok=False, name="c", problem="no such file", status=None, difference=None)
    happens("command", command="pytest", exit_code=1, seconds=2.0, line="E assert")
    happens("keyboard", lent=True)
    assert [each["text"] for each in reversed(sections(state)["notes"])] == [
        "the deployment cannot be used; the values from before stay",
        "sample b: 200; $.a: 1 -> 2; x; y; and 1 more",
        "sample c: not answered: no such file",
        "pytest: failed with exit code 1 after 2.0 s: E assert",
        "a debugger, or input() in the script, has the keyboard of the terminal",
    ]
    happens("restarting", changes=[])
    happens("ready", generation=2, seconds=0.1)
    assert sections(state)["problem"] is None


def test_only_what_has_changed_is_told_again() -> None:
    state = State("/p")
    seen, first = state.news(0, 0.0)
    assert set(first) == {"status", "problem", "requests", "notes"}
    assert state.news(seen, 0.0) == (seen, {})
    events(state)("note", text="x")
    assert list(state.news(seen, 0.0)[1]) == ["notes"]


def test_a_rest_after_requests_ends_with_other_news() -> None:
    """A problem is shown at once, also amid a thousand requests; more of these do not end the rest."""
    state = State("/p")
    happens = events(state)
    request = {"generation": 1, "method": "POST", "target": "/score", "status": 200, "milliseconds": 1.0, "size": 1}
    happens("request", **request)
    seen, _ = state.news(0, 0.0)
    taken: list[float] = []

    def rest(seconds: float) -> None:
        begun = time.monotonic()
        state.rest(seen, seconds)
        taken.append(time.monotonic() - begun)

    happens("request", **request)
    rest(0.05)
    assert taken.pop() >= 0.04
    resting = threading.Thread(target=rest, args=(60.0,))
    resting.start()
    happens("request_failed", generation=1, error=ERROR, count=1)
    resting.join(30)
    assert taken and list(state.news(seen, 0.0)[1]) == ["problem", "requests"]


def test_it_does_not_grow() -> None:
    state = State("/p")
    happens = events(state)
    for number in range(300):
        happens("note", text=str(number))
        happens("request", generation=1, method="POST", target="/score", status=200, milliseconds=1.0, size=1)
        happens("ready", generation=1, seconds=0.1)
    found = sections(state)
    assert [len(found["notes"]), len(found["requests"]), len(found["status"]["reloads"])] == [30, 50, 30]
    assert found["requests"][0]["number"] == 300
