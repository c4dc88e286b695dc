"""What Azure ML's schemas for online deployments know, and which other file of Azure ML's something is.

Keys and types only: whether a value makes sense to Azure ML it says itself; a key that it would refuse is told here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from devserver.config.files import ConfigError
from devserver.config.values import FALSE_WORDS, TRUE_WORDS
from devserver.config.yaml_files import Node, read_yaml


@dataclass(frozen=True)
class Kind:
    """A kind of value: its name for people, and what it takes."""

    what: str
    takes: Callable[[Node], bool]


Plain: TypeAlias = "Kind | Mapping[str, Shape]"
Shape: TypeAlias = "Plain | tuple[Plain, ...]"  # a tuple: any one of them


def _is_scalar(node: Node) -> bool:
    return not isinstance(node.value, (dict, list))


def _is_whole(node: Node) -> bool:
    return (
        _is_scalar(node)
        and not isinstance(node.value, bool)
        and re.fullmatch(r"[+-]?\d+(\.0*)?", node.text) is not None
    )


def _is_truth(node: Node) -> bool:
    return _is_scalar(node) and node.text.lower() in TRUE_WORDS | FALSE_WORDS


TEXT = Kind("text", _is_scalar)
WHOLE = Kind("a whole number", _is_whole)
TRUTH = Kind("true or false", _is_truth)
OPEN = Kind("a mapping", lambda node: isinstance(node.value, dict))
LIST = Kind("a list", lambda node: isinstance(node.value, list))
ANY = Kind("anything", lambda _: True)

_ASSET: Mapping[str, Shape] = {
    **dict.fromkeys(("$schema", "id", "name", "version", "description", "latest_version", "datastore"), TEXT),
    **dict.fromkeys(("tags", "properties", "creation_context", "auto_delete_setting"), OPEN),
}
MODEL: Mapping[str, Shape] = {
    **_ASSET,
    **dict.fromkeys(("type", "path", "utc_time_created", "job_name", "stage"), TEXT),
    "flavors": OPEN,
    "default_deployment_template": ANY,
}
_ROUTE: Mapping[str, Shape] = {"port": WHOLE, "path": TEXT}
ENVIRONMENT: Mapping[str, Shape] = {
    **_ASSET,
    **dict.fromkeys(("image", "os_type"), TEXT),
    "conda_file": (TEXT, OPEN),
    "build": {"path": TEXT, "dockerfile_path": TEXT},
    "inference_config": {"liveness_route": _ROUTE, "readiness_route": _ROUTE, "scoring_route": _ROUTE},
}
_PROBE: Mapping[str, Shape] = {
    **dict.fromkeys(("initial_delay", "period", "timeout", "success_threshold", "failure_threshold", "port"), WHOLE),
    **dict.fromkeys(("path", "scheme", "method"), TEXT),
}
_RESOURCE: Mapping[str, Shape] = dict.fromkeys(("cpu", "memory", "gpu", "nvidia.com/gpu"), TEXT)
DEPLOYMENT: Mapping[str, Shape] = {
    **dict.fromkeys(("$schema", "id", "name", "endpoint_name", "description", "type", "provisioning_state"), TEXT),
    **dict.fromkeys(("instance_type", "model_mount_path", "egress_public_network_access"), TEXT),
    **dict.fromkeys(("tags", "properties", "environment_variables", "creation_context"), OPEN),
    **dict.fromkeys(("app_insights_enabled", "private_network_connection"), TRUTH),
    "instance_count": WHOLE,
    "deployment_template": TEXT,
    "model": (TEXT, MODEL),
    "code_configuration": {"$schema": TEXT, "code": TEXT, "scoring_script": TEXT},
    "environment": (TEXT, ENVIRONMENT),
    "scale_settings": {
        **dict.fromkeys(("type", "polling_interval"), TEXT),
        **dict.fromkeys(("target_utilization_percentage", "min_instances", "max_instances"), WHOLE),
    },
    "request_settings": dict.fromkeys(
        ("request_timeout_ms", "max_concurrent_requests_per_instance", "max_queue_wait_ms"), WHOLE
    ),
    "liveness_probe": _PROBE,
    "readiness_probe": _PROBE,
    "startup_probe": _PROBE,
    "resources": {"requests": _RESOURCE, "limits": _RESOURCE},
    "data_collector": {
        "collections": OPEN,
        "rolling_rate": TEXT,
        "sampling_rate": TEXT,
        "request_logging": {"capture_headers": LIST},
        "enabled": TRUTH,
        "destination": OPEN,
        "sampling_strategy": OPEN,
    },
}


def check(node: Node, shape: Shape, path: str, where: str) -> None:
    """Errors: `ConfigError` for the first thing in the tree that the schema does not know; `where` names the tree."""
    for fitting in _alternatives(shape):
        if isinstance(fitting, Kind) and fitting.takes(node):
            return
        if not isinstance(fitting, Kind) and isinstance(node.value, dict):
            return _check_members(node, fitting, path, where)
    if node.value is None and not isinstance(shape, Kind):
        return  # `environment:` with all of its members commented out
    wanted = " or ".join(each.what if isinstance(each, Kind) else "a mapping" for each in _alternatives(shape))
    raise ConfigError(f"{where} is {node.kind}, not {wanted}", 3, path=path, line=node.line, column=node.column)


def _alternatives(shape: Shape) -> Iterable[Plain]:
    return shape if isinstance(shape, tuple) else (shape,)


def _check_members(node: Node, shape: Mapping[str, Shape], path: str, where: str) -> None:
    for name, member in node.mapping.items():
        if name not in shape:
            raise _unknown(node, name, shape, path, where)
        inside = name if where == "the file" else f"{where}.{name}"
        if not (member.value is None and shape[name] in (WHOLE, TRUTH, OPEN, LIST)):
            check(member, shape[name], path, inside)


def _unknown(node: Node, name: str, shape: Mapping[str, Shape], path: str, where: str) -> ConfigError:
    line, column = node.keys.get(name, (node.line, node.column))
    near = next(iter(difflib.get_close_matches(name, shape, 1, 0.7)), None) or _home_of(name)
    of = "an online deployment" if where == "the file" else where
    meant = f"; did you mean {near}?" if near else ""
    return ConfigError(f"{of} has no key {name}{meant}", 3, path=path, line=line, column=column)


def _home_of(name: str) -> str | None:
    """Where else in a deployment there is such a key."""
    for outer, shapes in DEPLOYMENT.items():
        for shape in _alternatives(shapes):
            if not isinstance(shape, Kind) and name in shape and name not in _ASSET:
                return f"{outer}.{name}"
    return name if name in DEPLOYMENT else None


# --- which file it is

_SCHEMA = re.compile(r"([A-Za-z]+)(?:\.schema)?\.json\s*$")
_ONLINE = ("managedonlinedeployment", "kubernetesonlinedeployment", "onlinedeployment")
_BATCH_KEYS = {"mini_batch_size", "output_action", "output_file_name", "retry_settings", "error_threshold"}
_BATCH_KEYS |= {"max_concurrency_per_instance", "logging_level", "compute", "component", "job_definition", "settings"}
_OTHERS: Mapping[str, set[str]] = {
    "an endpoint file": {"auth_mode", "traffic", "mirror_traffic", "public_network_access", "deployments", "identity"},
    "a batch deployment": _BATCH_KEYS,
    "a conda file": {"channels", "dependencies"},
    "an environment file": {"conda_file", "image", "build", "inference_config"},
    "a job or a component": {"jobs", "command", "inputs", "outputs", "experiment_name"},
    "a model file": {"path", "flavors"},
}


def other_file(node: Node) -> str | None:
    """What the file is, where it is another one of Azure ML's than an online deployment."""
    schema = node.mapping.get("$schema")
    named = _SCHEMA.search(schema.text.lower()) if schema is not None else None
    if named is not None:
        return None if named[1] in _ONLINE else _by_schema(named[1])
    kind = node.mapping.get("type")
    if kind is not None and kind.text in ("model", "pipeline") and "endpoint_name" in node.mapping:
        return "a batch deployment"
    if "code_configuration" in node.mapping and not _BATCH_KEYS & node.mapping.keys():
        return None
    foreign = [name for name in node.mapping if name not in DEPLOYMENT]
    return next((what for what, keys in _OTHERS.items() if keys.intersection(foreign)), None)


def _by_schema(name: str) -> str:
    if name.endswith("endpoint"):
        return "an endpoint file"
    if name.endswith("batchdeployment"):
        return "a batch deployment"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} file"


def deployments_beside(path: str) -> list[str]:
    """The names of other YAML files in the folder that are online deployments by their keys."""
    folder = os.path.dirname(path)
    names = sorted(name for name in os.listdir(folder) if name.endswith((".yml", ".yaml")))
    return [
        name for name in names[:50] if name != os.path.basename(path) and _is_deployment(os.path.join(folder, name))
    ]


def _is_deployment(path: str) -> bool:
    try:
        node = read_yaml(path, "")
    except ConfigError:
        return False
    return "code_configuration" in node.mapping and other_file(node) is None
