"""An answer in pieces: a generator as the body of a Flask response."""

import json
import time
from collections.abc import Iterator

from flask import Response


def init() -> None:
    """Nothing to load."""


def run(raw_data: str) -> Response:
    """Send `text` back word by word, as a language model would."""
    text = json.loads(raw_data)["text"]  # read before the answer begins: an error here still becomes a 500
    return Response(words(text), mimetype="text/plain")


def words(text: str) -> Iterator[str]:
    for word in text.split():
        time.sleep(0.2)  # stands for a model at work
        yield f"{word}\n"
