"""The mutants of a module: its text with one small change each, by mutmut's operators.

mutmut itself keeps all mutants of a function beside it and switches between them, which decorated
functions do not allow; here each is a text of its own, so that every function counts.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import libcst as cst
from mutmut.mutation.mutators import mutation_operators, operator_assignment

# Their arguments are for people, or of no consequence.
UNTOUCHED_CALLS = {"log", "isinstance", "len", "cast", "TypeVar", "getLogger"}
UNTOUCHED_NODES = (cst.Annotation, cst.Decorator, cst.ImportFrom, cst.Import, cst.Assert)


@dataclass(frozen=True)
class Mutant:
    """:param function: qualified name; empty at module level."""

    module: str
    function: str
    number: int
    original: Any
    mutated: Any
    tree: Any

    @property
    def rank(self) -> str:
        """Return what samples are ordered by: random, and unchanged by changes elsewhere."""
        before, after = (self.tree.code_for_node(node) for node in (self.original, self.mutated))
        text = "\0".join((self.module, self.function, before, after, str(self.number)))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """Return the text of the mutated module."""
        return str(self.tree.deep_replace(self.original, self.mutated).code)

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """Return the lines that differ, ``- old`` and ``+ new``, without their indentation."""
        lines = difflib.unified_diff(
            self.tree.code.splitlines(), self.text.splitlines(), n=0, lineterm=""
        )
        return tuple(
            f"{line[0]} {line[1:].strip()}"
            for line in lines
            if not line.startswith(("---", "+++", "@@"))
        )

    def __str__(self) -> str:
        return "\n".join((f"{self.module} {self.function}", *self.changes))


def mutants_of(package: Path, module: str) -> list[Mutant]:
    """Return all mutants of a module.

    :param module: its path below *package*.
    """
    tree = cst.parse_module((package / module).read_text(encoding="utf-8"))
    visitor = _Visitor()
    tree.visit(visitor)
    numbers: dict[tuple[str, str, str], int] = {}
    mutants = []
    for function, original, mutated in visitor.mutations:
        key = function, tree.code_for_node(original), tree.code_for_node(mutated)
        numbers[key] = numbers.get(key, 0) + 1
        mutants.append(Mutant(module, function, numbers[key], original, mutated, tree))
    return mutants


class _Visitor(cst.CSTVisitor):
    """:ivar mutations: function, original node and mutated node."""

    def __init__(self) -> None:
        self.mutations: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []
        self._names: list[str] = []
        self._functions = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, UNTOUCHED_NODES) or _is_untouched_call(node) or _is_docstring(node):
            return False
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self._names.append(node.name.value)
            self._functions += isinstance(node, cst.FunctionDef)
        elif self._functions or isinstance(node, (cst.BaseNumber, cst.Name)):
            self._mutate(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, (cst.FunctionDef, cst.ClassDef)):
            self._names.pop()
            self._functions -= isinstance(original_node, cst.FunctionDef)

    def _mutate(self, node: cst.CSTNode) -> None:
        mutated = [
            each
            for kind, operator in OPERATORS
            if isinstance(node, kind)
            for each in operator(node)
            if _is_worthwhile(node, each)
        ]
        if isinstance(node, cst.SimpleString):
            # One change of a text is enough.
            mutated = mutated[:1]
        self.mutations += [(".".join(self._names), node, each) for each in mutated]


def _without_call(node: cst.Expr) -> Iterator[cst.CSTNode]:
    """Leave out a call whose result is not used."""
    if isinstance(node.value, cst.Call) and not _is_untouched_call(node.value):
        yield cst.Pass()


# An assignment of None is noticed by what reads it, whatever the tests are.
OPERATORS: list[tuple[Any, Any]] = [
    *((kind, each) for kind, each in mutation_operators if each is not operator_assignment),
    (cst.Expr, _without_call),
]


def _is_worthwhile(node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
    if isinstance(node, cst.Call) and isinstance(mutated, cst.Call):
        pairs = zip(node.args, (*mutated.args, None))
        position, old = next(
            ((at, old) for at, (old, new) in enumerate(pairs) if old is not new), (0, None)
        )
        if old is None:
            return True
        removed = len(mutated.args) < len(node.args)
        # Without one of the first arguments, a call fails whatever the tests are.
        is_first = removed and old.keyword is None and position < len(node.args) - 1
        # None is as false as False: instead of it there is a mutant with True.
        is_false = not removed and isinstance(old.value, cst.Name) and old.value.value == "False"
        return not is_first and not is_false and not _is_for_people(old.value)
    return not _is_for_people(node)


def _is_for_people(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.SimpleString):
        return " " in node.value
    return isinstance(node, (cst.FormattedString, cst.ConcatenatedString))


def _is_untouched_call(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Call):
        return False
    function = node.func.value if isinstance(node.func, cst.Attribute) else node.func
    return isinstance(function, cst.Name) and function.value in UNTOUCHED_CALLS


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(
        node.value, (cst.SimpleString, cst.ConcatenatedString, cst.Ellipsis)
    )
