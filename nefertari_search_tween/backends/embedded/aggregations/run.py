"""One run of the aggregations of a search: dispatch to the handlers, and what they share.

A *scope* is a level and a condition on its rows: the documents that the search matched, and
inside a bucket those of the bucket.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded.aggregations.helpers import (
    Inner,
    Options,
    intersect,
)
from nefertari_search_tween.backends.embedded.errors import no_field_data, rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    Condition,
    MatchAll,
    Node,
    count_matches,
)
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.sql import Sql, all_of, united
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level
from nefertari_search_tween.backends.embedded.storage.mapping import Index

# Aggregations that read the documents once, unless they have others inside.
_ONE_READ = frozenset(
    {
        *("filter", "missing", "terms", "histogram", "date_histogram", "min", "max", "avg", "sum"),
        *("value_count", "cardinality", "stats", "percentiles"),
    }
)
#: (run, options, inner aggregations, scope) -> result
Handler = Callable[["AggregationRun", Options, Inner, Node], dict[str, Any]]


class AggregationRun:
    """Runs the aggregations of one search.

    :param handlers: type of an aggregation -> its handler.
    :param top_hits: (condition, options) -> the hits of a ``top_hits``.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        parser: QueryParser,
        handlers: Mapping[str, Handler],
        top_hits: Callable[[Node, Options], dict[str, Any]],
    ) -> None:
        self.connection = connection
        self.index = index
        self.parser = parser
        self.deadline = parser.deadline
        self.handlers = handlers
        self.top_hits = top_hits

    def run(self, requested: dict[str, Any], matched: Node) -> dict[str, Any]:
        """Return the results of *requested* on the documents of *matched*."""
        if isinstance(matched, MatchAll) or _reads_once(requested):
            return self.within(requested, matched)
        # The matching documents are read more than once, so search them once.
        level = matched.level
        rows = f"SELECT d.doc FROM {level.table} d WHERE " + matched.where("d")
        self.connection.execute("CREATE TEMP TABLE matched (doc INTEGER PRIMARY KEY)")
        rows.run(self.connection, "INSERT INTO matched ")
        scope = Condition(level, lambda alias: Sql(f"{alias}.doc IN (SELECT doc FROM matched)"))
        try:
            return self.within(requested, scope)
        finally:
            self.connection.execute("DROP TABLE matched")

    def within(self, requested: dict[str, Any], scope: Node) -> dict[str, Any]:
        """Return the results of *requested* on the rows of *scope*."""
        return {name: self._result(spec, scope) for name, spec in requested.items()}

    def _result(self, spec: dict[str, Any], scope: Node) -> dict[str, Any]:
        self.deadline.check()
        spec = dict(spec)
        inner = spec.pop("aggs", None) or spec.pop("aggregations", None) or {}
        meta = spec.pop("meta", None)
        if len(spec) != 1:
            raise rejected(f"an aggregation has one type: {sorted(spec)}", "parsing_exception")
        ((kind, options),) = spec.items()
        handler = self.handlers.get(kind)
        if handler is None:
            raise unsupported(f"aggregation '{kind}'")
        try:
            result = handler(self, options, inner, scope)
        except RecursionError as error:
            raise rejected("aggregations or patterns nested too deeply") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise rejected(f"[{kind}] aggregation malformed: {error!r}", "parsing_exception") from (
                error
            )
        return result if meta is None else {**result, "meta": meta}

    def count(self, scope: Node) -> int:
        """Return the number of rows of *scope*."""
        return count_matches(scope, self.connection)

    def bucket(self, inner: dict[str, Any], scope: Node) -> dict[str, Any]:
        """Return a bucket: its count, and the results of its inner aggregations."""
        return {"doc_count": self.count(scope), **self.within(inner, scope)}

    def field(self, options: dict[str, Any], level: Level) -> Optional[Field]:
        """Return the field of an aggregation; None if *level* has none of that name."""
        if "script" in options:
            raise unsupported("scripts in aggregations")
        field = self.index.fields.get(options["field"])
        if field is None or field.level.path != level.path:
            return None
        if field.kind == "text":
            raise no_field_data(field.name)
        return field

    def values(self, field: Field, scope: Node, missing: Any = None) -> Sql:
        """Return the SELECT of ``doc`` and ``value`` with a row for each value in *scope*."""
        return united("doc, value", self._values(field, scope, missing))

    def _values(self, field: Field, scope: Node, missing: Any) -> list[Sql]:
        """Return the SELECTs that these rows are from.

        A list's least value is in the column, its others in the table of lists.
        """
        # An index of the column has the values of all rows in their order. Of some rows it would
        # have them in an order in which the table is read here and there.
        column = "d." if isinstance(scope, MatchAll) else "+d."
        first = self._column(field, scope, column + field.column, missing)
        if not field.multi:
            return [first]
        return [first, self._lists(field, scope) + " AND m.place > 0"]

    def values_in_order(self, field: Field, scope: Node, missing: Any = None) -> Sql:
        """Return the SELECT of the same rows, in the order of documents, lists last.

        A sum of floats depends on it in its last digit, and indices come and go.
        """
        values = self._column(field, scope, f"d.{field.column}", missing)
        if not field.multi:
            return values + " ORDER BY d.doc LIMIT -1"
        lists = f"SELECT doc FROM {self.index.multi} WHERE field = {field.number}"
        values += f" AND d.doc NOT IN ({lists})"
        return (
            "SELECT doc, value FROM (" + values + " ORDER BY d.doc LIMIT -1) UNION ALL "
            "SELECT doc, value FROM ("
            + self._lists(field, scope)
            + " ORDER BY m.doc, m.place LIMIT -1)"
        )

    def _column(self, field: Field, scope: Node, column: str, missing: Any) -> Sql:
        """Return the SELECT of the values in the *column* of a field."""
        value, conditions = Sql(column), [scope.where("d")]
        if missing is None:
            conditions.append(Sql(f"{column} IS NOT NULL"))
        else:
            value = Sql(f"coalesce({column}, ?)", (field.value(missing),))
        rows = "SELECT d.doc AS doc, " + value + f" AS value FROM {field.level.table} d WHERE "
        return rows + all_of(conditions)

    def _lists(self, field: Field, scope: Node) -> Sql:
        """Return the SELECT of the values of lists."""
        rows = f"SELECT m.doc AS doc, m.value AS value FROM {self.index.multi} m"
        condition = Sql(f" WHERE m.field = {field.number}")
        if isinstance(scope, MatchAll):
            return rows + condition
        rows += f" JOIN {field.level.table} d ON d.doc = m.doc"
        return rows + condition + " AND " + scope.where("d")

    def counts(self, field: Field, scope: Node, missing: Any = None) -> dict[Any, int]:
        """Return the number of documents in *scope* that have each value."""
        parts, counter = self._values(field, scope, missing), "count(*)"
        if field.multi and field.kind not in ("keyword", "boolean"):
            # A list of numbers or dates may have the same one twice.
            parts, counter = [united("doc, value", parts)], "count(DISTINCT doc)"
        counts: dict[Any, int] = {}
        for part in parts:
            sql = f"SELECT value, {counter} FROM (" + part + ") GROUP BY value"
            for value, count in self.deadline.each(sql.run(self.connection)):
                counts[value] = counts.get(value, 0) + count
        return counts

    def object_counts(self, field: Field, scope: Node) -> dict[Any, int]:
        """Return the number of documents of the index that contain a document in *scope* with each
        value."""
        sql = (
            "SELECT value, count(DISTINCT n.root) FROM ("
            + self.values(field, scope)
            + f") v JOIN {field.level.table} n ON n.doc = v.doc GROUP BY value"
        )
        return dict(self.deadline.each(sql.run(self.connection)))

    def with_values(self, field: Field, scope: Node, *tests: tuple[str, Any]) -> Node:
        """Return *scope* narrowed to rows with a value that passes all *tests*."""
        narrowed = Condition(
            field.level, lambda alias: self.parser.comparison(field, alias, list(tests))
        )
        return intersect(scope, narrowed)


def _reads_once(requested: dict[str, Any]) -> bool:
    """Return True if the documents are read about once, so that they are best read in place."""
    kinds = [list(spec) for spec in requested.values()]
    if all(names == ["filter"] for names in kinds):
        return True
    return len(kinds) == 1 and len(kinds[0]) == 1 and kinds[0][0] in _ONE_READ
