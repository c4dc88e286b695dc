"""breakpoint(), pdb and input() in the script borrow the keyboard."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

from devserver.process.terminal import Loan


def lend_to_breakpoints(loan: Loan) -> None:
    """Makes breakpoint(), pdb and input() in the script use the keyboard of the terminal."""
    import builtins
    import pdb

    class LentPdb(pdb.Pdb):
        """Has the keyboard from the first prompt until the script goes on by itself, not only while it prompts."""

        has_it = False

        def interaction(self, *args: Any, **kwargs: Any) -> None:
            if not self.has_it:
                self.has_it = True
                loan.__enter__()
            try:
                super().interaction(*args, **kwargs)
            except BaseException:  # a time limit, or the end of the worker
                self._give_back()
                raise

        def set_continue(self) -> None:
            super().set_continue()
            self._give_back()

        def set_quit(self) -> None:
            super().set_quit()
            self._give_back()

        def _give_back(self) -> None:
            if self.has_it:
                self.has_it = False
                loan.__exit__()

    def set_trace(*_: object, **__: object) -> None:
        stop_at(sys._getframe(1))

    def stop_at(frame: FrameType) -> None:
        debugger = LentPdb(nosigint=True)
        # what is printed to sys.stdout goes to the log
        debugger.stdout = open(1, "w", buffering=1, encoding=sys.stdout.encoding, errors="replace", closefd=False)
        debugger.set_trace(frame)

    def hook(*args: Any, **named: Any) -> Any:
        other = os.environ.get("PYTHONBREAKPOINT") or "pdb.set_trace"
        if other == "pdb.set_trace":
            return stop_at(sys._getframe(1))
        if other != "0":
            loan.__enter__()  # for good: another debugger does not say when it is done
        return sys.__breakpointhook__(*args, **named)

    plain_input = builtins.input

    def lent_input(prompt: object = "", /) -> str:
        with loan:
            return plain_input(prompt)

    sys.breakpointhook = hook
    pdb.set_trace = set_trace
    builtins.input = lent_input
