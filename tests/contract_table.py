"""The contract as a table: which scripts are served, what is asked of them, and what a client must see."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "original_scripts"


@dataclass(frozen=True)
class Site:
    """A folder with a script, and how a server is started in it.

    `script` is a file of `original_scripts`, copied to `entry`. `files` (name -> text) are written beside it. The
    command runs in `folder`, with `arguments` and with `environment` added; `{root}` in a value of these is the site's
    folder. `console` starts it as the installed command does (sys.path begins with the folder of the command), not by
    `python -m` (sys.path begins with the current folder).
    """

    script: str
    entry: str = "score.py"
    files: Mapping[str, str] = field(default_factory=dict)
    folder: str = "."
    arguments: tuple[str, ...] = ("--entry_script", "score.py")
    environment: Mapping[str, str] = field(default_factory=dict)
    console: bool = False


@dataclass(frozen=True)
class Case:
    """One request to one site and the least that its answer must be: the status, and a part of the body.

    `line` is the request line without the protocol, `headers` are "Name: value" lines. `document` marks an answer that
    is a generated swagger document, of which only the structure counts; `health` sends to the health port.
    """

    site: str
    name: str
    line: str
    headers: tuple[str, ...] = ()
    body: bytes = b""
    status: int = 200
    shows: str = ""
    document: bool = False
    health: bool = False

    @property
    def id(self) -> str:
        return f"{self.site}: {self.name}"

    def request(self) -> bytes:
        """The request as it goes over the wire; the length is told unless the headers say something of it."""
        head = [f"{self.line} HTTP/1.1", "Host: localhost", *self.headers]
        if not any(line.startswith(("Transfer-Encoding:", "Content-Length:")) for line in self.headers):
            head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True)
class Expected:
    """What one server must answer: status, a part of the body, and all values of each header named (none: absent)."""

    status: int
    shows: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A request that our server answers otherwise than the original, on purpose."""

    case: Case
    why: str
    theirs: Expected
    ours: Expected

    @property
    def site(self) -> str:
        return self.case.site

    @property
    def id(self) -> str:
        return f"{self.case.id} (differs)"


# What is answered again and again ------------------------------------------------------------------------------------

NOT_FOUND = (
    '{"message": "The requested URL was not found on the server. '
    'If you entered the URL manually please check your spelling and try again."}'
)
NOT_ALLOWED = '{"message": "The method is not allowed for the requested URL."}'
NOT_UNDERSTOOD = '{"message": "The browser (or proxy) sent a request that this server could not understand."}'
SCRIPT_FAILED = '{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}'
INTERNAL = '{"message": "An unexpected internal error occurred. Check the logs for more info."}'
EXPECTS_JSON = '{"message": "Expects Content-Type to be application/json"}'
LONG_R = '{"message": "x-request-id must not exceed 100 characters"}'
LONG_M = '{"message": "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"}'
BARE_500 = "<h1><p>Internal Server Error</p></h1>"

JSON = "Content-Type: application/json"
M_LONG = "x-ms-request-id: " + "l" * 101
FORM = "Content-Type: application/x-www-form-urlencoded"
PARTS = "Content-Type: multipart/form-data; boundary=B"
TEXT = "Content-Type: text/plain"
CHUNKED = "Transfer-Encoding: chunked"
OF_3 = "Content-Length: 3"
A_FORM = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n'
A_BIG_FORM = A_FORM.replace(b"1", b"1" * 600_000)
A_FILE = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\x00\xff\r\n--B--\r\n'


def chunks(*pieces: bytes) -> bytes:
    """These pieces as the body of a chunked request."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def calls(site: str, rows: Iterable[tuple[str, int, str]]) -> list[Case]:
    """One POST /score per row (body, status, part of the answer)."""
    return [
        Case(site, name, "POST /score", body=name.encode(), status=status, shows=shows) for name, status, shows in rows
    ]


# The sites -----------------------------------------------------------------------------------------------------------

MODULE = "NAME = __name__\n"

SITES: Mapping[str, Site] = {
    "plain": Site("plain.py"),
    "raw": Site("raw.py"),
    "schema": Site("schema.py"),
    "mixed": Site("mixed.py", environment={"SERVICE_NAME": "Näme's <service>", "SERVICE_VERSION": "7"}),
    "results": Site("results.py"),
    "responses": Site("responses.py"),
    "errors": Site(
        "errors.py",
        environment={"SCORING_TIMEOUT_MS": "300"},
        files={
            "swagger.json": '{"swagger": "2.0", "own": "ü"}',
            "swagger2.json": '{"second": 2}',
            "swagger3.json": "[1, 2.50]",
            "swagger3.1.json": "{}",
        },
    ),
    "world": Site(
        "world.py",
        entry="src/score.py",
        files={
            "beside.py": MODULE,
            "wave.py": MODULE,
            "dateutil.py": MODULE,
            "utils.py": MODULE,
            "src/helper.py": MODULE,
            "lib/libmod.py": MODULE,
        },
        arguments=("--entry_script", "src/score.py", "--model_dir", "models/../x"),
        environment={
            "AZUREML_SOURCE_DIRECTORY": "lib",
            "AML_APP_INSIGHTS_ENABLED": "true",
            "AML_APP_INSIGHTS_KEY": "not a key",
            "SERVER_PORT": "9",
            "WORKER_TIMEOUT": "100",
        },
        console=True,
    ),
    "config": Site(
        "world.py",
        entry="src/score.py",
        files={
            "config.json": json.dumps(
                {
                    "AZUREML_ENTRY_SCRIPT": "src/score.py",
                    "AZUREML_SOURCE_DIRECTORY": "lib",
                    "AZUREML_MODEL_DIR": "models",
                    "SCORING_TIMEOUT_MS": "400",
                    "SERVICE_NAME": "from the file",
                    "SERVICE_VERSION": "from the file",
                    "SERVICE_PATH_PREFIX": "/pre/fix/",
                    "HOSTNAME": None,
                }
            ),
            "beside.py": MODULE,
            "lib/libmod.py": MODULE,
            "elsewhere/current.py": MODULE,
        },
        folder="elsewhere",
        arguments=("--config_file", "../config.json", "--health_port", "{health_port}", "--rest"),
        environment={
            "AML_APP_ROOT": "{root}",
            "SEPERATE_HEALTH_ENDPOINT": "true",
            "SERVICE_VERSION": "from the environment",
            "SERVER_VERSION_LOG_RESPONSE_ENABLED": "false",
            "HTTP_X_MS_SERVER_VERSION": "my own",
        },
    ),
    "file": Site(
        "plain.py",
        files={"config.json": '{"AML_CORS_ORIGINS": "https://file.example"}'},
    ),
    "driver": Site(
        "driver.py",
        files={"code/inner.py": "def init():\n    raise SystemError\n\n\ndef run(data):\n    return ['inner', data]\n"},
        environment={
            "AZUREML_SOURCE_DIRECTORY": "code",
            "SERVER_VERSION_LOG_RESPONSE_ENABLED": "FALSE",
            "SERVICE_PATH_PREFIX": "/",
        },
    ),
    "marked": Site("marked.py"),
    "output": Site("output.py"),
    "main": Site(
        "world.py",
        entry="main.py",
        files={"own.json": '{"SERVICE_NAME": "main", "AZUREML_ENTRY_SCRIPT": null, "UNKNOWN": 1}'},
        arguments=("--config_file=own.json",),
    ),
    "one origin": Site("responses.py", environment={"AML_CORS_ORIGINS": "https://a.example"}),
    "origins": Site(
        "responses.py",
        arguments=(
            "--entry_script=score.py",
            "--access_control_allow_origins",
            r"https://a.example, HTTPS://B.example ,https://.*\.c\.example",
        ),
    ),
    "any origin": Site("raw.py", arguments=("--entry_script", "score.py", "--access_control_allow_origins", "*")),
    "telemetry": Site(
        "responses.py",
        arguments=(
            "--entry_script",
            "score.py",
            "--appinsights_instrumentation_key",
            "12345678-1234-1234-1234-123456789abc",
        ),
        environment={
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        },
    ),
}

# Undecorated run(): the query ----------------------------------------------------------------------------------------


DEEP = "[" * 2000


def is_too_deep(text: str) -> bool:
    """Whether this Python gives up before it sees that the JSON never ends, as it does up to 3.12."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        pass
    return False


def query(name: str, text: str, shows: str) -> Case:
    return Case("plain", f"query {name}", f"GET /score{text}", shows=json.dumps(shows))


QUERY = [
    query("absent", "", "{}"),
    query("empty", "?", "{}"),
    query("integer", "?a=1", '{"a": 1}'),
    query("text that looks like an integer", "?a=%221%22", '{"a": "1"}'),
    query("null", "?a=null", '{"a": null}'),
    query("true", "?a=true", '{"a": true}'),
    query("True", "?a=True", '{"a": "True"}'),
    query("list", "?a=[1,2]", '{"a": [1, 2]}'),
    query("object", "?a={%22k%22:1}", '{"a": {"k": 1}}'),
    query("spaces around", "?a=%201%20", '{"a": 1}'),
    query("plus before", "?a=+1", '{"a": 1}'),
    query("leading zeros", "?a=007", '{"a": "007"}'),
    query("exponent", "?a=1e5", '{"a": 100000.0}'),
    query("minus zero", "?a=-0", '{"a": 0}'),
    query("big integer", "?a=12345678901234567890123", '{"a": 12345678901234567890123}'),
    query("half a number", "?a=.5", '{"a": ".5"}'),
    query("half a list", "?a=[1", '{"a": "[1"}'),
    query("single quotes", "?a='x'", '{"a": "\'x\'"}'),
    query("bare double quotes", '?a="x"', '{"a": "x"}'),
    query("a lone double quote", "?a=%22", '{"a": "\\""}'),
    query("empty value", "?a=", '{"a": ""}'),
    query("no equals sign", "?a", '{"a": ""}'),
    query("no name", "?=1", '{"": 1}'),
    query("two equals signs", "?a==1", '{"a": "=1"}'),
    query("repeated", "?a=1&a=2", '{"a": [1, 2]}'),
    query("repeated and mixed", "?a=1&b=2&a=x", '{"a": [1, "x"], "b": 2}'),
    query("repeated list", "?a=[1]&a=[2]", '{"a": [[1], [2]]}'),
    query("names in both cases", "?A=1&a=2", '{"A": 1, "a": 2}'),
    query("plus", "?a=x+y", '{"a": "x y"}'),
    query("plus in a name", "?a+b=1", '{"a b": 1}'),
    query("semicolon", "?a=1;b=2", '{"a": "1;b=2"}'),
    query("empty pairs", "?&&a=1&", '{"a": 1}'),
    query("brackets in a name", "?a[]=1", '{"a[]": 1}'),
    query("NaN", "?a=NaN", '{"a": NaN}'),
    query("-Infinity", "?a=-Infinity", '{"a": -Infinity}'),
    query("1e999", "?a=1e999", '{"a": Infinity}'),
    query("umlaut", "?a=%C3%BC", '{"a": "\\u00fc"}'),
    query("emoji", "?a=%F0%9F%98%80", '{"a": "\\ud83d\\ude00"}'),
    query("lone surrogate", "?a=%22\\ud800%22", '{"a": "\\ud800"}'),
    query("not UTF-8", "?a=%FF", '{"a": "%FF"}'),
    query("bad escape", "?a=%zz", '{"a": "%zz"}'),
    query("NUL", "?a=%00", '{"a": "\\u0000"}'),
    query("ampersand escaped", "?a=%26", '{"a": "&"}'),
    query("question mark", "?a=1?b=2", '{"a": "1?b=2"}'),
    query("fragment", "?a=1#b", '{"a": 1}'),
    query("name of a header parameter", "?request_headers=1", '{"request_headers": 1}'),
    query("hundreds of values", "?" + "&".join("a=1" for _ in range(300)), '{"a": [' + ", ".join(["1"] * 300) + "]}"),
    Case("plain", "query of deep JSON", f"GET /score?a={DEEP}", status=500, shows=INTERNAL)
    if is_too_deep(DEEP)
    else query("of deep JSON", f"?a={DEEP}", json.dumps({"a": DEEP})),
    Case("plain", "query with a body", "GET /score?a=1", (JSON,), b'{"a": 2}', shows=r"{\"a\": 1}"),
    Case("plain", "query is not ASCII", "GET /score?a=\xfc", status=400, shows="Bad Request"),
    Case("plain", "query too long", "GET /score?a=" + "x" * 5000, status=414, shows="URI Too Long"),
]

# Undecorated run(): the body -----------------------------------------------------------------------------------------


def body(name: str, content: bytes, shows: str, *headers: str) -> Case:
    return Case("plain", f"body {name}", "POST /score", headers, content, shows=f'"data": {json.dumps(shows)}')


def not_utf8(name: str, content: bytes, shows: str, *headers: str) -> Case:
    message = f"Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte {shows}"
    return Case("plain", f"body {name}", "POST /score", headers, content, 400, message)


BODY = [
    body("empty", b"", ""),
    Case("plain", "body absent, no length told", "POST /score", (CHUNKED,), b"0\r\n\r\n", shows='"data": ""'),
    body("text without a type", b"abc", "abc"),
    body("JSON", b'{"a": 1}', '{"a": 1}', JSON),
    body("as another type", b"abc", "abc", TEXT),
    body("type that is none", b"abc", "abc", "Content-Type: ???"),
    body("UTF-8", "Grüße €\U0001f600".encode(), "Grüße €\U0001f600"),
    body("BOM kept", b"\xef\xbb\xbf{}", "\ufeff{}"),
    body("line ends kept", b"a\r\nb\rc\n", "a\r\nb\rc\n"),
    body("NUL", b"a\0b", "a\0b"),
    body("large", b"x" * 2_000_000, "x" * 2_000_000),
    Case("plain", "body with a query", "POST /score?a=1", body=b"abc", shows='"data": "abc"'),
    body("form", b"a=1", "", FORM),
    body("form with a charset", b"a=1", "", FORM + "; charset=utf-8"),
    body("form not UTF-8", b"a=\xff", "", FORM),
    body("form of 600 kB", b"a=" + b"x" * 600_000, "", FORM),
    body("multipart", A_FORM, "", PARTS),
    body("multipart with a file", A_FILE, "", PARTS),
    Case("plain", "body multipart too large", "POST /score", (PARTS,), A_BIG_FORM, 413, "exceeds the capacity limit"),
    body("multipart without a boundary", b"x", "x", "Content-Type: multipart/form-data"),
    body("multipart of another kind", b"x", "x", "Content-Type: multipart/mixed; boundary=B"),
    body("unknown charset", b"x", "x", TEXT + "; charset=nonsense"),
    not_utf8("not UTF-8", b"a\xffb", "0xff in position 1: invalid start byte"),
    not_utf8("cut in a character", b"a\xc3", "0xc3 in position 1: unexpected end of data"),
    not_utf8("surrogates in UTF-8", b"\xed\xa0\x80", "0xed in position 0: invalid continuation byte"),
    not_utf8("compressed", b"\x1f\x8b\x08", "0x8b in position 1: invalid start byte", "Content-Encoding: gzip"),
    not_utf8("UTF-16 undeclared", "ab".encode("utf-16"), "0xff in position 0: invalid start byte"),
    Case("plain", "body in chunks", "POST /score", (CHUNKED,), chunks(b"abc", b"de"), shows='"data": "abcde"'),
    Case(
        "plain",
        "body in chunks cut in a character",
        "POST /score",
        (CHUNKED,),
        chunks(b"\xc3", b"\xbc"),
        shows="\\u00fc",
    ),
    Case(
        "plain", "body with a chunk extension", "POST /score", (CHUNKED,), b"3;x=y\r\nabc\r\n0\r\n\r\n", shows='"abc"'
    ),
    Case("plain", "body with a trailer", "POST /score", (CHUNKED,), b"3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n", shows='"abc"'),
    Case("plain", "body in broken chunks", "POST /score", (CHUNKED,), b"zz\r\nabc\r\n0\r\n\r\n", 500, INTERNAL),
    Case("plain", "length told twice", "POST /score", (OF_3, OF_3), b"abc", 400, "Bad Request"),
    Case("plain", "length is no number", "POST /score", ("Content-Length: x",), b"abc", 400, "Bad Request"),
    Case("plain", "length and chunks", "POST /score", (CHUNKED, OF_3), chunks(b"abc"), 400, "Bad Request"),
    Case("plain", "type told twice", "POST /score", (JSON, TEXT), b"{}", 400, "Bad Request"),
]

# Routes, methods, health ---------------------------------------------------------------------------------------------

ROUTES = [
    Case("plain", "GET /", "GET /", shows="Healthy"),
    Case("plain", "GET / with a query", "GET /?a=1", shows="Healthy"),
    Case("plain", "GET / with a body", "GET /", (), b"abc", shows="Healthy"),
    Case("plain", "HEAD /", "HEAD /"),
    Case("plain", "OPTIONS /", "OPTIONS /"),
    Case("plain", "OPTIONS /score", "OPTIONS /score"),
    Case("plain", "OPTIONS /score with a preflight", "OPTIONS /score", ("Access-Control-Request-Method: POST",)),
    Case("plain", "OPTIONS /swagger.json", "OPTIONS /swagger.json"),
    Case("plain", "HEAD /score", "HEAD /score", status=405),
    Case("plain", "//score", "POST //score", body=b"abc", shows="abc"),
    Case("plain", "escaped letter in the path", "GET /sc%6Fre", shows="{}"),
    Case("plain", "absolute address", "GET http://elsewhere:99/score?a=1", shows=r"{\"a\": 1}"),
    Case("plain", "method in lower case", "get /score", status=400, shows="Bad Request"),
    Case("plain", "header too long", "GET /", ("X-A: " + "a" * 8300,), status=431, shows="Request Header Fields"),
    Case("plain", "header without a colon", "GET /", ("X-A",), status=400, shows="Bad Request"),
    Case("plain", "GET with a body that does not come", "GET /score", (OF_3,), shows="{}"),
    Case("plain", "GET / with a body that does not come", "GET /", (OF_3,), shows="Healthy"),
    Case("plain", "OPTIONS with a body that does not come", "OPTIONS /score", (OF_3,)),
    Case("plain", "refused before its body comes", "POST /score", (OF_3, M_LONG), status=431, shows=LONG_M),
    Case("plain", "expects something else", "GET /score", ("Expect: x",), status=417, shows="Expectation Failed"),
    Case("plain", "host told twice", "GET /score", ("Host: b",), status=400, shows="Bad Request"),
    Case("plain", "many headers", "GET /", tuple(f"X-{n}: 1" for n in range(120)), status=431, shows="Request Header"),
    Case("plain", "expects to continue", "POST /score", ("Expect: 100-continue",), b"abc", shows="abc"),
]

# Request ids ---------------------------------------------------------------------------------------------------------

R, M, C, T = "x-request-id: ", "x-ms-request-id: ", "x-ms-client-request-id: ", "TraceId: "
FITS, LONG = "k" * 100, "l" * 101


def ids(name: str, *headers: str, status: int = 200, shows: str = "") -> list[Case]:
    """The same ids sent to the liveness probe and to run()."""
    return [
        Case("plain", f"ids {name} on {path}", f"GET {path}", headers, b"", status, shows) for path in ("/", "/score")
    ]


def too_long(name: str, shows: str, *headers: str) -> Case:
    return Case("plain", f"ids {name}", "GET /score", headers, status=431, shows=shows)


IDS = [
    *ids("none"),
    *ids("r", R + "r"),
    *ids("m", M + "m"),
    *ids("c", C + "c"),
    *ids("r m", R + "r", M + "m"),
    *ids("m c", M + "m", C + "c"),
    *ids("r c", R + "r", C + "c"),
    *ids("r m c", R + "r", M + "m", C + "c"),
    *ids("empty m", M),
    *ids("empty c", C),
    *ids("empty m, c", M, C + "c"),
    *ids("m, empty c", M + "m", C),
    *ids("r twice", R + "a", R + "b"),
    *ids("m twice", M + "a", M + "b"),
    *ids("all of 100", R + FITS, M + FITS, C + FITS),
    *ids("in another case", "X-REQUEST-ID: r", "X-Ms-Client-Request-Id: c"),
    *ids("with an underscore", "x_request_id: r"),
    *ids("spaces around", R + "  a b\t"),
    *ids("beyond ASCII", R + "\xfc", C + "\xe9"),
    *ids("trace", T + "t"),
    *ids("trace in lower case", "traceid: t"),
    *ids("trace twice", T + "t", T + "u"),
    *ids("trace empty", T),
    *ids("trace of 500", T + "t" * 500),
    *ids("another trace", "traceparent: 00-1-1-00", "trace-id: x"),
    too_long("r too long", LONG_R, R + LONG),
    too_long("m too long", LONG_M, M + LONG),
    too_long("c too long", LONG_M, C + LONG),
    too_long("r and m too long", LONG_R, R + LONG, M + LONG),
    too_long("r, m too long", LONG_M, R + "r", M + LONG),
    too_long("m too long, c", LONG_M, M + LONG, C + "c"),
    too_long("r too long, m", LONG_R, R + LONG, M + "m", C + "c"),
    too_long("r too long when joined", LONG_R, R + "a" * 60, R + "b" * 60),
    too_long("r too long, trace", LONG_R, R + LONG, T + "t"),
    Case("plain", "ids too long on POST", "POST /score", (R + LONG,), b"\xff", 431, LONG_R),
    Case("plain", "ids too long on OPTIONS", "OPTIONS /score", (R + LONG,), status=431, shows=LONG_R),
    Case("plain", "ids too long on HEAD", "HEAD /score", (R + LONG,), status=431),
    Case("plain", "ids too long on swagger", "GET /swagger.json", (M + LONG,), status=431, shows=LONG_M),
    Case("plain", "ids on OPTIONS", "OPTIONS /", (R + "r", M + "m", T + "t")),
    Case("plain", "ids on HEAD", "HEAD /score", (R + "r", T + "t"), status=405),
    Case("plain", "ids on an error", "POST /score", (C + "c", T + "t"), b"\xff", 400, "UTF-8"),
]

# @rawhttp ------------------------------------------------------------------------------------------------------------


def raw(name: str, line: str, shows: str = "", *headers: str, body: bytes = b"", status: int = 200) -> Case:
    return Case("raw", name, line, headers, body, status, shows)


RAW = [
    raw("GET", "GET /score?b=1&b=2", '"method": "GET"'),
    raw("POST", "POST /score?b=1&b=%C3%BC", '"body": "abc"', TEXT, "X-A: 1", "X-a: 2", body=b"abc"),
    raw("OPTIONS", "OPTIONS /score", '"method": "OPTIONS"'),
    raw("HEAD", "HEAD /score"),
    raw("HEAD with a status", "HEAD /score?do=preflight", status=204),
    raw("form", "POST /score", r'"form": {"a": ["1", "2"], "b": ["\u00fc"]}', FORM, body=b"a=1&a=2&b=%C3%BC"),
    raw("multipart", "POST /score", r'"files": {"f": "\u0000\u00ff"}', PARTS, body=A_FILE),
    raw("binary body", "POST /score?do=data", "\0", body=b"\0\xff\xfe"),
    raw("body read as a stream", "POST /score?do=stream", "abc", body=b"abc"),
    raw("form read as data", "POST /score?do=data", "a=1", FORM, body=b"a=1"),
    raw("compressed body", "POST /score?do=data", "\x1f", "Content-Encoding: gzip", body=b"\x1f\x8b\x08"),
    raw("body in chunks", "POST /score?do=data", "abcde", CHUNKED, body=chunks(b"abc", b"de")),
    raw("echo of chunks", "POST /score", '"content length": null', CHUNKED, body=chunks(b"abc")),
    raw("JSON", "POST /score?do=json", '{"a": 1}', JSON, body=b'{"a":1}'),
    raw("JSON broken", "POST /score?do=json", SCRIPT_FAILED, JSON, body=b"{", status=500),
    raw("JSON of another type", "POST /score?do=json", SCRIPT_FAILED, TEXT, body=b"{}", status=500),
    raw("JSON silently", "POST /score?do=get_json", "{}", TEXT, body=b"{"),
    raw("missing form field", "POST /score?do=form%20key", SCRIPT_FAILED, FORM, body=b"a=1", status=500),
    raw("text", "POST /score?do=text", r'"\u00fc"', TEXT, body="ü".encode()),
    raw("types", "POST /score?do=types", '"type": "LocalProxy"', body=b"abc"),
    raw("request of Flask's too", "POST /score?do=both", '["abc", "abc"]', body=b"abc"),
    raw("imports", "POST /score?do=names", '"rawhttp returns the function": true'),
    raw("abort", "POST /score?do=abort%20409", SCRIPT_FAILED, status=500),
    raw("redirect", "POST /score?do=redirect", "/elsewhere", status=302),
    raw("jsonify", "POST /score?do=jsonify", '{"a":[1,2]}\n'),
    raw("jsonify of mixed keys", "POST /score?do=jsonify%20mixed", SCRIPT_FAILED, status=500),
    raw("stream with the context", "POST /score?do=stream%20with%20context", "13\r\nstream with context\r\n"),
    raw("stream without the context", "POST /score?do=late%20stream", BARE_500, status=500),
    raw("make_response", "POST /score?do=make_response", "made", status=202),
    raw("after this request", "POST /score?do=after", '"done"'),
    raw("url_for", "POST /score?do=url_for", '"/score"'),
    raw("template", "POST /score?do=template", '"2"'),
    raw("own preflight", "OPTIONS /score?do=preflight", status=204),
    raw("tuple", "POST /score?do=tuple", '["text", 404]'),
    raw("nothing", "POST /score?do=none", "{}"),
    raw("send_file", "POST /score?do=send_file", "import flask"),
    raw("contexts", "POST /score?do=context", "[true, true]"),
    raw("ids too long", "POST /score", LONG_R, R + LONG, status=431),
    raw("body not UTF-8", "POST /score", r'"body": "\u00ff"', body=b"\xff"),
    raw("body that does not come", "POST /score?do=none", "{}", OF_3),
    raw("form of 600 kB", "POST /score", "xxx", FORM, body=b"a=" + b"x" * 600_000),
    raw("multipart that is too large", "POST /score", SCRIPT_FAILED, PARTS, body=A_BIG_FORM, status=500),
    raw("wrong type for a schema", "POST /score", '"body": "x"', "Content-Type: image/png", body=b"x"),
]

# inference-schema ----------------------------------------------------------------------------------------------------


def schema(name: str, content: bytes | str, shows: str, *headers: str, status: int = 200) -> Case:
    sent = content.encode() if isinstance(content, str) else content
    return Case("schema", name, "POST /score", headers or (JSON,), sent, status, shows)


def value(text: str, shows: str, status: int = 200) -> Case:
    """One parameter's JSON beside the required number."""
    return schema(f"value {text}", f'{{"number": 1, {text}}}', shows, status=status)


def typed(content_type: str, status: int = 200) -> Case:
    shows = EXPECTS_JSON if status == 415 else '"number": ["int", 1]'
    return schema(f"type {content_type!r}", '{"number": 1}', shows, f"Content-Type: {content_type}", status=status)


def refused(name: str, content: bytes | str, shows: str) -> Case:
    return schema(name, content, f"POST body {shows}", status=400)


def schema_query(text: str, shows: str, status: int = 200) -> Case:
    return Case("schema", f"query {text}", f"GET /score{text}", status=status, shows=shows)


MISSING = "A value is not provided for the 'number' parameter."
NO_OBJECT = "should be a JSON dictionary."
BROKEN = "could not be decoded as JSON: "
QUOTED = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"

SCHEMA = [
    schema("number", '{"number": 1.5}', '"number": ["float", 1.5]'),
    schema("integer", '{"number": 1}', '"number": ["int", 1]'),
    schema("number as text", '{"number": "1"}', SCRIPT_FAILED, status=500),
    schema("null", '{"number": null}', SCRIPT_FAILED, status=500),
    schema("true", '{"number": true}', SCRIPT_FAILED, status=500),
    schema("NaN", '{"number": NaN}', '"number": ["float", NaN]'),
    schema("1e999", '{"number": 1e999}', '"number": ["float", Infinity]'),
    schema("name twice", '{"number": 1, "number": 2}', '"number": ["int", 2]'),
    schema("missing", "{}", MISSING, status=400),
    schema("missing, others there", '{"text": "a"}', MISSING, status=400),
    schema("name in another case", '{"Number": 1}', MISSING, status=400),
    schema("extra key", '{"number": 1, "extra": 2}', '"number": ["int", 1]'),
    value('"text": "ü"', r'"text": ["str", "\u00fc"]'),
    value('"text": 5', SCRIPT_FAILED, 500),
    value('"flag": true', '"flag": ["bool", true]'),
    value('"flag": 1', SCRIPT_FAILED, 500),
    value('"listing": [1, 2]', '"listing": ["list", [1, 2]]'),
    value('"listing": ["a"]', '"listing": ["list", ["a"]]'),
    value('"listing": {}', SCRIPT_FAILED, 500),
    value('"moment": "2024-05-06T07:08:09Z"', '["datetime", "2024-05-06T07:08:09+00:00"]'),
    value('"moment": "2024-05-06"', '["datetime", "2024-05-06T00:00:00"]'),
    value('"moment": "x"', SCRIPT_FAILED, 500),
    value('"blob": "Ynl0ZXM="', '"blob": ["bytes", "bytes"]'),
    value('"blob": "YQ"', SCRIPT_FAILED, 500),
    value('"array": [[1, 2]]', '"array": ["ndarray", "int64", [[1, 2]]]'),
    value('"array": [[1.5, 2]]', '"array": ["ndarray", "int64", [[1, 2]]]'),
    value('"array": [1, 2]', SCRIPT_FAILED, 500),
    value('"array": [["a", "b"]]', SCRIPT_FAILED, 500),
    value('"array": 5', SCRIPT_FAILED, 500),
    value('"frame": [{"a": 1, "b": "x"}]', '"data": [[1, "x"]]'),
    value('"frame": {"a": [1], "b": ["x"]}', '"data": [[1, "x"]]'),
    value('"frame": [{"a": 1}]', SCRIPT_FAILED, 500),
    value('"frame": []', SCRIPT_FAILED, 500),
    value(
        '"nested": {"array": [1, 2], "name": "z"}',
        '{"array": ["ndarray", "float64", [1.0, 2.0]], "name": ["str", "z"]}',
    ),
    value('"nested": {"other": 1}', '{"other": ["int", 1]}'),
    value('"nested": []', SCRIPT_FAILED, 500),
    value('"free": {"a": [1, null]}', '"free": ["dict", {"a": ["list", [1, null]]}]'),
    value('"free": null', '"free": ["NoneType", null]'),
    value('"free": "\\ud800"', r'"free": ["str", "\ud800"]'),
    value('"request_headers": {"X-Own": "of the body"}', '"request_headers": ["dict", null]'),
    schema("request headers", '{"number": 1}', '"request_headers": ["dict", "a,b"]', JSON, "X-Own: a", "x-own: b"),
    typed("application/json; charset=utf-8"),
    typed("APPLICATION/JSON"),
    typed("application/vnd.own+json"),
    typed("application/json-patch+json; a=b"),
    typed("application/json;charset=latin-1"),
    typed("application/jsonx", 415),
    typed("application/json, text/plain", 415),
    typed("text/json", 415),
    typed("text/plain", 415),
    typed("image/svg+json", 415),
    typed("application/x-www-form-urlencoded", 415),
    typed("", 415),
    Case("schema", "no type", "POST /score", (), b'{"number": 1}', 415, EXPECTS_JSON),
    Case("schema", "no type, no body", "POST /score", status=415, shows=EXPECTS_JSON),
    refused("empty body", "", "is empty. Expecting a JSON dictionary."),
    refused("blank body", " ", BROKEN + "Expecting value: line 1 column 2 (char 1)"),
    refused("broken JSON", "{", BROKEN + QUOTED),
    refused("single quotes", "{'number': 1}", BROKEN + QUOTED),
    refused("more after the JSON", '{"number": 1} x', BROKEN + "Extra data: line 1 column 15 (char 14)"),
    refused("control character", '{"number": 1, "free": "a\nb"}', BROKEN + "Invalid control character at"),
    refused("a list", "[1]", NO_OBJECT),
    refused("a text", '"a"', NO_OBJECT),
    refused("a null", "null", NO_OBJECT),
    refused("a number", "5", NO_OBJECT),
    schema("UTF-8 with a BOM", b'\xef\xbb\xbf{"number": 1}', '"number": ["int", 1]'),
    schema("UTF-16", '{"number": 1}'.encode("utf-16"), '"number": ["int", 1]'),
    schema("UTF-16 without a BOM", '{"number": 1}'.encode("utf-16-le"), '"number": ["int", 1]'),
    schema("UTF-32", '{"number": 1}'.encode("utf-32"), '"number": ["int", 1]'),
    schema("JSON too deep", b'{"number": ' + b"[" * 100_000, INTERNAL, status=500),
    schema("in chunks", chunks(b'{"num', b'ber": 1}'), '"number": ["int", 1]', JSON, CHUNKED),
    Case("schema", "query beside a body", "POST /score?number=1", (JSON,), b"{}", 400, MISSING),
    Case("schema", "body beside a query", "GET /score?number=1", (JSON,), b'{"number": 2}', shows='["int", 1]'),
    Case("schema", "refused before its body comes", "POST /score", (TEXT, OF_3), status=415, shows=EXPECTS_JSON),
    Case("schema", "GET with a body that does not come", "GET /score?number=1", (OF_3,), shows='["int", 1]'),
    Case("schema", "OPTIONS", "OPTIONS /score"),
    Case("schema", "HEAD", "HEAD /score?number=1", status=405),
    schema_query("", MISSING, 400),
    schema_query("?number=1.5&text=a", '"text": ["str", "a"]'),
    schema_query("?number=1&text=5", SCRIPT_FAILED, 500),
    schema_query("?number=1&text=%225%22", '"text": ["str", "5"]'),
    schema_query("?number=1&flag=true", '"flag": ["bool", true]'),
    schema_query("?number=1&flag=True", SCRIPT_FAILED, 500),
    schema_query("?number=1&listing=[1,2]", '"listing": ["list", [1, 2]]'),
    schema_query("?number=1&listing=1&listing=2", '"listing": ["list", [1, 2]]'),
    schema_query("?number=1&listing=1", SCRIPT_FAILED, 500),
    schema_query("?number=1&array=[[1,2]]", '"array": ["ndarray", "int64", [[1, 2]]]'),
    schema_query("?number=x", SCRIPT_FAILED, 500),
    schema_query("?number", SCRIPT_FAILED, 500),
    schema_query("?number=1&other=2", '"number": ["int", 1]'),
    schema_query("?number=1&number=2", SCRIPT_FAILED, 500),
    schema_query("?number=1&request_headers=2", '"request_headers": ["dict", null]'),
    Case("output", "POST", "POST /score", (JSON,), b'{"data": [1]}', shows='{"data": [1], "count": 2}'),
    Case("output", "POST of another type", "POST /score", (TEXT,), b'{"data": [1]}', 415, EXPECTS_JSON),
    Case("output", "missing", "POST /score", (JSON,), b'{"count": 1}', 400, "'data' parameter"),
    Case("output", "GET", "GET /score?data=007&count=3", shows='{"data": "007", "count": 3}'),
    Case("mixed", "beneath a wrapper", "POST /score", (JSON,), b'{"data": [1]}', shows='["wrapped", [1]]'),
    Case("mixed", "beneath a wrapper, missing", "POST /score", (JSON,), b"{}", 400, "'data' parameter"),
]

# What run() returns --------------------------------------------------------------------------------------------------

RESULTS = calls(
    "results",
    [
        ("nothing", 200, "{}"),
        ("empty dictionary", 200, "{}"),
        ("empty text", 200, '""'),
        ("false", 200, "false"),
        ("zero", 200, "0"),
        ("integer", 200, "12345678901234567890123"),
        ("float", 200, "0.30000000000000004"),
        ("float 1.0", 200, "1.0"),
        ("text", 200, r'"Gr\u00fc\u00dfe \u2028 \ud83d\ude00 </script> \u0000 \"quoted\" \\"'),
        ("lone surrogate", 200, r'"\ud800"'),
        ("JSON in text", 200, r'"{\"a\": 1}"'),
        ("list", 200, '[1, "two", null, true, [3.5]]'),
        ("dictionary", 200, '{"b": 1, "a": {"c": []}}'),
        ("tuple", 200, '[{"a": 1}, 404]'),
        ("tuple with headers", 200, '["text", 201, {"X-Own": "1"}]'),
        ("named tuple", 200, "[1, 2]"),
        ("text subclass", 200, '"sub"'),
        ("integer enumeration", 200, "1"),
        ("ordered dictionary", 200, '{"z": 1, "a": 2}'),
        ("counter", 200, '{"a": 2, "b": 1}'),
        ("integer keys", 200, '{"1": "a", "2.5": "b", "null": "c", "false": "d"}'),
        ("NaN", 200, "[NaN, Infinity, -Infinity]"),
        ("numpy float64", 200, "1.5"),
        ("nested 100", 200, "[" * 100 + "0" + "]" * 100),
        ("large", 200, "19998, 19999]"),
    ],
)

UNSERIALISABLE = [
    "bytes",
    "set",
    "date",
    "decimal",
    "fraction",
    "uuid",
    "object",
    "enumeration",
    "generator",
    "coroutine",
    "circular",
    "tuple keys",
    "nested 100000",
    "function",
    "exception",
]
NUMPY = ["numpy array", "numpy int64", "numpy float32", "numpy bool"]

RESPONSES = [
    *calls(
        "responses",
        [
            ("aml text", 200, "text"),
            ("aml 201", 201, "made"),
            ("aml 204", 204, ""),
            ("aml 304", 304, ""),
            ("aml 400", 400, "bad"),
            ("aml 500", 500, "broken"),
            ("aml 503 failed", 503, "broken"),
            ("aml 200 failed", 200, "odd"),
            ("aml failed by text", 200, "odd"),
            ("aml failed empty", 200, "odd"),
            ("aml 333", 333, "a"),
            ("aml 499", 499, "a"),
            ("aml 555", 555, "a"),
            ("aml 600", 600, "a"),
            ("aml status object", 202, "a"),
            ("aml status text", 201, "a"),
            ("aml status text number", 202, "a"),
            ("aml status words", 500, BARE_500),
            ("aml status none", 200, "a"),
            ("aml nothing", 200, "{}"),
            ("aml nothing json", 200, "{}"),
            ("aml nothing with headers", 202, "{}"),
            ("aml dictionary json", 200, r'{"b": "\u00fc", "a": [1]}'),
            ("aml text json", 200, '"text"'),
            ("aml list json", 200, "[1, null, NaN]"),
            ("aml false json", 200, "false"),
            ("aml object json", 500, SCRIPT_FAILED),
            ("aml bytes json", 500, SCRIPT_FAILED),
            ("aml bytes", 200, "PNG"),
            ("aml unicode", 200, "Grüße"),
            ("aml dictionary", 200, "onetwo"),
            ("aml list", 200, "onetwo"),
            ("aml integer", 500, BARE_500),
            ("aml false", 500, BARE_500),
            ("aml zero", 500, BARE_500),
            ("aml empty", 200, ""),
            ("aml generator", 200, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
            ("aml generator of integers", 200, "1\r\na\r\n"),
            ("aml generator breaks", 200, "1\r\na\r\n"),
            ("aml generator breaks at once", 500, BARE_500),
            ("aml file", 200, "from a file"),
            ("aml headers", 200, "a"),
            ("aml header list", 200, "a"),
            ("aml header empty", 200, "a"),
            ("aml header commas", 200, "a"),
            ("aml header number", 500, SCRIPT_FAILED),
            ("aml header none", 500, SCRIPT_FAILED),
            ("aml header bytes", 500, SCRIPT_FAILED),
            ("aml header newline", 500, SCRIPT_FAILED),
            ("aml header unicode", 200, "a"),
            ("aml header beyond latin", 500, BARE_500),
            ("aml headers none", 500, SCRIPT_FAILED),
            ("aml headers pairs", 500, SCRIPT_FAILED),
            ("aml header repeated case", 200, "a"),
            ("aml quoted comma", 200, "a"),
            ("aml cookie", 200, "a"),
            ("aml content type", 200, "<a/>"),
            ("aml content type charset", 200, "a"),
            ("aml content length", 200, "ab"),
            ("aml location", 302, ""),
            ("aml connection", 200, "a"),
            ("aml own header", 200, "a"),
            ("aml trace", 200, "a"),
            ("aml run failed header 500", 500, "a"),
            ("aml request id", 200, "a"),
            ("aml ms request id", 200, "a"),
            ("aml client request id", 200, "a"),
            ("aml changed later", 200, "body"),
            ("aml cookies", 200, "body"),
            ("aml subclass", 200, "sub"),
            ("aml without status", 500, SCRIPT_FAILED),
            ("aml unknown option", 500, SCRIPT_FAILED),
            ("aml by name", 203, "m"),
            ("aml by position", 203, '{"m": 1}'),
            ("flask text", 200, "plain"),
            ("flask 400", 400, "bad"),
            ("flask 500", 500, "broken"),
            ("flask 599", 599, "broken"),
            ("flask json", 200, '{"a":2,"b":1}\n'),
            ("flask text json", 200, '{"a": 1}'),
            ("flask 500 own failed", 500, "body"),
            ("flask 200 own failed", 200, "body"),
            ("flask repeated header", 200, "body"),
            ("flask comma header", 200, "body"),
            ("flask stream", 200, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
            ("flask stream 500", 500, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
            ("flask redirect", 307, "/other"),
            ("flask attachment", 200, "data"),
            ("flask empty", 200, ""),
        ],
    ),
    Case("responses", "client request id of both", "POST /score", (C + "c",), b"aml client request id", shows="a"),
    Case("responses", "request id of both", "POST /score", (R + "r",), b"aml request id", shows="a"),
]

# Errors --------------------------------------------------------------------------------------------------------------

TIMEOUT = '{"message": "Scoring timeout after 300 ms"}'

ERRORS = calls(
    "errors",
    [
        ("fine", 200, '"fine"'),
        ("value error", 500, SCRIPT_FAILED),
        ("key error", 500, SCRIPT_FAILED),
        ("recursion", 500, SCRIPT_FAILED),
        ("memory", 500, SCRIPT_FAILED),
        ("system error", 500, SCRIPT_FAILED),
        ("stop iteration", 500, SCRIPT_FAILED),
        ("unprintable", 500, SCRIPT_FAILED),
        ("surrogate", 500, SCRIPT_FAILED),
        ("chained", 500, SCRIPT_FAILED),
        ("os error", 500, SCRIPT_FAILED),
        ("timeout error", 500, TIMEOUT),
        ("abort 400", 500, SCRIPT_FAILED),
        ("abort 409", 500, SCRIPT_FAILED),
        ("abort response", 500, SCRIPT_FAILED),
        ("bad request", 500, SCRIPT_FAILED),
        ("request json", 500, SCRIPT_FAILED),
        ("raised response", 500, SCRIPT_FAILED),
        ("slow", 500, TIMEOUT),
        ("swallowed", 200, '["swallowed", "TimeoutError", ""]'),
        ("finally", 500, SCRIPT_FAILED),
        ("slow stream", 200, "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"),
        ("unknown", 500, SCRIPT_FAILED),
    ],
)

# Swagger -------------------------------------------------------------------------------------------------------------


def swagger(site: str, text: str, status: int = 200, shows: str = "", document: bool = False) -> Case:
    return Case(site, f"swagger {text}", f"GET /swagger.json{text}", status=status, shows=shows, document=document)


def documents(site: str, *versions: str) -> list[Case]:
    return [swagger(site, f"?version={version}", document=True, shows="ServiceInput") for version in versions]


def not_valid(site: str, sent: str, version: str, supported: str) -> Case:
    message = f'{{"message": "Swagger version [{version}] is not valid. Supported versions: [{supported}]."}}'
    return swagger(site, f"?version={sent}", 404, message)


SKIPPED = '"Swagger version [2] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."'

SWAGGER = [
    swagger("plain", "", document=True, shows='"swagger": "2.0"'),
    *documents("plain", "2", "2.0", "3", "3.0", "3.1"),
    swagger("plain", "?version=3&version=2", document=True, shows='"openapi": "3.0.3"'),
    swagger("plain", "?Version=3&x=1", document=True, shows='"swagger": "2.0"'),
    Case("plain", "swagger by HEAD", "HEAD /swagger.json?version=4", status=404),
    not_valid("plain", "4", "4", "2, 3, 3.1"),
    not_valid("plain", "", "", "2, 3, 3.1"),
    not_valid("plain", "%202", " 2", "2, 3, 3.1"),
    not_valid("plain", "02", "02", "2, 3, 3.1"),
    not_valid("plain", "3.1.0", "3.1.0", "2, 3, 3.1"),
    not_valid("plain", "%22%C3%BC%22", r"\"\u00fc\"", "2, 3, 3.1"),
    *documents("raw", "2", "3.1"),
    *documents("schema", "2", "3", "3.1"),
    *documents("mixed", "3", "3.1"),
    swagger("mixed", "", 404, SKIPPED),
    swagger("mixed", "?version=2", 404, SKIPPED),
    swagger("mixed", "?version=2.0", 404, SKIPPED.replace("[2]", "[2.0]")),
    not_valid("mixed", "4", "4", "3, 3.1"),
    swagger("errors", "", shows=r'{"swagger": "2.0", "own": "\u00fc"}'),
    swagger("errors", "?version=2.0", shows='"own"'),
    swagger("errors", "?version=3", shows="[1, 2.5]"),
    *documents("errors", "3.1"),
    not_valid("errors", "4", "4", "2, 3, 3.1"),
    *documents("config", "2", "3", "3.1"),
    *documents("driver", "2", "3"),
    *documents("output", "2", "3"),
    *documents("main", "2"),
]

# CORS ----------------------------------------------------------------------------------------------------------------

A, B, EVIL = "Origin: https://a.example", "Origin: https://b.example", "Origin: https://evil.example"
ASKS_POST, ASKS_PUT = "Access-Control-Request-Method: POST", "Access-Control-Request-Method: PUT"


def cross(site: str, name: str, line: str, *headers: str, body: bytes = b"", status: int = 200) -> Case:
    return Case(site, name, line, headers, body, status)


def origins(site: str, *own: tuple[str, ...]) -> list[Case]:
    """The answers to origins of all kinds, and to preflights."""
    sent = [(), (A,), ("Origin: https://A.EXAMPLE",), (EVIL,), ("Origin: null",), ("Origin:",), (A, B), *own]
    return [
        *(cross(site, f"from {' and '.join(headers) or 'nowhere'}", "GET /", *headers) for headers in sent),
        cross(site, "preflight", "OPTIONS /score", A, ASKS_POST),
        cross(site, "preflight with headers", "OPTIONS /score", A, ASKS_POST, "Access-Control-Request-Headers: X-A, b"),
        cross(site, "preflight for PUT", "OPTIONS /score", A, ASKS_PUT),
        cross(site, "preflight without a method", "OPTIONS /score", A),
        cross(site, "preflight from elsewhere", "OPTIONS /score", EVIL, ASKS_POST),
        cross(
            site,
            "preflight of a private network",
            "OPTIONS /",
            A,
            ASKS_POST,
            "Access-Control-Request-Private-Network: true",
        ),
        cross(site, "preflight of swagger", "OPTIONS /swagger.json", A, "Access-Control-Request-Method: get"),
        cross(site, "too long", "GET /score", A, M + LONG, status=431),
    ]


CORS = [
    *origins("one origin"),
    *origins("origins", (B,), ("Origin: https://x.c.example",), ("Origin: http://x.c.example",)),
    *origins("any origin"),
    cross("one origin", "result", "POST /score", A, body=b"aml text"),
    cross("one origin", "error", "POST /score", A, body=b"unknown", status=500),
    cross("one origin", "plain response", "POST /score", A, body=b"flask text"),
    cross("one origin", "own header", "POST /score", A, body=b"flask own origin"),
    cross("one origin", "own Vary", "POST /score", A, body=b"aml header list"),
    cross("origins", "own header", "POST /score", A, body=b"flask own origin"),
    cross("origins", "own Vary", "POST /score", A, body=b"aml header list"),
    cross("any origin", "script's preflight", "OPTIONS /score?do=preflight", A, ASKS_POST, status=204),
    cross("any origin", "HEAD", "HEAD /score", A),
]

# What the script sees ------------------------------------------------------------------------------------------------

VARIABLES = (
    "AML_APP_ROOT",
    "AZUREML_ENTRY_SCRIPT",
    "WORKER_COUNT",
    "WORKER_TIMEOUT",
    "SERVER_PORT",
    "HEALTH_PORT",
    "TRANSPORT_PROTOCOL",
    "AML_APP_INSIGHTS_KEY",
    "AML_APP_INSIGHTS_ENABLED",
    "AZUREML_CONFIG_FILE",
    "AZUREML_SOURCE_DIRECTORY",
    "SEPERATE_HEALTH_ENDPOINT",
    "SERVICE_NAME",
)


def sees(site: str, part: str, shows: str, *headers: str, status: int = 200) -> Case:
    return Case(site, part, "POST /score", headers, part.encode(), status, shows)


WORLD = [
    *(
        case
        for site in ("world", "config")
        for case in (
            sees(site, "attributes", '"__name__": "entry_module"'),
            sees(site, "threads", "[[true], true]"),
            *(sees(site, f"environment {name}", f'"{name}": ') for name in VARIABLES),
            sees(site, "pickle", '"PicklingError"'),
            sees(site, "print", "{}"),
            sees(site, "stdin", '""'),
            sees(site, "asyncio", '"slept"'),
            sees(site, "import main", '"ModuleNotFoundError"'),
        )
    ),
    sees("world", "environment AZUREML_MODEL_DIR", '"models/../x"'),
    sees("world", "environment AML_CORS_ORIGINS", "null"),
    sees("config", "environment HTTP_X_MS_SERVER_VERSION", '"my own"'),
    sees("world", "place .", '"after packages"'),
    sees("world", "place lib", '"after packages"'),
    sees("world", "import beside", '"beside.py"'),
    sees("world", "import libmod", '"lib/libmod.py"'),
    sees("world", "import wave", '"elsewhere"'),
    sees("world", "import dateutil", '"elsewhere"'),
    sees("config", "place .", '"before packages"'),
    sees("config", "place ..", '"after packages"'),
    sees("config", "place ../lib", '"after packages"'),
    sees("config", "import current", '"current.py"'),
    sees("config", "import libmod", '"elsewhere"'),
    sees("world", "arguments", '["dict", "arguments", "kept", "also kept"]'),
    sees(
        "world",
        "headers of all kinds",
        r'"X-A": "1,2", "X-B-C": "\u00fc"',
        "X-A: 1",
        "x-a: 2",
        "x-b-c: \xfc",
        "X_D: 4",
    ),
    sees("world", "headers of a body", '"Content-Type": "text/x"', "Content-Type: text/x", "Content-Encoding: y"),
    Case("world", "query beside the headers", "GET /score?request_headers=1", status=500, shows=SCRIPT_FAILED),
    sees("config", "slow", '"Scoring timeout after 400 ms"', status=500),
    Case("config", "version header of the user's own", "GET /"),
    Case("config", "health port", "GET /", shows="Healthy", health=True),
    Case("config", "scoring on the health port", "POST /score", (), b"threads", shows="[[true], true]", health=True),
    Case("config", "swagger on the health port", "GET /swagger.json", document=True, health=True),
    Case("driver", "inner run()", "POST /score", (), b"x", shows='["inner", "x"]'),
    Case("driver", "version header switched off", "GET /"),
    Case("marked", "GET", "GET /score", ("X-Own: a",), shows='["GET", "", "a", "kept"]'),
    Case("marked", "POST", "POST /score", (FORM,), b"a=1", shows='["POST", "a=1", null, "kept"]'),
    Case("marked", "OPTIONS", "OPTIONS /score", shows='"OPTIONS"'),
    sees("main", "attributes", '"__name__": "main"'),
    sees("main", "environment AZUREML_ENTRY_SCRIPT", "null"),
    sees("main", "environment AZUREML_CONFIG_FILE", "own.json"),
    sees("main", "pickle", "32"),
    Case("telemetry", "result", "POST /score", (), b"aml text", shows="text"),
    Case("telemetry", "error", "POST /score", (), b"unknown", 500, SCRIPT_FAILED),
    Case("telemetry", "binary response", "POST /score", (), b"aml bytes", shows="PNG"),
]

CASES: tuple[Case, ...] = (
    *QUERY,
    *BODY,
    *ROUTES,
    *IDS,
    *RAW,
    *SCHEMA,
    *RESULTS,
    *RESPONSES,
    *ERRORS,
    *SWAGGER,
    *CORS,
    *WORLD,
)

# Where we answer otherwise -------------------------------------------------------------------------------------------

FAILED = "x-ms-run-function-failed"


def call(site: str, name: str, *headers: str) -> Case:
    return Case(site, name, "POST /score", headers, name.encode())


def exits(name: str) -> Difference:
    return Difference(
        call("errors", name),
        "O-11: an exit from run() is an error of the script, with our headers",
        Expected(500, BARE_500, {"x-request-id": (), FAILED: ()}),
        Expected(500, SCRIPT_FAILED, {"x-request-id": ("<uuid 1>",), FAILED: ("True",)}),
    )


def unserialisable(name: str, site: str = "results") -> Difference:
    return Difference(
        call(site, name),
        "O-29: a result that JSON cannot hold is an error of the script",
        Expected(500, INTERNAL, {FAILED: ("False",)}),
        Expected(500, SCRIPT_FAILED, {FAILED: ("True",)}),
    )


def whole_date(name: str, header: str) -> Difference:
    return Difference(
        call("responses", name),
        "O-30: a date is not split at its comma",
        Expected(200, "a", {header: ("21 Oct 2015 07:28:00 GMT", "Wed")}),
        Expected(200, "a", {header: ("Wed, 21 Oct 2015 07:28:00 GMT",)}),
    )


def one_type(name: str, default: str) -> Difference:
    both = tuple(sorted(("application/xml", default)))
    return Difference(
        call("responses", name),
        "O-31: one Content-Type, the given one",
        Expected(200, headers={"content-type": both}),
        Expected(200, headers={"content-type": ("application/xml",)}),
    )


def router(line: str, status: int, shows: str, *headers: str) -> Difference:
    return Difference(
        Case("plain", " ".join((line, *headers)), line, (C + "c", T + "t", *headers)),
        "O-32: the ids and the version are on the router's refusals too",
        Expected(status, shows, {"x-request-id": (), "x-ms-request-id": (), "traceid": (), "x-ms-server-version": ()}),
        Expected(
            status,
            shows,
            {
                "x-request-id": ("<uuid 1>",),
                "x-ms-request-id": ("c",),
                "x-ms-client-request-id": ("c",),
                "traceid": ("t",),
                "x-ms-server-version": ("azmlinfsrv/<version>",),
                FAILED: ("False",),
                "allow": (),
            },
        ),
    )


def once(name: str, header: str, value: str, *headers: str) -> Difference:
    return Difference(
        call("responses", name, *headers),
        "O-33: the server's own header is there once",
        Expected(200, headers={header: tuple(sorted((value, "own")))}),
        Expected(200, headers={header: (value,)}),
    )


def empty_id(name: str, m: tuple[str, ...], *headers: str) -> Difference:
    """`m` is what the original sends as x-ms-request-id and x-ms-client-request-id."""
    others = {"x-ms-client-request-id": m}
    return Difference(
        Case("plain", f"ids {name}", "GET /score", (R, *headers)),
        "O-34: an empty x-request-id counts as absent",
        Expected(200, headers={**others, "x-request-id": (), "x-ms-request-id": m}),
        Expected(200, headers={**others, "x-request-id": ("<uuid 1>",), "x-ms-request-id": m or ("<uuid 1>",)}),
    )


def probe(name: str, header: str, shows: str) -> Difference:
    return Difference(
        Case("plain", f"probe with {name}", "GET /", (header + LONG,)),
        "O-34: the liveness probe does not fail for an overlong id",
        Expected(431, shows),
        Expected(200, "Healthy"),
    )


def charset(name: str, content: bytes, declared: str, theirs: Expected, shows: str) -> Difference:
    return Difference(
        Case("plain", f"charset {name}", "POST /score", (f"{TEXT}; charset={declared}",), content),
        "O-50: a declared charset is honoured",
        theirs,
        Expected(200, f'"data": {json.dumps(shows)}'),
    )


def seen(site: str, part: str, why: str, theirs: str, ours: str) -> Difference:
    return Difference(sees(site, part, ""), why, Expected(200, theirs), Expected(200, ours))


CANNOT_DECODE = Expected(400, "Input cannot be decoded as UTF-8")
LATIN = JSON + "; charset=latin-1"
FLASKS_500 = "The server encountered an internal error"

DIFFERENCES: tuple[Difference, ...] = (
    exits("exit"),
    exits("exit 3"),
    exits("keyboard"),
    exits("generator exit"),
    *(unserialisable(name) for name in (*UNSERIALISABLE, *NUMPY)),
    unserialisable("werkzeug", "responses"),
    whole_date("aml expires", "expires"),
    whole_date("aml last modified", "last-modified"),
    one_type("aml content type lower", "text/html; charset=utf-8"),
    one_type("aml content type upper", "text/html; charset=utf-8"),
    one_type("aml content type json", "application/json"),
    one_type("aml content type none", "application/json"),
    router("GET /nothing", 404, NOT_FOUND),
    router("GET /score/", 404, NOT_FOUND),
    router("GET /Score", 404, NOT_FOUND),
    router("GET /score;a=1", 404, NOT_FOUND),
    router("GET /../score", 404, NOT_FOUND),
    router("GET /%ff", 404, NOT_FOUND),
    router("GET /health", 404, NOT_FOUND),
    router("POST /swagger.json/", 404, NOT_FOUND),
    router("OPTIONS /nothing", 404, NOT_FOUND),
    router("OPTIONS *", 404, NOT_FOUND),
    router("HEAD /nothing", 404, ""),
    router("POST /", 405, NOT_ALLOWED),
    router("POST /swagger.json", 405, NOT_ALLOWED),
    router("PUT /score", 405, NOT_ALLOWED),
    router("DELETE /score", 405, NOT_ALLOWED),
    router("PATCH /score", 405, NOT_ALLOWED),
    router("TRACE /score", 405, NOT_ALLOWED),
    router("CONNECT /score", 405, NOT_ALLOWED),
    router("PROPFIND /score", 405, NOT_ALLOWED),
    router("FOO /swagger.json", 405, NOT_ALLOWED),
    router("GET /score", 400, NOT_UNDERSTOOD, "Connection: Upgrade", "Upgrade: websocket"),
    once("aml version header", "x-ms-server-version", "azmlinfsrv/<version>"),
    once("aml exec header", "x-ms-run-fn-exec-ms", "<milliseconds>"),
    once("aml run failed header", FAILED, "False"),
    once("aml trace", "traceid", "t", T + "t"),
    empty_id("empty r", ()),
    empty_id("empty r, m", ("m",), M + "m"),
    empty_id("empty r, c", ("c",), C + "c"),
    probe("r", R, LONG_R),
    probe("m", M, LONG_M),
    probe("c", C, LONG_M),
    charset("latin-1", b"a\xffb", "latin-1", CANNOT_DECODE, "a\xffb"),
    charset("UTF-16", "ab".encode("utf-16"), "utf-16", CANNOT_DECODE, "ab"),
    charset("latin-1 on UTF-8", "ü".encode(), "iso-8859-1", Expected(200, json.dumps("ü")), "Ã¼"),
    Difference(
        schema("charset latin-1", '{"number": 1, "text": "ü"}'.encode("latin-1"), "", LATIN),
        "O-50: a declared charset is honoured",
        Expected(500, INTERNAL),
        Expected(200, r'"text": ["str", "\u00fc"]'),
    ),
    Difference(
        schema("not UTF-8", '{"number": 1, "text": "ü"}'.encode("latin-1"), ""),
        "O-50: a body that is not UTF-8 is the client's mistake",
        Expected(500, INTERNAL, {FAILED: ("False",)}),
        Expected(400, "POST body could not be decoded as JSON: ", {FAILED: ("False",)}),
    ),
    Difference(
        call("telemetry", "flask attachment"),
        "O-51: telemetry leaves the answer alone",
        Expected(500, FLASKS_500),
        Expected(200, "data", {"content-length": ("4",)}),
    ),
    Difference(
        call("telemetry", "flask stream"),
        "O-51: telemetry does not hold a stream back",
        Expected(200, "onetwo", {"transfer-encoding": (), "content-length": ("6",)}),
        Expected(200, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", {"transfer-encoding": ("chunked",)}),
    ),
    Difference(
        call("telemetry", "aml generator breaks"),
        "O-51: telemetry does not hold a stream back",
        Expected(500, FLASKS_500),
        Expected(200, "1\r\na\r\n", {"transfer-encoding": ("chunked",)}),
    ),
    seen(
        "world", "import helper", "O-8: the script's own folder is importable", "ModuleNotFoundError", "src/helper.py"
    ),
    seen("world", "import score", "O-8: the script's own folder is importable", "ModuleNotFoundError", "src/score.py"),
    seen("world", "place src", "O-8: the script's folder comes after the app root", "absent", "after packages"),
    seen("world", "import utils", "O-7: no module of the server's own is in the way", "elsewhere", "utils.py"),
    seen("config", "environment AZUREML_MODEL_DIR", "O-21: config.json's model dir is exported", "null", "models"),
    Difference(
        cross("file", "its origin", "GET /", "Origin: https://file.example"),
        "O-20: AML_CORS_ORIGINS of config.json is read",
        Expected(200, "Healthy", {"access-control-allow-origin": ()}),
        Expected(200, "Healthy", {"access-control-allow-origin": ("https://file.example",)}),
    ),
)
