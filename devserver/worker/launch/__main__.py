"""Starts one process of the tool; it stands in a folder of its own, so that no file beside it is taken for a library's.

The arguments are the descriptors of a briefing, a link and a recorder, for a generation, or `warm` and a socket.
"""

from __future__ import annotations

import gc
import json
import os
import sys


def generation(told: str, heard: str, *recorder: str) -> None:
    if sys.platform == "win32":
        import msvcrt

        pipe = os.fdopen(msvcrt.open_osfhandle(int(told), os.O_RDONLY), "rb")
    else:
        pipe = os.fdopen(int(told), "rb")
    sys.path[:] = json.loads(pipe.readline())
    gc.disable()  # nothing that is imported here is garbage, and to look for it takes a tenth of the time
    from devserver.worker.main import main

    gc.freeze()
    gc.enable()
    main(pipe, heard, *recorder)


def warm(channel: str) -> None:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from devserver.worker.stages import main

    main(int(channel))


if __name__ == "__main__":
    if sys.argv[1] == "warm":
        warm(sys.argv[2])
    else:
        generation(*sys.argv[1:])
