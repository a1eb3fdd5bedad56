"""nefertari's aggregations: its views' aggregator, and ``ES.aggregate``.

nefertari's aggregator takes the place of a view's ``index``: what the view does to narrow its
collection is then left out. Here the view runs, and the collection that it asks for is
aggregated.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPNotFound
from nefertari.utils import dictset
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.search_params import must_be_current, subclass_filters
from nefertari_search_tween.exceptions import BadQuery, Reason, SearchUnavailable
from nefertari_search_tween.search.aggregations.execute import (
    AggregationResult,
    aggregate,
    asked_of,
)
from nefertari_search_tween.search.aggregations.request import AggregationRequest, flattened, taken
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

#: the parameter that stands in messages where Python code asks
PARAMETER = "_aggregations"
# Aggregators that do no more than pass on what the view was asked for.
_PLAIN = frozenset({"nefertari.view_helpers", "nefertari_guards.view"})


def install() -> None:
    """Mend nefertari's aggregator."""
    from nefertari.view_helpers import ESAggregator

    ESAggregator.wrap = _wrap


def _wrap(self: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    """The view's ``index``, or aggregations if it is asked for them.

    An aggregator of the application's own, with an ``aggregate`` of its own, is left to do
    what it does; only a request that asks for no aggregation comes to ``index`` then.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        read = current_read()
        index = functools.partial(func, *args, **kwargs)
        if read is None or not _its(read, self.view) or not _plain(self):
            return _replaced(self, index)
        try:
            return _aggregated(self, read, index)
        except BadQuery:
            read.record_failure(Reason.BAD_REQUEST)
            raise

    return wrapper


def _its(read: ReadContext, view: Any) -> bool:
    """True when *read* is that of the collection of *view*, of several models maybe."""
    return read.model is view.Model or (
        read.model is None and getattr(view, MULTI_COLLECTION, False)
    )


def _plain(aggregator: Any) -> bool:
    return type(aggregator).aggregate.__module__ in _PLAIN


def _replaced(aggregator: Any, index: Callable[[], Any]) -> Any:
    """As nefertari does it, except that an error inside is an error."""
    asked: list[Any] = []
    pop = aggregator.pop_aggregations_params

    def popping() -> Any:
        asked.append(pop())
        return asked[0]

    aggregator.pop_aggregations_params = popping
    try:
        return aggregator.aggregate()
    except KeyError as error:
        if asked:
            raise BadQuery(PARAMETER, f"there is no {error}") from error
        return index()
    finally:
        del aggregator.pop_aggregations_params


def _aggregated(aggregator: Any, read: ReadContext, index: Callable[[], Any]) -> Any:
    """What the view's own *index* asks for, aggregated."""
    view = aggregator.view
    asked, rest = taken(view._query_params, aggregator._aggregations_keys)
    if asked is None:
        return index()
    if read.refuses_search:
        raise _primary(asked)
    if read.kind is not ReadKind.SEARCH:
        # By a key that only this aggregator knows: it was not known to be a search.
        read.kind = ReadKind.SEARCH
        rest = {name: _typed(read.request, name, value) for name, value in rest.items()}
    read.aggregation = asked
    view._query_params = dictset(rest)
    result = index()
    if not isinstance(result, AggregationResult):
        if read.answered or result:
            raise BadQuery(
                asked.root,
                "the view of this collection changes what it found, which aggregations can't "
                "follow",
            )
        # It knows that there is nothing, without a look (a parent without children, say).
        result = answer_aggregation(_search().searcher, read, {}, asked, [MATCH_NONE])
    aggregator.stub_wrappers()
    return dict(result)


def _typed(request: Any, name: str, value: Any) -> Any:
    """Texts of the query string, marked as such."""
    typed = request.GET.getall(name)
    if isinstance(value, list):
        return [QueryText(each) if each in typed else each for each in value]
    return QueryText(value) if isinstance(value, str) and value in typed else value


def _primary(asked: AggregationRequest) -> BadQuery:
    return BadQuery(
        FLAG, f"the database has no aggregations: leave {FLAG}=false out, or {asked.root}"
    )


def _search() -> Any:
    from nefertari_search_tween.compat.elasticsearch import ES

    return ES.search()


def of_collection(
    es: Any, read: ReadContext, params: dict[str, Any]
) -> tuple[Optional[AggregationResult], dict[str, Any]]:
    """What ``es.get_collection`` gives in a request for aggregations.

    What a subclass adds to its searches holds for all that is aggregated, ``global`` too.

    :returns: the results, None where none are asked for; and the parameters that are left.
    """
    try:
        asked, params = asked_of(read, params)
    except BadQuery:
        read.record_failure(Reason.BAD_REQUEST)
        raise
    if asked is None:
        return None, params
    filters: list[dict[str, Any]] = []
    if es.overrides_search_params():
        with read.tracked():
            filters = subclass_filters(es, params)
        params = {}
    return answer_aggregation(_search().searcher, read, params, asked, filters), params


def aggregated(mirror: Any, params: dict[str, Any], exact_filters: Any = ()) -> dict[str, Any]:
    """``ES.aggregate`` for one mirror.

    :param params: ``_aggregations_params`` (aggregations by name), ``_raise_on_empty``, and the
        parameters of a search.
    :param exact_filters: what holds besides, in the backend's terms.
    :returns: the results by name.
    :raises BadQuery: there are none, or they can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises JHTTPNotFound: there is no index, and ``_raise_on_empty``.
    """
    asked, params, raise_on_empty = unpacked(params)
    searcher = _search().searcher
    read: Optional[ReadContext] = current_read()
    with if_built(raise_on_empty):
        if read is not None and read.model is mirror.model:
            if read.refuses_search:
                raise _primary(asked)
            return dict(answer_aggregation(searcher, read, params, asked, exact_filters))
        request, current = get_current_request(), must_be_current()
        found, _ = aggregate(searcher, mirror, params, asked, request, exact_filters, current)
        return dict(found)


def unpacked(params: dict[str, Any]) -> tuple[AggregationRequest, dict[str, Any], bool]:
    """What *params* of ``ES.aggregate`` ask for, those of the search, and ``_raise_on_empty``.

    :raises BadQuery: they ask for no aggregations.
    """
    params = dict(params)
    raise_on_empty = params.pop("_raise_on_empty", False) is True
    tree = params.pop("_aggregations_params", None)
    if not tree:
        raise BadQuery("_aggregations_params", "Missing _aggregations_params")
    return AggregationRequest(PARAMETER, tree), flattened(params), raise_on_empty


@contextmanager
def if_built(raise_on_empty: bool) -> Iterator[None]:
    """
    :raises JHTTPNotFound: there is no index to aggregate, and *raise_on_empty*.
    """
    try:
        yield
    except SearchUnavailable as error:
        if raise_on_empty and error.reason == Reason.NO_INDEX:
            raise JHTTPNotFound("Aggregation failed: Index does not exist") from error
        raise
