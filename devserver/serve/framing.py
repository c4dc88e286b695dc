"""Where a request ends: follows the bytes of a connection until its first request is whole.

It reads no more of HTTP than that needs. What it cannot follow counts as whole at once: the server, which knows HTTP,
then refuses it without waiting for more.
"""

from __future__ import annotations

LINE_LIMIT = 1 << 14  # bytes without an end of line; no server takes such a line
HEAD_LIMIT = 1 << 20  # bytes; no server takes such a head
CHUNK_LINE_LIMIT = 1 << 14
_END = b"\r\n\r\n"


class Framing:
    """The request of one connection. `most` is the size of a body from which on the server refuses it anyway."""

    def __init__(self, most: int | None = None) -> None:
        self.is_whole = False
        self.is_bare = False  # the head has come, and nothing of the body
        self.expects_continue = False  # the client waits for a word before it sends the body
        self._most = most
        self._head: bytes | None = b""
        self._left = 0  # bytes of the body, or of the chunk, that are still to come
        self._line: bytearray | None = None  # of a chunked body, between two chunks
        self._in_trailers = False
        self._length = 0  # of a chunked body so far

    def feed(self, data: bytes) -> bool:
        """The next bytes. Returns whether the request is whole now."""
        if not self.is_whole:
            self.is_bare = False
            self.is_whole = self._takes(data)
        return self.is_whole

    @property
    def size(self) -> int:
        """Bytes that this remembers."""
        return len(self._head or b"") + len(self._line or b"")

    def _takes(self, data: bytes) -> bool:
        if self._head is not None:
            return self._takes_head(self._head, data)
        if self._line is not None:
            return self._takes_chunks(self._line, data)
        self._left -= len(data)
        return self._left <= 0

    def _takes_head(self, head: bytes, data: bytes) -> bool:
        searched = max(0, len(head) - len(_END) + 1)
        whole = head + data if head else data
        end = whole.find(_END, searched)
        if end < 0:
            self._head = whole
            return _is_hopeless(whole, len(data))
        self._head = None
        rest = whole[end + len(_END) :]
        self.is_bare = not rest
        return self._begins_body(whole[: end + 2].lower()) or self._takes(rest)

    def _begins_body(self, head: bytes) -> bool:
        """True where there is none, or the server would not read it."""
        coding, length = _field(head, b"transfer-encoding"), _field(head, b"content-length")
        if coding is not None:
            self._line = bytearray()
            chunked = b"chunked" in coding
        else:
            chunked = False
            if length is None or not length.isdigit() or len(length) > 18:
                return True
            self._left = int(length)
        self.expects_continue = _field(head, b"expect") == b"100-continue" and b" http/1.0\r" not in head
        return not chunked if coding is not None else self._left == 0 or self._is_too_long(self._left)

    def _is_too_long(self, length: int) -> bool:
        return self._most is not None and length >= self._most

    def _takes_chunks(self, line: bytearray, data: bytes) -> bool:
        skipped = min(self._left, len(data))
        self._left -= skipped
        line += data[skipped:]
        at = 0
        while not self._left and (end := line.find(b"\r\n", at)) >= 0:
            if self._ends_with(bytes(line[at:end])):
                return True
            at = end + 2 + self._left
            self._left = max(0, at - len(line))
        del line[:at]
        return len(line) > CHUNK_LINE_LIMIT

    def _ends_with(self, line: bytes) -> bool:
        """This line stands between two chunks, or after the last one."""
        if self._in_trailers:
            return not line.strip()
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            return True
        self._in_trailers = size == 0
        self._left = size + 2 if size > 0 else 0  # with the end of line behind the chunk
        self._length += size
        return size < 0 or self._is_too_long(self._length)


def _is_hopeless(head: bytes, news: int) -> bool:
    """Whether the server refuses this beginning of a head: it is too long, or lines do not end as they have to.

    The last `news` bytes have not been looked at before.
    """
    if len(head) > HEAD_LIMIT or (len(head) > LINE_LIMIT and b"\r\n" not in head):
        return True
    begin = len(head) - news
    begin -= begin > 0 and head[begin - 1 : begin] == b"\r"
    return head.count(b"\n", begin) != head.count(b"\r\n", begin)


def fields_of(request: bytes) -> dict[str, str]:
    """The first field of each name (in small letters) in the head of this request; what is no field is left out."""
    fields: dict[str, str] = {}
    for line in request.splitlines()[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not line:
            break
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _field(head: bytes, name: bytes) -> bytes | None:
    """The value of the first field of this name in a head of small letters."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    return head[begin : head.index(b"\r\n", begin)].strip(b" \t")
