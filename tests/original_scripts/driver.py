"""A driver script: its run() is not used, the one of `driver_module` is."""

import inner as driver_module  # noqa: F401


def init():
    pass


def run(data):
    return ["outer", data]
