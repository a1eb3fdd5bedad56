"""The results of ``ES.build_search_params``, and how they run after subclasses changed them.

A subclass may change every part: nefertari-guards adds its own condition to ``body["query"]``. What
runs is what the subclass returns, never the original parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import STATUS_MAP, exception_response
from nefertari.utils import process_fields
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.current import Runtime
from nefertari_search_tween.compat.query_strings import apply_sort
from nefertari_search_tween.documents.format import REJECTED, STUBS
from nefertari_search_tween.exceptions import BackendRejected, SearchRejected
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.aggregations.request import flatten
from nefertari_search_tween.search.context import READS, ReadContext, current_read
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query import search_read
from nefertari_search_tween.search.query.fields import FieldScope
from nefertari_search_tween.search.query.search_read import SearchQuery
from nefertari_search_tween.search.query.sorting import parse_sort, sort_clauses
from nefertari_search_tween.search.results import stripped

HTTP_INTERNAL = 500


class SearchParams(dict):
    """Keyword arguments of a search, as nefertari names them: ``index``, ``body``, ``from_``,
    ``size`` (None: all matches), and ``sort`` and ``fields`` if requested.

    :ivar query: the query of the original parameters.
    :ivar sort_text: its ``sort``, as text.
    """

    query: SearchQuery
    sort_text: Optional[str]


def build(runtime: Runtime, mirror: Mirror, index: str, params: dict[str, Any]) -> SearchParams:
    """Return the search of *params* of ``get_collection``.

    :param index: the alias to search.
    :raises BadQuery: a parameter that can't be understood.
    """
    request = get_current_request()
    params = dict(params)
    raw = params.pop("body") if _is_application_query(params.get("body"), request) else None
    if raw is not None:
        # As in nefertari, an application's own query replaces filters and q.
        params = {name: params[name] for name in RESERVED_PARAMS if name in params}
    query = runtime.searcher.build_query(mirror, flatten(params), request)
    result = SearchParams(
        index=index,
        body={"query": query.body["query"]} if raw is None else dict(raw),
        from_=query.start,
        size=query.body.get("size"),
    )
    if params.get("_sort"):
        result["sort"] = _sort_text(params["_sort"])
    if query.fields:
        result["fields"] = query.fields
    result.query = query
    result.sort_text = result.get("sort")
    return result


def compile_params(runtime: Runtime, mirror: Mirror, params: dict[str, Any]) -> SearchQuery:
    """Return the query to run for *params*, as all subclasses changed them.

    :raises BadQuery: a sort or fields that the caller can't have.
    """
    query: Optional[SearchQuery] = getattr(params, "query", None)
    if query is None:
        # A subclass returned a new mapping: only its contents are known.
        query = runtime.searcher.build_query(mirror, {}, get_current_request())
    own_body = dict(params["body"])
    body: dict[str, Any] = {"track_total_hits": True, "_source": True, **own_body}
    if own_body.get("query") != query.body["query"]:
        # The restrictions of all searches also apply to one that an application wrote.
        bool_query = {
            "filter": runtime.searcher.restrictions(mirror),
            "must_not": [STUBS],
        }
        if own_body.get("query"):
            bool_query["must"] = [own_body["query"]]
        body["query"] = {"bool": bool_query}
    scope = search_read.scope_of(
        mirror.document_cls, Caller.of(get_current_request()), runtime.settings
    )
    if params.get("sort") is not None and params["sort"] == getattr(params, "sort_text", None):
        # It was checked for the caller when it was built.
        body["sort"] = query.body["sort"]
    else:
        body.update(_sort_clauses(scope, params))
    fields = params.get("fields") or ""
    if fields == query.fields:
        if fields or "_source" not in own_body:
            body["_source"] = query.body["_source"]
    else:
        body["_source"] = search_read.source_of(fields, scope)
    start, size = params.get("from_"), params.get("size")
    start = start or own_body.get("from", 0)
    size = own_body.get("size") if size is None else size
    for name in ("from", "size"):
        body.pop(name, None)
    if size is not None:
        body["from"], body["size"] = start, size
    index = params.get("index") or ""
    return replace(
        query,
        body=body,
        limited=size is not None,
        start=start,
        fields=fields,
        index="" if index == mirror.alias else index,
    )


def run(runtime: Runtime, mirror: Mirror, params: dict[str, Any], count: bool = False) -> Any:
    """Run the search *params*.

    :param count: return the number of matches only.
    :returns: a number, or the documents (``_ESDocs``).
    :raises SearchUnavailable, SearchTimeout: the mirror can't answer now.
    :raises JHTTPException: the search server rejected it: of the same status, with the reason in
        ``extra.data``.
    """
    query = replace(compile_params(runtime, mirror, params), count_only=count)
    try:
        result, took = runtime.searcher.run_query(mirror, query, must_be_current())
    except SearchRejected as error:
        raise as_http_error(error) from error
    read = read_of(mirror)
    if read is not None:
        read.record_mirror(took)
    return result


def subclass_filters(es: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conditions of a search of *es*, an ES of one model."""
    query = es.build_search_params(dict(params))["body"].get("query")
    return [query] if query else []


def read_sources(
    runtime: Runtime, mirror: Mirror, index: str, pks: Iterable[Any]
) -> dict[str, Any]:
    """Return those documents *pks* of one model that exist, by key as text.

    :param index: the alias to read.
    :raises SearchUnavailable, SearchTimeout: the mirror can't answer now.
    """
    ids = [document_id(pk) for pk in pks]
    if not ids:
        return {}
    documents = runtime.searcher.get_documents(mirror, ids, must_be_current(), index)
    return {
        str(source["_pk"]): stripped(source)
        for source in documents.values()
        if source is not None and REJECTED not in source
    }


def pick_fields(source: dict[str, Any], fields: Any) -> dict[str, Any]:
    """Return the *fields* of *source*; ``-x`` excludes x."""
    only, exclude = process_fields(fields) if fields else ([], [])
    names = {*only, "_type"}
    return {
        name: value
        for name, value in source.items()
        if (not only or name in names) and name not in exclude
    }


def must_be_current() -> bool:
    """Return True in requests that write: update-many and delete-many select what they change by
    a search, which must see every committed change, whatever the consistency setting."""
    request = get_current_request()
    return request is not None and request.method not in READS


def as_http_error(error: SearchRejected) -> Exception:
    """Return the HTTP error of the server's own status, which applications catch."""
    cause = error.__cause__
    if not isinstance(cause, BackendRejected):
        return error
    status = cause.status if cause.status in STATUS_MAP else HTTP_INTERNAL
    response: Exception = exception_response(
        status, explanation=cause.reason, extra={"data": cause}
    )
    return response


def read_of(mirror: Mirror) -> Optional[ReadContext]:
    """Return the read of the current request if it reads the collection of *mirror*."""
    read = current_read()
    return read if read is not None and read.model is mirror.model else None


def _is_application_query(body: Any, request: Any) -> bool:
    """Return True for a query of the application itself, never for one that came over HTTP.

    (``?body.query...=`` becomes a dict in requests that write.)
    """
    if not isinstance(body, dict):
        return False
    return request is None or all(name.partition(".")[0] != "body" for name in request.params)


def _sort_text(sort: Any) -> str:
    return apply_sort(sort if isinstance(sort, str) else ",".join(sort))


def _sort_clauses(scope: FieldScope, params: dict[str, Any]) -> dict[str, Any]:
    """Return the ``sort`` of a body: as requested, or as a subclass changed it.

    The primary key breaks ties, unless the sort consists of clauses.
    """
    sort = params.get("sort")
    if sort is None and "sort" in params["body"]:
        return {}
    if sort is None or isinstance(sort, str):
        names = []
        for each in (sort or "").split(","):
            name, _, order = each.strip().partition(":")
            if name:
                names.append(f"-{name}" if order == "desc" else name)
        return {"sort": sort_clauses(parse_sort(",".join(names)), scope)}
    return {"sort": sort}
