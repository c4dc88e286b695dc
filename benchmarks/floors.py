"""What nobody can undercut: the script answers from a fresh interpreter, or from a fork of one with the imports.

Arguments: `fresh`, or `fork` and the libraries to import first. `fork` answers a line of stdin with a line of stdout.
"""

import gc
import importlib
import json
import os
import sys


def answer() -> None:
    """Import score.py of the working folder, init() it, and write what run() returns."""
    import flask  # noqa: F401
    import score

    score.init()
    os.write(1, json.dumps(score.run(b"{}")).encode() + b"\n")


def fork(libraries: list[str]) -> None:
    for name in ["flask", *libraries]:
        importlib.import_module(name)
    gc.freeze()
    os.write(1, b"ready\n")
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            answer()
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path[0] = os.getcwd()
    if sys.argv[1] == "fork":
        fork(sys.argv[2:])
    else:
        answer()
