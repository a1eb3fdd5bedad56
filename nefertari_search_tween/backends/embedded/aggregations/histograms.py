"""Histograms of numbers and dates."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any, Callable, NamedTuple

from nefertari_search_tween.backends import date_math
from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.aggregations.helpers import (
    Inner,
    Options,
    check_options,
    or_missing,
    parse_order,
)
from nefertari_search_tween.backends.embedded.aggregations.run import AggregationRun, Handler
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Node
from nefertari_search_tween.backends.embedded.storage.fields import (
    Field,
    decode_float,
    encode_float,
)

# As search.max_buckets of Elasticsearch.
MAX_BUCKETS = 65_536
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: of both histograms
_BOUNDS = ("extended_bounds", "hard_bounds")
_OPTIONS = ("field", "min_doc_count", "missing", "order", "keyed", *_BOUNDS)
_NAMES = {
    **{"minute": "m", "hour": "h", "day": "d", "week": "w"},
    **{"month": "M", "quarter": "q", "year": "y"},
}
_CALENDAR = {**_NAMES, **{f"1{unit}": unit for unit in _NAMES.values()}}


class Steps(NamedTuple):
    """The buckets of a histogram.

    :param bucket_of: value -> its bucket.
    :param key_at: bucket -> its least value.
    :param after: bucket -> the next one.
    """

    bucket_of: Callable[[Any], Any]
    key_at: Callable[[Any], Any]
    after: Callable[[Any], Any]


def _histogram(run: AggregationRun, options: Options, inner: Inner, scope: Node) -> dict[str, Any]:
    check_options("histogram", options, "interval", "offset", *_OPTIONS)
    interval = float(options["interval"])
    offset = float(options.get("offset", 0)) % interval if options.get("offset") else 0.0
    if not interval > 0:
        raise rejected("[interval] must be > 0 for histogram aggregation")

    def bucket_of(value: Any) -> float:
        number = (decode_float(value) - offset) / interval
        if not math.isfinite(number):
            raise rejected("[interval] is too small for the values of this field")
        return float(math.floor(number))

    steps = Steps(bucket_of, lambda at: at * interval + offset + 0.0, lambda at: at + 1)
    return _filled(run, options, inner, scope, steps, lambda field, key: {"key": key})


def _date_histogram(
    run: AggregationRun, options: Options, inner: Inner, scope: Node
) -> dict[str, Any]:
    own = ("calendar_interval", "fixed_interval", "format", "time_zone")
    check_options("date_histogram", options, *own, *_OPTIONS)
    if options.get("time_zone") not in (None, "UTC", "Z", "+00:00"):
        raise unsupported("time_zone of a date_histogram")

    def render_key(field: Field, key: Any) -> dict[str, Any]:
        text = date_format.render(int(key), options.get("format") or field.format)
        return {"key": int(key), "key_as_string": text}

    return _filled(run, options, inner, scope, _date_steps(options), render_key)


def _date_steps(options: Options) -> Steps:
    if "fixed_interval" in options:
        match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", options["fixed_interval"])
        if match is None:
            raise rejected(f"failed to parse interval [{options['fixed_interval']}]")
        length = int(match[1]) * _UNITS[match[2]]
        return Steps(lambda value: value // length * length, int, lambda at: at + length)
    unit = _CALENDAR.get(options["calendar_interval"])
    if unit is None:
        raise rejected(
            f"The supplied interval [{options['calendar_interval']}] could not be parsed as a "
            "calendar interval."
        )
    return Steps(_rounding(unit), int, lambda at: _following(at, unit))


def _rounding(unit: str) -> Callable[[int], int]:
    """Return what rounds dates down to *unit*; fastest in their order, as it knows the last unit.

    Calendars are slow: a year of days is twelve months, and not 365 computations.
    """
    start, end = 0, 0

    def rounded(millis: int) -> int:
        nonlocal start, end
        if not start <= millis < end:
            start = _rounded(millis, unit)
            end = _following(start, unit)
        return start

    return rounded


def _rounded(millis: int, unit: str) -> int:
    if unit == "q":
        year, month, _ = date_math.civil(millis // date_math.DAY_MS)
        return date_math.millis_of(year, (month - 1) // 3 * 3 + 1, 1)
    return date_math.round_down(millis, unit)


def _following(start: int, unit: str) -> int:
    count, unit = (3, "M") if unit == "q" else (1, unit)
    return date_math.add(start, count, unit)


def _filled(
    run: AggregationRun,
    options: Options,
    inner: Inner,
    scope: Node,
    steps: Steps,
    render_key: Callable[[Field, Any], dict[str, Any]],
) -> dict[str, Any]:
    """Return a histogram.

    :param render_key: field and least value -> the bucket's key, as the response has it.
    """
    bucket_of, key_at, after = steps
    field = run.field(options, scope.level)
    if field is None:
        return {"buckets": {} if options.get("keyed") else []}
    counts = _counted(run, field, scope, options.get("missing"), bucket_of)
    hard = options.get("hard_bounds") or {}
    if hard:
        low, high = _bounds(run, field, options, hard)
        counts = {
            at: count
            for at, count in run.deadline.each(counts.items())
            if (low is None or key_at(at) >= low) and (high is None or key_at(at) <= high)
        }
    min_count = int(options.get("min_doc_count", 0))
    if min_count == 0:
        low, high = _bounds(run, field, options, options.get("extended_bounds") or {})
        ends = list(counts)
        ends += [bucket_of(bound) for bound in (low, high) if bound is not None]
        if ends:
            at, last = min(ends), max(ends)
            rounds = 0
            while at <= last:
                run.deadline.step()
                counts.setdefault(at, 0)
                at = after(at)
                rounds += 1
                # Not the number of buckets: beyond 2**53 the next one is the same.
                if rounds > MAX_BUCKETS:
                    raise rejected(
                        f"Trying to create too many buckets. Must be less than or equal to: "
                        f"[{MAX_BUCKETS}]",
                        "too_many_buckets_exception",
                    )
    orders = parse_order(options.get("order"), {"_key": "asc"})
    buckets = []
    for at in run.deadline.each(sorted(counts)):
        if counts[at] < min_count:
            continue
        bucket = {**render_key(field, key_at(at)), "doc_count": counts[at]}
        if inner:
            tests = ((">=", key_at(at)), ("<", key_at(after(at))))
            inside = run.with_values(field, scope, *tests)
            missing = options.get("missing")
            if missing is not None and bucket_of(field.value(missing)) == at:
                inside = or_missing(field, scope, inside)
            bucket.update(run.within(inner, inside))
        buckets.append(bucket)
    for name, direction in reversed(orders):
        sign = {"_key": "key", "_count": "doc_count"}.get(name)
        if sign is None:
            raise unsupported("histograms ordered by what is inside")
        buckets.sort(key=lambda bucket: bucket[sign], reverse=direction == "desc")
    if options.get("keyed"):
        return {"buckets": {b.get("key_as_string", str(b["key"])): b for b in buckets}}
    return {"buckets": buckets}


def _counted(
    run: AggregationRun,
    field: Field,
    scope: Node,
    missing: Any,
    bucket_of: Callable[[Any], Any],
) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    if not field.multi:
        for value, count in run.deadline.each(run.counts(field, scope, missing).items()):
            counts[bucket_of(value)] += count
        return counts
    counted = set()
    for doc, value in run.deadline.each(run.values(field, scope, missing).run(run.connection)):
        at = bucket_of(value)
        if (doc, at) not in counted:
            counted.add((doc, at))
            counts[at] += 1
    return counts


def _bounds(
    run: AggregationRun, field: Field, options: Options, bounds: dict[str, Any]
) -> tuple[Any, Any]:
    def bound(value: Any) -> Any:
        if value is None:
            return None
        if field.kind == "date":
            return run.parser.span(field, value, options.get("format") or field.format)[0]
        return encode_float(float(value))

    return bound(bounds.get("min")), bound(bounds.get("max"))


HISTOGRAMS: dict[str, Handler] = {"histogram": _histogram, "date_histogram": _date_histogram}
