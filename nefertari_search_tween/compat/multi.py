"""``ES("User,Story")``: the drop-in for several models at once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import JHTTPNotFound
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.aggregator import if_built, unpacked
from nefertari_search_tween.compat.search_params import must_be_current, subclass_filters
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.search.aggregations.execute import asked_of
from nefertari_search_tween.search.context import ReadContext, current_read
from nefertari_search_tween.search.dispatch import run_search
from nefertari_search_tween.search.multi.aggregations import aggregate_multi
from nefertari_search_tween.search.multi.query import Filters
from nefertari_search_tween.search.multi.searcher import unfiltered


def asked(es: Any) -> Optional[list[Mirror]]:
    """The mirrors that *es* stands for; None when it is one, and the request is not for more.

    :raises JHTTPNotFound: a name is that of no mirrored model.
    """
    if "," not in es.doc_type and _read() is None:
        return None
    names = dict.fromkeys(name.strip() for name in es.doc_type.split(","))
    return [es._mirror(name) for name in names]


def get_collection(es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]) -> Any:
    """What ``ES.get_collection`` gives: documents of all *mirrors*, or their number.

    :raises JHTTPNotFound: there are none, and ``_raise_on_empty`` is set.
    """
    raise_on_empty = False
    if isinstance(params.get("_raise_on_empty"), bool):
        raise_on_empty = params.pop("_raise_on_empty")
    searcher, read = es.search().searcher, _read()
    wanted = None
    if read is not None:
        wanted, params = asked_of(read, params)
    params, filters = _narrowed(es, mirrors, params)
    request, current = get_current_request(), must_be_current()
    if wanted is not None:
        return run_search(
            read,
            lambda: aggregate_multi(searcher, mirrors, params, wanted, request, filters, current),
        )
    result = run_search(
        read, lambda: searcher.search_multi(mirrors, params, request, filters, current)
    )
    if raise_on_empty and not isinstance(result, int) and not result:
        raise JHTTPNotFound(f"{es.doc_type}({params}) resource not found")
    return result


def aggregate(es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]) -> dict[str, Any]:
    """What ``ES.aggregate`` gives: results by name, over the documents of all *mirrors*.

    :raises BadQuery: there is nothing to aggregate, or it can't be understood.
    :raises JHTTPForbidden: fields that the caller may not see.
    :raises JHTTPNotFound: there is no index, and ``_raise_on_empty``.
    """
    asked, params, raise_on_empty = unpacked(params)
    params, filters = _narrowed(es, mirrors, {**params, "_limit": 0})
    searcher, read = es.search().searcher, _read()
    request, current = get_current_request(), must_be_current()
    with if_built(raise_on_empty):
        result = run_search(
            read,
            lambda: aggregate_multi(searcher, mirrors, params, asked, request, filters, current),
        )
    return dict(result)


def _narrowed(
    es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]
) -> tuple[dict[str, Any], Filters]:
    """What is left of *params*, and exact filters by model.

    What a subclass makes of the parameters is known by what it searches each model by.
    """
    if not es.overrides_search_params():
        return params, unfiltered
    by_model = {mirror.name: subclass_filters(_of_one(es, mirror), params) for mirror in mirrors}
    kept = {name: params[name] for name in RESERVED_PARAMS if name in params}
    return kept, lambda mirror: by_model[mirror.name]


def _of_one(es: Any, mirror: Mirror) -> Any:
    """*es* for one of its models."""
    found = copy(es)
    found.doc_type = mirror.name
    return found


def _read() -> Optional[ReadContext]:
    """The read of the running request, if it is one of several collections."""
    read = current_read()
    return read if read is not None and read.model is None else None
