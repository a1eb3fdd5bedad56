"""nefertari's aggregations: its views' aggregator, and ``ES.aggregate``.

nefertari's aggregator replaces a view's ``index``, so the view can't narrow its collection. Here
the view runs, and the collection that it reads is aggregated.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPNotFound
from nefertari.utils import dictset
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.search_params import must_be_current, subclass_filters
from nefertari_search_tween.exceptions import BadQuery, Reason, SearchUnavailable
from nefertari_search_tween.search.aggregations.execute import (
    AggregationResult,
    aggregate,
    asked_of,
)
from nefertari_search_tween.search.aggregations.request import (
    AggregationRequest,
    flatten,
    split_params,
)
from nefertari_search_tween.search.context import (
    FLAG,
    MULTI_COLLECTION,
    QueryText,
    ReadContext,
    ReadKind,
    current_read,
)
from nefertari_search_tween.search.dispatch import answer_aggregation
from nefertari_search_tween.search.query.clauses import MATCH_NONE

#: the parameter that messages name when Python code aggregates
PARAMETER = "_aggregations"
# Modules of aggregators that only pass on the request.
_PLAIN = frozenset({"nefertari.view_helpers", "nefertari_guards.view"})


def install() -> None:
    """Fix nefertari's aggregator."""
    from nefertari.view_helpers import ESAggregator

    ESAggregator.wrap = _wrap


def _wrap(self: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the view's ``index`` *func* to aggregate if the request contains aggregations.

    An application's aggregator with its own ``aggregate`` runs unchanged; then ``index`` only gets
    requests without aggregations.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        read = current_read()
        index = functools.partial(func, *args, **kwargs)
        passes_on = type(self).aggregate.__module__ in _PLAIN
        if read is None or not _reads_collection_of(read, self.view) or not passes_on:
            return _aggregate_as_nefertari(self, index)
        try:
            return _aggregate_index(self, read, index)
        except BadQuery:
            read.record_failure(Reason.BAD_REQUEST)
            raise

    return wrapper


def _reads_collection_of(read: ReadContext, view: Any) -> bool:
    """Return True if *read* is that of the collection of *view*, of one or several models."""
    return read.model is view.Model or (
        read.model is None and getattr(view, MULTI_COLLECTION, False)
    )


def _aggregate_as_nefertari(aggregator: Any, index: Callable[[], Any]) -> Any:
    """Aggregate as nefertari does, except that a KeyError inside is an error."""
    calls: list[Any] = []
    pop = aggregator.pop_aggregations_params

    def popping() -> Any:
        calls.append(pop())
        return calls[0]

    aggregator.pop_aggregations_params = popping
    try:
        return aggregator.aggregate()
    except KeyError as error:
        if calls:
            raise BadQuery(PARAMETER, f"there is no {error}") from error
        return index()
    finally:
        del aggregator.pop_aggregations_params


def _aggregate_index(aggregator: Any, read: ReadContext, index: Callable[[], Any]) -> Any:
    """Aggregate the collection that the view's own *index* reads."""
    view = aggregator.view
    aggregation, rest = split_params(view._query_params, aggregator._aggregations_keys)
    if aggregation is None:
        return index()
    if read.refuses_search:
        raise _primary_error(aggregation)
    if read.kind is not ReadKind.SEARCH:
        # The router did not know this aggregator's key, so it saw no search.
        read.kind = ReadKind.SEARCH
        rest = {name: _mark_query_text(read.request, name, value) for name, value in rest.items()}
    read.aggregation = aggregation
    view._query_params = dictset(rest)
    result = index()
    if not isinstance(result, AggregationResult):
        if read.answered or result:
            raise BadQuery(
                aggregation.root,
                "the view of this collection changes what it found, which aggregations can't "
                "follow",
            )
        # The view knows without a search that there is nothing (a parent without children, say).
        result = answer_aggregation(CURRENT.require().searcher, read, {}, aggregation, [MATCH_NONE])
    aggregator.stub_wrappers()
    return dict(result)


def _mark_query_text(request: Any, name: str, value: Any) -> Any:
    """Return *value* with texts from the query string marked as such."""
    typed = request.GET.getall(name)
    if isinstance(value, list):
        return [QueryText(each) if each in typed else each for each in value]
    return QueryText(value) if isinstance(value, str) and value in typed else value


def _primary_error(aggregation: AggregationRequest) -> BadQuery:
    return BadQuery(
        FLAG, f"the database has no aggregations: leave {FLAG}=false out, or {aggregation.root}"
    )


def aggregate_collection(
    es: Any, read: ReadContext, params: dict[str, Any]
) -> tuple[Optional[AggregationResult], dict[str, Any]]:
    """Return the result of ``es.get_collection`` in an aggregation request.

    What a subclass adds to its searches applies to all aggregations, ``global`` too.

    :returns: the results, None if no aggregation is requested; and the remaining parameters.
    """
    try:
        aggregation, params = asked_of(read, params)
    except BadQuery:
        read.record_failure(Reason.BAD_REQUEST)
        raise
    if aggregation is None:
        return None, params
    filters: list[dict[str, Any]] = []
    if es.overrides_search_params():
        with read.tracked():
            filters = subclass_filters(es, params)
        params = {}
    return answer_aggregation(
        CURRENT.require().searcher, read, params, aggregation, filters
    ), params


def aggregate_mirror(
    mirror: Any, params: dict[str, Any], exact_filters: Any = ()
) -> dict[str, Any]:
    """Run ``ES.aggregate`` for one mirror.

    :param params: ``_aggregations_params`` (aggregations by name), ``_raise_on_empty``, and the
        parameters of a search.
    :param exact_filters: additional conditions, as the backend's queries.
    :returns: the results by name.
    :raises BadQuery: aggregations are missing, or can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises JHTTPNotFound: there is no index, and ``_raise_on_empty`` is set.
    """
    aggregation, params, raise_on_empty = unpack(params)
    searcher = CURRENT.require().searcher
    read: Optional[ReadContext] = current_read()
    with missing_index_as_404(raise_on_empty):
        if read is not None and read.model is mirror.model:
            if read.refuses_search:
                raise _primary_error(aggregation)
            return dict(answer_aggregation(searcher, read, params, aggregation, exact_filters))
        request, current = get_current_request(), must_be_current()
        result, _ = aggregate(
            searcher, mirror, params, aggregation, request, exact_filters, current
        )
        return dict(result)


def unpack(params: dict[str, Any]) -> tuple[AggregationRequest, dict[str, Any], bool]:
    """Return the aggregations in *params* of ``ES.aggregate``, the parameters of the search, and
    ``_raise_on_empty``.

    :raises BadQuery: there are no aggregations.
    """
    params = dict(params)
    raise_on_empty = params.pop("_raise_on_empty", False) is True
    tree = params.pop("_aggregations_params", None)
    if not tree:
        raise BadQuery("_aggregations_params", "Missing _aggregations_params")
    return AggregationRequest(PARAMETER, tree), flatten(params), raise_on_empty


@contextmanager
def missing_index_as_404(raise_on_empty: bool) -> Iterator[None]:
    """Report a missing index as nefertari did.

    :raises JHTTPNotFound: there is no index to aggregate, and *raise_on_empty* is set.
    """
    try:
        yield
    except SearchUnavailable as error:
        if raise_on_empty and error.reason == Reason.NO_INDEX:
            raise JHTTPNotFound("Aggregation failed: Index does not exist") from error
        raise
