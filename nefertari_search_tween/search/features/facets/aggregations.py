"""The aggregation that counts a facet in one model, and what its result says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.context import FACETS
from nefertari_search_tween.search.features.facets.request import INTERVALS, Facet, Range
from nefertari_search_tween.search.query.clauses import Query, ValueMismatch, range_query
from nefertari_search_tween.search.query.fields import SearchField

#: number of objects by value
Counts = dict[Any, int]

_OBJECTS = "objects"
_INSIDE = "inside"


def facet_aggregation(facet: Facet, target: SearchField, size: int) -> dict[str, Any]:
    """Return the aggregation that counts *facet* by the values of *target*.

    :param size: number of values, at most.
    :raises BadQuery: a bound of a range is no value of the field.
    """
    options: dict[str, Any] = {"field": target.sort_key}
    if facet.ranges:
        # Not the aggregation of ranges, whose buckets are in another order than requested.
        ranges = {each.filter_text: _range_query(target, each) for each in facet.ranges}
        aggregation: dict[str, Any] = {"filters": {"filters": ranges}}
    elif facet.interval:
        histogram = {"calendar_interval": facet.interval, "min_doc_count": 1, **options}
        aggregation = {"date_histogram": {**histogram, "format": INTERVALS[facet.interval]}}
    else:
        by_number = "_count" if target.path is None else _OBJECTS
        order = [{by_number: "desc"}, {"_key": "asc"}]
        aggregation = {"terms": {**options, "size": size, "order": order}}
    if target.path is None:
        return aggregation
    aggregation["aggs"] = {_OBJECTS: {"reverse_nested": {}}}
    levels = target.nested_levels if target.guarded else target.nested_levels[-1:]
    for path, condition in reversed(levels):
        if condition is not None:
            aggregation = {"filter": condition, "aggs": {_INSIDE: aggregation}}
        aggregation = {"nested": {"path": path}, "aggs": {_INSIDE: aggregation}}
    return aggregation


def _range_query(target: SearchField, bounds: Range) -> Query:
    try:
        return range_query(target, bounds.low, bounds.high, True, False)
    except ValueMismatch as error:
        raise BadQuery(FACETS, str(error)) from error


def counts_of(facet: Facet, result: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """Yield the values of *facet* and their counts in the *result* of its aggregation."""
    while _INSIDE in result:
        result = result[_INSIDE]
    # Nested documents that no object has.
    buckets = result.get("buckets", {})
    for key, bucket in buckets.items() if isinstance(buckets, dict) else _keyed(facet, buckets):
        count = bucket[_OBJECTS]["doc_count"] if _OBJECTS in bucket else bucket["doc_count"]
        if count:
            yield key, count


def _keyed(facet: Facet, buckets: list[dict[str, Any]]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the buckets with their values: as text, each is a filter that finds it again."""
    for bucket in buckets:
        text = bucket.get("key_as_string")
        if facet.interval:
            yield text, bucket
        elif text in ("true", "false"):
            yield text == "true", bucket
        else:
            yield bucket["key"], bucket
