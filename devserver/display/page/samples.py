"""Samples as the page shows them, requests as it sends them, and the files that it keeps them in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from devserver.records.samples import Headers, Sample, Unusable
from devserver.replay.reader import HTTP_ENDINGS, read_sample, with_content_type

ENDINGS = (".json", ".txt", ".csv", *HTTP_ENDINGS)
MOST_SHOWN = 1024 * 1024  # bytes of a body that is put into the page
Json = dict[str, Any]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~\w-]+")


class BadRequest(Exception):
    """What was asked for cannot be; `str(error)` is one line for the person."""


def shown(sample: Sample | Unusable) -> Json:
    """The sample for the form; its body is null where the form cannot hold it."""
    if isinstance(sample, Unusable):
        return {"name": sample.name, "path": sample.path, "problem": sample.problem}
    types = [value for name, value in sample.headers if name.lower() == "content-type"]
    others = [(name, value) for name, value in sample.headers if name.lower() != "content-type"]
    return {
        "name": sample.name,
        "path": sample.path,
        "method": sample.method,
        "target": sample.target,
        "content_type": types[0] if types else "",
        "headers": "\n".join(f"{name}: {value}" for name, value in others),
        "body": _text(sample.body),
        "size": len(sample.body),
        "notes": sample.notes,
    }


def _text(body: bytes) -> str | None:
    try:
        return body.decode() if len(body) <= MOST_SHOWN else None
    except UnicodeDecodeError:
        return None


def read_all(paths: Iterable[str], content_type: str | None, base: str) -> list[Json]:
    return [shown(read_sample(path, content_type, base)) for path in paths]


def request_of(form: Mapping[str, Any], paths: Iterable[str], base: str) -> Sample:
    """The request of the form; a body that it could not hold is read from the sample's file. Errors: BadRequest."""
    method, target = str(form.get("method", "POST")), str(form.get("target") or "/score")
    if not re.fullmatch(r"[A-Z]{3,10}", method):
        raise BadRequest(f"{method!r} is no method")
    if not re.fullmatch(r"/score(\?[!-~]*)?", target):
        raise BadRequest("requests go to /score, with or without a query")
    headers = _headers(str(form.get("headers", "")))
    content_type = str(form.get("content_type", "")).strip()
    if content_type:
        headers = (("Content-Type", content_type), *headers)
    if any("\n" in value or "\r" in value for _, value in headers):
        raise BadRequest("a header has only one line")
    body = form.get("body")
    content = body.encode() if isinstance(body, str) else _content_of(str(form.get("path")), paths, base)
    return Sample("", None, method, target, headers, content)


def _content_of(path: str, paths: Iterable[str], base: str) -> bytes:
    sample = read_sample(path, None, base) if path in paths else None
    if not isinstance(sample, Sample):
        raise BadRequest("there is no such sample")
    return sample.body


def _headers(text: str) -> Headers:
    found = []
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name.strip()):
            raise BadRequest(f"this line is no header: {line[:60]!r}")
        found.append((name.strip(), value.strip()))
    return tuple(found)


def keep(name: str, request: Sample, base: str) -> str:
    """Write the request into a new file of this name in the folder `base`; returns its path. Errors: BadRequest.

    With the ending .http or .rest all of it, else the body alone.
    """
    if not name.lower().endswith(ENDINGS):
        raise BadRequest(f"give it a name with one of the endings {', '.join(ENDINGS)}")
    path = _inside(base, name)
    content = _as_text_form(request) if name.lower().endswith(HTTP_ENDINGS) else request.body
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        raise BadRequest(f"{name} is there already; choose another name") from None
    except (OSError, ValueError) as error:
        raise BadRequest(f"{name} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return path


def _inside(base: str, name: str) -> str:
    try:
        root, path = os.path.realpath(base), os.path.realpath(os.path.join(base, name))
        if os.path.commonpath([root, path]) == root:
            return path
    except ValueError:
        pass  # another drive, or no name of a file at all
    raise BadRequest("the file has to be inside the project")


def _as_text_form(request: Sample) -> bytes:
    headers = with_content_type(request.headers, request.body)
    lines = [f"{request.method} {request.target}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\n".join(lines).encode() + request.body
