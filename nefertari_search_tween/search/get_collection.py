"""``Model.get_collection`` of the primary's models, answered by the mirror where possible.

The views, events, wrappers and renderers of the application run unchanged. The decision for a
routed request counts only where its own collection is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPNotFound

from nefertari_search_tween.exceptions import BadQuery, Reason, Unanswerable
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.context import (
    QueryText,
    ReadContext,
    ReadKind,
    as_values,
    collection_request,
    current_read,
    is_typed,
    without_flag,
)
from nefertari_search_tween.search.dispatch import answer_search, answer_transparent
from nefertari_search_tween.search.gate.names import check_names
from nefertari_search_tween.search.item_acl import access_of, has_item_acl
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.search_request import ALL, NO_FILTERS
from nefertari_search_tween.search.query.transparent_read import exact_filters
from nefertari_search_tween.search.searcher import Searcher

OVERRIDE = "_query_secondary"
# What get_item adds for get_collection.
_ITEM_PARAMS = ("_item_request", "_raise_on_empty")


def wrap_get_collection(
    original: Callable[..., Any],
    searcher: Searcher,
    restrict_by_acl: Callable[[Any, Callable[[Any], bool]], Any],
) -> Callable[..., Any]:
    """Return *original* (``get_collection`` as a function of class and params) with routing.

    ``_query_secondary=True`` selects the mirror and ``False`` the primary, from Python only: a
    text that came over HTTP is a field name like any other.

    :param restrict_by_acl: returns the primary's query for the objects of a model whose ACLs pass
        a test.
    """

    # An application made later replaces the one before.
    original = getattr(original, "intercepts", original)

    def get_collection(cls: Any, **params: Any) -> Any:
        # A view may take its parameters from the request itself.
        without_flag(params)
        override = None
        if isinstance(params.get(OVERRIDE), bool):
            override = params.pop(OVERRIDE)
        # The primary modifies its arguments; every query starts from the same ones.
        arguments = dict(params)

        def primary() -> Any:
            seconds = searcher.settings.primary_timeout
            if read is not None and seconds is not None and not single:
                limit = searcher.primary.limited(cls, seconds)
                read.limit_primary(limit, searcher.primary.is_timeout)
            narrowed = {}
            # Look-ups of one object, and of a part of an earlier query, are not narrowed.
            if has_item_acl(cls) and not single and arguments.get("query_set") is None:
                access = access_of(collection_request(cls))
                if access is not None:
                    narrowed["query_set"] = restrict_by_acl(cls, access.allows)
            return original(cls, **{**arguments, **narrowed})

        read = current_read()
        if read is not None and read.model is not cls:
            read = None
        query_set = params.get("query_set")
        # A text of this name came over HTTP, and is no query.
        has_query = query_set is not None and not isinstance(query_set, str)
        single = params.get("_item_request") is True
        if not _is_search(read) or override is not None or has_query or single:
            # A search checks its caller's fields itself, with its own message.
            check_names(cls, params, read, searcher.settings.hidden_fields == "deny")
        if not single and not _is_search(read):
            _reject_dropped_conditions(cls, params)
        mirror = searcher.mirrors.get(cls.__name__)
        if mirror is None or mirror.model is not cls or override is False or has_query:
            return primary()
        if override:
            return _read_mirror(searcher, mirror, params, primary)
        if single:
            return primary()
        if read is None or read.kind is ReadKind.PRIMARY:
            if read is not None:
                read.record_primary(read.reason)
            return primary()
        if read.kind is ReadKind.TRANSPARENT:
            return answer_transparent(searcher, read, params, primary)
        assert read.kind is ReadKind.SEARCH
        try:
            typed, filters = _view_filters(searcher, mirror, params)
        except Unanswerable as error:
            read.record_failure(Reason.VIEW_FILTER)
            raise BadQuery(
                "_search", "the view of this collection filters it in a way that a search can't"
            ) from error
        return answer_search(searcher, read, typed, filters)

    get_collection.intercepts = original  # type: ignore[attr-defined]
    return get_collection


def _view_filters(
    searcher: Searcher, mirror: Mirror, params: dict[str, Any]
) -> tuple[dict[str, Any], list[Query]]:
    """Split what a view passes to ``get_collection`` in a search read.

    :returns: the parameters of the search: what the caller typed, and the view's own query syntax;
        and exact filters for the other values that the view added or changed, equal to the
        primary's.
    :raises Unanswerable: a filter of the view can't be exact.
    """
    searched: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in params.items():
        is_query = any(isinstance(each, QueryText) for each in as_values(value))
        is_searched = name in NO_FILTERS or is_query or is_typed(name, value)
        (searched if is_searched else own)[name] = value
    if not own:
        return searched, []
    return searched, exact_filters(mirror.document_cls, searcher.semantics[mirror.name], own)


def _is_search(read: Optional[ReadContext]) -> bool:
    return read is not None and read.kind is ReadKind.SEARCH


def _reject_dropped_conditions(cls: Any, params: dict[str, Any]) -> None:
    """Reject a condition that the view adds and the database's engine drops: nefertari takes the
    value ``_all`` for no condition, also if it is the name of the user whose objects are meant.

    :raises BadQuery: there is such a condition.
    """
    dropped = [
        name
        for name, value in params.items()
        if isinstance(value, str) and value == ALL and not isinstance(value, QueryText)
        if not is_typed(name, value) and name not in NO_FILTERS and cls.has_field(name)
    ]
    if dropped and collection_request(cls) is not None:
        raise BadQuery(
            dropped[0],
            f"the view of this collection filters it by the value '{ALL}', which means no filter",
        )


def wrap_get_by_ids(original: Callable[..., Any], searcher: Searcher) -> Callable[..., Any]:
    """Return *original* (``get_by_ids`` as a function of class, keys and params), answered by the
    mirror with ``_query_secondary=True``."""
    original = getattr(original, "intercepts", original)

    def get_by_ids(cls: Any, ids: Iterable[Any], **params: Any) -> Any:
        keys = list(ids)
        mirror = searcher.mirrors.get(cls.__name__)
        if params.get(OVERRIDE) is not True or mirror is None or mirror.model is not cls:
            return original(cls, keys, **params)
        params.pop(OVERRIDE)
        arguments = dict(params)
        return _read_mirror(
            searcher, mirror, params, lambda: original(cls, keys, **arguments), keys
        )

    get_by_ids.intercepts = original  # type: ignore[attr-defined]
    return get_by_ids


def _read_mirror(
    searcher: Searcher,
    mirror: Mirror,
    params: dict[str, Any],
    primary: Callable[[], Any],
    keys: Optional[list[Any]] = None,
) -> Any:
    """Answer a read from Python code from the mirror; from the primary if the mirror can't.

    :raises JHTTPNotFound: nothing matches, and ``_raise_on_empty`` is set.
    """
    filters = {name: value for name, value in params.items() if name not in _ITEM_PARAMS}
    try:
        result = searcher.read_transparent(mirror, filters, primary, keys)[0]
    except Unanswerable:
        return primary()
    if params.get("_raise_on_empty") is True and not isinstance(result, int) and not len(result):
        raise JHTTPNotFound(f"'{mirror.name}({filters})' resource not found")
    return result
