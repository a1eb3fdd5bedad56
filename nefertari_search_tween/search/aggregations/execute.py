"""Answers a request for aggregations from a mirror."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from nefertari_search_tween.exceptions import BackendRejected, BadQuery
from nefertari_search_tween.mirror.mapping import EVERYTHING, INEXACT
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.search.aggregations.bucket_paths import Part
from nefertari_search_tween.search.aggregations.builder import Builder, base_query
from nefertari_search_tween.search.aggregations.context import AggregationContext, FieldLookup
from nefertari_search_tween.search.aggregations.request import AggregationRequest, root_of, taken
from nefertari_search_tween.search.aggregations.response import unwrap
from nefertari_search_tween.search.context import ReadContext
from nefertari_search_tween.search.privacy import Caller, named_by_caller
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.fields import FieldScope
from nefertari_search_tween.search.query.lucene import ClauseBudget
from nefertari_search_tween.search.query.search_read import search_query
from nefertari_search_tween.settings.settings import Settings

if TYPE_CHECKING:
    from nefertari_search_tween.search.searcher import Searcher

HTTP_BAD_REQUEST = 400
STUBS: clauses.Query = {"term": {INEXACT: EVERYTHING}}
_UNKNOWN = re.compile(r"Unknown aggregation type \[(\w+)\]|has no aggregation '(\w+)'")
# What an aggregation is not concerned with; nefertari ignores it, too.
OF_PAGES = frozenset({"_limit", "_start", "_page", "_sort", "_fields", "_count"})


class AggregationResult(dict):
    """Results by name, as the search server shapes them.

    :param root: the parameter that asked for them.
    """

    def __init__(self, found: dict[str, Any], root: str) -> None:
        super().__init__(found)
        self._root = root

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        # A view that goes on with its collection (a database query, a list) must not fail for
        # a reason that nobody understands.
        raise BadQuery(
            self._root,
            f"the view of this collection goes on with what it found ({name}), which "
            "aggregations can't follow",
        )


class PreparedAggregation:
    """One request for aggregations, read and checked; see :func:`prepared`."""

    def __init__(
        self,
        asked: AggregationRequest,
        inquiry: AggregationContext,
    ) -> None:
        self.asked = asked
        self.inquiry = inquiry
        self.body: dict[str, Any]
        self.parts: dict[str, Part]
        self.body, self.parts = Builder(inquiry).build(asked.tree, asked.root)

    def result(self, aggregations: dict[str, Any]) -> AggregationResult:
        """What the caller sees of the backend's *aggregations*."""
        inquiry = self.inquiry
        found = unwrap(aggregations, self.parts, inquiry.visible, inquiry.hides)
        return AggregationResult(found, self.asked.root)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """What the backend refuses of a caller's aggregations is the caller's to mend."""
        try:
            yield
        except BackendRejected as error:
            if error.status != HTTP_BAD_REQUEST:
                raise
            problem = _told(error.details)
            unknown = _UNKNOWN.search(problem)
            if unknown is None:
                raise BadQuery(
                    self.asked.root, f"the search server refused it: {problem[:500]}"
                ) from error
            kind = unknown[1] or unknown[2]
            if unknown[1]:
                problem = f"the search server has no aggregations of type '{kind}'"
            raise BadQuery(self.inquiry.kinds.get(kind, self.asked.root), problem) from error


def prepared(
    asked: AggregationRequest,
    names: FieldLookup,
    visible: FieldLookup,
    caller: Caller,
    settings: Settings,
    exact_filters: list[clauses.Query],
    only: Any = None,
) -> PreparedAggregation:
    """Read and check *asked*.

    :param names: the fields that it may name: a model's, or those common to several.
    :param visible: the fields that documents may show to *caller*.
    :param exact_filters: what holds for every object that the caller may see here, whatever the
        request says.
    :param only: see :class:`Inquiry`.
    :raises BadQuery: it can't be understood; the message names the parameter.
    :raises JHTTPForbidden: it names fields that the caller may not see.
    """
    restricted = caller.restricted and settings.hidden_fields != "allow"
    inquiry = AggregationContext(
        names,
        visible,
        settings,
        restricted,
        caller.restricted or getattr(visible, "partial", False),
        base_query(exact_filters, STUBS),
        ClauseBudget(settings),
    )
    if only is not None:
        inquiry.only = only
    return PreparedAggregation(asked, inquiry)


def aggregate(
    searcher: Searcher,
    mirror: Mirror,
    params: dict[str, Any],
    asked: AggregationRequest,
    request: Any = None,
    exact_filters: Any = (),
    current: bool = False,
) -> tuple[AggregationResult, int]:
    """Aggregate what a search finds.

    :param params: nefertari's parameters, texts in Lucene syntax; pages, sorts and fields of
        documents do not matter.
    :param request: whose caller's rights count; None: no restriction (scripts).
    :returns: the results by name, and the milliseconds that the backend took.
    :raises BadQuery: parameters that can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises SearchUnavailable: the mirror can't answer now.
    """
    caller, settings = Caller.of(request), searcher.settings
    # Nested documents with ACLs of their own are counted for nobody: an aggregation counts all.
    visible = FieldScope(mirror.document_cls, caller).unguarded()
    everything = FieldScope(mirror.document_cls, caller.unrestricted).unguarded()
    names = everything if settings.hidden_fields == "allow" else visible
    filters = [*exact_filters, *searcher.restrictions(mirror)]
    ready = prepared(asked, names, visible, caller, settings, filters)
    wanted = {name: value for name, value in params.items() if name not in OF_PAGES}
    own = frozenset(wanted) - named_by_caller(request) if request is not None else frozenset()
    query = search_query(mirror.document_cls, wanted, filters, caller, settings, own)
    body = {
        "query": query.body["query"],
        "size": 0,
        "track_total_hits": False,
        "aggs": ready.body,
    }
    answer = searcher.ask(mirror, query, body, ready.refusals(), current)
    return ready.result(answer["aggregations"]), answer["took"]


def asked_of(
    read: ReadContext, params: dict[str, Any]
) -> tuple[Optional[AggregationRequest], dict[str, Any]]:
    """What the request of *read* asks to be aggregated, and its other parameters.

    :raises BadQuery: it asks, but its view has no aggregations.
    """
    if read.aggregation is not None:
        return read.aggregation, params
    root = root_of(params, read.aggregation_keys)
    if root is None:
        return None, params
    if read.request.method != "HEAD":
        # nefertari's aggregator stands before every view, unless the application took it away.
        raise BadQuery(root, "the view of this collection has no aggregations")
    # It has no part in HEAD; what the renderer does with a list of objects is none for results.
    getattr(read.request, "filters", {}).pop(getattr(read.request, "action", ""), None)
    return taken(params, read.aggregation_keys)


def _told(details: Any) -> str:
    """The words of an error object that say what is wrong: those of its cause."""
    found = details
    while isinstance(found, dict) and isinstance(found.get("error"), dict):
        found = found["error"]
    if not isinstance(found, dict):
        return str(found)
    causes = found.get("root_cause") or [found.get("caused_by") or found]
    return str(causes[0].get("reason") or found.get("reason") or found.get("type"))
