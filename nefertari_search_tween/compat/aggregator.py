"""nefertari's aggregations: its views' aggregator, and ``ES.aggregate``.

nefertari's aggregator replaces a view's ``index``, so the view can't narrow its collection. Here
the view runs, and the collection that it reads is aggregated.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from nefertari.utils import dictset
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.exceptions import BadQuery, Reason
from nefertari_search_tween.search.aggregations.execute import AggregationResult
from nefertari_search_tween.search.aggregations.request import split_params
from nefertari_search_tween.search.context import (
    COLLECTION,
    MULTI_COLLECTION,
    READ,
    ReadContext,
    ReadKind,
    current_read,
    primary_error,
)
from nefertari_search_tween.search.dispatch import answer_search
from nefertari_search_tween.search.query.clauses import MATCH_NONE

#: the parameter that messages name when Python code aggregates
PARAMETER = "_aggregations"
# Modules of aggregators that only pass on the request.
_PLAIN = frozenset({"nefertari.view_helpers", "nefertari_guards.view"})
# Keys of a request's ``__dict__`` that say what it reads.
_OF_READS = frozenset({READ, COLLECTION})


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
        # Several models' collection has no model of its own.
        model = None if getattr(self.view, MULTI_COLLECTION, False) else self.view.Model
        if not passes_on:
            return _aggregate_as_nefertari(self, index)
        try:
            if read is None or read.model is not model:
                return _aggregate_unrouted(self, model, index)
            return _aggregate_index(self, read, index)
        except BadQuery:
            if read is not None:
                read.record_failure(Reason.BAD_REQUEST)
            raise

    return wrapper


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


def _aggregate_unrouted(aggregator: Any, model: Any, index: Callable[[], Any]) -> Any:
    """Aggregate the collection of a view that the router does not know: of a subrequest, or with a
    model of the instance's own."""
    request = get_current_request()
    mirror = None if model is None else CURRENT.require().mirrors.get(model.__name__)
    is_multi = getattr(aggregator.view, MULTI_COLLECTION, False)
    if request is None or (mirror is None and not is_multi):
        return _aggregate_as_nefertari(aggregator, index)
    read = ReadContext(request, model, mirror, ReadKind.PRIMARY)
    outer = {name: request.__dict__.pop(name) for name in _OF_READS & request.__dict__.keys()}
    request.__dict__[READ] = read
    request.__dict__[COLLECTION] = MULTI_COLLECTION if is_multi else model
    try:
        return _aggregate_index(aggregator, read, index)
    finally:
        read.limits.close()
        for name in _OF_READS:
            del request.__dict__[name]
        request.__dict__.update(outer)


def _aggregate_index(aggregator: Any, read: ReadContext, index: Callable[[], Any]) -> Any:
    """Aggregate the collection that the view's own *index* reads."""
    view = aggregator.view
    aggregation, rest = split_params(view._query_params, aggregator._aggregations_keys)
    if aggregation is None:
        return index()
    if read.refuses_search:
        raise primary_error(aggregation.root)
    if read.kind is not ReadKind.SEARCH:
        # The router did not know this aggregator's key, so it saw no search.
        read.kind = ReadKind.SEARCH
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
        result = answer_search(CURRENT.require().searcher, read, {}, [MATCH_NONE])
    aggregator.stub_wrappers()
    return dict(result)
