"""What an online deployment in Azure's YAML says about the script, its model, its variables and its limits.

People have this file already, and Azure ML goes by it; to type the same again is how the two come to differ. Paths in
it are relative to the file. What is mounted where follows Azure ML: the folder of the scoring script is the app root,
and AZUREML_MODEL_DIR is what *holds* the model's file or folder, which keeps its name.
"""

from __future__ import annotations

import difflib
import os

from devserver.config import azure_schema, conda
from devserver.config.azure_deployment import Deployment, Given, Limits, Probe, Requirement
from devserver.config.files import ConfigError
from devserver.config.values import TRUE_WORDS
from devserver.config.yaml_files import Node, read_yaml

WHAT = "the deployment file"


def read_deployment(path: str, with_script: bool = True, with_model: bool = True) -> Deployment:
    """The deployment in the file at this absolute path.

    The scoring script is left out, whatever the file says, unless it is wanted `with_script`; likewise the model.
    Errors: `ConfigError` with the place, exit code 3.
    """
    node = read_yaml(path, WHAT)
    _check_kind(node, path)
    azure_schema.check(node, azure_schema.DEPLOYMENT, path, "the file")
    return _Reader(path, node).read(with_script, with_model)


def problem_in(path: str, problem: str, place: Given | Node | None = None, wanted: str | None = None) -> ConfigError:
    """What is wrong at a place of a deployment's file; `wanted` is a path that it names in vain."""
    line, column = (place.line, place.column) if place is not None else (1, 1)
    return ConfigError(problem, 3, path=path, line=line, column=column, wanted=wanted)


def _check_kind(node: Node, path: str) -> None:
    if not isinstance(node.value, dict):
        problem = f"{WHAT} holds {node.kind}, not a mapping with name, model, code_configuration ..."
        raise ConfigError(problem, 3, path=path, line=node.line, column=node.column)
    other = azure_schema.other_file(node)
    if other is None:
        return
    beside = azure_schema.deployments_beside(path)
    meant = f"; is {' or '.join(beside[:3])} meant?" if beside else ""
    problem = f"this is {other}, and --deployment takes that of an online deployment{meant}"
    line, column = node.keys.get("$schema", (node.line, node.column))
    raise ConfigError(problem, 3, path=path, line=line, column=column)


class _Reader:
    """Takes over what concerns the server, key by key."""

    def __init__(self, path: str, node: Node) -> None:
        self.path = path
        self.folder = os.path.dirname(path)
        self.node = node
        self.notes: list[str] = []
        self.files: list[str] = []

    def read(self, with_script: bool, with_model: bool) -> Deployment:
        code = self._script() if with_script else None
        probes = [self._probe(name) for name in ("liveness_probe", "readiness_probe")]
        timeout, concurrent = (
            self._number("request_settings", key)
            for key in ("request_timeout_ms", "max_concurrent_requests_per_instance")
        )
        limits = Limits(
            int(timeout.text) / 1000 if timeout else Limits.request_seconds,
            int(concurrent.text) if concurrent else Limits.concurrent,
            probes[0],
            probes[1],
            self.path,
        )
        model = self._model() if with_model else None
        requirements = self._requirements()
        self._tell_data_collector()
        return Deployment(
            self.path,
            script=code,
            names_script=self._member("code_configuration", "scoring_script") is not None,
            model=model,
            model_is_file=model is not None and os.path.isfile(model),
            variables=self._variables(),
            request_timeout=timeout,
            app_insights=self._app_insights(),
            limits=limits,
            requirements=requirements,
            files=tuple(self.files),
            notes=tuple(self.notes),
        )

    def _member(self, outer: str, inner: str) -> Node | None:
        found = self.node.mapping.get(outer)
        member = found.mapping.get(inner) if found is not None else None
        return member if member is not None and member.value is not None else None

    def _problem(self, problem: str, place: Node | None = None) -> ConfigError:
        return problem_in(self.path, problem, place)

    def _missing(self, what: str, path: str, place: Node | None, other: str = "") -> ConfigError:
        problem = other if other and os.path.exists(path) else "does not exist"
        words = f"{what} {problem}: {path}{_filled_in(path) or _alike(path)}"
        return problem_in(self.path, words, place, wanted=path)

    def _note(self, node: Node, text: str) -> None:
        self.notes.append(f"{self.path}:{node.line}: {text}")

    # --- code and model

    def _script(self) -> str | None:
        code, script = (self._member("code_configuration", key) for key in ("code", "scoring_script"))
        if script is None or not script.text:
            raise self._no_script(script)
        if code is not None and _is_remote(code.text):
            raise self._problem(
                f"the code {code.text} is not on this machine: name the script with --entry_script", code
            )
        folder = self._local(code.text) if code is not None else self.folder
        if not os.path.isdir(folder):
            raise self._missing("the code folder", folder, code, "is not a folder")
        found = os.path.normpath(os.path.join(folder, script.text))
        if not os.path.isfile(found):
            raise self._missing("the scoring script", found, script, "is no file")
        return found

    def _no_script(self, place: Node | None) -> ConfigError:
        code = self.node.mapping.get("code_configuration")
        what = "it names no scoring script" if code is None else "code_configuration names no scoring_script"
        return self._problem(
            f"{what} (an MLflow model, or a container of your own?): name one with --entry_script", place or code
        )

    def _local(self, text: str) -> str:
        return os.path.normpath(os.path.join(self.folder, text.removeprefix("file:")))

    def _model(self) -> str | None:
        node = self.node.mapping.get("model")
        place = self._member("model", "path") if node is not None and node.mapping else node
        if node is None or place is None or place.value is None:
            return None
        if _is_remote(place.text):
            self._note(place, _how_to_get(place.text))
            return None
        found = self._local(place.text)
        if not os.path.exists(found):
            raise self._missing("the model", found, place)
        if place is node:
            self._note(place, "Azure ML takes a local model only as `model:` with `path:` below it")
        return found

    # --- variables and limits

    def _variables(self) -> dict[str, Given]:
        node = self.node.mapping.get("environment_variables")
        found = {}
        for name, value in (node.mapping if node is not None else {}).items():
            if isinstance(value.value, (dict, list)):
                raise self._problem(f"environment_variables.{name} is {value.kind}, not text", value)
            # Azure ML's command passes on what str() makes of the value
            text = str(value.value)
            if "\0" in text or "=" in name or not name:
                line, column = node.keys[name] if node is not None else (1, 1)
                raise self._problem(
                    f"{name!r} cannot be an environment variable with this value", Node("", line, column)
                )
            if value.value is not None:
                found[name] = Given(text, value.line, value.column)
        return found

    def _number(self, outer: str, inner: str) -> Given | None:
        node = self._member(outer, inner)
        if node is None:
            return None
        number = int(float(node.text))
        if number < 1:
            raise self._problem(f"{outer}.{inner} is {node.text}, not a number from 1", node)
        return Given(str(number), node.line, node.column)

    def _probe(self, name: str) -> Probe:
        keys = {"initial_delay": "initial_delay", "period": "period", "timeout": "timeout"}
        keys |= {"failure_threshold": "failures"}
        found = {keys[key]: given for key in keys if (given := self._number(name, key)) is not None}
        return Probe(name, **{key: int(given.text) for key, given in found.items()})

    def _app_insights(self) -> bool | None:
        node = self.node.mapping.get("app_insights_enabled")
        if node is None or node.value is None:
            return None
        return node.text.lower() in TRUE_WORDS

    def _tell_data_collector(self) -> None:
        node = self.node.mapping.get("data_collector")
        if node is not None and node.value is not None:
            self._note(node, "data_collector has no effect here: nothing is collected")

    # --- packages

    def _requirements(self) -> tuple[Requirement, ...]:
        given = self.node.mapping.get("environment")
        if given is not None and not given.mapping and given.text.startswith(("file:", "./", "../")):
            return self._of_environment_file(given)
        return self._of_conda(self._member("environment", "conda_file"), self.path, self.folder)

    def _of_environment_file(self, given: Node) -> tuple[Requirement, ...]:
        path = self._existing(given, "the environment file", self.folder)
        node = read_yaml(path, "the environment file")
        azure_schema.check(node, azure_schema.ENVIRONMENT, path, "the environment")
        return self._of_conda(node.mapping.get("conda_file"), path, os.path.dirname(path))

    def _of_conda(self, given: Node | None, path: str, folder: str) -> tuple[Requirement, ...]:
        if given is None or given.value is None or _is_remote(given.text):
            return ()
        if given.mapping:
            return conda.requirements_of(given, path)
        return conda.read_conda(self._existing(given, conda.WHAT, folder))

    def _existing(self, given: Node, what: str, folder: str) -> str:
        path = os.path.normpath(os.path.join(folder, given.text.removeprefix("file:")))
        self.files.append(path)
        if not os.path.isfile(path):
            raise self._missing(what, path, given, "is no file")
        return path


def _is_remote(text: str) -> bool:
    """Whether it names something in Azure ML, or by an address."""
    return text.startswith(("azureml:", "git+", "runs:/")) or "://" in text


def _how_to_get(model: str) -> str:
    """The line that says where a registered model comes from, and which folder to give then."""
    parts = model.removeprefix("azureml:").removeprefix("//").split("/")
    registry = f" --registry-name {parts[1]}" if parts[0] == "registries" and len(parts) > 1 else ""
    plain = parts[parts.index("models") + 1] if "models" in parts[:-1] else parts[-1]
    name, _, version = plain.partition("@" if "@" in plain else ":")
    version = parts[-1] if "versions" in parts else version
    if not name or not model.startswith("azureml:") or "datastores" in parts:
        return f"the model {model} is not on this machine: download it, and give --model_dir the folder that it lies in"
    which = f"--version {version}" if version and version != "latest" else "--version N"
    download = f"az ml model download --name {name} {which}{registry} --download-path models"
    return f"the model {model} is not on this machine: {download}, and give --model_dir models/{name}"


def _alike(path: str) -> str:
    """What in the same folder may have been meant."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return f" ({folder} is the last of these folders that is there)"
    near = difflib.get_close_matches(name, os.listdir(folder), 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _filled_in(text: str) -> str:
    """Of a template, what nobody has filled in."""
    return "; is this a template, which has to be filled in first?" if "{{" in text or "<" in text else ""
