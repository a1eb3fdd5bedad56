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
from nefertari_search_tween.backends.embedded.query.nodes import Condition, Node
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.sql import Sql, all_of
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level
from nefertari_search_tween.backends.embedded.storage.mapping import Index

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
        if all(list(spec) == ["filter"] for spec in requested.values()):
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
        sql = f"SELECT count(*) FROM {scope.level.table} d WHERE " + scope.where("d")
        return int(sql.run(self.connection).fetchone()[0])

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
        """Return the SELECT of ``doc`` and ``value``, with a row for each value in *scope*."""
        table, column = field.level.table, field.column
        value, conditions = Sql(f"d.{column}"), [scope.where("d")]
        if missing is None:
            conditions.append(Sql(f"d.{column} IS NOT NULL"))
        else:
            value = Sql(f"coalesce(d.{column}, ?)", (field.value(missing),))
        lists = f"FROM {self.index.multi} m"
        if field.multi:
            conditions.append(
                Sql(f"d.doc NOT IN (SELECT doc {lists} WHERE field = {field.number})")
            )
        rows = "SELECT d.doc AS doc, " + value + f" AS value FROM {table} d WHERE "
        rows += all_of(conditions)
        if not field.multi:
            return rows
        return (
            rows
            + f" UNION ALL SELECT m.doc, m.value {lists} JOIN {table} d ON d.doc = m.doc "
            + f"WHERE m.field = {field.number} AND "
            + scope.where("d")
        )

    def with_values(self, field: Field, scope: Node, *tests: tuple[str, Any]) -> Node:
        """Return *scope* narrowed to rows with a value that passes all *tests*."""
        narrowed = Condition(
            field.level, lambda alias: self.parser.comparison(field, alias, list(tests))
        )
        return intersect(scope, narrowed)
