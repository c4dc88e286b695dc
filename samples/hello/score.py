"""The smallest score script: JSON comes in as text, and what run() returns goes out as JSON."""

import json


def init() -> None:
    """Called once, when the server starts: load what run() needs here."""
    print("hello is ready")  # print() goes to the server's log


def run(raw_data: str) -> dict[str, str]:
    """Called for each request to /score, with the text of its body."""
    name = json.loads(raw_data).get("name", "world")
    return {"message": f"Hello, {name}!"}
