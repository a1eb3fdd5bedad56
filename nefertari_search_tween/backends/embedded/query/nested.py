"""Queries on nested documents as SQL (see nodes.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional

from nefertari_search_tween.backends.embedded.query.nodes import Node, height_above
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Level


@dataclass(eq=False)
class Nested(Node):
    """Documents with nested documents that match."""

    MODES: ClassVar = {"avg": "avg(x.s)", "max": "max(x.s)", "min": "min(x.s)", "sum": "sum(x.s)"}
    by_number = True

    level: Level
    query: Node
    mode: str

    def __post_init__(self) -> None:
        self.height, self.width = height_above(self.query), self.query.width

    def where(self, alias: str) -> Sql:
        inner = self.query.level
        owner, climb = climbing(inner, self.level, f"{alias}n")
        return (
            f"{alias}.doc IN (SELECT {owner} FROM {inner.table} {alias}n{climb} WHERE "
            + self.query.where(f"{alias}n")
            + ")"
        )

    def uniform_score(self, boost: float) -> Optional[float]:
        return 0.0 if self.mode == "none" else None

    def scores(self, boost: float) -> Sql:
        if self.mode == "none":
            return super().scores(boost)
        inner = self.query.level
        owner, climb = climbing(inner, self.level, "n")
        return (
            f"SELECT {owner} AS doc, {self.MODES[self.mode]} AS s FROM "
            + self.query.scores(boost).as_table()
            + f" x CROSS JOIN {inner.table} n ON n.doc = x.doc{climb} GROUP BY {owner}"
        )


def climbing(inner: Level, outer: Level, alias: str) -> tuple[str, str]:
    """Return how to get from a row of *inner* to the row of *outer* that contains it.

    :returns: SQL of that row's ``doc``, and the joins that it needs.
    """
    if outer.parent is None:
        return f"{alias}.root", ""
    joins = ""
    level = inner
    while level.parent is not None and level.parent is not outer:
        joins += f" JOIN {level.parent.table} {alias}p ON {alias}p.doc = {alias}.parent"
        alias, level = f"{alias}p", level.parent
    return f"{alias}.parent", joins
