"""An undecorated run(): answers with what it was given."""


def init():
    pass


def run(data):
    return {"type": type(data).__name__, "data": data}
