"""The paths of a configuration, where the file system has another spelling of them."""

from __future__ import annotations

import os
from pathlib import Path

from devserver.config.sources import read_config
from devserver.config.spelling import with_stored_names


def lower(path: str) -> str:
    return path.lower()


def same(path: str) -> str:
    return path


def test_what_is_spelled_so_stays(tmp_path: Path) -> None:
    """Also what is relative."""
    given = ["--entry_script", "Score.py", "--model_dir", "Model", "--reload", "--request", "One.json"]
    config = read_config(given, {}, str(tmp_path))
    assert with_stored_names(config, same) == config


def test_all_of_it(tmp_path: Path) -> None:
    """What is relative becomes absolute where it has another spelling."""
    top = os.path.join(str(tmp_path), "Top")
    os.mkdir(top)
    given = ["--entry_script", "Score.py", "--model_dir", "Model", "--reload", "--request", "One.json"]
    config = with_stored_names(read_config(given, {}, top), lower)
    assert config.base == lower(top)
    paths = (config.script, config.absolute_model_dir, *config.samples)
    assert paths == tuple(lower(os.path.join(top, name)) for name in ("score.py", "model", "one.json"))


def test_a_script_of_the_app_root(tmp_path: Path) -> None:
    """It is looked for there, and not in the working directory."""
    variables = {"AML_APP_ROOT": os.path.join(str(tmp_path), "Root"), "AZUREML_ENTRY_SCRIPT": "Score.py"}
    config = with_stored_names(read_config(["--reload"], variables, str(tmp_path)), lower)
    assert config.script == lower(os.path.join(str(tmp_path), "Root", "Score.py"))
    assert config.app_root == lower(os.path.join(str(tmp_path), "Root"))


DEPLOYMENT = """
name: blue
endpoint_name: e
model: {path: Model}
code_configuration: {code: Code, scoring_script: Score.py}
"""


def test_a_deployment(tmp_path: Path) -> None:
    """What it names, and itself."""
    (tmp_path / "Model").mkdir()
    (tmp_path / "Code").mkdir()
    (tmp_path / "Code" / "Score.py").touch()
    (tmp_path / "Blue.yml").write_text(DEPLOYMENT)
    config = with_stored_names(read_config(["--deployment", "Blue.yml", "--reload"], {}, str(tmp_path)), lower)
    found = (config.script, config.model_tree, *config.deployment_files)
    assert found == tuple(lower(str(tmp_path / name)) for name in ("Code/Score.py", "Model", "Blue.yml"))
