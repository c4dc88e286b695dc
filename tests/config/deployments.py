# ruff: noqa: E501 -- a table reads better in long lines
"""Deployments as people write them, as facts: which keys there are, which paths they name, and what must come of them.

The shapes are those of public examples for Azure ML; names and values are ours. `Case.layout` is made before the file
is read, a name that ends with / is a folder. Expected paths are relative to the top of the layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MANAGED = "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json"
KUBERNETES = "https://azuremlschemas.azureedge.net/latest/kubernetesOnlineDeployment.schema.json"
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest"
CONDA = "name: env\nchannels: [conda-forge]\ndependencies:\n  - python=3.10\n  - pip:\n    - numpy\n"
CONTENTS = {
    "conda.yml": CONDA,
    "env.yml": CONDA,
    "environment.yml": f"name: e\nimage: {IMAGE}\nconda_file: conda.yml\n",
}
SHARED = ("model-1/model/regression.pkl", "model-1/onlinescoring/score.py", "model-1/environment/conda.yml")


@dataclass(frozen=True)
class Case:
    """One deployment: the file at `path` holds `text`. What is None is not taken from it."""

    path: str
    text: str
    layout: tuple[str, ...]
    script: str | None
    model_dir: str | None
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # words of each note, in their order

    def lay_out(self, top: Path) -> Path:
        """Make the files; the path of the deployment."""
        for name in (*self.layout, self.path):
            place = top / name
            (place if name.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                place.write_text(CONTENTS.get(place.name, ""), encoding="utf-8")
        (top / self.path).write_text(self.text, encoding="utf-8")
        return top / self.path


def _managed(*lines: str, schema: str = MANAGED) -> str:
    return "\n".join([f"$schema: {schema}", "name: blue", "endpoint_name: my-endpoint", *lines, ""])


def _code(code: str, script: str = "score.py") -> str:
    return f"code_configuration:\n  code: {code}\n  scoring_script: {script}"


ONE = "instance_type: Standard_DS3_v2\ninstance_count: 1"
INLINE = f"environment:\n  image: {IMAGE}\n  conda_file: ../model-1/environment/conda.yml"
CASES: Mapping[str, Case] = {
    "a folder next door": Case(
        "managed/blue.yml",
        _managed("model:", "  path: ../model-1/model/", _code("../model-1/onlinescoring/"), INLINE, ONE),
        SHARED, "model-1/onlinescoring/score.py", "model-1",
    ),
    "a single file": Case(
        "managed/blue.yml",
        _managed("model:", "  path: ../model-1/model/regression.pkl", _code("../model-1/onlinescoring"), INLINE, ONE),
        SHARED, "model-1/onlinescoring/score.py", "model-1/model",
    ),
    "no schema": Case(
        "deployment.yml",
        f"name: blue\nendpoint_name: e\nmodel: {{path: model-1/model}}\n{_code('model-1/onlinescoring')}\n{ONE}\n",
        SHARED, "model-1/onlinescoring/score.py", "model-1",
    ),
    "nothing but code": Case(
        "deployment.yml", "code_configuration: {code: ., scoring_script: score.py}\n", ("score.py",), "score.py", None
    ),
    "the model is the project": Case(
        "app/deployment.yml",
        _managed('model:\n  path: "."', _code("code"), "environment:\n  conda_file: env.yml\n  image: " + IMAGE, ONE),
        ("app/code/score.py", "app/env.yml"), "app/code/score.py", "",
    ),
    "two levels up, and another script": Case(
        "online/managed/identities/2-deployment.yml",
        _managed(
            "model:\n  path: ../../../model-1/model/regression.pkl",
            _code("../../../model-1/onlinescoring/", "score_identity.py"),
            "environment:\n  conda_file: ../../../model-1/environment/conda.yml\n  image: " + IMAGE,
            ONE,
            'environment_variables:\n  STORAGE_ACCOUNT_NAME: "account"\n  FILE_NAME: "some file.txt"',
        ),
        (*SHARED, "model-1/onlinescoring/score_identity.py"),
        "model-1/onlinescoring/score_identity.py", "model-1/model",
        {"STORAGE_ACCOUNT_NAME": "account", "FILE_NAME": "some file.txt"},
    ),
    "a script in a folder of the code": Case(
        "deployment.yml", _managed(_code("src", "serving/score.py"), ONE), ("src/serving/score.py",),
        "src/serving/score.py", None, settings={"app_root": "src/serving"},
    ),
    "registered assets": Case(
        "deployment.yml",
        _managed("model: azureml:my-model:1", _code("model-1/onlinescoring/"), "environment: azureml:my-env:1", ONE),
        SHARED, "model-1/onlinescoring/score.py", None, notes=("--model_dir models/my-model",),
    ),
    "the latest of a model": Case(
        "deployment.yml", _managed("model: azureml:my-model@latest", _code("code"), "environment: azureml:e@latest", ONE),
        ("code/score.py",), "code/score.py", None, notes=("--model_dir models/my-model",),
    ),
    "a model of a registry": Case(
        "deployment.yml",
        _managed("model: azureml://registries/azureml/models/bert/versions/4", _code("code"), ONE), ("code/score.py",),
        "code/score.py", None, notes=("--registry-name azureml",),
    ),
    "a model in a datastore": Case(
        "deployment.yml",
        _managed("model:\n  name: m\n  type: custom_model\n  path: azureml://datastores/ws/paths/m/", _code("code"), ONE),
        ("code/score.py",), "code/score.py", None, notes=("download it, and give --model_dir",),
    ),
    "a curated environment": Case(
        "deployment.yml",
        _managed(
            "model:\n  name: m\n  version: 1\n  path: model-1/model",
            _code("model-1/onlinescoring"), "environment: azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", ONE,
        ),
        SHARED, "model-1/onlinescoring/score.py", "model-1",
    ),
    "an environment with its own docker file": Case(
        "deployment.yml",
        _managed(
            _code("code"),
            "environment:\n  name: own\n  version: 1\n  build:\n    path: docker\n    dockerfile_path: Dockerfile\n"
            "  inference_config:\n    liveness_route: {port: 5001, path: /}\n    readiness_route: {port: 5001, path: /}\n"
            "    scoring_route: {port: 5001, path: /score}",
            ONE,
        ),
        ("code/score.py", "docker/Dockerfile"), "code/score.py", None,
    ),
    "dependencies in line": Case(
        "deployment.yml",
        _managed(
            _code("code"),
            f"environment:\n  image: {IMAGE}\n  conda_file:\n    channels: [conda-forge]\n    dependencies:\n"
            "      - python=3.10\n      - pip:\n          - numpy",
            ONE,
        ),
        ("code/score.py",), "code/score.py", None,
    ),
    "telemetry": Case(
        "deployment.yml",
        _managed(
            "app_insights_enabled: true", _code("code"), ONE,
            "environment_variables:\n  AML_APP_INSIGHTS_KEY: 11111111-2222-3333-4444-555555555555\n"
            "  AML_MODEL_DC_STORAGE_ENABLED: false\n  APP_INSIGHTS_LOG_RESPONSE_ENABLED: false",
        ),
        ("code/score.py",), "code/score.py", None,
        {"AML_MODEL_DC_STORAGE_ENABLED": "False", "APP_INSIGHTS_LOG_RESPONSE_ENABLED": "False"},
        {"appinsights_enabled": True, "model_data": False, "log_response": False},
    ),
    "values that are no text": Case(
        "deployment.yml",
        _managed(
            _code("code"), ONE,
            "environment_variables:\n  A: 1\n  B: 1.50\n  C: yes\n  D: 2024-01-31\n  E: '007'\n  F: 007\n  G: ''\n"
            "  H: multi@https://vault.example.net\n  I: |\n    two\n    lines\n  J: ~\n  K: '{\"a\": 1}'",
        ),
        ("code/score.py",), "code/score.py", None,
        {"A": "1", "B": "1.5", "C": "True", "D": "2024-01-31", "E": "007", "F": "7", "G": "",
         "H": "multi@https://vault.example.net", "I": "two\nlines\n", "K": '{"a": 1}'},
    ),
    "settings of the server": Case(
        "deployment.yml",
        _managed(
            _code("code"), ONE,
            "environment_variables:\n  WORKER_COUNT: 2\n  SCORING_TIMEOUT_MS: 90000\n  AML_CORS_ORIGINS: '*'\n"
            "request_settings:\n  request_timeout_ms: 60000\n  max_concurrent_requests_per_instance: 2",
        ),
        ("code/score.py",), "code/score.py", None, {"WORKER_COUNT": "2"},
        {"worker_count": 2, "scoring_timeout_ms": 90000, "cors_origins": "*"},
    ),
    "limits": Case(
        "deployment.yml",
        _managed(
            _code("code"), ONE,
            "request_settings:\n  request_timeout_ms: 3000\n  max_concurrent_requests_per_instance: 1\n"
            "  max_queue_wait_ms: 3000",
            "liveness_probe:\n  initial_delay: 5\n  period: 7\n  timeout: 9\n  success_threshold: 1\n  failure_threshold: 3",
            "readiness_probe:\n  initial_delay: 5\n  period: 7\n  timeout: 4\n  success_threshold: 1\n  failure_threshold: 3",
        ),
        ("code/score.py",), "code/score.py", None,
        settings={"scoring_timeout_ms": 3000, "request_seconds": 3.0, "liveness": (5, 7, 9, 3), "readiness": (5, 7, 4, 3)},
    ),
    "more at once than workers": Case(
        "deployment.yml",
        _managed(_code("code"), ONE, "request_settings:\n  max_concurrent_requests_per_instance: 10"),
        ("code/score.py",), "code/score.py", None, notes=("max_concurrent_requests_per_instance is 10",),
    ),
    "kubernetes": Case(
        "kubernetes/blue.yml",
        _managed(
            "type: kubernetes", "model:\n  path: ../model-1/model/", _code("../model-1/onlinescoring/"), INLINE,
            'resources:\n  requests:\n    cpu: "0.1"\n    memory: "0.1Gi"\n  limits:\n    cpu: "0.2"\n    memory: "200Mi"\n'
            "    nvidia.com/gpu: 1",
            "tags:\n  tag1: value\ninstance_count: 1\nscale_settings:\n  type: default\ninstance_type: default",
            schema=KUBERNETES,
        ),
        SHARED, "model-1/onlinescoring/score.py", "model-1",
    ),
    "kubernetes without a schema": Case(
        "blue.yml",
        f"name: blue\ntype: kubernetes\nendpoint_name: e\nmodel:\n  path: model-1/model/\n"
        f"{_code('model-1/onlinescoring/')}\nscale_settings:\n  type: target_utilization\n  min_instances: 1\n"
        "  max_instances: 3\n  polling_interval: 10\n  target_utilization_percentage: 70\n",
        SHARED, "model-1/onlinescoring/score.py", "model-1",
    ),
    "a private network": Case(
        "deployment.yml",
        _managed(_code("code/"), ONE, "egress_public_network_access: disabled\nprivate_network_connection: true"),
        ("code/score.py",), "code/score.py", None,
    ),
    "data collection": Case(
        "deployment.yml",
        _managed(
            _code("code"), ONE,
            "data_collector:\n  sampling_rate: 0.5\n  rolling_rate: Hour\n  request_logging:\n    capture_headers: [id]\n"
            "  collections:\n    model_inputs:\n      enabled: 'True'\n      data: {name: in, path: azureml://d/in}\n"
            "    model_outputs:\n      enabled: 'True'",
        ),
        ("code/score.py",), "code/score.py", None, notes=("data_collector has no effect",),
    ),
    "tags, properties, a description": Case(
        "deployment.yml",
        _managed("description: >-\n  folded\n  text", "tags: {team: a, cost: 7}", "properties:\n  x: y", _code("code"), ONE),
        ("code/score.py",), "code/score.py", None,
    ),
    "comments, blank lines, a mark at the start": Case(
        "deployment.yml",
        f"\ufeff---\n# the blue one\n\n$schema: {MANAGED}   # managed\nname: blue # yes\n\nendpoint_name: e\n"
        f"code_configuration:  # code\n  # where it is\n  code: code\n\n  scoring_script: score.py\n{ONE}\n# end\n...\n",
        ("code/score.py",), "code/score.py", None,
    ),
    "anchors and merges": Case(
        "deployment.yml",
        "name: blue\nendpoint_name: e\n" + _code("&code code") + "\nliveness_probe: &probe\n  period: 11\n  timeout: 12\n"
        "readiness_probe:\n  <<: *probe\n  timeout: 13\nenvironment_variables: {CODE: *code}\n" + ONE + "\n",
        ("code/score.py",), "code/score.py", None, {"CODE": "code"},
        {"liveness": (10, 11, 12, 30), "readiness": (10, 11, 13, 30)},
    ),
    "flow style": Case(
        "deployment.yml",
        '{"name": "blue", "endpoint_name": "e", "code_configuration": {"code": "code", "scoring_script": "score.py"}}',
        ("code/score.py",), "code/score.py", None,
    ),
    "a template": Case(
        "deployment.yml",
        _managed(
            _code("code", "minimal-multimodel-score.py"),
            "model:\n  name: minimal\n  path: models ",
            "environment:\n  name: minimal\n  image: {{ACR_NAME}}.azurecr.io/examples/minimal:1",
            ONE,
            "environment_variables:\n  BASE: /var/azureml-app/azureml-models/x/{{MODEL_VERSION}}",
        ).replace("my-endpoint", "{{ENDPOINT_NAME}}"),
        ("code/minimal-multimodel-score.py", "models/a.pkl"), "code/minimal-multimodel-score.py", "",
        {"BASE": "/var/azureml-app/azureml-models/x/{{MODEL_VERSION}}"},
    ),
    "placeholders in brackets": Case(
        "deployment.yml", _managed(_code("code"), ONE).replace("my-endpoint", "<ENDPOINT_NAME> "), ("code/score.py",),
        "code/score.py", None,
    ),
    "windows newlines": Case(
        "deployment.yml", _managed(_code("code"), ONE).replace("\n", "\r\n"), ("code/score.py",), "code/score.py", None
    ),
    "a model given as text": Case(
        "deployment.yml", _managed("model: ./models/m.pkl", _code("code"), ONE), ("code/score.py", "models/m.pkl"),
        "code/score.py", "models", notes=("only as `model:` with `path:`",),
    ),
    "an environment file": Case(
        "deployment.yml", _managed("environment: file:./environment.yml", _code("code"), ONE),
        ("code/score.py", "environment.yml", "conda.yml"), "code/score.py", None,
    ),
    "keys without values": Case(
        "deployment.yml",
        _managed(_code("code"), ONE, "model:\nenvironment:\nenvironment_variables:\ntags:\nrequest_settings:\nliveness_probe:"),
        ("code/score.py",), "code/score.py", None,
    ),
}  # fmt: skip
