"""Who wants to know of each module of the user's that is about to be executed."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType, ModuleType

hearers: list[Callable[[str, str, CodeType, ModuleType], None]] = []  # called with path, text, code and module


def tell(path: str, text: str, code: CodeType, caller: FrameType) -> None:
    """The standard `exec_module` runs this code next, in its module; others who ask for code are not told of.

    To run it ourselves would leave a call of ours in every traceback of an import.
    """
    module = caller.f_locals.get("module") if hearers and caller.f_code.co_name == "exec_module" else None
    if isinstance(module, ModuleType):
        for hear in hearers:
            hear(path, text, code, module)
