"""Queries as SQL: each as a condition, and as a table of scores.

A node matches rows of one *level* (see storage/fields.py). :meth:`Node.where` is a condition on
the row called ``d`` (or any other alias); :meth:`Node.scores` is a SELECT of ``doc`` and ``s``,
which is only made when scores count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable, Optional

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
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.text.bm25 import Statistics, idf
from nefertari_search_tween.backends.embedded.text.phrases import phrase_frequency

# Conditions in conditions that one table's SELECT nests (see Sql.named).
MAX_HEIGHT = 4
# SQLite joins at most 64 tables.
MAX_JOINED = 30


class Node:
    """A query on one level.

    :param parts: the queries that it is made of.
    :ivar height: how many conditions the SQL of its condition nests.
    """

    def __init__(self, level: Level, parts: Sequence[Node] = ()) -> None:
        self.level = level
        self.height: int = 1 + max((part.height for part in parts), default=0)

    def where(self, alias: str) -> Sql:
        """The condition that the row *alias* of the level's table is matched."""
        raise NotImplementedError

    def scores(self, boost: float) -> Sql:
        """SELECT of the matching rows' ``doc`` and score ``s``; unless it is better known, all
        of them have the same."""
        return (
            Sql("SELECT d.doc AS doc, ? AS s ", (self.constant() * boost,))
            + f"FROM {self.level.table} d WHERE "
            + self.where("d")
        )

    def constant(self) -> float:
        return 1.0


class MatchAll(Node):
    def where(self, alias: str) -> Sql:
        return TRUE


class MatchNone(Node):
    def where(self, alias: str) -> Sql:
        return FALSE


class Condition(Node):
    """Compares values.

    :param make: gives the condition for an alias.
    :param weight: gives the score, 1.0 without.
    """

    def __init__(
        self,
        level: Level,
        make: Callable[[str], Sql],
        weight: Optional[Callable[[], float]] = None,
    ) -> None:
        super().__init__(level)
        self.make = make
        self.weight = weight

    def where(self, alias: str) -> Sql:
        return self.make(alias)

    def constant(self) -> float:
        return self.weight() if self.weight is not None else 1.0


class Terms(Node):
    """Texts that hold one term, or one of several with weights of their own."""

    def __init__(
        self, index: Index, stats: Statistics, field: Field, terms: Sequence[tuple[str, float]]
    ) -> None:
        super().__init__(field.level)
        self.index = index
        self.stats = stats
        self.field = field
        self.terms = terms

    def where(self, alias: str) -> Sql:
        if len(self.terms) == 1:
            test = Sql("= ?", (self.terms[0][0],))
        else:
            test = Sql("IN " + IN_JSON, (json.dumps([term for term, _ in self.terms]),))
        return (
            f"{alias}.doc IN (SELECT doc FROM {self.index.post} "
            + Sql("WHERE field = ? AND term ", (self.field.number,))
            + test
            + ")"
        )

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        frequencies = [self.stats.term(self.field, term) for term, _ in self.terms]
        # Variants of one word count as one term, as rare as the commonest of them.
        weight = idf(max(frequencies), docs) if frequencies else 0.0
        parts = [
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost * share, "CAST(tf AS REAL)")
            + " AS s "
            + f"FROM {self.index.post} "
            + Sql("WHERE field = ? AND term = ?", (self.field.number, term))
            for term, share in self.terms
        ]
        if len(parts) == 1:
            return parts[0]
        rows = united("doc, s", parts).named()
        return "SELECT doc, sum(s) AS s FROM " + rows + " GROUP BY doc"


class Matches(Node):
    """Texts that hold any of many terms; all score the same."""

    def __init__(self, index: Index, field: Field, terms: list[str]) -> None:
        super().__init__(field.level)
        self.index = index
        self.field = field
        self.terms = json.dumps(terms)

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM {self.index.post} " + Sql(
            f"WHERE field = ? AND term IN {IN_JSON})", (self.field.number, self.terms)
        )


class Phrase(Node):
    """Texts that hold *terms* in a row."""

    def __init__(
        self,
        index: Index,
        stats: Statistics,
        field: Field,
        terms: list[str],
        slop: int,
    ) -> None:
        super().__init__(field.level)
        self.index = index
        self.connection = stats.connection
        self.stats = stats
        self.field = field
        self.terms = terms
        self.slop = slop

    def _table(self, columns: str) -> Sql:
        """SELECT of the texts that hold all terms, with the frequency of the phrase as ``f``."""
        count = len(self.terms)
        if count > MAX_JOINED:
            return self._long_table(columns)
        order = sorted(range(count), key=lambda i: self.stats.term(self.field, self.terms[i]))
        first = order[0]
        tables = [f"{self.index.post} p{i}" for i in order]
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
        """The same for a phrase of more terms than tables can be joined."""
        rarest = sorted(set(self.terms), key=lambda term: self.stats.term(self.field, term))
        query = f"SELECT doc, length, positions FROM {self.index.post} WHERE field = ? AND term = ?"
        held: dict[int, dict[str, Any]] = {}
        lengths: dict[int, int] = {}
        for term in rarest:
            places = {
                doc: positions
                for doc, lengths[doc], positions in self.connection.execute(
                    query, (self.field.number, term)
                )
                if doc in held or term == rarest[0]
            }
            held = {doc: {**held.get(doc, {}), term: each} for doc, each in places.items()}
        found = []
        for doc, each in held.items():
            frequency = phrase_frequency(self.slop, *(each[term] for term in self.terms))
            found.append([doc, lengths[doc], frequency])
        return Sql(
            f"SELECT doc, {columns} f FROM (SELECT json_extract(value, '$[0]') AS doc, "
            "json_extract(value, '$[1]') AS length, json_extract(value, '$[2]') AS f "
            "FROM json_each(?)) WHERE f > 0",
            (json.dumps(found),),
        )

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM " + self._table("").named() + ")"

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        weight = sum(idf(self.stats.term(self.field, term), docs) for term in self.terms)
        found = self._table("length,").named()
        return (
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost, "f")
            + " AS s FROM "
            + found
        )


class Bool(Node):
    def __init__(
        self,
        level: Level,
        must: list[Node],
        should: list[Node],
        filters: list[Node],
        must_not: list[Node],
        least: int,
    ) -> None:
        super().__init__(level, [*must, *should, *filters, *must_not])
        self.must = must
        self.should = should
        self.filters = filters
        self.must_not = must_not
        self.least = least
        self.named = self.height > MAX_HEIGHT
        if self.named:
            self.height = 1

    def where(self, alias: str) -> Sql:
        if not self.named:
            return self._where(alias)
        found = (f"SELECT d.doc FROM {self.level.table} d WHERE " + self._where("d")).named()
        return f"{alias}.doc IN (SELECT doc FROM " + found + ")"

    def _where(self, alias: str) -> Sql:
        parts = [node.where(alias) for node in [*self.filters, *self.must]]
        if self.least == 1:
            parts.append(any_of(node.where(alias) for node in self.should))
        elif self.least > 1:
            counted = sum_of(node.where(alias) for node in self.should)
            parts.append("(" + counted + f") >= {self.least}")
        parts.extend(self._unwanted(alias))
        return all_of(parts)

    def _unwanted(self, alias: str) -> list[Sql]:
        return [negated(node.where(alias)) for node in self.must_not]

    def constant(self) -> float:
        return 0.0

    def scores(self, boost: float) -> Sql:
        if not self.must and not self.should:
            return super().scores(boost)
        rest = [node.where("d") for node in self.filters] + self._unwanted("d")
        parts = [("1 AS m, 0 AS o", node.scores(boost)) for node in self.must]
        parts += [("0 AS m, 1 AS o", node.scores(boost)) for node in self.should]
        if not self.must and self.least == 0:
            unscored = Sql(f"SELECT doc, 0.0 AS s FROM {self.level.table} d WHERE ") + all_of(rest)
            parts.append(("0 AS m, 0 AS o", unscored))
        if len(parts) == 1:
            scored = parts[0][1]
        else:
            rows = [f"SELECT doc, s, {marks} FROM " + part.named() for marks, part in parts]
            scored = (
                "SELECT doc, sum(s) AS s FROM "
                + united("doc, s, m, o", rows).named()
                + " GROUP BY doc HAVING "
                + Sql("sum(m) = ? AND sum(o) >= ?", (len(self.must), self.least))
            )
        if not rest:
            return scored
        return (
            "SELECT x.doc AS doc, x.s AS s FROM "
            + scored.named()
            + f" x CROSS JOIN {self.level.table} d ON d.doc = x.doc WHERE "
            + all_of(rest)
        )


class DisMax(Node):
    def __init__(self, level: Level, queries: list[Node], tie_breaker: float) -> None:
        super().__init__(level, queries)
        self.queries = queries
        self.any = Bool(level, [], queries, [], [], 1)
        self.height = self.any.height
        self.tie_breaker = tie_breaker

    def where(self, alias: str) -> Sql:
        return self.any.where(alias)

    def scores(self, boost: float) -> Sql:
        if len(self.queries) == 1:
            return self.queries[0].scores(boost)
        rows = ["SELECT doc, s FROM " + node.scores(boost).named() for node in self.queries]
        best = Sql("max(s)")
        if self.tie_breaker:
            best = Sql("max(s) + ? * (sum(s) - max(s))", (self.tie_breaker,))
        table = united("doc, s", rows).named()
        return "SELECT doc, " + best + " AS s FROM " + table + " GROUP BY doc"


class Boost(Node):
    """A query with a weight, or with a constant score (``flat``)."""

    def __init__(self, query: Node, boost: float, flat: bool = False) -> None:
        super().__init__(query.level, [query])
        self.query = query
        self.boost = boost
        self.flat = flat

    def where(self, alias: str) -> Sql:
        return self.query.where(alias)

    def scores(self, boost: float) -> Sql:
        if self.flat:
            return super().scores(boost * self.boost)
        return self.query.scores(boost * self.boost)


class Nested(Node):
    """Documents with nested documents that match."""

    MODES = {"avg": "avg(x.s)", "max": "max(x.s)", "min": "min(x.s)", "sum": "sum(x.s)"}

    def __init__(self, level: Level, query: Node, mode: str) -> None:
        super().__init__(level, [query])
        self.query = query
        self.mode = mode

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
            + self.query.scores(boost).named()
            + f" x CROSS JOIN {inner.table} n ON n.doc = x.doc{climb} GROUP BY {owner}"
        )


def climbing(inner: Level, outer: Level, alias: str) -> tuple[str, str]:
    """From a row of *inner* to the row of *outer* that holds it.

    :returns: SQL of that row's ``doc``, and the joins that it takes.
    """
    if outer.parent is None:
        return f"{alias}.root", ""
    joins = ""
    level = inner
    while level.parent is not None and level.parent is not outer:
        joins += f" JOIN {level.parent.table} {alias}p ON {alias}p.doc = {alias}.parent"
        alias, level = f"{alias}p", level.parent
    return f"{alias}.parent", joins
