"""What an edit of a source file changes: only bodies of functions, or something that loading the file would show.

Two texts are compared as syntax trees, statement by statement; where a statement's text is the same it is not looked
into, so that a long file costs little. Functions of a module or a class, and lambdas outside of functions, may have
other bodies; everything else (names, defaults, decorators, annotations, docstrings, constants) must be equal. A new
or a lost plain function is told as such: whether its name can be seen is for `decide` to say.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import field

from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.worker.keep.plain import NAMED, Function, Single, single_of, singles, span_of, without

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@record(frozen=True)
class Place:
    """A function in both texts. Lines are 1-based; `old_line` and `new_line` as `co_firstlineno` says them.

    `old_span` and `new_span` are first and last line, decorators included.
    """

    name: str
    code_name: str
    old_line: int
    new_line: int
    old_span: tuple[int, int]
    new_span: tuple[int, int]


@record(frozen=True)
class Difference:
    """`changed`: functions with another body. `old_apart`, `new_apart`: lines of a block that never runs here."""

    changed: tuple[Place, ...] = ()
    added: tuple[Single, ...] = ()
    removed: tuple[Single, ...] = ()
    old_apart: tuple[tuple[int, int], ...] = ()
    new_apart: tuple[tuple[int, int], ...] = ()


@record(frozen=True)
class Source:
    """A text with its tree; made once. Errors: SyntaxError, ValueError, Recursion- and MemoryError."""

    text: str
    tree: ast.Module = field(compare=False, repr=False)
    lines: tuple[str, ...] = field(compare=False, repr=False)

    @staticmethod
    def of(text: str) -> Source:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        return Source(text, tree, tuple(text.split("\n")))


class _Differs(Exception):
    """Carries the reason out of the walk."""

    def __init__(self, why: Why, node: ast.AST | None = None, place: str = "", fact: str = "") -> None:
        super().__init__(why)
        self.reason = Reason(why, place=place, line=getattr(node, "lineno", 0), fact=fact)


def compare(old: Source, new: Source) -> Difference | Reason:
    """What has changed from `old` to `new`, or why that can be seen without a call. The reason's path is left empty."""
    if old.text == new.text:
        return Difference()
    try:
        return _Comparison(old, new).run()
    except _Differs as differs:
        return differs.reason
    except RecursionError:
        return Reason(Why.STATEMENT, fact="something nested very deeply")


class _Comparison:
    def __init__(self, old: Source, new: Source) -> None:
        self.old, self.new = old, new
        self.changed: list[Place] = []
        self.apart: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        self.count: Counter[str] = Counter()

    def run(self) -> Difference:
        before, after = self.old.tree.body, self.new.tree.body
        if ast.get_docstring(self.old.tree, clean=False) != ast.get_docstring(self.new.tree, clean=False):
            raise _Differs(Why.STATEMENT, after[0] if after else None, fact="the module's docstring")
        removed, added = singles(before, after), singles(after, before)
        self.block(without(before, removed), without(after, added), "")
        return Difference(
            tuple(self.changed),
            tuple(single_of(node) for node in added),
            tuple(single_of(node) for node in removed),
            tuple(self.apart[0]),
            tuple(self.apart[1]),
        )

    def block(self, before: Sequence[ast.stmt], after: Sequence[ast.stmt], prefix: str) -> None:
        for one, other in zip(before, after, strict=False):
            self.statement(one, other, prefix)
        if len(before) != len(after):
            at = after[len(before)] if len(after) > len(before) else (after[-1] if after else None)
            raise _Differs(Why.STATEMENT, at, fact=_kind_of(at))

    def statement(self, one: ast.stmt, other: ast.stmt, prefix: str) -> None:
        if self.same_text(one, other):
            self.count_names(one, prefix)
            return
        if type(one) is not type(other):
            raise _Differs(Why.STATEMENT, other, fact=_kind_of(other))
        if isinstance(one, Function) and isinstance(other, Function):
            self.function(one, other, prefix)
        elif isinstance(one, ast.ClassDef) and isinstance(other, ast.ClassDef):
            self.fields(one, other, prefix, ("body",))
            self.block(one.body, other.body, f"{prefix}{one.name}.")
        elif not prefix and self.never_runs(one) and self.never_runs(other):
            self.apart[0].append(span_of(one))
            self.apart[1].append(span_of(other))
        else:
            self.fields(one, other, prefix)

    def same_text(self, one: ast.stmt, other: ast.stmt) -> bool:
        """Equal text is an equal tree."""
        if (one.col_offset, one.end_col_offset) != (other.col_offset, other.end_col_offset):
            return False
        first, last = span_of(one)
        begin, end = span_of(other)
        return last - first == end - begin and self.old.lines[first - 1 : last] == self.new.lines[begin - 1 : end]

    def count_names(self, node: ast.stmt, prefix: str) -> None:
        if isinstance(node, Function):
            self.count[prefix + node.name] += 1

    def numbered(self, name: str) -> str:
        self.count[name] += 1
        return name if self.count[name] == 1 else f"{name}#{self.count[name]}"

    def function(self, one: Function, other: Function, prefix: str) -> None:
        name = self.numbered(prefix + other.name)
        if one.name != other.name:
            raise _Differs(Why.STATEMENT, other, fact=f"the definition of {other.name}()")
        for part, word in _PARTS:
            try:
                self.equal(getattr(one, part, None), getattr(other, part, None), prefix)
            except _Differs:
                raise _Differs(Why.SIGNATURE, other, name, word) from None
        if ast.get_docstring(one, clean=False) != ast.get_docstring(other, clean=False):
            raise _Differs(Why.DOCSTRING, other, name)
        if not _same(one.body, other.body):
            self.changed.append(_place(name, one.name, one, other))

    def lambda_(self, one: ast.Lambda, other: ast.Lambda, prefix: str) -> None:
        self.equal(one.args, other.args, prefix)
        name = self.numbered(f"{prefix}<lambda>")
        if _same(one.body, other.body):
            return
        if _lambdas_at(self.old.tree, one.lineno) > 1 or _lambdas_at(self.new.tree, other.lineno) > 1:
            raise _Differs(Why.STATEMENT, other, fact="one of several lambdas")
        self.changed.append(_place(name, "<lambda>", one, other))

    def never_runs(self, node: ast.stmt) -> bool:
        """`if __name__ == "__main__":` in a file that does not set `__name__`; here the name is another one."""
        if not isinstance(node, ast.If) or node.orelse or not isinstance(node.test, ast.Compare):
            return False
        sides = (node.test.left, *node.test.comparators)
        names = [side.id for side in sides if isinstance(side, ast.Name)]
        values = [side.value for side in sides if isinstance(side, ast.Constant)]
        if names != ["__name__"] or values != ["__main__"] or not isinstance(node.test.ops[0], ast.Eq):
            return False
        return not any(_sets_name(source.tree) or _has_globals(node) for source in (self.old, self.new))

    def fields(self, one: ast.AST, other: ast.AST, prefix: str, leave: Sequence[str] = ()) -> None:
        for name in one._fields:
            if name not in leave:
                try:
                    self.equal(getattr(one, name, None), getattr(other, name, None), prefix)
                except _Differs as differs:
                    if differs.reason.line:
                        raise
                    raise _Differs(Why.STATEMENT, other, fact=_kind_of(other)) from None

    def equal(self, one: object, other: object, prefix: str) -> None:
        """Errors: `_Differs`, without a line where a plain value differs."""
        if isinstance(one, list) and isinstance(other, list):
            if one and other and isinstance(one[0], ast.stmt) and isinstance(other[0], ast.stmt):
                self.block(one, other, prefix)
                return
            if len(one) != len(other):
                raise _Differs(Why.STATEMENT)
            for a, b in zip(one, other, strict=True):
                self.equal(a, b, prefix)
        elif type(one) is not type(other):
            raise _Differs(Why.STATEMENT)
        elif isinstance(one, ast.Lambda) and isinstance(other, ast.Lambda):
            self.lambda_(one, other, prefix)
        elif isinstance(one, COMPREHENSIONS):
            if not _same(one, other):
                raise _Differs(Why.STATEMENT)
        elif isinstance(one, ast.AST) and isinstance(other, ast.AST):
            for name in one._fields:
                self.equal(getattr(one, name, None), getattr(other, name, None), prefix)
        elif not _same(one, other):
            raise _Differs(Why.STATEMENT)


_PARTS = (
    ("args", "signature"),
    ("decorator_list", "decorator"),
    ("returns", "annotation"),
    ("type_comment", "type comment"),
    ("type_params", "type parameter"),
)


def _same(one: object, other: object) -> bool:
    """Equal trees; constants are told apart as the compiler does (0.0 is not -0.0, 1 is not True)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, ast.AST):
        return all(_same(getattr(one, name, None), getattr(other, name, None)) for name in one._fields)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (float, complex)):
        return repr(one) == repr(other)
    return one == other


def _place(name: str, code_name: str, one: Function | ast.Lambda, other: Function | ast.Lambda) -> Place:
    old, new = span_of(one), span_of(other)
    return Place(name, code_name, old[0], new[0], old, new)


def _kind_of(node: ast.AST | None) -> str:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "an import"
    if isinstance(node, NAMED):
        return f"the definition of {node.name}"
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return "a statement"


def _lambdas_at(tree: ast.Module, line: int) -> int:
    return sum(isinstance(node, ast.Lambda) and node.lineno == line for node in ast.walk(tree))


def _sets_name(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "__name__" and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, (ast.Global, ast.Nonlocal)) and "__name__" in node.names)
        or (isinstance(node, ast.alias) and "__name__" in (node.name, node.asname))
        or (isinstance(node, ast.alias) and node.name == "*")
        for node in ast.walk(tree)
    )


def _has_globals(node: ast.If) -> bool:
    """A `from __future__` import or a `global` reaches beyond the block."""
    return any(
        isinstance(child, ast.Global) or (isinstance(child, ast.ImportFrom) and child.module == "__future__")
        for statement in node.body
        for child in ast.walk(statement)
    )
