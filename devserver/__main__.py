"""`python -m devserver` is the command `azmlinfsrv`.

Python puts the working directory before the standard library here, so that a queue.py of the user's would be taken for
the library's. It is put last before anything else is imported, and first again for the script, when nothing of ours is
left to import. What Python itself imports in order to get here (types, functools) cannot be helped any more; the
console script has no such trouble.
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
