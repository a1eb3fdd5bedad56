"""Aggregations: the scope that they look at, and those that give numbers.

A *scope* is a level and a condition on its rows: the documents that the search matched, and
inside of buckets those of the bucket. Buckets are in buckets.py.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Bool, Condition, Node
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.sql import Sql, all_of
from nefertari_search_tween.backends.embedded.storage.mapping import (
    Field,
    Index,
    Level,
    shown_float,
)

Inner = dict[str, Any]
Options = dict[str, Any]

DEFAULT_PERCENTS = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
_COMMON = frozenset(["field", "missing", "format", "value_type", "precision_threshold"])


class AggregationRun:
    """Runs the aggregations of one search.

    :param top_hits: (condition, options) -> the hits of a ``top_hits``.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        parser: QueryParser,
        top_hits: Callable[[Node, dict[str, Any]], dict[str, Any]],
    ) -> None:
        self.connection = connection
        self.index = index
        self.parser = parser
        self.top_hits = top_hits

    def run(self, requested: dict[str, Any], matched: Node) -> dict[str, Any]:
        """The results of *requested* on the documents that *matched* says."""
        if all(list(spec) == ["filter"] for spec in requested.values()):
            return self.within(requested, matched)
        # Looked at more than once: found once.
        level = matched.level
        found = f"SELECT d.doc FROM {level.table} d WHERE " + matched.where("d")
        self.connection.execute("CREATE TEMP TABLE matched (doc INTEGER PRIMARY KEY)")
        found.run(self.connection, "INSERT INTO matched ")
        scope = Condition(level, lambda alias: Sql(f"{alias}.doc IN (SELECT doc FROM matched)"))
        try:
            return self.within(requested, scope)
        finally:
            self.connection.execute("DROP TABLE matched")

    def within(self, requested: dict[str, Any], scope: Node) -> dict[str, Any]:
        """The results of *requested* on the rows of *scope*."""
        return {name: self._one(spec, scope) for name, spec in requested.items()}

    def _one(self, spec: dict[str, Any], scope: Node) -> dict[str, Any]:
        from nefertari_search_tween.backends.embedded.aggregations import buckets

        self.parser.check()
        spec = dict(spec)
        inner = spec.pop("aggs", None) or spec.pop("aggregations", None) or {}
        meta = spec.pop("meta", None)
        if len(spec) != 1:
            raise refused(f"an aggregation has one type: {sorted(spec)}", "parsing_exception")
        ((kind, options),) = spec.items()
        try:
            if kind in buckets.KINDS:
                result = buckets.KINDS[kind](self, options, inner, scope)
            elif kind != "top_hits" and kind not in _NUMBERS:
                raise unsupported(f"aggregation '{kind}'")
            elif inner:
                raise refused(f"Aggregator of type [{kind}] cannot accept sub-aggregations")
            elif kind == "top_hits":
                result = {"hits": self.top_hits(scope, options)}
            else:
                result = self._number(kind, dict(options), scope)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise refused(f"[{kind}] aggregation malformed: {error!r}", "parsing_exception") from (
                error
            )
        return result if meta is None else {**result, "meta": meta}

    def count(self, scope: Node) -> int:
        """Number of rows of *scope*."""
        sql = f"SELECT count(*) FROM {scope.level.table} d WHERE " + scope.where("d")
        return int(sql.run(self.connection).fetchone()[0])

    def bucket(self, inner: dict[str, Any], scope: Node) -> dict[str, Any]:
        """A bucket's count, and what was asked for inside of it."""
        return {"doc_count": self.count(scope), **self.within(inner, scope)}

    def field(self, options: dict[str, Any], level: Level) -> Optional[Field]:
        """The field of an aggregation; None when these documents have none of that name."""
        if "script" in options:
            raise unsupported("scripts in aggregations")
        field = self.index.fields.get(options["field"])
        if field is None or field.level.path != level.path:
            return None
        if field.kind == "text":
            raise refused(
                f"Fielddata is disabled on [{field.name}]: text fields can't be sorted or "
                "aggregated; use a keyword field instead"
            )
        return field

    def values(self, field: Field, scope: Node, missing: Any = None) -> Sql:
        """SELECT of ``doc`` and ``value``, a row for each value in *scope*."""
        table, column = field.level.table, field.column
        value = Sql(f"d.{column}")
        conditions = [scope.where("d")]
        if missing is None:
            conditions.append(Sql(f"d.{column} IS NOT NULL"))
        else:
            value = Sql(f"coalesce(d.{column}, ?)", (field.value(missing),))
        if not field.multi:
            return (
                "SELECT d.doc AS doc, "
                + value
                + f" AS value FROM {table} d WHERE "
                + all_of(conditions)
            )
        lists = f"FROM {self.index.multi} m"
        conditions.append(Sql(f"d.doc NOT IN (SELECT doc {lists} WHERE field = {field.number})"))
        return (
            ("SELECT d.doc AS doc, " + value + f" AS value FROM {table} d WHERE ")
            + all_of(conditions)
            + f" UNION ALL SELECT m.doc, m.value {lists} JOIN {table} d ON d.doc = m.doc "
            + f"WHERE m.field = {field.number} AND "
            + scope.where("d")
        )

    def holding(self, field: Field, scope: Node, *tests: tuple[str, Any]) -> Node:
        """*scope*, narrowed to rows with a value that passes all *tests*."""
        narrowed = Condition(
            field.level, lambda alias: self.parser.compared(field, alias, list(tests))
        )
        return intersect(scope, narrowed)

    # Numbers

    def _number(self, kind: str, options: dict[str, Any], scope: Node) -> dict[str, Any]:
        field = self.field(options, scope.level)
        own = {"percents", "keyed", "tdigest", "hdr"} if kind == "percentiles" else {"sigma"}
        unknown = set(options) - _COMMON - own
        if unknown:
            raise unsupported(f"option '{min(unknown)}' of the aggregation '{kind}'")
        if field is None:
            values = Sql("SELECT NULL AS doc, NULL AS value WHERE 0")
        else:
            if field.kind == "keyword" and kind not in ("value_count", "cardinality"):
                raise refused(
                    f"Field [{field.name}] of type [{field.type}] is not supported for "
                    f"aggregation [{kind}]"
                )
            values = self.values(field, scope, options.get("missing"))
        return _NUMBERS[kind](self, values, field, options)

    def _row(self, columns: str, values: Sql) -> Any:
        sql = f"SELECT {columns} FROM (" + values + ")"
        return sql.run(self.connection).fetchone()

    def _single(self, columns: str, values: Sql, field: Optional[Field]) -> dict[str, Any]:
        (value,) = self._row(columns, values)
        return _shown({"value": None if value is None else shown_float(value)}, field)

    def _count_of(self, columns: str, values: Sql) -> dict[str, Any]:
        return {"value": self._row(columns, values)[0]}

    def _stats(self, values: Sql, field: Optional[Field]) -> dict[str, Any]:
        columns = "count(value), min(value), max(value), total(value)"
        count, least, most, total = self._row(columns, values)
        found = {
            "count": count,
            "min": None if least is None else shown_float(least),
            "max": None if most is None else shown_float(most),
            "avg": total / count if count else None,
            "sum": total,
        }
        return _shown(found, field)

    def _extended(
        self, values: Sql, field: Optional[Field], options: dict[str, Any]
    ) -> dict[str, Any]:
        found = self._stats(values, field)
        (squares,) = self._row("total(1.0 * value * value)", values)
        count, sigma = found["count"], float(options.get("sigma", 2))
        names = ("variance", "variance_population", "variance_sampling")
        spread: dict[str, Any] = dict.fromkeys(
            (*names, *(name.replace("variance", "std_deviation") for name in names))
        )
        bounds: dict[str, Any] = {}
        if count:
            above = max(0.0, squares - found["sum"] ** 2 / count)
            sampled = above / (count - 1) if count > 1 else None
            spread.update(variance=above / count, variance_population=above / count)
            spread["variance_sampling"] = sampled
            for name in names:
                value = spread[name]
                root = None if value is None else math.sqrt(value)
                spread[name.replace("variance", "std_deviation")] = root
        for end, sign in (("upper", 1), ("lower", -1)):
            for suffix in ("", "_population", "_sampling"):
                deviation = spread[f"std_deviation{suffix}"]
                bounds[end + suffix] = (
                    None if deviation is None else found["avg"] + sign * sigma * deviation
                )
        return {
            **found,
            "sum_of_squares": squares if count else None,
            **spread,
            "std_deviation_bounds": bounds,
        }

    def _percentiles(
        self, values: Sql, field: Optional[Field], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Exact ones, interpolated between neighbours (Elasticsearch estimates them)."""
        sql = "SELECT value FROM (" + values + ") ORDER BY value"
        numbers = [float(value) for (value,) in sql.run(self.connection)]
        found: dict[float, Optional[float]] = {}
        for percent in options.get("percents", DEFAULT_PERCENTS):
            if not numbers:
                found[float(percent)] = None
                continue
            place = (len(numbers) - 1) * float(percent) / 100
            low = int(place)
            high = min(low + 1, len(numbers) - 1)
            found[float(percent)] = numbers[low] + (numbers[high] - numbers[low]) * (place - low)
        if options.get("keyed", True):
            return {"values": {str(percent): value for percent, value in found.items()}}
        return {"values": [{"key": percent, "value": value} for percent, value in found.items()]}


def known_only(kind: str, options: Options, *known: str) -> None:
    """Refuse options of an aggregation that are not among the *known*."""
    unknown = set(options) - set(known)
    if unknown:
        raise unsupported(f"option '{min(unknown)}' of the aggregation '{kind}'")


def orders_of(given: Any, default: dict[str, str]) -> list[tuple[str, str]]:
    """The ``order`` of buckets as pairs of name and direction."""
    clauses = given if isinstance(given, list) else [given or default]
    return [pair for clause in clauses for pair in clause.items()]


def intersect(scope: Node, narrowed: Node) -> Node:
    """The rows of two conditions on one level."""
    return Bool(scope.level, [], [], [scope, narrowed], [], 0)


def _shown(found: dict[str, Any], field: Optional[Field]) -> dict[str, Any]:
    """Numbers of dates and booleans have a text besides."""
    if field is None or field.kind not in ("date", "boolean"):
        return found
    texts = {}
    for name, value in found.items():
        if value is None or name == "count":
            continue
        if field.kind == "date":
            texts[f"{name}_as_string"] = date_format.shown(int(value), field.format)
        else:
            texts[f"{name}_as_string"] = "true" if value else "false"
    return {**found, **texts}


_NUMBERS: dict[str, Callable[..., dict[str, Any]]] = {
    "min": lambda self, values, field, _: self._single("min(value)", values, field),
    "max": lambda self, values, field, _: self._single("max(value)", values, field),
    "avg": lambda self, values, field, _: self._single("avg(value)", values, field),
    "sum": lambda self, values, field, _: self._single("total(value)", values, field),
    "value_count": lambda self, values, field, _: self._count_of("count(value)", values),
    "cardinality": lambda self, values, field, _: self._count_of("count(DISTINCT value)", values),
    "stats": lambda self, values, field, _: self._stats(values, field),
    "extended_stats": AggregationRun._extended,
    "percentiles": AggregationRun._percentiles,
}
