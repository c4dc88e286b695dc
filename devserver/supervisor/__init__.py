"""The process that the user started with `--reload`: it watches, launches generations and owns the terminal."""
