"""A sample file as the request that it stands for."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote, urlsplit

from devserver.records.samples import Headers, Sample, Unusable
from devserver.text import shown

MOST_BYTES = 100 * 1024 * 1024  # of a sample file
MOST_LOOKED_AT = 10 * 1024 * 1024  # bytes; a larger one is sent without finding out whether it is JSON
JSON = "application/json"
REPLAY_HEADER = "x-azmlinfsrv-replay"  # on requests that the tool sends, so that they are not remembered again
SAMPLE_HEADER = "x-azmlinfsrv-sample"  # its file, on requests that the tool makes of one; the script does not see it
SAMPLE_REQUEST = "sample-request.json"  # as such a file is called in Azure's examples
HTTP_ENDINGS = (".http", ".rest")
_REQUEST_LINE = re.compile(r"([A-Z]{3,10})\s+(/\S*|https?://\S+)(?:\s+HTTP/\d(?:\.\d)?)?\s*")
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_NEXT_REQUEST = re.compile(rb"^###.*", re.MULTILINE | re.DOTALL)
_FRAMING = {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "expect"}


def read_sample(path: str, content_type: str | None = None, base: str = "") -> Sample | Unusable:
    """The request of this file; its name is the path as seen from `base`.

    A file with the ending .http or .rest, or one that begins with a request line, is in text form: `POST /score`,
    headers, a blank line, the body. Any other is a body for /score: JSON, or of `content_type`.
    """
    name = shown(path, base)
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return Unusable(name, path, f"the file is larger than {MOST_BYTES >> 20} MB")
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Unusable(name, path, _why_unreadable(error))
    is_text_form = name.lower().endswith(HTTP_ENDINGS) or (content_type is None and _begins_with_request_line(content))
    if is_text_form:
        return _from_text_form(name, path, content)
    kind, notes = _kind_of(name, content, content_type)
    return Sample(name, path, headers=(("Content-Type", kind),), body=content, notes=notes)


def offered(script: str | None) -> str | None:
    """The sample that stands beside the script under its usual name, where nobody has named one."""
    path = os.path.join(os.path.dirname(script or ""), SAMPLE_REQUEST)
    return path if script and os.path.isfile(path) else None


def _why_unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError) or (error.filename and os.path.isdir(error.filename)):  # as on Windows
        return "it is a folder, not a file"
    return f"it cannot be read: {error.strerror}"


def _kind_of(name: str, content: bytes, given: str | None) -> tuple[str, tuple[str, ...]]:
    """The content type to send, and what the person should know."""
    if given is not None and not name.lower().endswith(".json"):
        return given, ()
    if not content:
        return JSON, ("the file is empty: sent without a body",)
    if len(content) > MOST_LOOKED_AT:
        return JSON, ()
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        return _kind_of_other(content), (f"not JSON, sent as it is ({_one_line(error)})",)
    return JSON, ()


def _kind_of_other(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return JSON


def _one_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "no text"
    return str(error).split("\n")[0]


# --- the text form


def _is_comment(line: bytes) -> bool:
    return not line.strip() or line.startswith((b"#", b"//"))


def _begins_with_request_line(content: bytes) -> bool:
    start = content[:4096].lstrip(b"\xef\xbb\xbf")
    first = next((line for line in start.splitlines() if not _is_comment(line)), b"")
    return _REQUEST_LINE.fullmatch(first.decode("utf-8", "replace")) is not None


def _from_text_form(name: str, path: str, content: bytes) -> Sample | Unusable:
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    while lines and _is_comment(lines[0]):
        del lines[0]
    rest = b"".join(lines)
    wanted = _NEXT_REQUEST.sub(b"", rest)
    head, body = [*_BLANK_LINE.split(wanted, maxsplit=1), b""][:2]
    first, *fields = head.decode("utf-8", "replace").splitlines() or [""]
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        return Unusable(name, path, f"it does not begin with a line like POST /score, but with {first[:60]!r}")
    odd = next((field for field in fields if not re.match(r"[!#$%&'*+.^_`|~\w-]+:", field)), None)
    if odd is not None:
        return Unusable(name, path, f"this line is no header, and no blank line stands before it: {odd[:60]!r}")
    headers = tuple((key, value.strip()) for key, _, value in (field.partition(":") for field in fields))
    target, note = _target(line[2])
    notes = ((note,) if note else ()) + (("only its first request is sent",) if wanted != rest else ())
    return Sample(name, path, line[1], target, with_content_type(without_framing(headers), body), body, notes)


def _target(url: str) -> tuple[str, str]:
    """The path and query of a URL, and a note where the URL means another place."""
    target = url
    note = ""
    if not url.startswith("/"):
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            note = f"sent to this server, not to {parts.hostname}"
    return quote(target, safe="%/:=&?~#+!$,;'@()*[]"), note


def without_framing(headers: Headers) -> Headers:
    """The headers without those that belong to one connection."""
    return tuple((key, value) for key, value in headers if key.lower() not in _FRAMING)


def with_content_type(headers: Headers, body: bytes) -> Headers:
    """The headers, with JSON as the type of a body of which they do not say it."""
    if not body or any(key.lower() == "content-type" for key, _ in headers):
        return headers
    return (*headers, ("Content-Type", JSON))
