"""The mutants of a module: its text with one small change each, by mutmut's operators.

mutmut itself keeps all mutants of a function beside it and switches between them, which decorated
functions do not allow; here each is a text of its own, so that every function counts.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
from mutmut.mutation.mutators import mutation_operators

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

    @property
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
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.mutations += [
                    (".".join(self._names), node, each) for each in _worthwhile(node, operator)
                ]


def _worthwhile(node: cst.CSTNode, operator: Any) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.SimpleString):
        # Texts with spaces are for people; of the others one change is enough.
        if " " not in node.value:
            yield from list(operator(node))[:1]
        return
    yield from operator(node)


def _is_untouched_call(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Call):
        return False
    function = node.func.value if isinstance(node.func, cst.Attribute) else node.func
    return isinstance(function, cst.Name) and function.value in UNTOUCHED_CALLS


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(
        node.value, (cst.SimpleString, cst.ConcatenatedString, cst.Ellipsis)
    )
