"""Aggregations that compute numbers, and ``top_hits``: none of them has inner aggregations."""

from __future__ import annotations

import math
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.aggregations.helpers import (
    Inner,
    Options,
    check_options,
)
from nefertari_search_tween.backends.embedded.aggregations.run import AggregationRun, Handler
from nefertari_search_tween.backends.embedded.errors import rejected
from nefertari_search_tween.backends.embedded.query.nodes import Node
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Field, decode_float

DEFAULT_PERCENTS = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
_COMMON_OPTIONS = frozenset(["field", "missing", "format", "value_type", "precision_threshold"])
# Metrics that add numbers, which may be floats.
_SUMS = frozenset({"avg", "sum", "stats", "extended_stats"})
#: (run, SELECT of doc and value, field, options) -> result
Metric = Callable[[AggregationRun, Sql, Optional[Field], Options], dict[str, Any]]


def _leaf(kind: str, handler: Handler) -> Handler:
    """Wrap *handler* so that it rejects inner aggregations."""

    def handle(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
        if inner:
            raise rejected(f"Aggregator of type [{kind}] cannot accept sub-aggregations")
        return handler(run, options, inner, scope)

    return handle


def _metric(kind: str, metric: Metric) -> Handler:
    """Return the handler that reads the field's values and computes *metric* of them."""
    own = {"percents", "keyed", "tdigest", "hdr"} if kind == "percentiles" else {"sigma"}
    allowed = _COMMON_OPTIONS | own

    def handle(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
        field = run.field(options, scope.level)
        check_options(kind, options, *allowed)
        if field is None:
            return metric(run, Sql("SELECT NULL AS doc, NULL AS value WHERE 0"), None, options)
        if field.kind == "keyword" and kind not in ("value_count", "cardinality"):
            raise rejected(
                f"Field [{field.name}] of type [{field.type}] is not supported for "
                f"aggregation [{kind}]"
            )
        read = run.values_in_order if kind in _SUMS else run.values
        return metric(run, read(field, scope, options.get("missing")), field, options)

    return _leaf(kind, handle)


def _row(run: AggregationRun, columns: str, values: Sql) -> Any:
    sql = f"SELECT {columns} FROM (" + values + ")"
    return sql.run(run.connection).fetchone()


def _number(column: str) -> Metric:
    def metric(
        run: AggregationRun, values: Sql, field: Optional[Field], options: Options
    ) -> dict[str, Any]:
        (value,) = _row(run, column, values)
        return _with_text({"value": None if value is None else decode_float(value)}, field)

    return metric


def _count(column: str) -> Metric:
    return lambda run, values, field, options: {"value": _row(run, column, values)[0]}


def _cardinality(
    run: AggregationRun, values: Sql, field: Optional[Field], options: Options
) -> dict[str, Any]:
    # Where an index has the values in order, they are compared with their neighbours only.
    return {"value": _row(run, "count(*)", "SELECT DISTINCT value FROM (" + values + ")")[0]}


def _stats(
    run: AggregationRun, values: Sql, field: Optional[Field], options: Options
) -> dict[str, Any]:
    columns = "count(value), min(value), max(value), total(value)"
    count, least, most, total = _row(run, columns, values)
    stats = {
        "count": count,
        "min": None if least is None else decode_float(least),
        "max": None if most is None else decode_float(most),
        "avg": total / count if count else None,
        "sum": total,
    }
    return _with_text(stats, field)


def _extended_stats(
    run: AggregationRun, values: Sql, field: Optional[Field], options: Options
) -> dict[str, Any]:
    stats = _stats(run, values, field, options)
    (squares,) = _row(run, "total(1.0 * value * value)", values)
    count, sigma = stats["count"], float(options.get("sigma", 2))
    suffixes = ("", "_population", "_sampling")
    variances: list[Optional[float]] = [None, None, None]
    if count:
        squared_deviations = max(0.0, squares - stats["sum"] ** 2 / count)
        sampling = squared_deviations / (count - 1) if count > 1 else None
        variances = [squared_deviations / count, squared_deviations / count, sampling]
    deviations = [None if each is None else math.sqrt(each) for each in variances]
    bounds: dict[str, Any] = {}
    for end, sign in (("upper", sigma), ("lower", -sigma)):
        for suffix, each in zip(suffixes, deviations):
            bounds[end + suffix] = None if each is None else stats["avg"] + sign * each
    return {
        **stats,
        "sum_of_squares": squares if count else None,
        **{f"variance{suffix}": each for suffix, each in zip(suffixes, variances)},
        **{f"std_deviation{suffix}": each for suffix, each in zip(suffixes, deviations)},
        "std_deviation_bounds": bounds,
    }


def _percentiles(
    run: AggregationRun, values: Sql, field: Optional[Field], options: Options
) -> dict[str, Any]:
    """Return exact percentiles, interpolated between neighbours (Elasticsearch estimates them)."""
    sql = "SELECT value FROM (" + values + ") ORDER BY value"
    numbers = [float(value) for (value,) in run.deadline.each(sql.run(run.connection))]
    percentiles: dict[float, Optional[float]] = {}
    for percent in map(float, options.get("percents", DEFAULT_PERCENTS)):
        if not numbers:
            percentiles[percent] = None
            continue
        rank = (len(numbers) - 1) * percent / 100
        low = int(rank)
        high = min(low + 1, len(numbers) - 1)
        percentiles[percent] = numbers[low] + (numbers[high] - numbers[low]) * (rank - low)
    if options.get("keyed", True):
        return {"values": {str(percent): value for percent, value in percentiles.items()}}
    return {"values": [{"key": percent, "value": value} for percent, value in percentiles.items()]}


def _with_text(numbers: dict[str, Any], field: Optional[Field]) -> dict[str, Any]:
    """Add the text of each number of a date or boolean field."""
    if field is None or field.kind not in ("date", "boolean"):
        return numbers
    texts = {}
    for name, value in numbers.items():
        if value is None or name == "count":
            continue
        if field.kind == "date":
            texts[f"{name}_as_string"] = date_format.render(int(value), field.format)
        else:
            texts[f"{name}_as_string"] = "true" if value else "false"
    return {**numbers, **texts}


_METRICS: dict[str, Metric] = {
    "min": _number("min(value)"),
    "max": _number("max(value)"),
    "avg": _number("avg(value)"),
    "sum": _number("total(value)"),
    "value_count": _count("count(value)"),
    "cardinality": _cardinality,
    "stats": _stats,
    "extended_stats": _extended_stats,
    "percentiles": _percentiles,
}
LEAVES: dict[str, Handler] = {
    **{kind: _metric(kind, metric) for kind, metric in _METRICS.items()},
    "top_hits": _leaf(
        "top_hits", lambda run, options, inner, scope: {"hits": run.top_hits(scope, options)}
    ),
}
