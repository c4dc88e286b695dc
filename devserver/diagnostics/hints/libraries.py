"""Hints for names that libraries no longer have, and for what this machine lacks."""

from __future__ import annotations

import os
import re
import sys
from types import ModuleType

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.diagnostics.hints.packages import version_of, with_version
from devserver.text import nearest
from devserver.usercode import ownership

_REMOVED = {
    ("DataFrame", "append"): "removed in pandas 2.0: use pd.concat([a, b])",
    ("Series", "append"): "removed in pandas 2.0: use pd.concat([a, b])",
    ("DataFrame", "iteritems"): "removed in pandas 2.0: use items()",
    ("Series", "iteritems"): "removed in pandas 2.0: use items()",
    ("DataFrame", "ix"): "removed in pandas 1.0: use loc or iloc",
    ("Series", "ix"): "removed in pandas 1.0: use loc or iloc",
    ("DataFrame", "as_matrix"): "removed in pandas 1.0: use to_numpy()",
    ("DataFrame", "applymap"): "removed in pandas 3.0: use map()",
    ("DataFrame", "swapaxes"): "removed in pandas 3.0: use transpose()",
    ("Index", "is_all_dates"): "removed in pandas 2.0",
    ("numpy", "asscalar"): "removed in numpy 1.23: use a.item()",
    ("numpy", "NaN"): "removed in numpy 2.0: use np.nan",
    ("numpy", "Inf"): "removed in numpy 2.0: use np.inf",
    ("numpy", "float_"): "removed in numpy 2.0: use np.float64",
    ("numpy", "product"): "removed in numpy 2.0: use np.prod",
    ("numpy", "in1d"): "removed in numpy 2.4: use np.isin",
    ("numpy", "trapz"): "removed in numpy 2.4: use np.trapezoid",
    ("PIL.Image", "ANTIALIAS"): "removed in pillow 10: use Image.LANCZOS",
    ("tensorflow", "Session"): "removed in tensorflow 2: use tf.compat.v1.Session, or none",
    ("tensorflow", "placeholder"): "removed in tensorflow 2",
    ("collections", "Mapping"): "moved in Python 3.10: use collections.abc",
    ("collections", "Iterable"): "moved in Python 3.10: use collections.abc",
    ("inspect", "getargspec"): "removed in Python 3.11: use inspect.getfullargspec()",
    ("asyncio", "coroutine"): "removed in Python 3.11: use async def",
}


def _removed_attribute(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, AttributeError) or not exception.name:
        return None
    owner = exception.obj
    name = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    removed = _REMOVED.get((name, exception.name))
    if removed is None:
        return None
    module = name if isinstance(owner, ModuleType) else type(owner).__module__
    version = with_version(module)
    return removed + (f" (here: {version})" if version_of(module.partition(".")[0]) else "")


def _nearest_attribute(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, AttributeError) or not exception.name or exception.obj is None:
        return None
    names = [name for name in dir(exception.obj) if not name.startswith("_")]
    near = nearest(exception.name, names, 0.72)
    if near:
        return f"did you mean {near}?"
    module = exception.obj.__name__ if isinstance(exception.obj, ModuleType) else type(exception.obj).__module__
    if version_of(module.partition(".")[0]) and not ownership.is_user_file(
        getattr(sys.modules[module], "__file__", "") or ""
    ):
        return f"{with_version(module)} is installed here; the script may be written for another version of it"
    return None


def _no_cuda(facts: Facts) -> str | None:
    asked = re.search(r"\bCUDA\b|NVIDIA driver|torch\.cuda", facts.message)
    if not asked or facts.exception is None or os.path.exists("/dev/nvidia0"):
        return None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return None
    load = " (torch.load takes map_location='cpu')" if "deserialize" in facts.message else ""
    return f"this machine has no CUDA device: choose the CPU when there is none{load}"


HINTS: tuple[Predicate, ...] = (
    _removed_attribute,
    _nearest_attribute,
    _no_cuda,
)
