"""`python -m devserver` is the command `azmlinfsrv`."""

from __future__ import annotations

from devserver.cli import main

if __name__ == "__main__":
    main()
