"""Starts one process of the tool; it stands in a folder of its own, so that no file beside it is taken for a library's.

The arguments are the descriptors of a briefing, a link, a scoreboard and a lifeline, for a generation, the same after
`spare` for one that waits to become a generation, `warm` and those of a socket and a lifeline, `page` and those of a
pipe and a lifeline, or `open` and a URL to show in a browser.
"""

from __future__ import annotations

import gc
import json
import os
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def generation(told: str, link: str, page: str, dump: str, lifeline: str) -> None:
    gc.disable()  # nothing that is imported here is garbage, and to look for it takes a tenth of the time
    from devserver.process.lifeline import hang_on
    from devserver.process.platform import System

    System.lead_own_group()
    hang_on(System.inherited_descriptor(lifeline, os.O_RDONLY))
    pipe = os.fdopen(System.inherited_descriptor(told, os.O_RDONLY), "rb")
    sys.path[:] = json.loads(pipe.readline())
    from devserver.worker.main import main

    gc.freeze()
    gc.enable()
    main(pipe, link, page, dump)


def spare(told: str, link: str, page: str, dump: str, lifeline: str) -> None:
    from devserver.process.lifeline import hang_on
    from devserver.process.platform import System

    System.lead_own_group()
    hang_on(System.inherited_descriptor(lifeline, os.O_RDONLY))
    from devserver.worker.spare import main

    main(os.fdopen(System.inherited_descriptor(told, os.O_RDONLY), "rb"), link, page, dump)


def page(told: str, lifeline: str) -> None:
    from devserver.process.lifeline import hang_on
    from devserver.process.platform import System

    System.lead_own_group()
    hang_on(System.inherited_descriptor(lifeline, os.O_RDONLY))
    from devserver.display.page.main import main

    main(os.fdopen(System.inherited_descriptor(told, os.O_RDONLY), "rb"))


def show(url: str) -> None:
    """Stays until the browser has ended, where it was not there before: its orphans are this process's."""
    import webbrowser

    from devserver.process.platform import System

    System.adopt_orphans()
    webbrowser.open(url)
    try:
        while True:
            os.wait()
    except (ChildProcessError, AttributeError):  # there is none left, or nobody can be waited for
        pass


def warm(channel: str, lifeline: str) -> None:
    from devserver.process.platform import System

    System.lead_own_group()
    System.end_group_with(int(lifeline))  # no more than that: a thread would keep anything from being forked
    from devserver.worker.stages import main

    main(int(channel), int(lifeline))


def _find_package() -> None:
    """This package is found before another of its name, but no library in its folder before the standard library."""
    others = [place for place, folder in enumerate(sys.path) if folder.endswith(("site-packages", "dist-packages"))]
    sys.path.insert(min(others, default=len(sys.path)), PROJECT)
    del sys.path[0]  # the folder of this file


if __name__ == "__main__":
    _find_package()
    if sys.argv[1] == "warm":
        warm(*sys.argv[2:])
    elif sys.argv[1] == "page":
        page(*sys.argv[2:])
    elif sys.argv[1] == "open":
        show(*sys.argv[2:])
    elif sys.argv[1] == "spare":
        spare(*sys.argv[2:])
    else:
        generation(*sys.argv[1:])
