"""Starts one process of the tool; it stands in a folder of its own, so that no file beside it is taken for a library's.

The arguments are the descriptors of a briefing, a link and a scoreboard, for a generation, the same after `spare` for
one that waits to become a generation, or `warm` and a socket.
"""

from __future__ import annotations

import gc
import json
import os
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def generation(told: str, heard: str, *scoreboard: str) -> None:
    gc.disable()  # nothing that is imported here is garbage, and to look for it takes a tenth of the time
    from devserver.process.platform import System

    pipe = os.fdopen(System.inherited_descriptor(told, os.O_RDONLY), "rb")
    sys.path[:] = json.loads(pipe.readline())
    from devserver.worker.main import main

    gc.freeze()
    gc.enable()
    main(pipe, heard, *scoreboard)


def spare(told: str, *others: str) -> None:
    from devserver.process.platform import System
    from devserver.worker.spare import main

    main(os.fdopen(System.inherited_descriptor(told, os.O_RDONLY), "rb"), *others)


def warm(channel: str) -> None:
    from devserver.worker.stages import main

    main(int(channel))


def _find_package() -> None:
    """This package is found before another of its name, but no library in its folder before the standard library."""
    others = [place for place, folder in enumerate(sys.path) if folder.endswith(("site-packages", "dist-packages"))]
    sys.path.insert(min(others, default=len(sys.path)), PROJECT)
    del sys.path[0]  # the folder of this file


if __name__ == "__main__":
    _find_package()
    if sys.argv[1] == "warm":
        warm(sys.argv[2])
    elif sys.argv[1] == "spare":
        spare(*sys.argv[2:])
    else:
        generation(*sys.argv[1:])
