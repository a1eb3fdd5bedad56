"""Aggregations that sort documents into buckets."""

from __future__ import annotations

import math
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.aggregations.helpers import (
    Inner,
    Options,
    check_options,
    intersect,
    or_missing,
    parse_order,
    with_value,
    without_value,
)
from nefertari_search_tween.backends.embedded.aggregations.run import AggregationRun, Handler
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nested import climbing
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    Condition,
    MatchAll,
    Node,
)
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Field, decode_float
from nefertari_search_tween.backends.embedded.text import automata, regexp_parser

# Buckets by condition


def _filter(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    return run.bucket(inner, intersect(scope, run.parser.parse(options, scope.level)))


def _filters(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    check_options("filters", options, "filters", "other_bucket", "other_bucket_key", "keyed")
    filters = options["filters"]
    keyed = isinstance(filters, dict)
    pairs = sorted(filters.items()) if isinstance(filters, dict) else list(enumerate(filters))
    nodes = {name: run.parser.parse(query, scope.level) for name, query in pairs}
    buckets = {name: run.bucket(inner, intersect(scope, node)) for name, node in nodes.items()}
    if options.get("other_bucket") or "other_bucket_key" in options:
        rest = Bool(scope.level, [], [], [scope], list(nodes.values()), 0)
        buckets[options.get("other_bucket_key", "_other_")] = run.bucket(inner, rest)
    return {"buckets": buckets if keyed else list(buckets.values())}


def _missing(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    field = run.field(options, scope.level)
    if field is None:
        return run.bucket(inner, scope)
    return run.bucket(inner, intersect(scope, without_value(field)))


def _global(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    return run.bucket(inner, MatchAll(run.index.root.level))


def _nested(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    level = run.index.levels.get(options["path"])
    if level is None:
        return {"doc_count": 0, **run.within(inner, Condition(scope.level, lambda _: Sql("0")))}
    if isinstance(scope, MatchAll):
        return run.bucket(inner, MatchAll(level))

    def where(alias: str) -> Sql:
        owner, climb = climbing(level, scope.level, "n")
        owners = (f"SELECT d.doc FROM {scope.level.table} d WHERE " + scope.where("d")).as_table()
        return (
            f"{alias}.doc IN (SELECT n.doc FROM {level.table} n{climb} WHERE {owner} IN "
            "(SELECT doc FROM " + owners + "))"
        )

    return run.bucket(inner, Condition(level, where))


def _reverse(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    level = run.index.levels[options.get("path", "")]

    def where(alias: str) -> Sql:
        owner, climb = climbing(scope.level, level, "n")
        owners = f"SELECT {owner} AS doc FROM {scope.level.table} n{climb} WHERE "
        return f"{alias}.doc IN (SELECT doc FROM " + (owners + scope.where("n")).as_table() + ")"

    return run.bucket(inner, Condition(level, where))


# Buckets by value


def _terms(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    check_options("terms", options, *_TERMS_OPTIONS)
    field = run.field(options, scope.level)
    result: dict[str, Any] = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0}
    if field is None:
        return {**result, "buckets": []}
    count_of = run.counts(field, scope, options.get("missing"))
    min_count = int(options.get("min_doc_count", 1))
    if min_count == 0:
        for value in run.counts(field, MatchAll(scope.level)):
            count_of.setdefault(value, 0)
    included = _inclusion(run, field, options)
    counts = [
        (value, count)
        for value, count in run.deadline.each(count_of.items())
        if count >= min_count and included(value)
    ]
    size = int(options.get("size", 10))
    if size <= 0:
        raise rejected("[size] must be greater than 0")
    orders = parse_order(options.get("order"), {"_count": "desc"})
    scoped = {}
    if any(name not in ("_count", "_key") for name, _ in orders):
        result["doc_count_error_upper_bound"] = -1
        scoped = _by_value(run, options, inner, field, scope, counts)
    counts.sort(key=lambda pair: pair[0])
    for name, direction in reversed(orders):
        if name == "_key":
            counts.sort(key=lambda pair: pair[0], reverse=direction == "desc")
        elif name == "_count":
            counts.sort(key=lambda pair: pair[1], reverse=direction == "desc")
        else:
            _sort_by_inner(run, counts, scoped, name, direction == "desc")
    buckets = []
    for value, count in run.deadline.each(counts[:size]):
        inside = scoped.get(value)
        if inside is None:
            inside = run.within(inner, _of_value(run, field, scope, value, options))
        buckets.append({**_key(field, value, options.get("format")), "doc_count": count, **inside})
    result["sum_other_doc_count"] = sum(count for _, count in counts[size:])
    return {**result, "buckets": buckets}


def _by_value(
    run: AggregationRun,
    options: Options,
    inner: Inner,
    field: Field,
    scope: Node,
    counts: list[tuple[Any, int]],
) -> dict[Any, dict[str, Any]]:
    """Return the results of the inner aggregations for each value."""
    if [*inner.values()] == [{"reverse_nested": {}}] and "missing" not in options:
        # One statement counts the objects of all values; there may be thousands of these.
        (name,) = inner
        objects = run.object_counts(field, scope)
        return {value: {name: {"doc_count": objects[value]}} for value, _ in counts}
    return {
        value: run.within(inner, _of_value(run, field, scope, value, options))
        for value, _ in counts
    }


_TERMS_OPTIONS = [
    *["field", "size", "order", "min_doc_count", "missing", "include", "exclude", "format"],
    *["shard_size", "shard_min_doc_count", "value_type", "show_term_doc_count_error"],
    *["execution_hint", "collect_mode"],
]


def _of_value(run: AggregationRun, field: Field, scope: Node, value: Any, options: Options) -> Node:
    bucket = run.with_values(field, scope, ("=", value))
    missing = options.get("missing")
    if missing is None or field.value(missing) != value:
        return bucket
    return or_missing(field, scope, bucket)


def _inclusion(run: AggregationRun, field: Field, options: Options) -> Callable[[Any], bool]:
    def test(terms: Any) -> Callable[[Any], bool]:
        if isinstance(terms, list):
            return {field.value(each) for each in terms}.__contains__
        if isinstance(terms, str):
            pattern = automata.Pattern(regexp_parser.regexp(terms), run.deadline)
            return lambda value: bool(automata.matching([str(value)], pattern, run.deadline))
        raise unsupported("partitions of terms")

    include, exclude = options.get("include"), options.get("exclude")
    included = test(include) if include is not None else None
    excluded = test(exclude) if exclude is not None else None
    return lambda value: (
        (included is None or included(value)) and not (excluded is not None and excluded(value))
    )


def _sort_by_inner(
    run: AggregationRun,
    counts: list[tuple[Any, int]],
    scoped: dict[Any, Any],
    name: str,
    descending: bool,
) -> None:
    path, _, metric = name.partition(".")

    def value(pair: tuple[Any, int]) -> Any:
        result = scoped[pair[0]]
        for part in path.split(">"):
            if part not in result:
                raise rejected(f"Invalid aggregation order path [{name}]")
            result = result[part]
        return result.get(metric or "value", result.get("doc_count"))

    present = [pair for pair in run.deadline.each(counts) if value(pair) is not None]
    absent = [pair for pair in run.deadline.each(counts) if value(pair) is None]
    present.sort(key=value, reverse=descending)
    counts[:] = present + absent


def _key(field: Field, value: Any, formats: Optional[str]) -> dict[str, Any]:
    if field.kind == "boolean":
        return {"key": value, "key_as_string": "true" if value else "false"}
    if field.kind == "date":
        return {"key": value, "key_as_string": date_format.render(value, formats or field.format)}
    return {"key": decode_float(value) if field.kind == "float" else value}


def _range(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    check_options("range", options, *_RANGE_OPTIONS)
    return _ranges(run, options, inner, scope, float, str, lambda end, value: {end: value})


def _date_range(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    check_options("date_range", options, *_RANGE_OPTIONS)
    field = run.field(options, scope.level)
    formats = options.get("format") or (field.format if field is not None else "")

    def parse(raw: Any) -> float:
        return float(raw if field is None else run.parser.span(field, raw, formats)[0])

    def render(value: float) -> str:
        return date_format.render(int(value), formats)

    def describe(end: str, value: float) -> dict[str, Any]:
        return {end: value, f"{end}_as_string": render(value)}

    return _ranges(run, options, inner, scope, parse, render, describe)


_RANGE_OPTIONS = ("field", "ranges", "keyed", "format", "missing")


def _ranges(
    run: AggregationRun,
    options: Options,
    inner: Inner,
    scope: Node,
    parse: Callable[[Any], float],
    render: Callable[[float], str],
    describe: Callable[[str, float], dict[str, Any]],
) -> dict[str, Any]:
    """Return the buckets of ranges.

    :param parse: bound of a range -> its value.
    :param render: value -> its text in the key of a bucket.
    :param describe: end of a range (``from``, ``to``) and value -> their part of a bucket.
    """
    if "missing" in options:
        raise unsupported("option 'missing' of ranges")
    field = run.field(options, scope.level)
    ranges = []
    for each in options["ranges"]:
        low, high = (None if each.get(end) is None else parse(each[end]) for end in ("from", "to"))
        ranges.append((low, high, each.get("key")))
    ranges.sort(
        key=lambda each: (
            -math.inf if each[0] is None else each[0],
            math.inf if each[1] is None else each[1],
        )
    )
    buckets = []
    for low, high, name in ranges:
        texts = ["*" if value is None else render(value) for value in (low, high)]
        bucket: dict[str, Any] = {"key": name or "-".join(texts)}
        tests = []
        for end, sign, value in (("from", ">=", low), ("to", "<", high)):
            if value is not None:
                tests.append((sign, value))
                bucket.update(describe(end, value))
        if field is None:
            inside: Node = Condition(scope.level, lambda alias: Sql("0"))
        elif tests:
            inside = run.with_values(field, scope, *tests)
        else:
            inside = intersect(scope, with_value(field))
        buckets.append({**bucket, **run.bucket(inner, inside)})
    if options.get("keyed"):
        return {"buckets": {bucket.pop("key"): bucket for bucket in buckets}}
    return {"buckets": buckets}


BUCKETS: dict[str, Handler] = {
    "filter": _filter,
    "filters": _filters,
    "missing": _missing,
    "global": _global,
    "nested": _nested,
    "reverse_nested": _reverse,
    "terms": _terms,
    "range": _range,
    "date_range": _date_range,
}
