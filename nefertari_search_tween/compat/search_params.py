"""What ``ES.build_search_params`` gives, and how what a subclass made of it is run.

A subclass may change every part: nefertari-guards puts a condition of its own around
``body["query"]``. What runs is what it gave back, never the parameters that it was made from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import STATUS_MAP, exception_response
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.exceptions import BackendRejected, SearchRejected
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.search.aggregations.request import flattened
from nefertari_search_tween.search.context import READS, ReadContext, current_read
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query import search_read as search_params
from nefertari_search_tween.search.query.fields import FieldScope
from nefertari_search_tween.search.query.search_read import NOT_IN_A_SEARCH, SearchQuery
from nefertari_search_tween.search.query.sorting import parse_sort, sort_clauses

HTTP_INTERNAL = 500


class SearchParams(dict):
    """Keyword arguments of a search, as nefertari names them: ``index``, ``body``, ``from_``,
    ``size`` (None: all matches), and ``sort`` and ``fields`` where they were asked for.

    :ivar query: what the parameters ask for.
    :ivar asked: the ``sort`` of it, as text.
    """

    query: SearchQuery
    asked: Optional[str]


def build(search: Any, mirror: Mirror, index: str, params: dict[str, Any]) -> SearchParams:
    """The search that *params* of ``get_collection`` ask for.

    :param index: where to search.
    :raises BadQuery: a parameter that can't be understood.
    """
    request = get_current_request()
    params = dict(params)
    raw = params.pop("body") if _is_raw(params.get("body"), request) else None
    if raw is not None:
        # As ever: a query of one's own stands in the place of filters and q.
        params = {name: params[name] for name in RESERVED_PARAMS if name in params}
    query = search.searcher.build_query(mirror, flattened(params), request)
    made = SearchParams(
        index=index,
        body={"query": query.body["query"]} if raw is None else dict(raw),
        from_=query.start,
        size=query.body.get("size"),
    )
    if params.get("_sort"):
        made["sort"] = _sort_text(params["_sort"])
    if query.fields:
        made["fields"] = query.fields
    made.query = query
    made.asked = made.get("sort")
    return made


def compile_params(search: Any, mirror: Mirror, given: dict[str, Any]) -> SearchQuery:
    """What to run for *given*: the search parameters after all subclasses had their say.

    :raises BadQuery: a sort or fields that the caller can't have.
    """
    query: Optional[SearchQuery] = getattr(given, "query", None)
    if query is None:
        # A subclass made a new mapping of it: nothing is known but what it holds.
        query = search.searcher.build_query(mirror, {}, get_current_request())
    own = dict(given["body"])
    body: dict[str, Any] = {"track_total_hits": True, "_source": True, **own}
    if own.get("query") != query.body["query"]:
        # What holds for every search of the caller's holds for one that was written by hand.
        found = {"filter": search.searcher.restrictions(mirror), "must_not": [NOT_IN_A_SEARCH]}
        if own.get("query"):
            found["must"] = [own["query"]]
        body["query"] = {"bool": found}
    scope = search_params.scope_of(
        mirror.document_cls, Caller.of(get_current_request()), search.settings
    )
    if given.get("sort") is not None and given["sort"] == getattr(given, "asked", None):
        # It was checked when it was known who asked for it.
        body["sort"] = query.body["sort"]
    else:
        body.update(_sorted(scope, given))
    fields = given.get("fields") or ""
    if fields == query.fields:
        if fields or "_source" not in own:
            body["_source"] = query.body["_source"]
    else:
        body["_source"] = search_params.source_of(fields, scope)
    start, size = given.get("from_"), given.get("size")
    start = start or own.get("from", 0)
    size = own.get("size") if size is None else size
    for name in ("from", "size"):
        body.pop(name, None)
    if size is not None:
        body["from"], body["size"] = start, size
    index = given.get("index") or ""
    return replace(
        query,
        body=body,
        limited=size is not None,
        start=start,
        fields=fields,
        index="" if index == mirror.alias else index,
    )


def run(search: Any, mirror: Mirror, given: dict[str, Any], count: bool = False) -> Any:
    """Run *given*.

    :param count: give the number of matches alone.
    :returns: a number, or the documents (``_ESDocs``).
    :raises SearchUnavailable, SearchTimeout: the mirror can't answer now.
    :raises JHTTPException: the search server refused it: of the same status, its ``extra.data``
        says why.
    """
    query = replace(compile_params(search, mirror, given), count_only=count)
    try:
        result, took = search.searcher.run_query(mirror, query, must_be_current())
    except SearchRejected as error:
        raise as_http_error(error) from error
    read = read_of(mirror)
    if read is not None:
        read.record_mirror(took)
    return result


def subclass_filters(es: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """What *es*, an ES of one model, searches by, as conditions that must hold."""
    query = es.build_search_params(dict(params))["body"].get("query")
    return [query] if query else []


def must_be_current() -> bool:
    """True in requests that write: update-many and delete-many select by a search what they
    change, so it must see every committed change, whatever the consistency setting."""
    request = get_current_request()
    return request is not None and request.method not in READS


def as_http_error(error: SearchRejected) -> Exception:
    """What applications have always caught: the error of the server's own status."""
    cause = error.__cause__
    if not isinstance(cause, BackendRejected):
        return error
    status = cause.status if cause.status in STATUS_MAP else HTTP_INTERNAL
    response: Exception = exception_response(
        status, explanation=cause.reason, extra={"data": cause}
    )
    return response


def read_of(mirror: Mirror) -> Optional[ReadContext]:
    """The read of the running request, if it reads the collection of *mirror*."""
    read = current_read()
    return read if read is not None and read.model is mirror.model else None


def _is_raw(body: Any, request: Any) -> bool:
    """True for a query of the application's own; what came in over HTTP never is one.

    (``?body.query...=`` becomes a dict in requests that write.)
    """
    if not isinstance(body, dict):
        return False
    return request is None or all(name.partition(".")[0] != "body" for name in request.params)


def _sort_text(sort: Any) -> str:
    from nefertari_search_tween.compat.elasticsearch import apply_sort

    return apply_sort(sort if isinstance(sort, str) else ",".join(sort))


def _sorted(scope: FieldScope, given: dict[str, Any]) -> dict[str, Any]:
    """The ``sort`` of a body: what was asked for, or what a subclass made of it.

    Ties go by primary key, unless somebody wrote clauses.
    """
    sort = given.get("sort")
    if sort is None and "sort" in given["body"]:
        return {}
    if sort is None or isinstance(sort, str):
        names = []
        for each in (sort or "").split(","):
            name, _, order = each.strip().partition(":")
            if name:
                names.append(f"-{name}" if order == "desc" else name)
        return {"sort": sort_clauses(parse_sort(",".join(names)), scope)}
    return {"sort": sort}
