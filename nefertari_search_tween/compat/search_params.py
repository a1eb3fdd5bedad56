"""The results of ``ES.build_search_params``, and how they run after subclasses changed them.

A subclass may change every part: nefertari-guards adds its own condition to ``body["query"]``. What
runs is what the subclass returns, never the original parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import STATUS_MAP, exception_response
from nefertari.utils import process_fields
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.documents.format import REJECTED
from nefertari_search_tween.exceptions import (
    BackendRejected,
    BadQuery,
    SearchRejected,
    SearchTimeout,
    SearchUnavailable,
)
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.aggregations.request import AggregationRequest, flatten
from nefertari_search_tween.search.context import READS
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.fields import FieldScope
from nefertari_search_tween.search.query.paging import Page
from nefertari_search_tween.search.query.search_read import (
    SearchQuery,
    source_option,
)
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.sorting import parse_sort, sort_clauses
from nefertari_search_tween.search.query.visibility import visible_objects
from nefertari_search_tween.search.results import stripped

HTTP_INTERNAL = 500
#: arguments of the client's ``get_source``, to which nefertari passed all that it was given
OF_CLIENT = frozenset(
    {
        *("id", "index", "doc_type", "parent", "preference", "realtime", "refresh", "routing"),
        *("version", "version_type", "_source", "_source_exclude", "_source_include"),
    }
)


class SearchParams(dict[str, Any]):
    """Keyword arguments of a search, as nefertari names them: ``index``, ``body``, ``from_``,
    ``size`` (None: all matches), and ``sort`` and ``fields`` if requested.

    :ivar request: the original parameters.
    :ivar query: their query.
    :ivar sort_text: its ``sort``, as text.
    """

    request: SearchRequest
    query: SearchQuery
    sort_text: Optional[str]


def make_request(
    params: dict[str, Any],
    filters: Mapping[str, Sequence[Query]] = MappingProxyType({}),
    aggregation: Optional[AggregationRequest] = None,
    index: str = "",
) -> SearchRequest:
    """Return the search of *params* in the current request; see :class:`SearchRequest`."""
    settings, http_request = CURRENT.require().settings, get_current_request()
    current = must_be_current()
    return SearchRequest(
        flatten(params), settings, http_request, filters, aggregation, current, index
    )


def build(mirror: Mirror, index: str, params: dict[str, Any]) -> SearchParams:
    """Return the search of *params* of ``get_collection``.

    :param index: the alias to search.
    :raises BadQuery: a parameter that can't be understood.
    """
    params = dict(params)
    raw = params.pop("body") if _is_application_query(params.get("body")) else None
    request = make_request(params, index=index)
    if raw is not None:
        # As in nefertari, an application's own query replaces filters and q: those of its caller.
        filters = {name: each for name, each in request.params.items() if request.is_own(name)}
        params = {**filters, **reserved(params)}
        request = replace(request, params=params)
    query = CURRENT.require().searcher.build_query([mirror], request)
    body = query.parts[0].body
    result = SearchParams(
        index=index,
        body={"query": body["query"]} if raw is None else dict(raw),
        from_=query.page.start,
        size=query.page.limit,
    )
    if params.get("_sort"):
        result["sort"] = ",".join(
            f"{key.name}:{'desc' if key.descending else 'asc'}" for key in request.sort
        )
    if query.fields:
        result["fields"] = query.fields
    result.request, result.query, result.sort_text = request, query, result.get("sort")
    return result


def reserved(params: dict[str, Any]) -> dict[str, Any]:
    """Return those of *params* that are no filters."""
    return {name: params[name] for name in RESERVED_PARAMS if name in params}


def compile_params(mirror: Mirror, params: dict[str, Any]) -> SearchQuery:
    """Return the query to run for *params*, as all subclasses changed them.

    :raises BadQuery: a sort or fields that the caller can't have.
    """
    request: SearchRequest
    if isinstance(params, SearchParams):
        request, query, sort_text = params.request, params.query, params.sort_text
    else:
        # A subclass returned a new mapping: only its contents are known.
        request, sort_text = make_request({}), None
        query = CURRENT.require().searcher.build_query([mirror], request)
    (part,) = query.parts
    own_body = dict(params["body"])
    body: dict[str, Any] = {"track_total_hits": True, "_source": True, **own_body}
    if own_body.get("query") != part.body["query"]:
        # The conditions of all searches also apply to one that an application wrote.
        own_query = [own_body["query"]] if own_body.get("query") else []
        body["query"] = visible_objects(part.conditions, own_query)
    scope = FieldScope(mirror.document_cls, request.nameable)
    if params.get("sort") is not None and params["sort"] == sort_text:
        # It was checked for the caller when it was built.
        body["sort"] = part.body["sort"]
    else:
        body.update(_sort_clauses(scope, params))
    fields = params.get("fields") or ""
    if fields != query.fields:
        only, exclude = process_fields(fields)
        body["_source"] = source_option(only, exclude, scope)
    elif fields or "_source" not in own_body:
        body["_source"] = part.body["_source"]
    start, size = params.get("from_"), params.get("size")
    start = start or own_body.get("from", 0)
    size = own_body.get("size") if size is None else size
    for name in ("from", "size"):
        body.pop(name, None)
    if size is not None:
        body["from"], body["size"] = start, size
    compiled = replace(part, body=body, index=params.get("index") or mirror.alias)
    as_built = own_body.get("query") == part.body["query"] and compiled.index == part.index
    return replace(
        query,
        parts=[compiled],
        page=Page(start, size),
        fields=fields,
        # What else a subclass may have changed is not in the request; a count is by the query.
        is_of_request=as_built and "_count" in request.params,
    )


@contextmanager
def rejections_as_http_errors() -> Iterator[None]:
    """Report a search that the server rejects as nefertari did.

    :raises JHTTPException: of the server's own status, which applications catch, with the reason in
        ``extra.data``.
    """
    try:
        yield
    except SearchRejected as error:
        cause = error.__cause__
        if not isinstance(cause, BackendRejected):
            raise
        status = cause.status if cause.status in STATUS_MAP else HTTP_INTERNAL
        raise exception_response(status, explanation=cause.reason, extra={"data": cause}) from error


def has_own_query(es: Any, params: dict[str, Any]) -> bool:
    """Return True if the application may change what *params* search for."""
    return bool(es.overrides_search_params()) or isinstance(params.get("body"), dict)


def own_filters(
    es: Any, mirrors: Sequence[Mirror], params: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Sequence[Query]]]:
    """Return the remaining *params*, and exact filters by model: what a subclass, or the
    application's own query, makes of the parameters for each model.

    They apply to all aggregations, ``global`` too.

    :raises BadQuery: the application's own body for several models has more than a query.
    """
    if not has_own_query(es, params):
        return params, {}
    if len(mirrors) > 1 and isinstance(params.get("body"), dict):
        more = sorted(set(params["body"]) - {"query"})
        if more:
            raise BadQuery("body", f"of several models it has a query alone, not {more[0]!r}")
    filters: dict[str, Sequence[Query]] = {}
    for mirror in mirrors:
        one = copy(es)
        one.doc_type = mirror.name
        built = one.build_search_params(dict(params))
        query = built["body"].get("query")
        conditions = built.query.parts[0].conditions if isinstance(built, SearchParams) else []
        filters[mirror.name] = [*([query] if query else []), *conditions]
    return reserved(params), filters


def read_sources(mirror: Mirror, index: str, pks: Iterable[Any]) -> dict[str, Any]:
    """Return those documents *pks* of one model that exist, by key as text.

    Any number, so the mirror is asked, with all that it has to offer (one request, the cache); if
    it can't answer, the primary is.

    :param index: the alias to read.
    :raises SearchUnavailable, SearchTimeout: it is that of another application, which can't answer
        now; or ``fallback_to_primary`` is off.
    """
    pks = list(pks)
    if not pks:
        return {}
    searcher = CURRENT.require().searcher
    ids = [document_id(pk) for pk in pks]
    try:
        documents = searcher.get_documents(mirror, ids, must_be_current(), index)
    except (SearchUnavailable, SearchTimeout):
        if index != mirror.alias or not searcher.settings.fallback_to_primary:
            raise
        return searcher.get_objects(mirror, pks)
    return {
        str(source["_pk"]): stripped(source)
        for source in documents.values()
        if source is not None and REJECTED not in source
    }


def read_source(mirror: Mirror, index: str, **params: Any) -> Optional[dict[str, Any]]:
    """Return the document of the key ``id``, None if it does not exist or meet other *params*.

    The primary is asked (see ``search/objects_by_key.py``), but for conditions, which are query
    syntax.

    :param index: the alias to read.
    :raises SearchUnavailable, SearchTimeout: there are conditions, or the alias is that of another
        application, and the mirror can't answer now.
    """
    pk = params["id"]
    conditions = {name: each for name, each in params.items() if name not in OF_CLIENT}
    if not conditions:
        if index == mirror.alias:
            documents = CURRENT.require().searcher.get_objects(mirror, [pk])
        else:
            documents = read_sources(mirror, index, [pk])
        return documents.get(str(pk))
    key = {"ids": {"values": [document_id(pk)]}}
    request = make_request({**conditions, "_limit": 1}, {mirror.name: [key]}, index=index)
    documents, _ = CURRENT.require().searcher.search([mirror], request)
    sources = [{**each._data} for each in documents]
    for source in sources:
        source.pop("_score", None)
    return sources[0] if sources else None


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


def _is_application_query(body: Any) -> bool:
    """Return True for a query of the application itself, never for one that came over HTTP.

    (``?body.query...=`` becomes a dict in requests that write.)
    """
    if not isinstance(body, dict):
        return False
    request = get_current_request()
    return request is None or all(name.partition(".")[0] != "body" for name in request.params)


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
