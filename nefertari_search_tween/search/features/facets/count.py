"""Counts facets: one search for each filtered field, and one for all others.

A facet whose field is filtered leaves its own filter out, so that a page can offer the values that
would be found besides. Of nested documents, the objects that contain them are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.context import FACETS, as_values
from nefertari_search_tween.search.features.facets.request import (
    INTERVALS,
    Facet,
    Range,
    parse_facets,
)
from nefertari_search_tween.search.query.clauses import (
    SEARCHABLE,
    ValueMismatch,
    date_span,
)
from nefertari_search_tween.search.query.clauses import value as value_of
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.search_read import ModelQuery, Search, SearchQuery
from nefertari_search_tween.search.query.search_request import SearchRequest

_OBJECTS = "objects"


@dataclass(frozen=True)
class FacetCounts:
    """Counts the facets of one request.

    :param build: makes the query of a request.
    :param respond: returns the backend's responses to searches in the indices of a query.
    """

    build: Callable[[SearchRequest], SearchQuery]
    respond: Callable[[SearchQuery, list[Search]], list[dict[str, Any]]]

    def of(self, query: SearchQuery) -> dict[str, list[dict[str, Any]]]:
        """Return the facets of *query* by name: values with their counts.

        :raises BadQuery: a facet can't be understood, or is of a field that the caller can't name.
        """
        request = query.request
        facets = parse_facets(request.params[FACETS], request.settings)
        targets = {facet.name: _targets(facet, query) for facet in facets}
        results: dict[str, list[dict[str, Any]]] = {}
        filtered = [facet for facet in facets if facet.name in request.params]
        shared = [facet for facet in facets if facet.name not in request.params]
        for group in [*([shared] if shared else []), *([facet] for facet in filtered)]:
            params = {
                name: each
                for name, each in request.params.items()
                if name not in {facet.name for facet in group} or request.is_own(name)
            }
            whole = query if params == dict(request.params) else None
            part_query = whole or self.build(replace(request, params=params))
            responses = self.respond(
                part_query, [_search(part, group, targets) for part in part_query.parts]
            )
            for facet in group:
                results[facet.name] = _merged(facet, request, targets[facet.name], responses)
        return {facet.name: results[facet.name] for facet in facets}


def _targets(facet: Facet, query: SearchQuery) -> list[Optional[SearchField]]:
    """Return the field of a facet in each model; None in one that lacks it.

    :raises BadQuery: no model has it, or it can't be counted so.
    """
    targets: list[Optional[SearchField]] = []
    for part in query.parts:
        # As in aggregations, which count all nested documents, also those with ACLs of their own.
        scope = FieldScope(part.mirror.document_cls, query.request.nameable).unguarded()
        target = scope.get(facet.name)
        usable = target is not None and target.kind in SEARCHABLE and not target.joins
        targets.append(target if usable else None)
    kinds = {target.kind for target in targets if target is not None}
    if not kinds:
        models = ", ".join(part.mirror.name for part in query.parts)
        scope = FieldScope(query.parts[0].mirror.document_cls, query.request.nameable).unguarded()
        problem = f"{models} has no field '{facet.name[:60]}' to count values of"
        raise BadQuery(FACETS, problem + scope.meant(facet.name))
    if facet.interval and kinds != {"date"}:
        raise BadQuery(FACETS, f"'{facet.name[:60]}' holds no dates")
    if facet.ranges and not kinds <= {"integer", "float", "date"}:
        raise BadQuery(FACETS, f"'{facet.name[:60]}' holds neither numbers nor dates")
    if len(kinds) > 1 and not kinds <= {"integer", "float"} and not kinds <= {"text", "keyword"}:
        raise BadQuery(FACETS, f"'{facet.name[:60]}' has other types of values in other models")
    return targets


def _search(
    part: ModelQuery, facets: Sequence[Facet], targets: dict[str, list[Optional[SearchField]]]
) -> Search:
    """Return the search that counts *facets* in one model."""
    aggs = {}
    for facet in facets:
        for target in targets[facet.name]:
            if target is not None and _has(part, target):
                aggs[facet.name] = _aggregation(facet, target)
                break
    body = {"query": part.body["query"], "size": 0, "track_total_hits": False, "aggs": aggs}
    return part.index, body


def _has(part: ModelQuery, target: SearchField) -> bool:
    return part.mirror.document_cls.has_field(target.name.partition(".")[0])


def _aggregation(facet: Facet, target: SearchField) -> dict[str, Any]:
    options: dict[str, Any] = {"field": target.sort_key}
    if facet.ranges:
        bounds = [_bounds(target, each) for each in facet.ranges]
        kind = "date_range" if target.kind == "date" else "range"
        aggregation: dict[str, Any] = {kind: {**options, "ranges": bounds}}
    elif target.kind == "date":
        interval = facet.interval or "year"
        histogram = {"calendar_interval": interval, "min_doc_count": 1, **options}
        aggregation = {"date_histogram": {**histogram, "format": INTERVALS[interval]}}
    else:
        aggregation = {"terms": {**options, "size": facet.size}}
    if target.path is None:
        return aggregation
    aggregation["aggs"] = {_OBJECTS: {"reverse_nested": {}}}
    return {"nested": {"path": target.path}, "aggs": {"values": aggregation}}


def _bounds(target: SearchField, bounds: Range) -> dict[str, Any]:
    """Return the bounds of a range as the backend takes them.

    :raises BadQuery: one is no value of the field.
    """
    result: dict[str, Any] = {}
    for side, text in zip(("from", "to"), bounds):
        if text is None:
            continue
        try:
            start = date_span(text)[0] if target.kind == "date" else value_of(target, text)
            result[side] = float(start)
        except ValueMismatch as error:
            raise BadQuery(FACETS, str(error)) from error
    return result


def _merged(
    facet: Facet,
    request: SearchRequest,
    targets: Sequence[Optional[SearchField]],
    responses: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return the values of a facet over all models, with their counts."""
    target = next(each for each in targets if each is not None)
    selected = _selected(request, facet.name)
    counts: dict[Any, int] = {}
    for response in responses:
        for name, results in response.get("aggregations", {}).items():
            if name != facet.name:
                continue
            buckets = results["values"]["buckets"] if "values" in results else results["buckets"]
            for number, bucket in enumerate(buckets):
                key = _key(facet, target, bucket, number)
                count = bucket[_OBJECTS]["doc_count"] if _OBJECTS in bucket else bucket["doc_count"]
                counts[key] = counts.get(key, 0) + count
    values = [
        {"value": key, "count": count, "selected": _text(key) in selected}
        for key, count in counts.items()
    ]
    if not facet.ranges and target.kind != "date":
        values.sort(key=lambda each: (-each["count"], str(each["value"])))
        del values[facet.size :]
    return values


def _key(facet: Facet, target: SearchField, bucket: dict[str, Any], number: int) -> Any:
    """Return the value of a bucket: as text, a filter of the field finds it again."""
    if facet.ranges:
        low, high = facet.ranges[number]
        return f"[{low or '*'} TO {high or '*'}{']' if high is None else '}'}"
    if target.kind == "boolean":
        return bucket.get("key_as_string", str(bool(bucket["key"])).lower()) == "true"
    if target.kind == "date":
        return bucket["key_as_string"]
    return bucket["key"]


def _selected(request: SearchRequest, name: str) -> set[str]:
    """Return the texts that the request filters the field *name* by, alternatives apart."""
    value = request.params.get(name)
    if value is None or request.is_own(name):
        return set()
    texts = [part for each in as_values(value) for part in str(each).split(" OR ")]
    return {_text(text.strip().strip('"')) for text in texts}


def _text(value: Any) -> str:
    return str(value).lower()
