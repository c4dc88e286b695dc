"""What the command is called here: `azmlinfsrv` is also the name that Microsoft's own server installs.

Whichever of the two packages was installed last has that name; `azmlinfsrv-dev` is only ours.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil

SHARED, OWN = "azmlinfsrv", "azmlinfsrv-dev"
OTHER_PACKAGE = "azureml-inference-server-http"
_PLAIN = re.compile(r"[\w@%+=:,./\\-]+")
_LITERAL = re.compile(r"""[^"$`!\0-\x1f]*""")  # what double quotes leave as it is
_MODULE = OTHER_PACKAGE.replace("-", "_").encode()
_MOST = 1 << 20  # bytes of a command's file; on Windows it is a small program with the script at its end


def taken_over(path: str | None) -> str | None:
    """The file of the other package's command, where that is what the shared name starts on this search path."""
    found = shutil.which(SHARED, path=path)
    return found if found is not None and _names(found, _MODULE) else None


def command_to_type(argv0: str, path: str | None, executable: str) -> str:
    """The command as it can be typed in any folder, to start this tool again.

    `argv0` is how it was started, `path` the search path, `executable` the interpreter.
    """
    for name in (SHARED, OWN):
        found = shutil.which(name, path=path)
        if found is not None and _names(found, b"devserver"):
            return name
    if os.path.basename(argv0).startswith(SHARED) and os.path.isfile(argv0):
        return quoted(os.path.abspath(argv0))
    return f"{quoted(executable)} -m devserver"


def quoted(word: str) -> str:
    """One word for a shell: in double quotes where that is enough, which cmd and PowerShell take too."""
    if _PLAIN.fullmatch(word):
        return word
    return f'"{word}"' if _LITERAL.fullmatch(word) else shlex.quote(word)


def _names(path: str, word: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return word in file.read(_MOST)
    except OSError:
        return False
