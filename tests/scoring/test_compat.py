"""The names that score scripts import are looked at, with the packages they come from installed and not."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from datetime import datetime, timezone
from pathlib import Path

import flask
import pytest
from live import ROOT, environment

from devserver.scoring import compat
from devserver.scoring.compat import AMLRequest, AMLResponse, RawMark, rawhttp

NAMES = ("azureml_inference_server_http", "azureml")


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Each test finds, and leaves, sys.modules without these packages."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in NAMES}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages with the names of the real ones, as if a user had them installed beside ours."""
    files = {
        "azureml_inference_server_http/__init__.py": "__version__ = 'theirs'\nraise RuntimeError('was imported')",
        "azureml_inference_server_http/other.py": "WHOSE = 'theirs'",
        "azureml_inference_server_http/api/__init__.py": "",
        "azureml_inference_server_http/api/aml_request.py": "WHOSE = 'theirs'",
        "azureml/contrib/services/aml_response.py": "WHOSE = 'theirs'",
        "azureml/core.py": "WHOSE = 'theirs'",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


# --- imports


FORMS = [
    "from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp",
    "from azureml_inference_server_http.api.aml_response import AMLResponse",
    "from azureml_inference_server_http.api import aml_request, aml_response",
    "from azureml_inference_server_http import __version__",
    "from azureml_inference_server_http.log_config import AMLLogFormatter, RootAccessFilter",
    "from azureml_inference_server_http import log_config, api",
    "import azureml_inference_server_http.api.aml_request as aml_request\naml_request.rawhttp",
    "import azureml_inference_server_http\nazureml_inference_server_http.api.aml_response.AMLResponse",
    "import azureml_inference_server_http\nazureml_inference_server_http.log_config.AMLLogFormatter",
    "from azureml.contrib.services.aml_request import AMLRequest, rawhttp",
    "from azureml.contrib.services.aml_response import AMLResponse",
    "from importlib import import_module\nimport_module('azureml.contrib.services.aml_response').AMLResponse",
]


@pytest.mark.parametrize("form", FORMS)
def test_imports_without_the_packages(form: str) -> None:
    """Each form in which scripts import these names works although the packages are not installed."""
    compat.install()
    exec(form, {})


@pytest.mark.parametrize("form", FORMS)
def test_imports_with_the_packages(installed: Path, form: str) -> None:
    """Each form works, and gets ours, where a package of that name is installed, which is not even imported."""
    compat.install()
    found: dict[str, object] = {}
    exec(form, found)
    for name in ("AMLRequest", "AMLResponse", "rawhttp", "AMLLogFormatter", "RootAccessFilter"):
        assert name not in found or getattr(found[name], "__module__", "").startswith("devserver.")


def test_the_rest_of_installed_packages(installed: Path) -> None:
    """What else those packages hold stays importable."""
    compat.install()
    for name in ("azureml_inference_server_http.other", "azureml.core"):
        assert importlib.import_module(name).WHOSE == "theirs"
    assert importlib.util.find_spec("azureml_inference_server_http.nothing") is None


@pytest.mark.parametrize("name", ["azureml", "azureml.core", "azureml_inference_server_http.nothing"])
def test_names_that_are_not_there(name: str) -> None:
    """A name that nobody provides fails as any missing module does."""
    compat.install()
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module(name)


def test_one_class_by_all_names() -> None:
    """Old and new names are the same objects, so that isinstance() holds; installing again changes nothing."""
    compat.install()
    compat.install()
    new, old = "azureml_inference_server_http.api", "azureml.contrib.services"
    for module, name in (("aml_request", "rawhttp"), ("aml_request", "AMLRequest"), ("aml_response", "AMLResponse")):
        both = [getattr(importlib.import_module(f"{package}.{module}"), name) for package in (new, old)]
        assert both[0] is both[1]
    assert issubclass(AMLRequest, flask.Request) and issubclass(AMLResponse, flask.Response)


def test_inspection_of_the_modules() -> None:
    """Tools that look at modules find what every module has."""
    compat.install()
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        module = sys.modules[name]
        assert module.__spec__ is not None and module.__spec__.name == name == module.__name__
        assert importlib.util.find_spec(name) is module.__spec__ or name.startswith("azureml.")


def test_nothing_is_put_into_other_packages() -> None:
    """Our distribution holds this project's package and no file in the folders of others."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["options.packages.find"]["include"] == "devserver*"
    assert "data_files" not in config["options"]
    assert not any((ROOT / name).exists() for name in NAMES)
    assert [path for name in NAMES for path in (ROOT / "devserver").rglob(name)] == []


def test_nothing_is_registered_by_importing_us() -> None:
    """Only a generation registers the names; the supervisor and the command leave them to whoever has them."""
    code = "import sys, devserver.cli, devserver.scoring.compat as c; print(c.PACKAGE in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], env=environment({}), capture_output=True, check=True)
    assert found.stdout.strip() == b"False"


# --- rawhttp


def test_rawhttp() -> None:
    """The decorator returns the function itself and leaves a mark for the whole script."""
    RawMark.applied = False

    def run(request):
        pass

    assert rawhttp(run) is run and RawMark.applied
    RawMark.applied = False


# --- AMLResponse


def test_one_answer_for_one_message() -> None:
    """The parameters may be given by name."""
    given = {"message": "m", "status_code": 202, "response_headers": {"X-A": "b"}, "json_str": True}
    made = AMLResponse(**given, run_function_failed=True)
    assert (made.get_data(), made.status_code, made.mimetype) == (b'"m"', 202, "application/json")
    assert (made.headers["X-A"], made.headers["x-ms-run-function-failed"]) == ("b", "True")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a", ["a"]),
        ("a, b,c ", ["a", "b", "c"]),
        ('"a,b", c', ['"a', 'b"', "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ("", [""]),
        ("Thu, 01 Jan 1970 00:00:00 GMT", ["Thu, 01 Jan 1970 00:00:00 GMT"]),
        ("Sunday, 06-Nov-94 08:49:37 GMT", ["Sunday, 06-Nov-94 08:49:37 GMT"]),
        ("x=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT, y=2", ["x=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT", "y=2"]),
        ("Sunny, 5", ["Sunny", "5"]),
        ('"open, b', ['"open', "b"]),
    ],
)
def test_header_values(value: str, parts: list[str]) -> None:
    """Values are split at commas into headers of their own; dates alone stay whole."""
    assert AMLResponse("", 200, {"X-A": value}).headers.getlist("X-A") == parts


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize(("message", "json_str"), [("x", False), (None, False), ({"a": 1}, True)])
def test_content_type(name: str, message: object, json_str: bool) -> None:
    """A content type of the script's own is the only one, in whatever case its name is written."""
    kind = "text/csv; a=1,2"
    assert AMLResponse(message, 200, {name: kind}, json_str).headers.getlist("Content-Type") == [kind]


@pytest.mark.parametrize(("value", "error"), [(1, TypeError), (None, TypeError), ("a\nb", ValueError)])
def test_bad_header_values(value: object, error: type[Exception]) -> None:
    """What cannot be a header value raises where the script makes the answer."""
    with pytest.raises(error):
        AMLResponse("", 200, {"X-A": value})  # type: ignore[dict-item]


def test_message_that_is_no_json() -> None:
    """With json_str a message that JSON cannot hold raises in the script."""
    with pytest.raises(TypeError):
        AMLResponse({1, 2}, 200, json_str=True)


# --- the classes that a logging.json may name


def test_log_classes() -> None:
    """The formatter writes the contract's format in UTC, or another that is asked for; the filter drops probes."""
    compat.install()
    module = importlib.import_module("azureml_inference_server_http.log_config")
    record = logging.LogRecord("azmlinfsrv", logging.INFO, "f", 1, "said %s", ("x",), None)
    record.created = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc).timestamp()
    record.msecs, record.process = 123.0, 4711
    assert module.AMLLogFormatter().format(record) == "2024-05-06 07:08:09,123 I [4711] azmlinfsrv - said x"
    assert module.AMLLogFormatter("%(message)s").format(record) == "said x"
    assert module.AMLLogFormatter(fmt="%(asctime)s", datefmt="%H:%M").format(record) == "07:08"
    probes = [f'127.0.0.1 - - [date] "{line}" 200 7' for line in ("GET / HTTP/1.1", "POST /score HTTP/1.1")]
    records = [logging.LogRecord("gunicorn.access", 20, "f", 1, "%s", (probe,), None) for probe in probes]
    assert [bool(module.RootAccessFilter().filter(record)) for record in records] == [False, True]
