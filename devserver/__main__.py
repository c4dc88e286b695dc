"""`python -m devserver` is the command `azmlinfsrv`."""

from devserver.cli import main

if __name__ == "__main__":
    main()
