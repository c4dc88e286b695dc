"""Load and init() observed: what a decision needs to know later, noted in passing.

It holds no more than every start can afford; what is made of it waits until a stage is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from types import CodeType, ModuleType

from devserver.records.reasons import Reason
from devserver.records.record import record
from devserver.records.stamps import Stamp
from devserver.worker.keep.forkable import Forkable, State, forkable, state_now
from devserver.worker.keep.mend import Left, finalizers_now, left
from devserver.worker.keep.ran import Record, start_record
from devserver.worker.keep.watching import Seen, Watch

Execution = tuple[str, str, CodeType, ModuleType]  # path, text, what was compiled of it, where it ran


@record(frozen=True)
class Made:
    """What load and init() have come to. `differences`: paths of all that is not as it was loaded or read.

    `files`: the user's that were loaded, with their stamps. `init_ms`: how long init() took.
    """

    differences: Callable[[], Collection[str]]
    files: Mapping[str, Stamp]
    init_ms: float


class Observer:
    """In a `with` around load and init(). `ignore`: descriptors that the tool may open or change meanwhile."""

    def __init__(
        self, is_user: Callable[[str], bool], is_ours: Callable[[str], bool], ignore: Collection[int] = ()
    ) -> None:
        self._watch = Watch(is_user, is_ours)
        self._ignore = ignore
        self.record: Record | None = None
        self.executions: list[Execution] = []

    def __enter__(self) -> Observer:
        self._before: State = state_now(self._ignore)
        self._finalizers = finalizers_now()
        self.record = start_record()
        self._watch.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watch.__exit__()
        if kind is not None:
            self.stop()

    @property
    def descriptors_before(self) -> Set[int]:
        """Those that were open before load."""
        return self._before.held.keys()

    def stop(self) -> None:
        """Nothing is recorded any more; what was stays known."""
        if self.record is not None:
            self.record.stop()

    def executing(self, path: str, text: str, code: CodeType, module: ModuleType) -> None:
        """To be called by the loader before it executes `code`, which was compiled from `text`."""
        if self.record is not None:
            self.record.watch(code)
        self.executions.append((path, text, code, module))

    def seen(self) -> Seen:
        """What happened until now."""
        return self._watch.seen()

    def may_fork(self) -> Forkable | Reason:
        """Whether this process may be forked as it is now; it forks a throw-away child where threads run."""
        return forkable(self._before, self._ignore)

    def left(self, seen: Seen, may_fork: Forkable | Reason) -> Left:
        """What a fork has to put right."""
        return left(seen, self._finalizers, may_fork if isinstance(may_fork, Forkable) else Forkable())
