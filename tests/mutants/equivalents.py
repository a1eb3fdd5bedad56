"""Reads the lists of mutants: equivalents.txt, and the survivors of the last run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.mutants.mutations import Mutant


class Entry(NamedTuple):
    """A mutant by its function and the lines that differ, or all of a function without lines.

    Line numbers are not part of it, so it stays valid when something else changes.
    """

    module: str
    function: str
    changes: tuple[str, ...]
    reason: str

    def includes(self, mutant: Mutant) -> bool:
        if mutant.module != self.module:
            return False
        if not self.changes:
            # With the functions inside it.
            return f"{mutant.function}.".startswith(f"{self.function}.")
        return mutant.function == self.function and mutant.changes == self.changes

    def __str__(self) -> str:
        return "\n".join((f"{self.module} {self.function}", *self.changes))


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of a file: separated by empty lines, each with a line ``module function``,
    its changes, and the rest is the reason."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if not line.startswith("#")]
        lines = [line for line in lines if line]
        if lines:
            module, _, function = lines[0].partition(" ")
            changes = tuple(line for line in lines[1:] if line[:2] in ("- ", "+ "))
            reason = " ".join(line for line in lines[1:] if line not in changes)
            yield Entry(module, function, changes, reason)
