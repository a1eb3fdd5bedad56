"""``Model.get_collection`` of the primary's models, answered by the mirror where possible.

The views, events, wrappers and renderers of the application run unchanged. The decision for a
routed request counts only where its own collection is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPNotFound

from nefertari_search_tween.exceptions import BadQuery, Reason, Unanswerable
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.context import (
    QueryText,
    ReadContext,
    ReadKind,
    collection_request,
    current_read,
)
from nefertari_search_tween.search.dispatch import answer_search, answer_transparent
from nefertari_search_tween.search.item_acl import access_of, has_item_acl
from nefertari_search_tween.search.privacy import Caller, noted_parameters
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.sorting import parse_sort
from nefertari_search_tween.search.query.transparent_read import transparent_query
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
        override = None
        if isinstance(params.get(OVERRIDE), bool):
            override = params.pop(OVERRIDE)
        # The primary modifies its arguments; every query starts from the same ones.
        arguments = dict(params)

        def primary() -> Any:
            narrowed = {}
            # Look-ups of one object, and of a part of an earlier query, are not narrowed.
            single = arguments.get("_item_request") is True
            seconds = searcher.settings.primary_timeout
            if read is not None and seconds is not None and not single:
                limit = searcher.primary.limited(cls, seconds)
                read.limit_primary(limit, searcher.primary.is_timeout)
            if has_item_acl(cls) and not single and arguments.get("query_set") is None:
                access = access_of(collection_request(cls))
                if access is not None:
                    narrowed["query_set"] = restrict_by_acl(cls, access.allows)
            return original(cls, **{**arguments, **narrowed})

        read = current_read()
        if read is not None and read.model is not cls:
            read = None
        # Single objects are looked up by the application itself, the current user among them.
        if searcher.settings.hidden_fields == "deny" and params.get("_item_request") is not True:
            _reject_hidden_fields(cls, params, read)
        mirror = searcher.mirrors.get(cls.__name__)
        if mirror is None or mirror.model is not cls or override is False:
            return primary()
        # A text of this name came over HTTP, and switches nothing.
        query_set = params.get("query_set")
        if query_set is not None and not isinstance(query_set, str):
            return primary()
        if override:
            return _read_mirror(searcher, mirror, params, primary)
        if params.get("_item_request") is True:
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

    :returns: the parameters that the caller typed, and exact filters for those that the view added.
    :raises Unanswerable: a filter of the view can't be exact.
    """
    typed: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in params.items():
        values = value if isinstance(value, list) else [value]
        reserved = name.startswith("_") or name == "q"
        is_typed = reserved or all(isinstance(each, QueryText) for each in values)
        (typed if is_typed else own)[name] = value
    if not own:
        return typed, []
    semantics, window = searcher.semantics[mirror.name], searcher.settings.max_result_window
    exact = transparent_query(mirror.document_cls, semantics, own, window)
    return typed, [exact.body.get("query", {"match_all": {}})]


def _reject_hidden_fields(cls: Any, params: dict[str, Any], read: Optional[ReadContext]) -> None:
    """Reject filters and sorts by hidden fields, whoever answers: the database knows them, too.

    :raises JHTTPBadRequest: the primary's message about a field that does not exist.
    """
    request = collection_request(cls)
    if request is None or (read is not None and read.kind is ReadKind.SEARCH):
        # A search checks its caller's fields itself, with its own message.
        return
    hidden = _hidden_fields_used(request, cls, params)
    if not hidden:
        return
    if read is not None:
        read.record_primary(
            Reason.UNSUPPORTED_PARAMETER if read.kind is ReadKind.TRANSPARENT else read.reason
        )
    raise JHTTPBadRequest(f"'{cls.__name__}' object does not have fields: {', '.join(hidden)}")


def _hidden_fields_used(request: Any, model: Any, params: Iterable[str]) -> list[str]:
    """Return the fields of *model* that this caller may not see, but filters or sorts by.

    :param params: names of the parameters in use. Parameters that the view removed do not count,
        nor do those that it added itself.
    :returns: their names, sorted, without modifiers (``name__bool``).
    """
    noted = noted_parameters(request)
    used = {name for name in params if name in noted}
    names = {
        form
        for name in used
        if name not in RESERVED_PARAMS and not name.startswith("__")
        for form in (name, name.partition("__")[0])
    }
    if "_sort" in used:
        names.update(key.name.strip("-+ ") for key in parse_sort(noted["_sort"]))
    names = {name for name in names if model.has_field(name)}
    # Most reads use only fields that are visible to all: the caller need not be looked up.
    if not names or names <= _visible_to_all(model):
        return []
    visible = Caller.of(request).visible(model)
    return [] if visible is None else sorted(names - visible)


def _visible_to_all(model: Any) -> frozenset[str]:
    anonymous, user = Caller(True, False).visible(model), Caller(True, True).visible(model)
    return (anonymous or frozenset()) & (user or frozenset())


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
