"""``ES("User,Story")``: the drop-in for several models at once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import JHTTPNotFound
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.aggregator import missing_index_as_404, unpack
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.search_params import must_be_current, subclass_filters
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.execute import asked_of
from nefertari_search_tween.search.context import ReadContext, current_read
from nefertari_search_tween.search.dispatch import run_search
from nefertari_search_tween.search.multi.aggregations import aggregate_multi
from nefertari_search_tween.search.multi.query import Filters
from nefertari_search_tween.search.multi.searcher import unfiltered


def mirrors_of(es: Any) -> Optional[list[Mirror]]:
    """Return the mirrors that *es* represents, None if it is one and so is the request's.

    :raises JHTTPNotFound: a named model has no mirror.
    """
    if "," not in es.doc_type and _multi_read() is None:
        return None
    names = dict.fromkeys(name.strip() for name in es.doc_type.split(","))
    return [es._mirror(name) for name in names]


def get_collection(es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]) -> Any:
    """Return the documents of all *mirrors*, or their number, for ``ES.get_collection``.

    :raises JHTTPNotFound: there are none, and ``_raise_on_empty`` is set.
    """
    raise_on_empty = False
    if isinstance(params.get("_raise_on_empty"), bool):
        raise_on_empty = params.pop("_raise_on_empty")
    searcher, read = CURRENT.require().searcher, _multi_read()
    aggregation = None
    if read is not None:
        aggregation, params = asked_of(read, params)
    params, filters = _subclass_filters(es, mirrors, params)
    request, current = get_current_request(), must_be_current()
    if aggregation is not None:
        return run_search(
            read,
            lambda: aggregate_multi(
                searcher, mirrors, params, aggregation, request, filters, current
            ),
        )
    result = run_search(
        read, lambda: searcher.search_multi(mirrors, params, request, filters, current)
    )
    if raise_on_empty and not isinstance(result, int) and not result:
        raise JHTTPNotFound(f"{es.doc_type}({params}) resource not found")
    return result


def aggregate(es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]) -> dict[str, Any]:
    """Return results by name, over the documents of all *mirrors*, for ``ES.aggregate``.

    :raises BadQuery: aggregations are missing, or can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises JHTTPNotFound: there is no index, and ``_raise_on_empty`` is set.
    """
    aggregation, params, raise_on_empty = unpack(params)
    params, filters = _subclass_filters(es, mirrors, {**params, "_limit": 0})
    searcher, read = CURRENT.require().searcher, _multi_read()
    request, current = get_current_request(), must_be_current()
    with missing_index_as_404(raise_on_empty):
        result = run_search(
            read,
            lambda: aggregate_multi(
                searcher, mirrors, params, aggregation, request, filters, current
            ),
        )
    return dict(result)


def _subclass_filters(
    es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]
) -> tuple[dict[str, Any], Filters]:
    """Return the remaining *params*, and exact filters by model.

    The filters are what a subclass makes of the parameters for each model.
    """
    if not es.overrides_search_params():
        return params, unfiltered
    by_model = {mirror.name: subclass_filters(_of_one(es, mirror), params) for mirror in mirrors}
    reserved = {name: params[name] for name in RESERVED_PARAMS if name in params}
    return reserved, lambda mirror: by_model[mirror.name]


def _of_one(es: Any, mirror: Mirror) -> Any:
    """Return *es* for one of its models."""
    one = copy(es)
    one.doc_type = mirror.name
    return one


def _multi_read() -> Optional[ReadContext]:
    """Return the read of the current request if it is for several collections."""
    read = current_read()
    return read if read is not None and read.model is None else None
