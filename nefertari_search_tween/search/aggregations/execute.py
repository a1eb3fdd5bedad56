"""Answer aggregation requests from a mirror."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from nefertari_search_tween.documents.format import STUBS
from nefertari_search_tween.exceptions import (
    BackendRejected,
    BadQuery,
    innermost_error,
)
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.bucket_paths import Part
from nefertari_search_tween.search.aggregations.builder import Builder, base_query
from nefertari_search_tween.search.aggregations.context import AggregationContext, FieldLookup
from nefertari_search_tween.search.aggregations.request import (
    AggregationRequest,
    root_of,
    split_params,
)
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
_UNKNOWN = re.compile(r"Unknown aggregation type \[(\w+)\]|has no aggregation '(\w+)'")
# Parameters that do not affect an aggregation; nefertari ignores them, too.
OF_PAGES = frozenset({"_limit", "_start", "_page", "_sort", "_fields", "_count"})


class AggregationResult(dict):
    """Results by name, in the search server's format.

    :param root: the parameter that requested them.
    """

    def __init__(self, results: dict[str, Any], root: str) -> None:
        super().__init__(results)
        self._root = root

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        # A view that uses its collection as a database query or a list must fail with a message
        # that explains why.
        raise BadQuery(
            self._root,
            f"the view of this collection goes on with what it found ({name}), which "
            "aggregations can't follow",
        )


class PreparedAggregation:
    """One aggregation request, translated and checked; see :func:`prepared`."""

    def __init__(self, aggregation: AggregationRequest, context: AggregationContext) -> None:
        self.aggregation = aggregation
        self.context = context
        self.body: dict[str, Any]
        self.parts: dict[str, Part]
        self.body, self.parts = Builder(context).build(aggregation.tree, aggregation.root)

    def result(self, aggregations: dict[str, Any]) -> AggregationResult:
        """Return what the caller may see of the backend's *aggregations*."""
        context = self.context
        results = unwrap(aggregations, self.parts, context.visible, context.hides)
        return AggregationResult(results, self.aggregation.root)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Report a request that the backend rejects as the caller's error."""
        try:
            yield
        except BackendRejected as error:
            if error.status != HTTP_BAD_REQUEST:
                raise
            problem = _cause_of(error.details)
            unknown = _UNKNOWN.search(problem)
            if unknown is None:
                raise BadQuery(
                    self.aggregation.root, f"the search server rejected it: {problem[:500]}"
                ) from error
            kind = unknown[1] or unknown[2]
            if unknown[1]:
                problem = f"the search server has no aggregations of type '{kind}'"
            raise BadQuery(self.context.kinds.get(kind, self.aggregation.root), problem) from error


def prepared(
    aggregation: AggregationRequest,
    names: FieldLookup,
    visible: FieldLookup,
    caller: Caller,
    settings: Settings,
    exact_filters: list[clauses.Query],
    only: Any = None,
) -> PreparedAggregation:
    """Translate and check *aggregation*.

    :param names: the fields that it may name: those of one model, or common to several.
    :param visible: the fields of documents that *caller* may see.
    :param exact_filters: conditions on every object that the caller may see here, whatever the
        request.
    :param only: see :class:`AggregationContext`.
    :raises BadQuery: it can't be understood; the message names the parameter.
    :raises JHTTPForbidden: it names fields that the caller may not see.
    """
    restricted = caller.restricted and settings.hidden_fields != "allow"
    context = AggregationContext(
        names,
        visible,
        settings,
        restricted,
        caller.restricted or getattr(visible, "partial", False),
        base_query(exact_filters, STUBS),
        ClauseBudget(settings),
    )
    if only is not None:
        context.only = only
    return PreparedAggregation(aggregation, context)


def aggregate(
    searcher: Searcher,
    mirror: Mirror,
    params: dict[str, Any],
    aggregation: AggregationRequest,
    request: Any = None,
    exact_filters: Any = (),
    current: bool = False,
) -> tuple[AggregationResult, int]:
    """Aggregate the matches of a search.

    :param params: nefertari's parameters, texts in Lucene syntax; paging, sorting and fields of
        documents are ignored.
    :param request: its caller's permissions apply; None: no restriction (scripts).
    :returns: the results by name, and the milliseconds that the backend took.
    :raises BadQuery: parameters that can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises SearchUnavailable: the mirror can't answer now.
    """
    caller, settings = Caller.of(request), searcher.settings
    # Nested documents with their own ACLs are never aggregated: an aggregation counts all.
    visible = FieldScope(mirror.document_cls, caller).unguarded()
    all_fields = FieldScope(mirror.document_cls, caller.unrestricted).unguarded()
    names = all_fields if settings.hidden_fields == "allow" else visible
    filters = [*exact_filters, *searcher.restrictions(mirror)]
    ready = prepared(aggregation, names, visible, caller, settings, filters)
    params = {name: value for name, value in params.items() if name not in OF_PAGES}
    own = frozenset(params) - named_by_caller(request) if request is not None else frozenset()
    query = search_query(mirror.document_cls, params, filters, caller, settings, own)
    body = {
        "query": query.body["query"],
        "size": 0,
        "track_total_hits": False,
        "aggs": ready.body,
    }
    response = searcher.ask(mirror, query, body, ready.refusals(), current)
    return ready.result(response["aggregations"]), response["took"]


def asked_of(
    read: ReadContext, params: dict[str, Any]
) -> tuple[Optional[AggregationRequest], dict[str, Any]]:
    """Return the aggregations that the request of *read* contains, and its other parameters.

    :raises BadQuery: it contains some, but its view has no aggregations.
    """
    if read.aggregation is not None:
        return read.aggregation, params
    root = root_of(params, read.aggregation_keys)
    if root is None:
        return None, params
    if read.request.method != "HEAD":
        # nefertari's aggregator wraps every view, unless the application removed it.
        raise BadQuery(root, "the view of this collection has no aggregations")
    # It does not wrap HEAD; the renderer's filters for a list of objects do not fit results.
    getattr(read.request, "filters", {}).pop(getattr(read.request, "action", ""), None)
    return split_params(params, read.aggregation_keys)


def _cause_of(details: Any) -> str:
    """Return the reason in an error object: that of its root cause."""
    error = innermost_error(details)
    if not isinstance(error, dict):
        return str(error)
    causes = error.get("root_cause") or [error.get("caused_by") or error]
    return str(causes[0].get("reason") or error.get("reason") or error.get("type"))
