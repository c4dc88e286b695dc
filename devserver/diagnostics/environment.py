"""What a deployment's environment asks for and this one does not have, a line for each package.

The script runs here with what is installed here; in Azure ML with what the conda file says. Where the two differ, so
may the answers.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

from devserver.config.azure_deployment import Requirement
from devserver.text import path_for_people

# conda's names for what has another one on PyPI, by what is importable there
_NAMES = {
    **{"pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch", "py-xgboost": "xgboost", "pyyaml": "PyYAML"},
    **{"py-opencv": "opencv-python", "opencv": "opencv-python", "tensorflow-gpu": "tensorflow", "pytables": "tables"},
    **{"matplotlib-base": "matplotlib", "pillow-simd": "pillow", "dask-core": "dask", "msgpack-python": "msgpack"},
    **{
        "python-dateutil": "python-dateutil",
        "tensorflow-cpu": "tensorflow",
        "importlib_metadata": "importlib-metadata",
    },
}
# what conda installs beside Python packages; nothing here could tell whether it is there
_NO_PACKAGES = {
    *("pip", "python", "setuptools", "wheel", "conda", "openssl", "cudatoolkit", "cudnn", "cuda", "mkl", "gcc", "gxx"),
    *("libgcc", "libgcc-ng", "libstdcxx-ng", "libgomp", "libffi", "zlib", "ffmpeg", "nodejs", "openjdk", "git", "make"),
    *("cmake", "r-base", "_openmp_mutex", "ca-certificates", "sqlite", "readline", "ncurses", "blas", "libblas"),
    *("pytorch-cuda", "cpuonly", "cuda-version", "cuda-toolkit", "openmpi", "mpi", "llvm-openmp", "intel-openmp"),
}
# servers that answer in Azure ML: this one stands in for them
_SERVERS = {"azureml-inference-server-http", "azureml-defaults"}


def differences(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    """A line for each package that is missing here, or is another version."""
    return tuple(dict.fromkeys(line for each in requirements for line in _difference(each)))


def _difference(wanted: Requirement) -> Iterator[str]:
    name = _NAMES.get(wanted.name.lower(), wanted.name) if wanted.source == "conda" else wanted.name
    said = f"{wanted.name}{wanted.version}"
    if wanted.source == "conda" and wanted.name.lower() == "python":
        here, what = platform.python_version(), "Python is"
    elif name.lower().replace("_", "-") in _SERVERS | (_NO_PACKAGES if wanted.source == "conda" else {"pip"}):
        return
    else:
        try:
            here, what = version(name), "installed is"
        except PackageNotFoundError:
            yield f"{_place(wanted)}: {said} is not installed here"
            return
    if not _fits(here, wanted.version):
        yield f"{_place(wanted)}: {said}, and {what} {here} here"


def _place(wanted: Requirement) -> str:
    return f"{path_for_people(os.path.realpath(wanted.path))}:{wanted.line}"


def _fits(here: str, wanted: str) -> bool:
    """Whether the version satisfies the specifier; one that nobody understands is satisfied."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return not wanted or SpecifierSet(wanted).contains(Version(here), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True
