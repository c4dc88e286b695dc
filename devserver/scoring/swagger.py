"""The answers of /swagger.json: the user's own files, or documents made from the form of run()."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from devserver.config.files import SWAGGER, read_json
from devserver.config.settings import Config
from devserver.records.record import record

Json = dict[str, Any]
Say = Callable[[str], None]

DEFAULT_VERSION = "2"
NAMES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}  # what a client may ask for, as the version it means
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."


@record(frozen=True)
class Swagger:
    """The documents of one script: for each version that it has, the status and the JSON text to send."""

    answers: Mapping[str, tuple[int, bytes]]

    def answer(self, version: str | None) -> tuple[int, bytes]:
        """Status and JSON text for the query's first `version`, None where the query has none."""
        asked = DEFAULT_VERSION if version is None else version
        name = NAMES.get(asked, "")
        return self.answers.get(name) or (404, _message(self._refusal(asked)))

    def _refusal(self, asked: str) -> str:
        available = _listed(self.answers)
        if asked not in NAMES:
            return f"Swagger version [{asked}] is not valid. Supported versions: {available}."
        return (
            f"Swagger version [{asked}] is not supported for the scoring script. "
            f"Supported swagger versions: {available}."
        )


def prepare(run: Callable[..., Any], config: Config, say: Say) -> Swagger:
    """The answers for this run(): per version the user's own file in the app root, else a generated document.

    `say` gets the lines for the log. Errors: `ConfigError` with exit code 3 and the place, where a file of the user's
    is there and cannot be used.
    """
    schemas = _schemas_of(run)
    answers = {}
    for version in SWAGGER:
        text = _from_user(version, config, say)
        if text is not None:
            answers[version] = (200, text)
        elif version in schemas.versions:
            answers[version] = _dumped(version, _document(version, config, schemas), say)
    say(_summary(answers))
    return Swagger(answers)


def _summary(answers: Mapping[str, object]) -> str:
    skipped = [version for version in SWAGGER if version not in answers]
    if not answers:
        return "No swagger is prepared."
    if skipped:
        return f"Swaggers are prepared for versions {_listed(answers)} and skipped for versions {_listed(skipped)}."
    return f"Swaggers are prepared for the following versions: {_listed(answers)}."


def _listed(versions: Iterable[str]) -> str:
    return f"[{', '.join(versions)}]"


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


def _dumped(version: str, document: Json, say: Say) -> tuple[int, bytes]:
    try:
        return 200, json.dumps(document).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # Only a parameter type of the user's own gets here. Azure serves such a script and fails at the request.
        say(f"The swagger of version [{version}] cannot be written as JSON and is answered with 500: {error}")
        return 500, _message(INTERNAL_ERROR)


# --- the user's own files


def _from_user(version: str, config: Config, say: Say) -> bytes | None:
    """The first file that is there and holds something, dumped anew."""
    kind = SWAGGER[version]
    for path in config.places(kind):
        if os.path.exists(path) and (value := read_json(path, kind)):
            say(f"Loaded user's swagger file for version [{version}] from {path}")
            return json.dumps(value).encode()
    return None


# --- what run() takes and returns


@record(frozen=True)
class _Schemas:
    """The schemas of run()'s input and output, and the versions that can hold them."""

    input: Json
    output: Json
    versions: frozenset[str]


def _schemas_of(run: Callable[..., Any]) -> _Schemas:
    # Only the script's own import can have decorated run(); importing it here would cost every script's start.
    known = sys.modules.get("inference_schema.schema_util")
    if known is None or not known.is_schema_decorated(run):
        anything = {"type": "object", "example": {}}
        return _Schemas(anything, anything, frozenset(SWAGGER))
    versions = frozenset(NAMES[name] for name in known.get_supported_versions(run) if name in NAMES)
    return _Schemas(known.get_input_schema(run), known.get_output_schema(run), versions)


# --- the document, and how the versions differ

BEARER = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "The word Bearer, a space and a key or token of the endpoint",
}
BEARER_ONLY: list[Json] = [{"Bearer": []}]
INPUT = "The input of the scoring script's run()."
VERSION_PARAMETER = {"name": "version", "in": "query", "required": False}
VERSION_SCHEMA = {"type": "integer", "enum": [2, 3]}


class _Swagger2:
    def reference(self, name: str) -> Json:
        return {"$ref": f"#/definitions/{name}"}

    def json_body(self, schema: Json) -> Json:
        return {"schema": schema}

    def text_body(self, example: str | None = None) -> Json:
        shown = {"examples": {"application/json": example}} if example else {}
        return {"schema": {"type": "string"}, **shown}

    def input(self) -> Json:
        payload = {"name": "serviceInputPayload", "in": "body", "description": INPUT}
        return {"parameters": [{**payload, "schema": self.reference("ServiceInput")}]}

    def version_parameter(self) -> Json:
        return {**VERSION_PARAMETER, **VERSION_SCHEMA}

    def document(self, info: Json, paths: Json, schemas: Json) -> Json:
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": BEARER},
            "paths": paths,
            "definitions": schemas,
        }


@record(frozen=True)
class _OpenApi3:
    version: str

    def reference(self, name: str) -> Json:
        return {"$ref": f"#/components/schemas/{name}"}

    def json_body(self, schema: Json) -> Json:
        return {"content": {"application/json": {"schema": schema}}}

    def text_body(self, example: str | None = None) -> Json:
        shown = {"example": example} if example else {}
        return {"content": {"text/plain": {"schema": {"type": "string", **shown}}}}

    def input(self) -> Json:
        return {"requestBody": {"description": INPUT, **self.json_body(self.reference("ServiceInput"))}}

    def version_parameter(self) -> Json:
        return {**VERSION_PARAMETER, "schema": VERSION_SCHEMA}

    def document(self, info: Json, paths: Json, schemas: Json) -> Json:
        return {
            "openapi": self.version,
            "info": info,
            "security": BEARER_ONLY,
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"Bearer": BEARER}},
        }


_Dialect = _Swagger2 | _OpenApi3

DIALECTS: Mapping[str, _Dialect] = {"2": _Swagger2(), "3": _OpenApi3("3.0.3"), "3.1": _OpenApi3("3.1.0")}


def _document(version: str, config: Config, schemas: _Schemas) -> Json:
    dialect = DIALECTS[version]
    info = {
        "title": config.service_name,
        "description": f"What the scoring service {config.service_name} accepts and answers",
        "version": config.service_version,
    }
    definitions = {
        "ServiceInput": schemas.input,
        "ServiceOutput": schemas.output,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    return dialect.document(info, _paths(dialect, _prefix(config)), definitions)


def _prefix(config: Config) -> str:
    prefix = config.service_path_prefix
    return f"/{prefix.strip('/')}" if prefix else ""


def _paths(dialect: _Dialect, prefix: str) -> Json:
    return {
        f"{prefix}/": {"get": _health(dialect)},
        f"{prefix}/score": {"post": _score(dialect)},
        f"{prefix}/swagger.json": {"get": _specification(dialect)},
    }


def _health(dialect: _Dialect) -> Json:
    return {
        "operationId": "ServiceHealthCheck",
        "description": "Tells whether the service is alive.",
        "responses": _responses(dialect, "It is alive.", dialect.text_body("Healthy")),
    }


def _score(dialect: _Dialect) -> Json:
    result = dialect.json_body(dialect.reference("ServiceOutput"))
    return {
        "operationId": "RunMLService",
        "description": "Calls the scoring script's run().",
        "security": BEARER_ONLY,
        **dialect.input(),
        "responses": _responses(dialect, "What run() returned.", result),
    }


def _specification(dialect: _Dialect) -> Json:
    return {
        "operationId": "GetSwaggerSpec",
        "description": "Describes the service in the given version of the specification.",
        "parameters": [dialect.version_parameter()],
        "responses": _responses(dialect, "A document like this one.", dialect.text_body()),
    }


def _responses(dialect: _Dialect, description: str, body: Json) -> Json:
    error = dialect.json_body(dialect.reference("ErrorResponse"))
    return {
        "200": {"description": description, **body},
        "default": {"description": "The request failed; the message says why.", **error},
    }
