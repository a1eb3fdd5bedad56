"""Queries as SQL: as conditions, as tables of scores, and as lists of documents.

A node matches rows of one *level* (see storage/fields.py). :meth:`Node.where` is a condition on
the row called ``d`` (or any other alias); :meth:`Node.scores` is a SELECT of ``doc`` and ``s``,
which is only made when scores count. :meth:`Node.docs` is a SELECT of ``doc`` that does not read
the level's table, for what can be counted without it.

SQLite puts a subquery into the statement around it, which then evaluates its expressions wherever
they are used. ``LIMIT -1``, no limit, makes it evaluate them once; and keep an order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from nefertari_search_tween.backends.embedded.sql import (
    FALSE,
    TRUE,
    Sql,
    all_of,
    any_of,
    joined,
    negated,
    sum_of,
    united,
)
from nefertari_search_tween.backends.embedded.storage.fields import Level

# Nested conditions in one table's SELECT (see Sql.as_table).
MAX_HEIGHT = 4
# SQLite joins at most 64 tables.
MAX_JOINED = 30
# Alternatives in one condition: above some 700, SQLite evaluates them for each row of the table.
MAX_WIDTH = 400
# Lists of documents that are merged: each row passes all of them.
MAX_MERGED = 16


class Node:
    """A query on one level.

    :ivar height: nesting depth of its condition in SQL.
    :ivar width: number of conditions that it consists of.
    :ivar is_posting_list: the rows of one term, each of which is found by its document's number.
    :ivar by_number: its condition reads a row's ``doc`` and no other column.
    """

    level: Level
    height: int = 1
    width: int = 1
    is_posting_list: bool = False
    by_number: bool = False

    def where(self, alias: str) -> Sql:
        """Return the condition that the row *alias* of the level's table matches."""
        raise NotImplementedError

    def scores(self, boost: float) -> Sql:
        """Return the SELECT of the matching rows' ``doc`` and score ``s``."""
        return (
            Sql("SELECT d.doc AS doc, ? AS s ", (self.uniform_score(boost),))
            + f"FROM {self.level.table} d WHERE "
            + self.where("d")
        )

    def uniform_score(self, boost: float) -> Optional[float]:
        """Return the score that all matching rows have; None if it is computed for each."""
        return self.constant() * boost

    def constant(self) -> float:
        return 1.0

    def docs(self) -> Optional[Sql]:
        """Return the SELECT of the matching rows' ``doc``, each once.

        None if that needs the level's table.
        """
        return None

    def frequency(self) -> int:
        """Return the number of rows of a list of postings."""
        raise NotImplementedError


@dataclass(eq=False)
class MatchAll(Node):
    level: Level
    score: float = 1.0
    by_number = True

    def constant(self) -> float:
        return self.score

    def where(self, alias: str) -> Sql:
        return TRUE

    def docs(self) -> Optional[Sql]:
        return Sql(f"SELECT doc FROM {self.level.table}")


@dataclass(eq=False)
class MatchNone(Node):
    level: Level
    by_number = True

    def where(self, alias: str) -> Sql:
        return FALSE


@dataclass(eq=False)
class Condition(Node):
    """A condition on values.

    :param make: alias -> the condition.
    :param weight: returns the score.
    :param is_indexed: an index has the rows that meet it.
    """

    level: Level
    make: Callable[[str], Sql]
    weight: Callable[[], float] = lambda: 1.0
    is_indexed: bool = False
    by_number: bool = False

    def where(self, alias: str) -> Sql:
        return self.make(alias)

    def constant(self) -> float:
        return self.weight()


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
        parts = (*self.must, *self.should, *self.filters, *self.must_not)
        self.width = sum(node.width for node in parts)
        self.by_number = self.uses_table or all(node.by_number for node in parts)

    def where(self, alias: str) -> Sql:
        if not self.uses_table:
            return self._where(alias)
        return self._in_table(alias, self._where("d"))

    def _in_table(self, alias: str, condition: Sql) -> Sql:
        """Return that the row *alias* is one of those, called ``d``, that meet *condition*."""
        rows = (f"SELECT d.doc FROM {self.level.table} d WHERE " + condition).as_table()
        return f"{alias}.doc IN (SELECT doc FROM " + rows + ")"

    def _where(self, alias: str) -> Sql:
        parts = [node.where(alias) for node in [*self.filters, *self.must]]
        if self.minimum == 1:
            parts.append(self._any_alternative(alias))
        elif self.minimum > 1:
            counted = sum_of(node.where(alias) for node in self.should)
            parts.append("(" + counted + f") >= {self.minimum}")
        parts.extend(self._exclusions(alias))
        return all_of(parts)

    def _any_alternative(self, alias: str) -> Sql:
        tables: list[list[Node]] = [[]]
        width = 0
        for node in self.should:
            width += node.width
            if width > MAX_WIDTH and tables[-1]:
                tables.append([])
                width = node.width
            tables[-1].append(node)
        if len(tables) == 1:
            return any_of(node.where(alias) for node in self.should)
        return any_of(
            self._in_table(alias, any_of(node.where("d") for node in nodes)) for nodes in tables
        )

    def _exclusions(self, alias: str) -> list[Sql]:
        return [negated(node.where(alias)) for node in self.must_not]

    def docs(self) -> Optional[Sql]:
        required = [node for node in (*self.must, *self.filters) if not isinstance(node, MatchAll)]
        excluded = all_of(self._exclusions("x"))
        if excluded != TRUE:
            # As the same documents without the exclusions, of which some are left out.
            if not (required or self.minimum) or not all(node.by_number for node in self.must_not):
                return None
            rest = Bool(self.level, self.must, self.should, self.filters, [], self.minimum)
            rows = rest.docs()
            return rows and "SELECT x.doc FROM " + rows.as_table() + " x WHERE " + excluded
        if self.minimum > 1 or (self.minimum and required):
            return None
        nodes = self.should if self.minimum else required
        lists = [each for each in (node.docs() for node in nodes) if each is not None]
        if len(lists) < len(nodes) or len(lists) > MAX_MERGED:
            return None
        if not self.minimum:
            return _intersected("", nodes, lists)
        merged = joined(" UNION ", ["SELECT doc FROM " + each.as_table() for each in lists])
        # In this order lists of documents are merged, not sorted.
        return merged if len(lists) == 1 else merged + " ORDER BY doc LIMIT -1"

    def uniform_score(self, boost: float) -> Optional[float]:
        return None if self.must or self.should else 0.0

    def scores(self, boost: float) -> Sql:
        if not self.must and not self.should:
            return super().scores(boost)
        rest = [node.where("d") for node in self.filters] + self._exclusions("d")
        scored = self.joined_scores(boost)
        if scored is None:
            scored = self.grouped_scores(boost, rest)
        if not rest:
            return scored
        if all(node.by_number for node in (*self.filters, *self.must_not)):
            rest = [node.where("x") for node in self.filters] + self._exclusions("x")
            return "SELECT x.doc, x.s FROM " + scored.as_table() + " x WHERE " + all_of(rest)
        return (
            "SELECT x.doc AS doc, x.s AS s FROM "
            + scored.as_table()
            + f" x CROSS JOIN {self.level.table} d ON d.doc = x.doc WHERE "
            + all_of(rest)
        )

    def joined_scores(self, boost: float) -> Optional[Sql]:
        """Return the scores of rows that match all of ``must``, which are joined.

        None if :meth:`grouped_scores` has to sort them together.
        """
        if self.should or len(self.must) < 2:
            return None
        total = " + ".join(f"t{number}.s" for number in range(len(self.must)))
        tables = [node.scores(boost) for node in self.must]
        return _intersected(f", {total} AS s", self.must, tables)

    def grouped_scores(self, boost: float, rest: list[Sql]) -> Sql:
        """Return the scores of rows that match ``must`` and ``should``, summed by row.

        :param rest: further conditions, of rows that need not match any of them.
        """
        parts = [("1 AS m, 0 AS o", node.scores(boost)) for node in self.must]
        parts += [("0 AS m, 1 AS o", node.scores(boost)) for node in self.should]
        if not self.must and self.minimum == 0:
            unscored = Sql(f"SELECT doc, 0.0 AS s FROM {self.level.table} d WHERE ") + all_of(rest)
            parts.append(("0 AS m, 0 AS o", unscored))
        if len(parts) == 1:
            return parts[0][1]
        if not self.must and self.minimum <= 1:
            # Each of the rows is one that matches.
            rows = united("doc, s", ["SELECT doc, s FROM " + part.as_table() for _, part in parts])
            return "SELECT doc, sum(s) AS s FROM " + rows.as_table() + " GROUP BY doc"
        marked = [f"SELECT doc, s, {marks} FROM " + part.as_table() for marks, part in parts]
        return (
            "SELECT doc, sum(s) AS s FROM "
            + united("doc, s, m, o", marked).as_table()
            + " GROUP BY doc HAVING "
            + Sql("sum(m) = ? AND sum(o) >= ?", (len(self.must), self.minimum))
        )


def _intersected(columns: str, nodes: Sequence[Node], tables: Sequence[Sql]) -> Optional[Sql]:
    """Return the SELECT of ``doc`` of the rows that all of *tables* have.

    One of them may be anything; to each of its rows, or of the shortest list, those of the others
    are looked up. None if the others are no lists of postings, or too many.

    :param columns: more columns, of tables that are called ``t0``, ``t1``, ... in their order.
    :param nodes: what the tables are of.
    """
    others = [number for number, node in enumerate(nodes) if not node.is_posting_list]
    if not nodes or len(others) > 1 or len(nodes) > MAX_JOINED:
        return None
    lists = [number for number, node in enumerate(nodes) if node.is_posting_list]
    lists.sort(key=lambda number: nodes[number].frequency())
    parts = list(tables)
    for number in others:
        # Not joined table by table, of which there may be many.
        parts[number] = "SELECT * FROM " + parts[number].as_table() + " LIMIT -1"
    first, *rest = [*others, *lists]
    sql = f"SELECT t{first}.doc AS doc{columns} FROM " + parts[first].as_table() + f" t{first}"
    for number in rest:
        sql += " CROSS JOIN " + parts[number].as_table()
        sql += f" t{number} ON t{number}.doc = t{first}.doc"
    return sql


@dataclass(eq=False)
class DisMax(Node):
    level: Level
    queries: list[Node]
    tie_breaker: float

    def __post_init__(self) -> None:
        self.any = Bool(self.level, [], self.queries, [], [], 1)
        self.height, self.width = self.any.height, self.any.width
        self.by_number = self.any.by_number

    def where(self, alias: str) -> Sql:
        return self.any.where(alias)

    def docs(self) -> Optional[Sql]:
        return self.any.docs()

    def uniform_score(self, boost: float) -> Optional[float]:
        return None

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
        self.height, self.width = height_above(self.query), self.query.width
        self.is_posting_list = self.query.is_posting_list and not self.flat
        self.by_number = self.query.by_number

    def where(self, alias: str) -> Sql:
        return self.query.where(alias)

    def docs(self) -> Optional[Sql]:
        return self.query.docs()

    def frequency(self) -> int:
        return self.query.frequency()

    def uniform_score(self, boost: float) -> Optional[float]:
        boost *= self.boost
        return boost if self.flat else self.query.uniform_score(boost)

    def scores(self, boost: float) -> Sql:
        return super().scores(boost) if self.flat else self.query.scores(boost * self.boost)


def count_matches(node: Node, connection: sqlite3.Connection) -> int:
    """Return the number of rows that match *node*."""
    if node.is_posting_list:
        return node.frequency()
    rows = node.docs()
    if rows is None:
        rows = f"SELECT d.doc FROM {node.level.table} d WHERE " + node.where("d")
    (count,) = ("SELECT count(*) FROM (" + rows + ")").run(connection).fetchone()
    return int(count)


def height_above(*parts: Node) -> int:
    return 1 + max((part.height for part in parts), default=0)
