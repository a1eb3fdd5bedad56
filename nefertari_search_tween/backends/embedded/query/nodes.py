"""Queries as SQL: as conditions, and as tables of scores.

A node matches rows of one *level* (see storage/fields.py). :meth:`Node.where` is a condition on
the row called ``d`` (or any other alias); :meth:`Node.scores` is a SELECT of ``doc`` and ``s``,
which is only made when scores count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable, ClassVar, Optional

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.query.long_phrases import long_phrase
from nefertari_search_tween.backends.embedded.sql import (
    FALSE,
    IN_JSON,
    TRUE,
    Sql,
    all_of,
    any_of,
    joined,
    negated,
    sum_of,
    united,
)
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level
from nefertari_search_tween.backends.embedded.text.bm25 import Statistics, idf

# Nested conditions in one table's SELECT (see Sql.as_table).
MAX_HEIGHT = 4
# SQLite joins at most 64 tables.
MAX_JOINED = 30


class Node:
    """A query on one level.

    :ivar height: nesting depth of its condition in SQL.
    """

    level: Level
    height: int = 1

    def where(self, alias: str) -> Sql:
        """Return the condition that the row *alias* of the level's table matches."""
        raise NotImplementedError

    def scores(self, boost: float) -> Sql:
        """Return the SELECT of the matching rows' ``doc`` and score ``s``.

        Unless a subclass computes it, all have the same score.
        """
        return (
            Sql("SELECT d.doc AS doc, ? AS s ", (self.constant() * boost,))
            + f"FROM {self.level.table} d WHERE "
            + self.where("d")
        )

    def constant(self) -> float:
        return 1.0


@dataclass(eq=False)
class MatchAll(Node):
    level: Level

    def where(self, alias: str) -> Sql:
        return TRUE


@dataclass(eq=False)
class MatchNone(Node):
    level: Level

    def where(self, alias: str) -> Sql:
        return FALSE


@dataclass(eq=False)
class Condition(Node):
    """A condition on values.

    :param make: alias -> the condition.
    :param weight: returns the score.
    """

    level: Level
    make: Callable[[str], Sql]
    weight: Callable[[], float] = lambda: 1.0

    def where(self, alias: str) -> Sql:
        return self.make(alias)

    def constant(self) -> float:
        return self.weight()


@dataclass(eq=False)
class TextNode(Node):
    """A query on the texts of one field."""

    stats: Statistics
    field: Field

    def __post_init__(self) -> None:
        self.level = self.field.level
        self.post = self.stats.index.post

    def with_any(self, alias: str, terms: list[str]) -> Sql:
        """Return the condition that the text of the row *alias* holds one of *terms*."""
        if len(terms) == 1:
            test = Sql("= ?", (terms[0],))
        else:
            test = Sql("IN " + IN_JSON, (json.dumps(terms),))
        rows = f"{alias}.doc IN (SELECT doc FROM {self.post} WHERE field = {self.field.number} "
        return rows + "AND term " + test + ")"


@dataclass(eq=False)
class Terms(TextNode):
    """Texts that hold one of *terms*, each with its weight."""

    terms: Sequence[tuple[str, float]]

    def where(self, alias: str) -> Sql:
        return self.with_any(alias, [term for term, _ in self.terms])

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        frequencies = [self.stats.term(self.field, term) for term, _ in self.terms]
        # Variants of one word count as one term, with the frequency of the commonest.
        weight = idf(max(frequencies), docs) if frequencies else 0.0
        parts = [
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost * share, "CAST(tf AS REAL)")
            + " AS s "
            + f"FROM {self.post} "
            + Sql("WHERE field = ? AND term = ?", (self.field.number, term))
            for term, share in self.terms
        ]
        if len(parts) == 1:
            return parts[0]
        rows = united("doc, s", parts).as_table()
        return "SELECT doc, sum(s) AS s FROM " + rows + " GROUP BY doc"


@dataclass(eq=False)
class Matches(TextNode):
    """Texts that hold any of many terms; all score the same."""

    terms: list[str]

    def where(self, alias: str) -> Sql:
        return self.with_any(alias, self.terms)


@dataclass(eq=False)
class Phrase(TextNode):
    """Texts that hold *terms* in a row."""

    terms: list[str]
    slop: int
    deadline: Deadline
    _frequencies: Optional[str] = field(init=False, default=None)

    def _table(self, columns: str) -> Sql:
        """Return the SELECT of texts that hold all terms, with the phrase's frequency ``f``."""
        count = len(self.terms)
        if count > MAX_JOINED:
            return self._long_table(columns)
        order = sorted(range(count), key=lambda i: self.stats.term(self.field, self.terms[i]))
        first = order[0]
        tables = [f"{self.post} p{i}" for i in order]
        conditions = [
            Sql(f"p{i}.field = ? AND p{i}.term = ?", (self.field.number, self.terms[i]))
            + (f" AND p{i}.doc = p{first}.doc" if i != first else "")
            for i in order
        ]
        positions = ", ".join(f"p{i}.positions" for i in range(count))
        return (
            Sql(
                f"SELECT doc, {columns} f FROM (SELECT p{first}.doc AS doc, "
                f"p{first}.length AS length, phrase_frequency(?, {positions}) AS f FROM ",
                (self.slop,),
            )
            + " CROSS JOIN ".join(tables)
            + " WHERE "
            + joined(" AND ", conditions)
            + ") WHERE f > 0"
        )

    def _long_table(self, columns: str) -> Sql:
        """Return the same for a phrase of more terms than tables can be joined."""
        if self._frequencies is None:
            # Its score and its condition read it, and what counts the matches.
            rows = long_phrase(self.stats, self.field, self.terms, self.slop, self.deadline)
            self._frequencies = json.dumps(list(rows))
        return Sql(
            f"SELECT doc, {columns} f FROM (SELECT json_extract(value, '$[0]') AS doc, "
            "json_extract(value, '$[1]') AS length, json_extract(value, '$[2]') AS f "
            "FROM json_each(?)) WHERE f > 0",
            (self._frequencies,),
        )

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM " + self._table("").as_table() + ")"

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        weight = sum(idf(self.stats.term(self.field, term), docs) for term in self.terms)
        matches = self._table("length,").as_table()
        score = self.stats.bm25(self.field, weight * boost, "f")
        return "SELECT doc, " + score + " AS s FROM " + matches


@dataclass(eq=False)
class Bool(Node):
    level: Level
    must: list[Node]
    should: list[Node]
    filters: list[Node]
    must_not: list[Node]
    minimum: int

    def __post_init__(self) -> None:
        height = height_above(*self.must, *self.should, *self.filters, *self.must_not)
        self.uses_table = height > MAX_HEIGHT
        self.height = 1 if self.uses_table else height

    def where(self, alias: str) -> Sql:
        if not self.uses_table:
            return self._where(alias)
        matches = (f"SELECT d.doc FROM {self.level.table} d WHERE " + self._where("d")).as_table()
        return f"{alias}.doc IN (SELECT doc FROM " + matches + ")"

    def _where(self, alias: str) -> Sql:
        parts = [node.where(alias) for node in [*self.filters, *self.must]]
        if self.minimum == 1:
            parts.append(any_of(node.where(alias) for node in self.should))
        elif self.minimum > 1:
            counted = sum_of(node.where(alias) for node in self.should)
            parts.append("(" + counted + f") >= {self.minimum}")
        parts.extend(self._exclusions(alias))
        return all_of(parts)

    def _exclusions(self, alias: str) -> list[Sql]:
        return [negated(node.where(alias)) for node in self.must_not]

    def constant(self) -> float:
        return 0.0

    def scores(self, boost: float) -> Sql:
        if not self.must and not self.should:
            return super().scores(boost)
        rest = [node.where("d") for node in self.filters] + self._exclusions("d")
        parts = [("1 AS m, 0 AS o", node.scores(boost)) for node in self.must]
        parts += [("0 AS m, 1 AS o", node.scores(boost)) for node in self.should]
        if not self.must and self.minimum == 0:
            unscored = Sql(f"SELECT doc, 0.0 AS s FROM {self.level.table} d WHERE ") + all_of(rest)
            parts.append(("0 AS m, 0 AS o", unscored))
        if len(parts) == 1:
            scored = parts[0][1]
        else:
            rows = [f"SELECT doc, s, {marks} FROM " + part.as_table() for marks, part in parts]
            scored = (
                "SELECT doc, sum(s) AS s FROM "
                + united("doc, s, m, o", rows).as_table()
                + " GROUP BY doc HAVING "
                + Sql("sum(m) = ? AND sum(o) >= ?", (len(self.must), self.minimum))
            )
        if not rest:
            return scored
        return (
            "SELECT x.doc AS doc, x.s AS s FROM "
            + scored.as_table()
            + f" x CROSS JOIN {self.level.table} d ON d.doc = x.doc WHERE "
            + all_of(rest)
        )


@dataclass(eq=False)
class DisMax(Node):
    level: Level
    queries: list[Node]
    tie_breaker: float

    def __post_init__(self) -> None:
        self.any = Bool(self.level, [], self.queries, [], [], 1)
        self.height = self.any.height

    def where(self, alias: str) -> Sql:
        return self.any.where(alias)

    def scores(self, boost: float) -> Sql:
        if len(self.queries) == 1:
            return self.queries[0].scores(boost)
        rows = ["SELECT doc, s FROM " + node.scores(boost).as_table() for node in self.queries]
        best = Sql("max(s)")
        if self.tie_breaker:
            best = Sql("max(s) + ? * (sum(s) - max(s))", (self.tie_breaker,))
        table = united("doc, s", rows).as_table()
        return "SELECT doc, " + best + " AS s FROM " + table + " GROUP BY doc"


@dataclass(eq=False)
class Boost(Node):
    """A query with a weight, or with a constant score (``flat``)."""

    query: Node
    boost: float
    flat: bool = False

    def __post_init__(self) -> None:
        self.level = self.query.level
        self.height = height_above(self.query)

    def where(self, alias: str) -> Sql:
        return self.query.where(alias)

    def scores(self, boost: float) -> Sql:
        if self.flat:
            return super().scores(boost * self.boost)
        return self.query.scores(boost * self.boost)


@dataclass(eq=False)
class Nested(Node):
    """Documents with nested documents that match."""

    MODES: ClassVar = {"avg": "avg(x.s)", "max": "max(x.s)", "min": "min(x.s)", "sum": "sum(x.s)"}

    level: Level
    query: Node
    mode: str

    def __post_init__(self) -> None:
        self.height = height_above(self.query)

    def where(self, alias: str) -> Sql:
        inner = self.query.level
        owner, climb = climbing(inner, self.level, f"{alias}n")
        return (
            f"{alias}.doc IN (SELECT {owner} FROM {inner.table} {alias}n{climb} WHERE "
            + self.query.where(f"{alias}n")
            + ")"
        )

    def scores(self, boost: float) -> Sql:
        if self.mode == "none":
            return Sql(
                f"SELECT d.doc AS doc, 0.0 AS s FROM {self.level.table} d WHERE "
            ) + self.where("d")
        inner = self.query.level
        owner, climb = climbing(inner, self.level, "n")
        return (
            f"SELECT {owner} AS doc, {self.MODES[self.mode]} AS s FROM "
            + self.query.scores(boost).as_table()
            + f" x CROSS JOIN {inner.table} n ON n.doc = x.doc{climb} GROUP BY {owner}"
        )


def height_above(*parts: Node) -> int:
    return 1 + max((part.height for part in parts), default=0)


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
