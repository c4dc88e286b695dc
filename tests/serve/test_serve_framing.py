"""Where a request ends, whatever pieces its bytes come in."""

from __future__ import annotations

import pickle

import pytest

from devserver.serve.framing import HEAD_LIMIT, LINE_LIMIT, Framing, fields_of

POST = b"POST /score HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a body": POST + b"Content-Length: 5\r\n\r\nabcde",
    "an empty body": POST + b"content-length:0\r\n\r\n",
    "spaces": POST + b"CONTENT-LENGTH:  3 \r\n\r\nabc",
    "chunks": CHUNKED + b"3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"1\r\n\r\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    "lines in a chunk": CHUNKED + b"6\r\n\r\n\r\n0\r\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_whole(request_bytes: bytes, size: int) -> None:
    """It is whole with its last byte, not before, in pieces of any size, also when it changes hands in between."""
    framing = Framing()
    pieces = [request_bytes[at : at + size] for at in range(0, len(request_bytes), size)]
    for piece in pieces[:-1]:
        assert not framing.feed(piece), piece
        framing = pickle.loads(pickle.dumps(framing))
    assert framing.feed(pieces[-1])


REFUSED = {
    "line feeds": b"GET / HTTP/1.1\nHost: x\n",
    "a length that is none": POST + b"Content-Length: +5\r\n\r\n",
    "a coding that is unknown": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "a chunk size that is none": CHUNKED + b"x\r\n",
    "a negative chunk size": CHUNKED + b"-5\r\n",
    "a long line": b"GET /" + b"x" * LINE_LIMIT,
    "a long head": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD_LIMIT // 6),
    "a long chunk line": CHUNKED + b"1" * 20_000,
    "too long a body": POST + b"Content-Length: 1000\r\n\r\n",
    "too long chunks": CHUNKED + b"3e8\r\n",
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED)
def test_what_the_server_refuses_is_not_waited_for(request_bytes: bytes) -> None:
    """The server says what is wrong with it, at once."""
    assert Framing(most=1000).feed(request_bytes)


def test_line_ends_that_are_cut_in_two() -> None:
    """A line end between two pieces is one."""
    framing = Framing()
    assert not framing.feed(b"GET / HTTP/1.1\r")
    assert not framing.feed(b"\nHost: x\r\n")
    assert framing.feed(b"\r\n")


@pytest.mark.parametrize(("version", "expects"), [(b"1.1", True), (b"1.0", False)])
def test_a_client_that_waits(version: bytes, expects: bool) -> None:
    """A client of HTTP/1.1 that wants to be told to send the body is seen; so is that nothing of it has come."""
    framing = Framing()
    head = b"POST / HTTP/%s\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n" % version
    assert not framing.feed(head) and framing.expects_continue is expects and framing.is_bare
    assert not framing.feed(b"a") and not framing.is_bare
    assert framing.feed(b"b")


def test_fields_of_a_head() -> None:
    """By names in small letters, the first of a name; nothing of the body is a field."""
    head = b"POST / HTTP/1.1\r\nHOST:  here:1 \r\nno field\r\nVia : a\r\nvia: b\r\nOrigin: null\n\r\nx-real-ip: c\r\n"
    assert fields_of(head) == {"host": "here:1", "via": "a", "origin": "null"}
    assert fields_of(b"GET / HTTP/1.1") == fields_of(b"") == {}
