# ruff: noqa: E501 - scripts in one line
"""Edits, each with whether init() may stay as it is; whatever is kept answers as a fresh start does, to the last byte."""

from __future__ import annotations

import sys

import pytest
from kept_scripts import play, swap

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")

HEAD = """import json, os


"""
PLAIN = (
    HEAD
    + """FACTOR = 3


def init():
    global model
    with open(os.path.join(os.environ["SCRATCH"], "inits"), "a") as book:
        book.write("once\\n")
    model = {"weight": 4}


def shift(value):
    return value + 1


def run(data):
    x = json.loads(data)["x"]
    return {"answer": shift(model["weight"] * x), "factor": FACTOR}
"""
)
CLASSES = (
    HEAD
    + '''class Base:
    def greet(self):
        return "base"


class Model(Base):
    """A model."""

    offset = 2
    key = staticmethod(lambda value: value % 10)

    def __init__(self, weight):
        self.weight = weight

    def predict(self, x):
        self.__hidden = x
        return self.weight * x + self.offset + self.__hidden

    def greet(self):
        return "model " + super().greet()

    @property
    def name(self):
        return "first"

    @staticmethod
    def clip(value):
        return min(value, 50)

    @classmethod
    def make(cls):
        return cls(9).predict(1)


def init():
    global model
    model = Model(5)


def run(data):
    x = json.loads(data)["x"]
    return [model.clip(model.predict(x)), model.name, model.greet(), Model.make(), model.key(x + 8)]
'''
)
WIRED = (
    HEAD
    + """import functools


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        return {"traced": function(*args)}
    return wrapper


def double(value):
    return value * 2


def triple(value):
    return value * 3


@functools.lru_cache(maxsize=None)
def cached(value):
    return [value]


def pick(values, key=lambda value: -value):
    return sorted(values, key=key)


TABLE = {"double": double, "lambda": lambda value: value - 1}
half = functools.partial(double, 8)
bound = [triple].append


def init():
    global chosen, closures
    chosen = [TABLE["double"], triple]
    closures = [scaler(number) for number in (1, 2)]


def scaler(number):
    def scale(value):
        return value * number
    return scale


@traced
def inner(x):
    return [f(x) for f in chosen] + [TABLE["lambda"](x), half(), cached(x), pick([1, 3, 2]), [c(x) for c in closures]]


def run(data):
    return inner(json.loads(data)["x"])
"""
)
STATE = (
    HEAD
    + """seen = []
count = 0


def init():
    global calls
    calls = {"n": 0}


def run(data):
    global count
    seen.append(json.loads(data)["x"])
    count += 1
    calls["n"] += 1
    return [seen, count, calls]
"""
)
HELPER = "FACTOR = 3\n\n\ndef clean(value):\n    return value * FACTOR\n\n\ndef spare(value):\n    return 7\n"
USES = (
    HEAD
    + """from helper import clean


def init():
    global model
    model = 2


def run(data):
    return clean(model * json.loads(data)["x"])
"""
)
FAILS = (
    HEAD
    + """def init():
    global numbers
    numbers = [1, 0, 2]


def divide(value):
    return 10 / numbers[value - 1]


def run(data):
    return divide(json.loads(data)["x"])
"""
)
SAME_NAME = (
    HEAD
    + """def twice(value):
    return 1


first = twice


def twice(value):
    return 2


if os.environ.get("NOT_SET"):
    def chosen(value):
        return "set"
else:
    def chosen(value):
        return "not set"

try:
    import no_such_module
except ImportError:
    def fallback(value):
        return value
else:
    fallback = no_such_module.work


def init():
    pass


def run(data):
    x = json.loads(data)["x"]
    return [first(x), twice(x), chosen(x), fallback(x)]
"""
)
NOTHING = "\ndef init():\n    pass\n"


def edits(text: str, *pairs: tuple[str, str]) -> tuple[str, str]:
    return text, swap(text, *pairs)


KEPT = {
    "body of run": edits(PLAIN, ("* x)", "* x + 50)")),
    "body of a helper": edits(PLAIN, ("value + 1", "value - 1")),
    "comments": edits(PLAIN, ("FACTOR = 3", "# one\n# two\nFACTOR = 3")),
    "a comment behind": edits(PLAIN, ("FACTOR = 3", "FACTOR = 3  # three")),
    "formatting": edits(
        PLAIN, ('{"answer": shift', '{\n        "answer":\n            shift'), ("FACTOR = 3", "FACTOR = (\n    3\n)")
    ),
    "a new function": edits(
        PLAIN,
        ("def run", "def fresh(value, times: int = -2) -> int:\n    return value * times\n\n\ndef run"),
        ("shift(m", "fresh(m"),
    ),
    "a lost function": edits(PLAIN, ("def shift(value):\n    return value + 1\n\n\n", ""), ("shift(model", "(model")),
    "another name": edits(PLAIN, ("def shift", "def moved"), ("shift(model", "moved(model")),
    "lines of an error": edits(FAILS, ("import json", "# a\n# b\nimport json")),
    "columns of an error": edits(FAILS, ("10 / numbers", "(  10   /numbers"), ("value - 1]", "value - 1])")),
    "an error in a changed function": edits(FAILS, ("return 10", "ten = 10\n    return ten")),
    "method": edits(CLASSES, ("* x + self.offset", "* x - self.offset")),
    "method that sets another attribute": edits(
        CLASSES, ("self.__hidden = x", "self.__hidden = x\n        self.other = 1")
    ),
    "mangled": edits(CLASSES, ("+ self.__hidden", "+ 3 * self.__hidden")),
    "super": edits(CLASSES, ('"model " + super', '"other " + super')),
    "property": edits(CLASSES, ('"first"', '"second"')),
    "staticmethod": edits(CLASSES, ("min(value", "max(value")),
    "classmethod": edits(CLASSES, ("cls(9)", "cls(8)")),
    "lambda of a class": edits(CLASSES, ("value % 10", "value % 7")),
    "class moves": edits(CLASSES, ("class Base", "# a\n\nclass Base")),
    "table": edits(WIRED, ("value * 2", "value * 20")),
    "list made by init": edits(WIRED, ("value * 3", "value * 30")),
    "decorated": edits(WIRED, ("for f in chosen] +", "for f in reversed(chosen)] +")),
    "lambda": edits(WIRED, ("value - 1", "value - 100")),
    "lambda that is a default": edits(WIRED, ("-value", "value")),
    "lru_cache": edits(WIRED, ("return [value]", "return [value, value]")),
    "lines of closures move": edits(WIRED, ("import functools", "import functools\n# a\n")),
    "state of requests": edits(STATE, ("[seen, count, calls]", "[calls, seen, count]")),
    "first of two": edits(SAME_NAME, ("return 1", "return 11")),
    "second of two": edits(SAME_NAME, ("return 2", "return 22")),
    "the branch that was taken": edits(SAME_NAME, ('"not set"', '"still not set"')),
    "the branch that was not taken": edits(SAME_NAME, ('"set"\nelse', '"set?"\nelse')),
    "fallback": edits(
        SAME_NAME, ("    def fallback(value):\n        return value", "    def fallback(value):\n        return -value")
    ),
    "module": ({"score.py": USES, "helper.py": HELPER}, {"helper.py": swap(HELPER, ("value * FACTOR", "-value"))}),
    "two files": (
        {"score.py": USES, "helper.py": HELPER},
        {
            "score.py": swap(USES, ("clean(model", "-clean(model")),
            "helper.py": swap(HELPER, ("value * FACTOR", "-value * 5")),
        },
    ),
    "main block": edits(
        PLAIN + '\n\nif __name__ == "__main__":\n    init()\n    print(run("{}"))\n',
        ('print(run("{}"))', "def main(): pass\n    main()"),
        ("value + 1", "value + 9"),
    ),
    "random that was seeded": edits(
        HEAD
        + "import random\n\n\ndef init():\n    random.seed(5)\n    random.random()\n\n\ndef run(data):\n    return random.random()\n",
        ("return random", "return 1 + random"),
    ),
    "a constant that is one object": edits(
        HEAD
        + 'MISSING = ("not", "here")\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return ("not", "here") is MISSING\n',
        ("return (", "x = 1\n    return ("),
    ),
    "what init kept of a constant": edits(
        HEAD
        + 'def text():\n    return "a text of some words"\n\n\ndef init():\n    global kept\n    kept = text()\n\n\ndef run(data):\n    return [text() is kept, 1]\n',
        ("import json", "#\nimport json"),
        (", 1]", ", 2]"),
    ),
    "generator": edits(
        HEAD
        + "def numbers(n):\n    for i in range(n):\n        yield i\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return list(numbers(json.loads(data)['x']))\n",
        ("yield i", "yield i * 2"),
    ),
    "coroutine": edits(
        HEAD
        + "import asyncio\n\n\nasync def work(x):\n    return x\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return asyncio.run(work(json.loads(data)['x']))\n",
        ("return x", "return -x"),
    ),
    "dataclass": edits(
        HEAD
        + "from dataclasses import dataclass\n\n\n@dataclass(slots=True)\nclass Point:\n    x: int\n\n    def far(self):\n        return self.x\n\n\ndef init():\n    global point\n    point = Point(3)\n\n\ndef run(data):\n    return point.far()\n",
        ("return self.x", "return self.x * 2"),
        ("@dataclass", "# a\n@dataclass"),
    ),
    "contextmanager": edits(
        HEAD
        + "from contextlib import contextmanager\n\n\n@contextmanager\ndef opened(x):\n    yield x\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    with opened(json.loads(data)['x']) as value:\n        return value\n",
        ("yield x", "yield x + 1"),
    ),
    "signature was looked at": edits(
        PLAIN + "\n\nimport inspect\nARGS = str(inspect.signature(shift))\nGEN = inspect.isgeneratorfunction(shift)\n",
        ("value + 1", "value + 4"),
    ),
    "an error that is logged": edits(
        HEAD
        + "import logging\n\n\ndef init():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        logging.getLogger('x').exception('sorry')\n\n\ndef run(data):\n    return 1\n",
        ("return 1", "return 2"),
    ),
    "a file that is read on": (
        {
            "score.py": HEAD
            + "def init():\n    global file\n    file = open('lines.txt')\n    file.readline()\n\n\ndef run(data):\n    return file.readline()\n",
            "lines.txt": "a\nb\nc\nd\ne\n" * 9999,
        },
        {
            "score.py": HEAD
            + "def init():\n    global file\n    file = open('lines.txt')\n    file.readline()\n\n\ndef run(data):\n    return file.readline() + '!'\n"
        },
    ),
    "executor without threads": edits(
        HEAD
        + "from concurrent.futures import ThreadPoolExecutor\n\npool = ThreadPoolExecutor(2)\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return pool.submit(work, 2).result()\n\n\ndef work(x):\n    return x\n",
        ("    return x", "    return x * 8"),
    ),
    "threads that have ended": edits(
        HEAD
        + "import threading\n\n\ndef init():\n    thread = threading.Thread(target=int)\n    thread.start()\n    thread.join()\n\n\ndef run(data):\n    return 1\n",
        ("return 1", "return 2"),
    ),
    "frozen by the script": edits(
        HEAD
        + "import gc\n\n\ndef work():\n    return 1\n\n\nTABLE = [work]\n\n\ndef init():\n    gc.freeze()\n\n\ndef run(data):\n    return TABLE[0]()\n",
        ("return 1", "return 2"),
    ),
    "temporary folder": edits(
        HEAD
        + "import tempfile\n\n\ndef init():\n    global folder\n    folder = tempfile.TemporaryDirectory()\n\n\ndef run(data):\n    return os.path.isdir(folder.name)\n",
        ("return os", "return not os"),
    ),
    "two lambdas of one line, untouched": edits(
        PLAIN + "\n\nPAIR = [lambda: 0, lambda: 0]\n", ("value + 1", "value + 2"), ("FACTOR = 3", "#\nFACTOR = 3")
    ),
    "a global that run declares": edits(
        STATE, ("global count", "global count, more"), ("count += 1", "count += 2\n    more = 1")
    ),
    "an enum, a named tuple, a protocol": edits(
        HEAD
        + "import abc, enum, typing\n\n\nclass Kind(enum.Enum):\n    A = 1\n\n    def say(self):\n        return 'enum'\n\n\nclass Two(typing.NamedTuple):\n    a: int\n\n    def say(self):\n        return 'tuple'\n\n\nclass Says(abc.ABC):\n    @abc.abstractmethod\n    def say(self): ...\n\n\nclass Real(Says):\n    def say(self):\n        return 'abc'\n\n\ndef init():\n    global all\n    all = [Kind.A, Two(1), Real()]\n\n\ndef run(data):\n    return [one.say() for one in all]\n",
        ("'enum'", "'ENUM'"),
        ("'tuple'", "'TUPLE'"),
        ("'abc'", "'ABC'"),
    ),
    "single dispatch": edits(
        HEAD
        + "import functools\n\n\n@functools.singledispatch\ndef show(x):\n    return 'any'\n\n\n@show.register\ndef _(x: int):\n    return 'int'\n\n\n@show.register\ndef _(x: str):\n    return 'str'\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return [show(1), show('')]\n",
        ("return 'int'", "return 'number'"),
        ("return 'str'", "return 'text'"),
    ),
    "shared memory of requests": edits(
        HEAD
        + "import mmap\nM = mmap.mmap(-1, 4096)\n\n\ndef init():\n    M[0] = 5\n\n\ndef run(data):\n    M[0] += 1\n    return M[0]\n",
        ("return M[0]", "return -M[0]"),
    ),
    "a lock that a request does not give back": edits(
        HEAD
        + "import multiprocessing\nlock = multiprocessing.Lock()\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return lock.acquire(timeout=0.01)\n",
        ("return lock", "return 'a', lock"),
    ),
    "a database in memory": edits(
        HEAD
        + "import sqlite3\n\n\ndef init():\n    global db\n    db = sqlite3.connect(':memory:')\n    db.execute('create table t (x)')\n\n\ndef run(data):\n    db.execute('insert into t values (1)')\n    return db.execute('select count(*) from t').fetchone()\n",
        ("count(*)", "-count(*)"),
    ),
    "loaded under two names": (
        {
            "score.py": HEAD
            + "import helper\n\n\ndef init():\n    global twin\n    import score as twin\n\n\ndef work():\n    return 1\n\n\ndef run(data):\n    return [work(), twin.work(), helper.use()]\n",
            "helper.py": "def use():\n    import score\n    return score.work()\n",
        },
        {
            "score.py": HEAD
            + "import helper\n\n\ndef init():\n    global twin\n    import score as twin\n\n\ndef work():\n    return 2\n\n\ndef run(data):\n    return [work(), twin.work(), helper.use()]\n"
        },
    ),
    "loaded again": (
        {
            "score.py": HEAD
            + "import helper, importlib\nold = helper.clean\n\n\ndef init():\n    importlib.reload(helper)\n\n\ndef run(data):\n    return [old(1), helper.clean(1), old is helper.clean]\n",
            "helper.py": HELPER,
        },
        {"helper.py": swap(HELPER, ("value * FACTOR", "value - FACTOR"))},
    ),
    "a random generator of one's own": edits(
        HEAD
        + "import random\n\n\ndef init():\n    global dice\n    dice = random.Random(3)\n    dice.random()\n\n\ndef run(data):\n    return dice.random()\n",
        ("return dice", "return 1 + dice"),
    ),
    "lambda of init that calls a helper": edits(
        HEAD
        + "def helper(x):\n    return x\n\n\ndef init():\n    global call\n    call = lambda x: helper(x) + 1 / (x - 2)\n\n\ndef run(data):\n    return call(json.loads(data)['x'])\n",
        ("return x", "return x * 2"),
        ("import json", "#\nimport json"),
    ),
    "log records hold the process's number": edits(
        HEAD
        + "import logging, multiprocessing.util\n\n\ndef init():\n    logging.getLogger('x').warning('hm')\n    multiprocessing.util.Finalize(None, int, exitpriority=1)\n\n\ndef run(data):\n    return 1\n",
        ("return 1", "return 2"),
    ),
    "exit handlers": edits(
        HEAD
        + "import atexit\n\n\n@atexit.register\ndef end():\n    print('end')\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return 1\n",
        ("return 1", "return 2"),
    ),
    "what it sees of its own text": edits(
        HEAD
        + "import inspect\n\n\ndef init():\n    pass\n\n\ndef work():\n    return 1\n\n\nclass A:\n    def work(self):\n        return 2\n\n\ndef run(data):\n    return [inspect.getsource(work), inspect.getsource(A), inspect.getsource(A.work), run.__code__.co_firstlineno]\n",
        ("return 1", "# a\n    return 11"),
        ("return 2", "return 22"),
        ("import json", "#\nimport json"),
    ),
    "decorated class": edits(
        HEAD
        + "def mark(cls):\n    cls.marked = True\n    return cls\n\n\n@mark\nclass A:\n    class B:\n        def work(self):\n            return lambda: 1\n\n\ndef init():\n    global b\n    b = A.B()\n\n\ndef run(data):\n    return b.work()()\n",
        ("lambda: 1", "(lambda: 2)"),
        ("@mark", "# a\n@mark"),
    ),
    "code under a future": edits(
        "from __future__ import annotations\n" + PLAIN, ("value + 1", "value + 2"), ("* x)", "* x + 2)")
    ),
    "warning shown once": edits(
        HEAD
        + "import warnings\n\n\ndef warn():\n    warnings.warn('careful')\n\n\ndef init():\n    warn()\n\n\ndef run(data):\n    return 1\n",
        ("import json", "#\nimport json"),
    ),
}
ANEW = {
    "body of init": ("ran", edits(PLAIN, ('"weight": 4', '"weight": 5'))),
    "init calls it": ("ran", edits(swap(PLAIN, ('"weight": 4', '"weight": shift(4)')), ("value + 1", "value + 5"))),
    "constant": ("statement", edits(PLAIN, ("FACTOR = 3", "FACTOR = 4"))),
    "a constant's type": ("statement", edits(PLAIN, ("FACTOR = 3", "FACTOR = 3.0"))),
    "the sign of zero": (
        "statement",
        edits(swap(PLAIN, ("FACTOR = 3", "FACTOR = 0.0")), ("FACTOR = 0.0", "FACTOR = -0.0")),
    ),
    "init sets another global": (
        "ran",
        edits(PLAIN, ("global model", "global model, extra\n    extra = 1"), ("* x)", "* x + extra)")),
    ),
    "a name for the model": ("statement", edits(PLAIN, ("FACTOR = 3", "FACTOR = 3\nmodel = None"))),
    "import": ("statement", edits(PLAIN, ("import json, os", "import json, os, math"))),
    "signature": ("signature", edits(PLAIN, ("def run(data)", "def run(raw)"), ("loads(data)", "loads(raw)"))),
    "default": ("signature", edits(PLAIN, ("shift(value)", "shift(value=1)"))),
    "annotation": ("signature", edits(PLAIN, ("shift(value)", "shift(value: int)"))),
    "decorator": ("signature", edits(CLASSES, ("@classmethod", "@staticmethod"))),
    "docstring": ("docstring", edits(PLAIN, ("def run(data):", 'def run(data):\n    """Scores."""'))),
    "class attribute": ("statement", edits(CLASSES, ("offset = 2", "offset = 3"))),
    "base": ("statement", edits(CLASSES, ("Model(Base)", "Model(Base, object)"))),
    "constructor": ("ran", edits(CLASSES, ("self.weight = weight", "self.weight = 2 * weight"))),
    "super added": (
        "free_variables",
        edits(
            CLASSES,
            ("return min(value", "super\n        return min(value"),
            ("    @staticmethod\n    def clip(value)", "    @staticmethod\n    def clip(value)"),
        ),
    ),
    "super removed": ("free_variables", edits(CLASSES, ('"model " + super().greet()', '"model"'))),
    "becomes a generator": ("kind", edits(PLAIN, ("return value + 1", "yield value"))),
    "decorator's inner function": ("ran", edits(WIRED, ('{"traced": f', '{"other": f'))),
    "closure made by init": ("ran", edits(WIRED, ("value * number", "value + number"))),
    "method added": (
        "statement",
        edits(CLASSES, ("    @classmethod", "    def more(self):\n        pass\n\n    @classmethod")),
    ),
    "module level call": ("ran", edits(PLAIN + "\n\nLIST = [shift(1)]\n", ("value + 1", "value + 2"))),
    "called by C": ("ran", edits(PLAIN + "\n\nLIST = sorted([2, 1], key=shift)\n", ("value + 1", "-value"))),
    "called in a thread": (
        "ran",
        edits(
            PLAIN + "\n\nimport threading\nt = threading.Thread(target=shift, args=(1,))\nt.start()\nt.join()\n",
            ("value + 1", "-value"),
        ),
    ),
    "order": ("statement", edits(HEAD + "X = 1\nY = 2\n" + NOTHING, ("X = 1\nY = 2", "Y = 2\nX = 1"))),
    "function order": (
        "statement",
        edits(
            HEAD + "def a(): pass\ndef b(): pass\n" + NOTHING,
            ("def a(): pass\ndef b(): pass", "def b(): pass\ndef a(): pass"),
        ),
    ),
    "generator that waits": (
        "suspended",
        edits(
            HEAD
            + "def numbers():\n    yield 1\n\n\nwaiting = numbers()\n"
            + NOTHING
            + "def run(data):\n    return next(waiting, None)\n",
            ("yield 1", "yield 2"),
        ),
    ),
    "generator that has begun, lines move": (
        "suspended",
        edits(
            HEAD
            + "def numbers():\n    yield 1\n    yield 1 / 0\n\n\nbegun = numbers()\nnext(begun)\n"
            + NOTHING
            + "def run(data):\n    return next(begun, None)\n",
            ("import json", "#\nimport json"),
        ),
    ),
    "an error that is kept, lines move": (
        "suspended",
        edits(
            HEAD
            + "def init():\n    global error\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        error = e\n\n\ndef run(data):\n    import traceback\n    return traceback.format_exception(error)\n",
            ("import json", "#\nimport json"),
        ),
    ),
    "its text was read": ("text_read", edits(PLAIN + "\n\nTEXT = open(__file__).read()\n", ("value + 1", "value + 2"))),
    "its text was read by inspect": (
        "text_read",
        edits(PLAIN + "\n\nimport inspect\nTEXT = inspect.getsource(shift)\n", ("value + 1", "value + 2")),
    ),
    "its text was read by linecache": (
        "text_read",
        edits(PLAIN + "\n\nimport linecache\nTEXT = linecache.getline(__file__, 3)\n", ("value + 1", "value + 2")),
    ),
    "its text was read by pathlib": (
        "text_read",
        edits(PLAIN + "\n\nfrom pathlib import Path\nTEXT = Path(__file__).read_bytes()\n", ("value + 1", "value + 2")),
    ),
    "its text was read by tokenize": (
        "text_read",
        edits(
            PLAIN + "\n\nimport tokenize\nwith tokenize.open(__file__) as f: TEXT = f.read()\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "its text was read by its loader": (
        "text_read",
        edits(PLAIN + "\n\nTEXT = __loader__.get_data(__file__)\n", ("value + 1", "value + 2")),
    ),
    "its time was asked for": (
        "stamp_read",
        edits(PLAIN + "\n\nTIME = os.path.getmtime(__file__)\n", ("value + 1", "value + 2")),
    ),
    "its code was read": ("code_read", edits(PLAIN + "\n\nNAMES = run.__code__.co_names\n", ("* x)", "* abs(x))"))),
    "its line was read": (
        "code_read",
        edits(PLAIN + "\n\nLINE = run.__code__.co_firstlineno\n", ("FACTOR = 3", "#\nFACTOR = 3")),
    ),
    "the load's line was read": (
        "lines_read",
        edits(
            PLAIN + "\n\nimport sys\nLINE = sys._getframe().f_lineno\n",
            ("return value + 1", "value += 1\n    return value"),
        ),
    ),
    "an error's text was kept": (
        "lines_read",
        edits(
            HEAD
            + "import traceback\n\n\ndef init():\n    global text\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        text = traceback.format_exc()\n\n\ndef run(data):\n    return text\n",
            ("1 / 0", "1 / 0  # hm"),
        ),
    ),
    "a log record was kept": (
        "lines_read",
        edits(
            HEAD
            + "import logging, logging.handlers\n\n\ndef init():\n    global box\n    box = logging.handlers.MemoryHandler(99)\n    logging.getLogger('x').addHandler(box)\n    logging.getLogger('x').warning('hm')\n\n\ndef run(data):\n    return box.buffer[0].lineno\n",
            ("import json", "#\nimport json"),
        ),
    ),
    "process number": ("pid", edits(PLAIN + "\n\nPID = os.getpid()\n", ("value + 1", "value + 2"))),
    "it hears of forks": (
        "at_fork",
        edits(PLAIN + "\n\nos.register_at_fork(before=int)\n", ("value + 1", "value + 2")),
    ),
    "bytes that are no text": (
        "broken",
        edits(
            PLAIN,
            ("FACTOR = 3", "# coding: nonsense\nFACTOR = 3"),
            ("import json, os\n", "# coding: nonsense\nimport json, os\n"),
        ),
    ),
    "process number by multiprocessing": (
        "pid",
        edits(
            PLAIN + "\n\nimport multiprocessing\nPID = multiprocessing.current_process().pid\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "process number by name": (
        "pid",
        edits("from os import getpid\n" + PLAIN + "\n\nPID = getpid()\n", ("value + 1", "value + 2")),
    ),
    "a program": (
        "program",
        edits(PLAIN + "\n\nimport subprocess\nsubprocess.run(['true'])\n", ("value + 1", "value + 2")),
    ),
    "a thread": (
        "threads",
        edits(
            PLAIN
            + "\n\nimport threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "a child": (
        "children",
        edits(
            PLAIN + "\n\nchild = os.fork()\nif child == 0:\n    import time; time.sleep(0.3); os._exit(0)\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "a socket": ("descriptor", edits(PLAIN + "\n\nimport socket\nS = socket.socket()\n", ("value + 1", "value + 2"))),
    "a pipe": ("descriptor", edits(PLAIN + "\n\nP = os.pipe()\n", ("value + 1", "value + 2"))),
    "a database": (
        "descriptor",
        edits(
            PLAIN + "\n\nimport sqlite3\nDB = sqlite3.connect('a.db')\nDB.execute('create table t (x)')\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "a file that is written": ("descriptor", edits(PLAIN + "\n\nF = open('log', 'w')\n", ("value + 1", "value + 2"))),
    "a file that requests write again": (
        "written",
        edits(
            HEAD
            + "def init():\n    with open('n', 'w') as f:\n        f.write('0')\n\n\ndef run(data):\n    with open('n', 'a') as f:\n        f.write('1')\n    return open('n').read()\n",
            ("return open", "return 'n' + open"),
        ),
    ),
    "shared memory": (
        "shared_memory",
        edits(PLAIN + "\n\nimport mmap\nM = mmap.mmap(-1, 1 << 22)\n", ("value + 1", "value + 2")),
    ),
    "a file lock": (
        "file_lock",
        edits(
            PLAIN + "\n\nimport fcntl\nF = open(os.environ['SCRATCH'] + '/score.py')\nfcntl.flock(F, fcntl.LOCK_SH)\n",
            ("value + 1", "value + 2"),
        ),
    ),
    "a signal handler": (
        "signals",
        edits(
            PLAIN + "\n\nimport signal\nsignal.signal(signal.SIGUSR1, lambda *a: None)\n", ("value + 1", "value + 2")
        ),
    ),
    "an alarm": ("timer", edits(PLAIN + "\n\nimport signal\nsignal.alarm(100)\n", ("value + 1", "value + 2"))),
    "a new name that init asked for": (
        "name",
        edits(
            PLAIN + "\n\ntry:\n    fresh\nexcept NameError:\n    FACTOR = 9\n",
            ("def run", "def fresh():\n    pass\n\n\ndef run"),
        ),
    ),
    "a new name of a builtin": (
        "name",
        edits(PLAIN + "\n\nFACTOR = abs(-9)\n", ("def run", "def abs(x):\n    return 1\n\n\ndef run")),
    ),
    "a new name, and names are listed": (
        "name",
        edits(PLAIN + "\n\nFACTOR = len(dir())\n", ("def run", "def fresh():\n    pass\n\n\ndef run")),
    ),
    "a new name, and their order is shown": (
        "name",
        edits(swap(PLAIN, ("FACTOR}", "list(globals())}")), ("def run", "def fresh():\n    pass\n\n\ndef run")),
    ),
    "a new function annotated with what comes later": (
        "statement",
        edits(PLAIN, ("def run", "def fresh(x: later.Thing):\n    pass\n\n\nimport json as later\n\n\ndef run")),
    ),
    "a new function annotated with a name that is set": (
        "name",
        edits("int = 5\n" + PLAIN, ("def run", "def fresh(x: int):\n    pass\n\n\ndef run")),
    ),
    "a new function with a computed default": (
        "statement",
        edits(PLAIN, ("def run", "def fresh(x=FACTOR):\n    pass\n\n\ndef run")),
    ),
    "a lost name that init asked for": (
        "name",
        edits(
            PLAIN + "\n\ntry:\n    FACTOR = [shift]\nexcept NameError:\n    FACTOR = 9\n",
            ("def shift(value):\n    return value + 1\n\n\n", ""),
            ("shift(model", "(model"),
        ),
    ),
    "import star": (
        "name",
        (
            {"score.py": swap(USES, ("import clean", "import *")), "helper.py": HELPER},
            {"helper.py": HELPER + "\n\ndef fresh():\n    pass\n"},
        ),
    ),
    "module constant": (
        "statement",
        ({"score.py": USES, "helper.py": HELPER}, {"helper.py": swap(HELPER, ("FACTOR = 3", "FACTOR = 4"))}),
    ),
    "module runs at import": (
        "ran",
        (
            {"score.py": USES, "helper.py": HELPER + "\n\nTABLE = [spare(1)]\n"},
            {"helper.py": swap(HELPER, ("return 7", "return 8")) + "\n\nTABLE = [spare(1)]\n"},
        ),
    ),
    "a file that was not loaded": ("not_compiled", ({"score.py": USES, "helper.py": HELPER}, {"other.py": "X = 1\n"})),
    "broken": ("broken", edits(PLAIN, ("def run(data):", "def run(data:"))),
    "the compiler warns": (
        "compiler_warns",
        edits(PLAIN, ("return value + 1", 'return value + 1 if value is not "x" else 0')),
    ),
    "one of two lambdas of a line": (
        "statement",
        edits(PLAIN + "\n\nPAIR = [lambda: 0, lambda: 0]\n", ("[lambda: 0, lambda: 0]", "[lambda: 0, lambda: 1]")),
    ),
    "a made over coroutine": (
        "code_read",
        edits(
            HEAD + "import types\n\n\n@types.coroutine\ndef work():\n    yield 1\n" + NOTHING, ("yield 1", "yield 2")
        ),
    ),
    "main block, and the name is set": (
        "statement",
        edits(
            PLAIN + '\n\n__name__ = "__main__"\nif __name__ == "__main__":\n    FACTOR = 8\n',
            ("FACTOR = 8", "FACTOR = 9"),
        ),
    ),
    "future": ("statement", edits(PLAIN, ("import json, os", "from __future__ import annotations\nimport json, os"))),
}


@pytest.mark.parametrize("name", KEPT)
def test_init_stays_and_the_answers_are_those_of_a_fresh_start(name: str) -> None:
    before, after = KEPT[name]
    undo = {name: text for name, text in before.items() if name.endswith(".py")} if isinstance(before, dict) else before
    step, undone = play(before, after, undo)
    assert step.kept and undone.kept, step
    assert step.got == step.want
    assert undone.got == undone.want


@pytest.mark.parametrize("name", ANEW)
def test_init_runs_again(name: str) -> None:
    why, (before, after) = ANEW[name]
    (step,) = play(before, after)
    assert step.why == why, step
    assert step.words


def test_a_broken_save_and_the_next_that_mends_it() -> None:
    broken, mended, more = play(
        PLAIN, swap(PLAIN, ("def run(data):", "def run(data:")), swap(PLAIN, ("* x)", "* x + 5)")), PLAIN
    )
    assert broken.why == "broken"
    assert mended.kept and mended.got == mended.want and mended.changed == ("run",)
    assert more.kept and more.got == more.want and more.changed == ()


def test_a_helper_that_only_a_request_has_imported() -> None:
    script = HEAD + "def init():\n    pass\n\n\ndef run(data):\n    import late\n    return late.VALUE\n"
    step, unknown, read = (
        play({"score.py": script, "late.py": "VALUE = 1\n"}, {"late.py": "VALUE = 2\n"}, later=("late.py",))[0],
        play({"score.py": script, "late.py": "VALUE = 1\n"}, {"late.py": "VALUE = 2\n"})[0],
        play(
            {"score.py": script + "\n\nopen('late.py').read()\n", "late.py": "VALUE = 1\n"},
            {"late.py": "VALUE = 2\n"},
            later=("late.py",),
        )[0],
    )
    assert step.kept and step.got == step.want == [2, 2, 2]
    assert (unknown.why, read.why) == ("not_compiled", "not_compiled")
