"""What /swagger.json answers: the user's own files, generated documents, and the refusals."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.scoring.swagger import Swagger, prepare

NEEDED = "inference-schema is not installed"
ANYTHING = {"type": "object", "example": {}}
BEARER = {"type": "apiKey", "name": "Authorization", "in": "header"}
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."
FRESH_PROCESS = """
import sys
from devserver.config.settings import Config
from devserver.scoring.swagger import prepare
assert prepare(lambda data: data, Config(base="."), print).answer("3")[0] == 200
print([name for name in sys.modules if name.startswith("inference_schema")])
"""


def plain(data):
    return data


class Lines(list[str]):
    """What was said."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Lines:
    return Lines()


@pytest.fixture
def make(tmp_path: Path, said: Lines) -> Callable[..., Swagger]:
    """Prepare the documents of a run() with these settings; the app root is tmp_path."""

    def made(run: Callable[..., Any] = plain, **settings: Any) -> Swagger:
        return prepare(run, Config(base=str(tmp_path), **settings), said)

    return made


@pytest.fixture
def standard() -> Any:
    """inference-schema's type for ordinary Python values."""
    module = "inference_schema.parameter_types.standard_py_parameter_type"
    return pytest.importorskip(module, reason=NEEDED).StandardPythonParameterType


@pytest.fixture
def decorators() -> Any:
    """inference-schema's input_schema and output_schema."""
    return pytest.importorskip("inference_schema.schema_decorators", reason=NEEDED)


def document(swagger: Swagger, version: str | None) -> Any:
    status, text = swagger.answer(version)
    assert status == 200, text
    return json.loads(text)


def refusal(swagger: Swagger, version: str | None) -> str:
    status, text = swagger.answer(version)
    assert status == 404
    return json.loads(text)["message"]


def schemas(document: Any) -> tuple[Any, Any]:
    found = document["definitions"] if "swagger" in document else document["components"]["schemas"]
    return found["ServiceInput"], found["ServiceOutput"]


def without_descriptions(value: Any) -> Any:
    """The same document without description texts, which are free."""
    if isinstance(value, list):
        return [without_descriptions(part) for part in value]
    if isinstance(value, dict):
        return {key: without_descriptions(part) for key, part in value.items() if key != "description"}
    return value


def error_2() -> dict[str, Any]:
    return {"schema": {"$ref": "#/definitions/ErrorResponse"}}


def json_3(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def expected_2() -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "info": {"title": "ML service", "version": "1.0"},
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": BEARER},
        "paths": {
            "/": {
                "get": {
                    "operationId": "ServiceHealthCheck",
                    "responses": {
                        "200": {"schema": {"type": "string"}, "examples": {"application/json": "Healthy"}},
                        "default": error_2(),
                    },
                }
            },
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "security": [{"Bearer": []}],
                    "parameters": [
                        {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
                    ],
                    "responses": {
                        "200": {"schema": {"$ref": "#/definitions/ServiceOutput"}},
                        "default": error_2(),
                    },
                }
            },
            "/swagger.json": {
                "get": {
                    "operationId": "GetSwaggerSpec",
                    "parameters": [
                        {"name": "version", "in": "query", "required": False, "type": "integer", "enum": [2, 3]}
                    ],
                    "responses": {"200": {"schema": {"type": "string"}}, "default": error_2()},
                }
            },
        },
        "definitions": {
            "ServiceInput": ANYTHING,
            "ServiceOutput": ANYTHING,
            "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
        },
    }


def expected_3(version: str) -> dict[str, Any]:
    healthy = {"content": {"text/plain": {"schema": {"type": "string", "example": "Healthy"}}}}
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    asked = {"name": "version", "in": "query", "required": False, "schema": {"type": "integer", "enum": [2, 3]}}
    error = json_3("ErrorResponse")
    return {
        "openapi": version,
        "info": {"title": "ML service", "version": "1.0"},
        "security": [{"Bearer": []}],
        "paths": {
            "/": {"get": {"operationId": "ServiceHealthCheck", "responses": {"200": healthy, "default": error}}},
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "security": [{"Bearer": []}],
                    "requestBody": json_3("ServiceInput"),
                    "responses": {"200": json_3("ServiceOutput"), "default": error},
                }
            },
            "/swagger.json": {
                "get": {
                    "operationId": "GetSwaggerSpec",
                    "parameters": [asked],
                    "responses": {"200": text, "default": error},
                }
            },
        },
        "components": {
            "schemas": {
                "ServiceInput": ANYTHING,
                "ServiceOutput": ANYTHING,
                "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
            },
            "securitySchemes": {"Bearer": BEARER},
        },
    }


# --- generated documents of an undecorated run()


@pytest.mark.parametrize(
    ("version", "expected"), [("2", expected_2()), ("3", expected_3("3.0.3")), ("3.1", expected_3("3.1.0"))]
)
def test_generated_document(make, version, expected):
    """An undecorated run() has the document of the contract in every version."""
    assert without_descriptions(document(make(), version)) == expected


def test_version_2_is_the_default_and_long_names_mean_the_same(make):
    """No version means 2; 2.0 and 3.0 are other names of 2 and 3."""
    swagger = make()
    assert swagger.answer(None) == swagger.answer("2") == swagger.answer("2.0")
    assert swagger.answer("3") == swagger.answer("3.0") != swagger.answer("3.1")


@pytest.mark.parametrize("version", ["2", "3", "3.1"])
def test_everything_is_described(make, version):
    """Operations, responses, the body and the info carry a description; the info's names the service."""
    found = document(make(service_name="Prices"), version)
    assert "Prices" in found["info"]["description"]
    for path in found["paths"].values():
        for operation in path.values():
            assert operation["description"]
            assert all(response["description"] for response in operation["responses"].values())
    score = found["paths"]["/score"]["post"]
    assert (score["parameters"][0] if version == "2" else score["requestBody"])["description"]
    bearer = found["securityDefinitions"] if version == "2" else found["components"]["securitySchemes"]
    assert bearer["Bearer"]["description"]


def test_all_versions_are_announced(make, said):
    """One line tells which versions there are."""
    make()
    assert said == ["Swaggers are prepared for the following versions: [2, 3, 3.1]."]


@pytest.mark.parametrize(
    "name", ['a "quoted" name', "back\\slash\\n", "{braces} $dollar %s", "Größe \U0001f600", "", "a\nb"]
)
@pytest.mark.parametrize("version", ["2", "3", "3.1"])
def test_service_name_and_version_arrive_as_they_are(make, name, version):
    """No character of SERVICE_NAME or SERVICE_VERSION means anything in the document."""
    info = document(make(service_name=name, service_version=name), version)["info"]
    assert (info["title"], info["version"]) == (name, name)


@pytest.mark.parametrize(
    ("prefix", "written"),
    [
        ("", ""),
        ("/", "/"),
        ("//", "/"),
        ("a", "/a"),
        ("/a", "/a"),
        ("a/", "/a"),
        ("//a/b//", "/a/b"),
        ('x "y"', '/x "y"'),
    ],
)
@pytest.mark.parametrize("version", ["2", "3"])
def test_prefix_is_written_before_every_path(make, prefix, written, version):
    """SERVICE_PATH_PREFIX counts without its outer slashes; a slash alone is doubled, as in Azure ML."""
    paths = document(make(service_path_prefix=prefix), version)["paths"]
    assert list(paths) == [f"{written}/", f"{written}/score", f"{written}/swagger.json"]


@pytest.mark.parametrize("version", ["", "02", " 2", "2 ", "3.1.0", "3.10", "4", '"2"', "ü\n", "9" * 300])
def test_unknown_version_is_refused(make, version):
    """Any other text is answered with 404 and the versions that there are."""
    message = f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."
    assert refusal(make(), version) == message


def test_inference_schema_is_not_imported():
    """A script that does not import inference-schema does not pay for it."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS], capture_output=True, text=True, timeout=30, encoding="utf-8"
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


# --- the user's own files


@pytest.mark.parametrize(
    ("name", "version"),
    [("swagger.json", "2"), ("swagger2.json", "2"), ("swagger3.json", "3"), ("swagger3.1.json", "3.1")],
)
def test_own_file_replaces_its_version_only(make, said, tmp_path, name, version):
    """A file of the user's is served for its version, and the others are generated."""
    (tmp_path / name).write_text('{"mine": "é",\n  "also": [1]}', encoding="utf-8")
    swagger = make()
    assert swagger.answer(version) == (200, b'{"mine": "\\u00e9", "also": [1]}')
    others = {"2", "3", "3.1"} - {version}
    assert all("paths" in document(swagger, other) for other in others)
    assert said[0] == f"Loaded user's swagger file for version [{version}] from {tmp_path / name}"
    assert said[1:] == ["Swaggers are prepared for the following versions: [2, 3, 3.1]."]


def test_swagger_json_comes_before_swagger2_json(make, tmp_path):
    """With both files for version 2 the first is served and the second not even read."""
    (tmp_path / "swagger.json").write_text('{"first": 1}', encoding="utf-8")
    (tmp_path / "swagger2.json").write_text("{ broken", encoding="utf-8")
    assert document(make(), "2") == {"first": 1}


def test_empty_swagger_json_gives_way_to_swagger2_json(make, said, tmp_path):
    """An empty first file counts as none, so the second is served."""
    (tmp_path / "swagger.json").write_text("{}", encoding="utf-8")
    (tmp_path / "swagger2.json").write_text('{"second": 2}', encoding="utf-8")
    assert document(make(), "2") == {"second": 2}
    assert [line for line in said if "Loaded" in line] == [
        f"Loaded user's swagger file for version [2] from {tmp_path / 'swagger2.json'}"
    ]


@pytest.mark.parametrize("content", ["{}", "[]", '""', "null", "0", "false"])
def test_empty_value_counts_as_no_file(make, tmp_path, content):
    """A file with an empty value leaves the generated document."""
    for name in ("swagger.json", "swagger2.json", "swagger3.json", "swagger3.1.json"):
        (tmp_path / name).write_text(content, encoding="utf-8")
    swagger = make()
    assert document(swagger, "2")["swagger"] == "2.0"
    assert document(swagger, "3.1")["openapi"] == "3.1.0"


@pytest.mark.parametrize("content", ["[1]", '"text"', "5", "true", '[NaN, {"a": 2}]'])
def test_any_value_that_is_not_empty_is_served(make, tmp_path, content):
    """The user's file need not be an object, nor strict JSON where Python reads more."""
    (tmp_path / "swagger3.json").write_text(content, encoding="utf-8")
    assert make().answer("3.0") == (200, content.encode())


def test_files_are_looked_for_in_the_app_root(make, said, tmp_path):
    """AML_APP_ROOT, relative to the working directory, is where the files lie."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "swagger3.json").write_text('{"in": "code"}', encoding="utf-8")
    (tmp_path / "swagger3.json").write_text('{"in": "base"}', encoding="utf-8")
    assert document(make(given_app_root="code"), "3") == {"in": "code"}
    assert str(tmp_path / "code" / "swagger3.json") in said[0]


@pytest.mark.parametrize("root", ["absent", "file"])
def test_app_root_need_not_exist(make, tmp_path, root):
    """An app root that is no folder holds no files."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert document(make(given_app_root=root), "2")["swagger"] == "2.0"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "1:1"),
        (b'{\n  "a": }', "2:8"),
        (b"\xef\xbb\xbf{}", "1:1"),
        ('{\n"ü": "'.encode() + b'\xff"}', "2:7"),
        (b"\xff\xfe{\x00}\x00", "1:1"),
        (b"[" * 100_000 + b"]" * 100_000, "1:1"),
    ],
    ids=["no content", "not JSON", "byte order mark", "not UTF-8", "UTF-16", "nested too deeply"],
)
def test_broken_file_is_named_with_the_place(make, tmp_path, content, place):
    """A file that cannot be read as JSON stops the server with exit code 3, path, line and column."""
    (tmp_path / "swagger3.1.json").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(f"{tmp_path / 'swagger3.1.json'}:{place}: the swagger file ")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_folder_in_place_of_the_file_is_named(make, tmp_path):
    """A folder with the name of the file is an error, too, and not silently skipped."""
    (tmp_path / "swagger.json").mkdir()
    with pytest.raises(ConfigError, match=r"swagger\.json:1:1: the swagger file cannot be read: ") as caught:
        make()
    assert caught.value.exit_code == 3


# --- run() decorated with inference-schema


def test_schemas_of_a_decorated_run(make, standard, decorators):
    """The schemas and examples of both decorators stand in every version."""

    @decorators.input_schema("size", standard(1.5))
    @decorators.input_schema("tags", standard({"colour": "red"}))
    @decorators.output_schema(standard([1]))
    def both(size, tags, free=1): ...

    swagger = make(both)
    for version in ("2", "3", "3.1"):
        given, returned = schemas(document(swagger, version))
        assert given["properties"]["size"] == {"type": "number", "format": "double"}
        assert given["properties"]["tags"]["properties"] == {"colour": {"type": "string"}}
        assert given["example"]["tags"] == {"colour": "red"}
        assert returned == {"type": "array", "items": {"type": "integer", "format": "int64"}, "example": [1]}


def test_numpy_sample(make, decorators):
    """A numpy sample becomes an array of numbers."""
    pytest.importorskip("inference_schema", reason=NEEDED)
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

    @decorators.input_schema("data", NumpyParameterType(numpy.array([[1.0, 2.0]])))
    def with_numpy(data): ...

    given, _ = schemas(document(make(with_numpy), "2"))
    assert given["properties"]["data"]["format"] == "numpy.ndarray"
    assert given["example"] == {"data": [[1.0, 2.0]]}


def test_only_one_side_decorated(make, standard, decorators):
    """Where only the output is described, the input is any object, without an example."""

    @decorators.output_schema(standard("text"))
    def output_only(data): ...

    assert schemas(document(make(output_only), "3")) == ({"type": "object"}, {"type": "string", "example": "text"})


def test_undecorated_run_beside_inference_schema(make, standard):
    """A script that imports inference-schema without decorating run() is like any other."""
    assert schemas(document(make(), "3")) == (ANYTHING, ANYTHING)


def test_decorators_are_found_beneath_a_wrapper(make, standard, decorators):
    """A wrapper made with functools.wraps around a decorated run() does not hide its schemas."""

    @decorators.input_schema("data", standard("text"))
    def inner(data): ...

    @functools.wraps(inner)
    def outer(data):
        return inner(data)

    assert schemas(document(make(outer), "3"))[0]["example"] == {"data": "text"}


def test_mixed_list_rules_out_version_2(make, said, standard, decorators):
    """A sample list of mixed types has no version 2, and the refusal names the others."""

    @decorators.input_schema("data", standard([1, "two", 3.5]))
    def mixed(data): ...

    swagger = make(mixed)
    for version in (None, "2", "2.0"):
        assert refusal(swagger, version) == (
            f"Swagger version [{version or '2'}] is not supported for the scoring script. "
            "Supported swagger versions: [3, 3.1]."
        )
    assert refusal(swagger, "7") == "Swagger version [7] is not valid. Supported versions: [3, 3.1]."
    assert document(swagger, "3")["openapi"] == "3.0.3"
    assert said == ["Swaggers are prepared for versions [3, 3.1] and skipped for versions [2]."]


def test_own_file_brings_back_a_version_that_was_ruled_out(make, said, tmp_path, standard, decorators):
    """The user's file for version 2 is served although the types of run() cannot be told in it."""

    @decorators.input_schema("data", standard([1, "two", 3.5]))
    def mixed_with_file(data): ...

    (tmp_path / "swagger2.json").write_text('{"mine": 2}', encoding="utf-8")
    assert document(make(mixed_with_file), "2") == {"mine": 2}
    assert said[-1] == "Swaggers are prepared for the following versions: [2, 3, 3.1]."


def parameter_type(swagger_schema: dict[str, Any], versions: list[str]) -> Any:
    """A parameter type as users may write them."""
    base = pytest.importorskip("inference_schema.parameter_types.abstract_parameter_type", reason=NEEDED)

    class Own(base.AbstractParameterType):
        sample_input = "x"
        sample_data_type = str

        def __init__(self):
            pass

        def deserialize_input(self, given):
            return given

        def input_to_swagger(self):
            return {**swagger_schema, "example": "x"}

        def supported_versions(self):
            return versions

    return Own()


def test_no_version_at_all(make, said, decorators):
    """Types that no known version can tell leave nothing, and each request is refused."""

    @decorators.input_schema("data", parameter_type({"type": "string"}, ["9.0"]))
    def unknown_versions(data): ...

    swagger = make(unknown_versions)
    assert refusal(swagger, "3").endswith("Supported swagger versions: [].")
    assert said == ["No swagger is prepared."]


def test_schema_that_json_cannot_hold_is_a_500_and_no_stop(make, said, decorators):
    """As in Azure the script is served, the request for its document fails, and the log says why."""

    @decorators.input_schema("data", parameter_type({"type": "string", "enum": {1}}, ["3.0"]))
    def with_a_set(data): ...

    status, text = make(with_a_set).answer("3")
    assert (status, json.loads(text)) == (500, {"message": INTERNAL_ERROR})
    assert "set" in said[0] and "[3]" in said[0]
