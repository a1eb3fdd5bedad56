"""Counts facets, all of a request by one request to the backend.

A facet whose field is filtered leaves its own filter out, so that a page can offer the values that
would be found besides. Of nested documents, the objects that contain them are counted: those that
contain one that the caller may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Optional

from nefertari_search_tween.exceptions import BackendRejected, BadQuery
from nefertari_search_tween.search.context import FACETS
from nefertari_search_tween.search.features.facets.aggregations import (
    Counts,
    counts_of,
    facet_aggregation,
)
from nefertari_search_tween.search.features.facets.request import (
    DEFAULT_INTERVAL,
    INTERVALS,
    Facet,
    parse_facets,
)
from nefertari_search_tween.search.features.facets.selected import is_selected, selected_texts
from nefertari_search_tween.search.query.clauses import SEARCHABLE
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.search_read import (
    ModelQuery,
    Search,
    SearchQuery,
    filter_field,
)
from nefertari_search_tween.search.query.search_request import NO_FILTERS, SearchRequest

#: the field of a facet in each model; None in one that lacks it, or hides it from the caller
Targets = list[Optional[SearchField]]


@dataclass(frozen=True)
class FacetCounts:
    """Counts the facets of one request.

    :param build: makes the query of a request.
    :param respond: returns the backend's responses to searches in the indices of a query.
    """

    build: Callable[[SearchRequest], SearchQuery]
    respond: Callable[..., list[dict[str, Any]]]

    def of(self, query: SearchQuery) -> dict[str, list[dict[str, Any]]]:
        """Return the facets of *query* by name: values with their counts.

        :raises BadQuery: a facet can't be understood, or is of a field that the caller can't name.
        """
        request = query.request
        requested = parse_facets(request.params[FACETS], request.settings)
        scopes = [FieldScope(part.mirror.document_cls, request.nameable) for part in query.parts]
        targets = {facet.name: _targets(facet, scopes) for facet in requested}
        facets = [_by_interval(facet, targets[facet.name]) for facet in requested]
        own_filters = {name: _own_filters(each, request, scopes) for name, each in targets.items()}
        # Of several models, values that are rare in one may be frequent in all.
        share = request.settings.max_buckets // (len(facets) * len(scopes))
        size = share if len(scopes) > 1 else 0
        searches: list[Search] = []
        groups: list[list[Facet]] = []
        for names in dict.fromkeys(own_filters.values()):
            group = [facet for facet in facets if own_filters[facet.name] == names]
            for number, part in enumerate(self._without(query, names).parts):
                fields = [(facet, targets[facet.name][number]) for facet in group]
                aggs = {
                    facet.name: facet_aggregation(facet, target, max(facet.limit, size))
                    for facet, target in fields
                    if target is not None
                }
                if aggs:
                    groups.append([facet for facet in group if facet.name in aggs])
                    searches.append(_search(part, aggs))
        counts: dict[str, Counts] = {facet.name: {} for facet in facets}
        responses = self.respond(query, searches, _explain_too_many(request))
        for group, response in zip(groups, responses):
            for facet in group:
                of_facet = counts[facet.name]
                for value, count in counts_of(facet, response["aggregations"][facet.name]):
                    of_facet[value] = of_facet.get(value, 0) + count
                # How many dates there are is known only now.
                if len(of_facet) > request.settings.max_buckets:
                    raise _too_many(request)
        return {
            facet.name: _values(
                facet, counts[facet.name], selected_texts(request, own_filters[facet.name])
            )
            for facet in facets
        }

    def _without(self, query: SearchQuery, names: frozenset[str]) -> SearchQuery:
        """Return *query* without the filters *names*."""
        if not names:
            return query
        params = {name: each for name, each in query.request.params.items() if name not in names}
        return self.build(replace(query.request, params=params))


def _targets(facet: Facet, scopes: Sequence[FieldScope]) -> Targets:
    """Return the field of a facet in each model.

    :raises BadQuery: no model has it, or it can't be counted so.
    """
    targets = [scope.get(facet.name) for scope in scopes]
    present = [target for target in targets if target is not None]
    name = facet.name[:60]
    if not present:
        models = ", ".join(scope.document_cls.__name__ for scope in scopes)
        others = [each for scope in scopes[1:] for each in scope.visible_names()]
        problem = f"{models} has no field '{name}' to count values of"
        raise BadQuery(FACETS, problem + scopes[0].meant(facet.name, others))
    if any(target.joins for target in present):
        raise BadQuery(
            FACETS,
            f"'{name}' is in the index of other documents, whose values can't be counted from here",
        )
    kinds = {target.kind for target in present}
    if not kinds <= SEARCHABLE:
        raise BadQuery(FACETS, f"the values of '{name}' can't be counted")
    if facet.interval and kinds != {"date"}:
        raise BadQuery(FACETS, f"'{name}' holds no dates")
    if facet.ranges and not kinds <= {"integer", "float", "date"}:
        raise BadQuery(FACETS, f"'{name}' holds neither numbers nor dates")
    if len(kinds) > 1 and not kinds <= {"integer", "float"} and not kinds <= {"text", "keyword"}:
        raise BadQuery(FACETS, f"'{name}' has other types of values in other models")
    return targets


def _own_filters(
    targets: Targets, request: SearchRequest, scopes: Sequence[FieldScope]
) -> frozenset[str]:
    """Return the names of the caller's filters of the field of a facet: its own name, or that of
    a relationship, which means the keys of its documents."""
    return frozenset(
        name
        for name in request.params
        if name not in NO_FILTERS and not request.is_own(name)
        for target, scope in zip(targets, scopes)
        if target is not None and filter_field(name, scope) == target
    )


def _by_interval(facet: Facet, targets: Targets) -> Facet:
    """Return *facet*, by years if it is of dates and does not say more.

    :raises BadQuery: it limits the number of dates, all of which are shown in their order.
    """
    if facet.interval or facet.ranges or not any(each and each.kind == "date" for each in targets):
        return facet
    if facet.size is not None:
        raise BadQuery(
            FACETS, f"'{facet.name[:60]}' holds dates, which are counted by {', '.join(INTERVALS)}"
        )
    return facet._replace(interval=DEFAULT_INTERVAL)


def _search(part: ModelQuery, aggs: dict[str, Any]) -> Search:
    """Return the search that counts facets by *aggs* in one model."""
    query = part.body["query"]
    return part.index, {"query": query, "size": 0, "track_total_hits": False, "aggs": aggs}


def _values(facet: Facet, counts: Counts, selected: set[str]) -> list[dict[str, Any]]:
    """Return the values of a facet with their counts: ranges as requested, dates in their order,
    others by number."""
    if facet.ranges:
        pairs = [(each.filter_text, counts.get(each.filter_text, 0)) for each in facet.ranges]
    elif facet.interval:
        pairs = sorted(counts.items())
    else:
        pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: facet.limit]
    return [
        {"value": value, "count": count, "selected": is_selected(value, selected)}
        for value, count in pairs
    ]


def _too_many(request: SearchRequest) -> BadQuery:
    return BadQuery(
        FACETS,
        f"more than {request.settings.max_buckets} values (nefertari_search.max_buckets): take "
        "longer intervals, or narrow the search",
    )


@contextmanager
def _explain_too_many(request: SearchRequest) -> Iterator[None]:
    """Report more buckets than the backend makes as the caller's error."""
    try:
        yield
    except BackendRejected as error:
        if "too_many_buckets" not in str(error.details):
            raise
        raise _too_many(request) from error
