"""`python -m devserver` is the command `azmlinfsrv`.

Python puts the working directory before the standard library here, so that a queue.py of the user's would be taken for
the library's. It is put last before anything else is imported, and first again for the script, when nothing of ours is
left to import. What Python itself imports in order to get here (`runpy` needs collections, contextlib, functools,
importlib, keyword, operator, reprlib, types and warnings) comes from the working directory before any code of a package
runs, and cannot be helped; the console script and `python -P -m devserver` have no such trouble.
"""

import os
import sys


def _put_working_directory_last() -> None:
    try:
        here = os.getcwd()
    except OSError:  # somebody removed it
        return
    if sys.path[0] in ("", here) and not getattr(sys.flags, "safe_path", False):
        sys.path.append(here)
        del sys.path[0]


if __name__ == "__main__":
    _put_working_directory_last()
    from devserver.cli import main

    main()
