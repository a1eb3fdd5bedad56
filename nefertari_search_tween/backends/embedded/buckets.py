"""Aggregations that sort documents into buckets."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import automata, dates
from nefertari_search_tween.backends.embedded.aggregations import Aggregations, both
from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.fields import Field, shown_float, stored_float
from nefertari_search_tween.backends.embedded.nodes import (
    Bool,
    Condition,
    Everything,
    Node,
    climbing,
)
from nefertari_search_tween.backends.embedded.sql import Sql

Inner = dict[str, Any]
Options = dict[str, Any]

# As search.max_buckets of Elasticsearch.
MAX_BUCKETS = 65_536
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DAY = _UNITS["d"]
_CALENDAR = {
    **{name: name for name in ("minute", "hour", "day", "week", "month", "quarter", "year")},
    **{"1m": "minute", "1h": "hour", "1d": "day", "1w": "week", "1M": "month"},
    **{"1q": "quarter", "1y": "year"},
}


def _only(kind: str, options: Options, *known: str) -> None:
    unknown = set(options) - set(known)
    if unknown:
        raise unsupported(f"option '{min(unknown)}' of the aggregation '{kind}'")


# Buckets by condition


def _filter(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    return run.bucket(inner, both(scope, run.parser.parse(options, scope.level)))


def _filters(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    _only("filters", options, "filters", "other_bucket", "other_bucket_key", "keyed")
    given = options["filters"]
    named = isinstance(given, dict)
    pairs = sorted(given.items()) if isinstance(given, dict) else list(enumerate(given))
    nodes = {name: run.parser.parse(query, scope.level) for name, query in pairs}
    found = {name: run.bucket(inner, both(scope, node)) for name, node in nodes.items()}
    if options.get("other_bucket") or "other_bucket_key" in options:
        rest = Bool(scope.level, [], [], [scope], list(nodes.values()), 0)
        found[options.get("other_bucket_key", "_other_")] = run.bucket(inner, rest)
    return {"buckets": found if named else list(found.values())}


def _missing(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    field = run.field(options, scope.level)
    if field is None:
        return run.bucket(inner, scope)
    absent = Condition(scope.level, lambda alias: Sql(f"{alias}.{field.column} IS NULL"))
    return run.bucket(inner, both(scope, absent))


def _global(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    return run.bucket(inner, Everything(run.index.root.level))


def _nested(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    level = run.index.levels.get(options["path"])
    if level is None:
        return {"doc_count": 0, **run.within(inner, Condition(scope.level, lambda _: Sql("0")))}

    def where(alias: str) -> Sql:
        owner, climb = climbing(level, scope.level, "n")
        return (
            f"{alias}.doc IN (SELECT n.doc FROM {level.table} n{climb} WHERE {owner} IN "
            f"(SELECT d.doc FROM {scope.level.table} d WHERE " + scope.where("d") + "))"
        )

    return run.bucket(inner, Condition(level, where))


def _reverse(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    level = run.index.levels[options.get("path", "")]

    def where(alias: str) -> Sql:
        owner, climb = climbing(scope.level, level, "n")
        return (
            f"{alias}.doc IN (SELECT {owner} FROM {scope.level.table} n{climb} WHERE "
            + scope.where("n")
            + ")"
        )

    return run.bucket(inner, Condition(level, where))


# Buckets by value


def _terms(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    _only("terms", options, *_TERMS_OPTIONS)
    field = run.field(options, scope.level)
    result: dict[str, Any] = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0}
    if field is None:
        return {**result, "buckets": []}
    values = run.values(field, scope, options.get("missing"))
    counted = "count(DISTINCT doc)" if field.multi else "count(*)"
    sql = f"SELECT value, {counted} FROM (" + values + ") GROUP BY value"
    found: dict[Any, int] = dict(run.connection.execute(sql.text, sql.params).fetchall())
    least = int(options.get("min_doc_count", 1))
    if least == 0:
        everything = run.values(field, Everything(scope.level))
        sql = "SELECT DISTINCT value FROM (" + everything + ")"
        for (value,) in run.connection.execute(sql.text, sql.params):
            found.setdefault(value, 0)
    wanted = _wanted(field, options)
    counts = [(value, count) for value, count in found.items() if count >= least and wanted(value)]
    size = int(options.get("size", 10))
    if size <= 0:
        raise refused("[size] must be greater than 0")
    orders = _orders(options.get("order"), {"_count": "desc"})
    scoped = {}
    if any(name not in ("_count", "_key") for name, _ in orders):
        scoped = {
            value: run.within(inner, _of_value(run, field, scope, value, options))
            for value, _ in counts
        }
    counts.sort(key=lambda pair: pair[0])
    for name, direction in reversed(orders):
        if name == "_key":
            counts.sort(key=lambda pair: pair[0], reverse=direction == "desc")
        elif name == "_count":
            counts.sort(key=lambda pair: pair[1], reverse=direction == "desc")
        else:
            _sort_by_inner(counts, scoped, name, direction == "desc")
    buckets = []
    for value, count in counts[:size]:
        inside = scoped.get(value)
        if inside is None:
            inside = run.within(inner, _of_value(run, field, scope, value, options))
        buckets.append({**_key(field, value, options.get("format")), "doc_count": count, **inside})
    result["sum_other_doc_count"] = sum(count for _, count in counts[size:])
    return {**result, "buckets": buckets}


_TERMS_OPTIONS = [
    *["field", "size", "order", "min_doc_count", "missing", "include", "exclude", "format"],
    *["shard_size", "shard_min_doc_count", "value_type", "show_term_doc_count_error"],
    *["execution_hint", "collect_mode"],
]


def _of_value(run: Aggregations, field: Field, scope: Node, value: Any, options: Options) -> Node:
    held = run.holding(field, scope, ("=", value))
    missing = options.get("missing")
    if missing is None or field.value(missing) != value:
        return held
    absent = Condition(field.level, lambda alias: Sql(f"{alias}.{field.column} IS NULL"))
    return both(scope, Bool(scope.level, [], [held, absent], [], [], 1))


def _wanted(field: Field, options: Options) -> Callable[[Any], bool]:
    def test(given: Any) -> Callable[[Any], bool]:
        if isinstance(given, list):
            return {field.value(each) for each in given}.__contains__
        if isinstance(given, str):
            pattern = automata.Pattern(automata.regular_expression(given))
            return lambda value: bool(automata.matching([str(value)], pattern))
        raise unsupported("partitions of terms")

    include, exclude = options.get("include"), options.get("exclude")
    included = test(include) if include is not None else None
    excluded = test(exclude) if exclude is not None else None
    return lambda value: (
        (included is None or included(value)) and not (excluded is not None and excluded(value))
    )


def _orders(given: Any, default: dict[str, str]) -> list[tuple[str, str]]:
    clauses = given if isinstance(given, list) else [given or default]
    return [pair for clause in clauses for pair in clause.items()]


def _sort_by_inner(
    counts: list[tuple[Any, int]], scoped: dict[Any, Any], name: str, descending: bool
) -> None:
    path, _, metric = name.partition(".")

    def value(pair: tuple[Any, int]) -> Any:
        result = scoped[pair[0]]
        for part in path.split(">"):
            if part not in result:
                raise refused(f"Invalid aggregation order path [{name}]")
            result = result[part]
        return result.get(metric or "value", result.get("doc_count"))

    present = [pair for pair in counts if value(pair) is not None]
    absent = [pair for pair in counts if value(pair) is None]
    present.sort(key=value, reverse=descending)
    counts[:] = present + absent


def _key(field: Field, value: Any, formats: Optional[str]) -> dict[str, Any]:
    if field.kind == "boolean":
        return {"key": value, "key_as_string": "true" if value else "false"}
    if field.kind == "date":
        return {"key": value, "key_as_string": dates.shown(value, formats or field.format)}
    return {"key": shown_float(value) if field.kind == "float" else value}


def _range(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    _only("range", options, "field", "ranges", "keyed", "format", "missing")
    return _ranges(run, options, inner, scope, dated=False)


def _date_range(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    _only("date_range", options, "field", "ranges", "keyed", "format", "missing")
    return _ranges(run, options, inner, scope, dated=True)


def _ranges(
    run: Aggregations, options: Options, inner: Inner, scope: Node, dated: bool
) -> dict[str, Any]:
    if "missing" in options:
        raise unsupported("option 'missing' of ranges")
    field = run.field(options, scope.level)
    formats = options.get("format") or (field.format if field is not None else "")

    def bound(given: Any) -> Optional[float]:
        if given is None:
            return None
        if dated and field is not None:
            return float(run.parser.span(field, given, formats)[0])
        return float(given)

    def text(value: Optional[float]) -> str:
        if value is None:
            return "*"
        return dates.shown(int(value), formats) if dated else str(value)

    ranges = [
        (bound(each.get("from")), bound(each.get("to")), each.get("key"))
        for each in options["ranges"]
    ]
    ranges.sort(
        key=lambda each: (
            -math.inf if each[0] is None else each[0],
            math.inf if each[1] is None else each[1],
        )
    )
    found = []
    for low, high, name in ranges:
        tests = [(sign, value) for sign, value in ((">=", low), ("<", high)) if value is not None]
        bucket: dict[str, Any] = {"key": name or f"{text(low)}-{text(high)}"}
        for end, value in (("from", low), ("to", high)):
            if value is not None:
                bucket[end] = value
                if dated:
                    bucket[f"{end}_as_string"] = text(value)
        if field is None:
            inside: Node = Condition(scope.level, lambda alias: Sql("0"))
        elif tests:
            inside = run.holding(field, scope, *tests)
        else:
            inside = _present(scope, field)
        found.append({**bucket, **run.bucket(inner, inside)})
    return {"buckets": _keyed(found) if options.get("keyed") else found}


def _present(scope: Node, field: Field) -> Node:
    held = Condition(scope.level, lambda alias: Sql(f"{alias}.{field.column} IS NOT NULL"))
    return both(scope, held)


def _keyed(buckets: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {bucket.pop("key"): bucket for bucket in buckets}


# Histograms


def _histogram(run: Aggregations, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    _only(
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


def _date_histogram(
    run: Aggregations, options: Options, inner: Inner, scope: Node
) -> dict[str, Any]:
    _only(
        "date_histogram",
        options,
        *["field", "calendar_interval", "fixed_interval", "min_doc_count", "missing", "order"],
        *["keyed", "extended_bounds", "hard_bounds", "format", "time_zone"],
    )
    if options.get("time_zone") not in (None, "UTC", "Z", "+00:00"):
        raise unsupported("time_zone of a date_histogram")
    formats = options.get("format")

    def shown(field: Field, key: Any) -> dict[str, Any]:
        return {"key": int(key), "key_as_string": dates.shown(int(key), formats or field.format)}

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
    year, month, _ = dates.civil(days)
    if unit == "quarter":
        month = (month - 1) // 3 * 3 + 1
    return dates.millis_of(year, 1 if unit == "year" else month, 1)


def _following(start: int, unit: str) -> int:
    longest = {"minute": 60_000, "hour": 3_600_000, "day": _DAY, "week": 7 * _DAY}
    if unit in longest:
        return start + longest[unit]
    return _rounded(start + {"month": 31, "quarter": 92, "year": 366}[unit] * _DAY, unit)


def _filled(
    run: Aggregations,
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
    orders = _orders(options.get("order"), {"_key": "asc"})
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
                inside = both(scope, Bool(scope.level, [], [inside, absent], [], [], 1))
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
    run: Aggregations, field: Field, values: Sql, place: Callable[[Any], Any]
) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    if not field.multi:
        sql = "SELECT value, count(*) FROM (" + values + ") GROUP BY value"
        for value, count in run.connection.execute(sql.text, sql.params):
            counts[place(value)] += count
        return counts
    seen = set()
    for doc, value in run.connection.execute(values.text, values.params):
        at = place(value)
        if (doc, at) not in seen:
            seen.add((doc, at))
            counts[at] += 1
    return counts


def _bounds(
    run: Aggregations, field: Field, options: Options, given: dict[str, Any]
) -> tuple[Any, Any]:
    def bound(value: Any) -> Any:
        if value is None:
            return None
        if field.kind == "date":
            return run.parser.span(field, value, options.get("format") or field.format)[0]
        return stored_float(float(value))

    return bound(given.get("min")), bound(given.get("max"))


KINDS: dict[str, Callable[[Aggregations, Options, Inner, Node], dict[str, Any]]] = {
    "filter": _filter,
    "filters": _filters,
    "missing": _missing,
    "global": _global,
    "nested": _nested,
    "reverse_nested": _reverse,
    "terms": _terms,
    "range": _range,
    "date_range": _date_range,
    "histogram": _histogram,
    "date_histogram": _date_histogram,
}
