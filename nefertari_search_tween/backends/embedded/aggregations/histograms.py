"""Histograms of numbers and dates."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any, Callable

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.aggregations.run import (
    AggregationRun,
    Inner,
    Options,
    intersect,
    known_only,
    orders_of,
)
from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Bool, Condition, Node
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.mapping import (
    Field,
    shown_float,
    stored_float,
)

# As search.max_buckets of Elasticsearch.
MAX_BUCKETS = 65_536
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DAY = _UNITS["d"]
_CALENDAR = {
    **{name: name for name in ("minute", "hour", "day", "week", "month", "quarter", "year")},
    **{"1m": "minute", "1h": "hour", "1d": "day", "1w": "week", "1M": "month"},
    **{"1q": "quarter", "1y": "year"},
}


def histogram(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    known_only(
        "histogram",
        options,
        *["field", "interval", "offset", "min_doc_count", "missing", "order", "keyed"],
        *["extended_bounds", "hard_bounds"],
    )
    interval = float(options["interval"])
    offset = float(options.get("offset", 0)) % interval if options.get("offset") else 0.0
    if not interval > 0:
        raise refused("[interval] must be > 0 for histogram aggregation")

    def place(value: Any) -> float:
        return float(math.floor((shown_float(value) - offset) / interval))

    return _filled(
        run,
        options,
        inner,
        scope,
        place,
        lambda at: at * interval + offset + 0.0,
        lambda at: at + 1,
        lambda field, key: {"key": key},
    )


def date_histogram(
    run: AggregationRun, options: Options, inner: Inner, scope: Node
) -> dict[str, Any]:
    known_only(
        "date_histogram",
        options,
        *["field", "calendar_interval", "fixed_interval", "min_doc_count", "missing", "order"],
        *["keyed", "extended_bounds", "hard_bounds", "format", "time_zone"],
    )
    if options.get("time_zone") not in (None, "UTC", "Z", "+00:00"):
        raise unsupported("time_zone of a date_histogram")
    formats = options.get("format")

    def shown(field: Field, key: Any) -> dict[str, Any]:
        return {
            "key": int(key),
            "key_as_string": date_format.shown(int(key), formats or field.format),
        }

    if "fixed_interval" in options:
        match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", options["fixed_interval"])
        if match is None:
            raise refused(f"failed to parse interval [{options['fixed_interval']}]")
        length = int(match[1]) * _UNITS[match[2]]
        return _filled(
            run,
            options,
            inner,
            scope,
            lambda value: value // length * length,
            lambda at: at,
            lambda at: at + length,
            shown,
        )
    unit = _CALENDAR.get(options["calendar_interval"])
    if unit is None:
        raise refused(
            f"The supplied interval [{options['calendar_interval']}] could not be parsed as a "
            "calendar interval."
        )
    return _filled(
        run,
        options,
        inner,
        scope,
        lambda value: _rounded(value, unit),
        lambda at: at,
        lambda at: _following(at, unit),
        shown,
    )


def _rounded(millis: int, unit: str) -> int:
    if unit in ("minute", "hour", "day"):
        length = _UNITS[unit[0]]
        return millis // length * length
    days = millis // _DAY
    if unit == "week":
        # 1970 began on a Thursday, weeks begin on Mondays.
        return (days - (days + 3) % 7) * _DAY
    year, month, _ = date_format.civil(days)
    if unit == "quarter":
        month = (month - 1) // 3 * 3 + 1
    return date_format.millis_of(year, 1 if unit == "year" else month, 1)


def _following(start: int, unit: str) -> int:
    longest = {"minute": 60_000, "hour": 3_600_000, "day": _DAY, "week": 7 * _DAY}
    if unit in longest:
        return start + longest[unit]
    return _rounded(start + {"month": 31, "quarter": 92, "year": 366}[unit] * _DAY, unit)


def _filled(
    run: AggregationRun,
    options: Options,
    inner: Inner,
    scope: Node,
    place: Callable[[Any], Any],
    key_at: Callable[[Any], Any],
    after: Callable[[Any], Any],
    shown: Callable[[Field, Any], dict[str, Any]],
) -> dict[str, Any]:
    """A histogram.

    :param place: which bucket a value belongs to.
    :param key_at: the least value of a bucket.
    :param after: the next bucket.
    """
    field = run.field(options, scope.level)
    if field is None:
        return {"buckets": {} if options.get("keyed") else []}
    counts = _counted(run, field, run.values(field, scope, options.get("missing")), place)
    hard = options.get("hard_bounds") or {}
    if hard:
        low, high = _bounds(run, field, options, hard)
        counts = {
            at: count
            for at, count in counts.items()
            if (low is None or key_at(at) >= low) and (high is None or key_at(at) <= high)
        }
    least = int(options.get("min_doc_count", 0))
    if least == 0:
        low, high = _bounds(run, field, options, options.get("extended_bounds") or {})
        ends = list(counts)
        ends += [place(bound) for bound in (low, high) if bound is not None]
        if ends:
            at, last = min(ends), max(ends)
            steps = 0
            while at <= last:
                counts.setdefault(at, 0)
                at = after(at)
                steps += 1
                if steps > MAX_BUCKETS:
                    raise refused(
                        f"Trying to create too many buckets. Must be less than or equal to: "
                        f"[{MAX_BUCKETS}]",
                        "too_many_buckets_exception",
                    )
    orders = orders_of(options.get("order"), {"_key": "asc"})
    found = []
    for at in sorted(counts):
        if counts[at] < least:
            continue
        bucket = {**shown(field, key_at(at)), "doc_count": counts[at]}
        if inner:
            tests = ((">=", key_at(at)), ("<", key_at(after(at))))
            inside = run.holding(field, scope, *tests)
            missing = options.get("missing")
            if missing is not None and place(field.value(missing)) == at:
                absent = Condition(
                    field.level, lambda alias: Sql(f"{alias}.{field.column} IS NULL")
                )
                inside = intersect(scope, Bool(scope.level, [], [inside, absent], [], [], 1))
            bucket.update(run.within(inner, inside))
        found.append(bucket)
    for name, direction in reversed(orders):
        sign = {"_key": "key", "_count": "doc_count"}.get(name)
        if sign is None:
            raise unsupported("histograms ordered by what is inside")
        found.sort(key=lambda bucket: bucket[sign], reverse=direction == "desc")
    if options.get("keyed"):
        return {"buckets": {b.get("key_as_string", str(b["key"])): b for b in found}}
    return {"buckets": found}


def _counted(
    run: AggregationRun, field: Field, values: Sql, place: Callable[[Any], Any]
) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    if not field.multi:
        sql = "SELECT value, count(*) FROM (" + values + ") GROUP BY value"
        for value, count in sql.run(run.connection):
            counts[place(value)] += count
        return counts
    seen = set()
    for doc, value in values.run(run.connection):
        at = place(value)
        if (doc, at) not in seen:
            seen.add((doc, at))
            counts[at] += 1
    return counts


def _bounds(
    run: AggregationRun, field: Field, options: Options, given: dict[str, Any]
) -> tuple[Any, Any]:
    def bound(value: Any) -> Any:
        if value is None:
            return None
        if field.kind == "date":
            return run.parser.span(field, value, options.get("format") or field.format)[0]
        return stored_float(float(value))

    return bound(given.get("min")), bound(given.get("max"))
