"""Names that come from the caller, judged where a model is read.

At that place they are final: nefertari's views have made nested dicts of dotted names
(``note.$gte=x`` becomes ``{"note": {"$gte": "x"}}`` in requests that write), and a view may have
changed or removed any.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.json_httpexceptions import JHTTPBadRequest
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.exceptions import BadQuery, Reason
from nefertari_search_tween.search.context import (
    ReadContext,
    ReadKind,
    collection_request,
)
from nefertari_search_tween.search.privacy import Caller, CallerNames, noted_parameters
from nefertari_search_tween.search.query.sorting import parse_sort


def check_names(
    model: Any, params: dict[str, Any], read: Optional[ReadContext], protects: bool
) -> None:
    """Reject what the caller may not name in a read of *model*, whoever answers it.

    :param params: of ``get_collection``; the database gets them next.
    :param read: of the request, if it reads the collection of *model*.
    :param protects: hidden fields may not be named.
    :raises BadQuery: a parameter of the caller is no plain value.
    :raises JHTTPBadRequest: the primary's message about fields that do not exist.
    """
    request = get_current_request()
    if request is None:
        return
    single = params.get("_item_request") is True
    nested = sorted(name for name, each in params.items() if not _is_plain(each))
    python_only = _python_only(model, params)
    # Single objects are looked up by the application itself, the current user among them.
    protected = protects and not single and collection_request(model) is not None
    if not (nested or python_only or protected):
        return
    # All other names are the view's own.
    caller_names = CallerNames.of(request)
    for name in nested:
        if single or name in caller_names:
            _record_failure(read)
            raise BadQuery(name, "a value is expected, not an object")
    unknown = [name for name in python_only if name in caller_names]
    if protected:
        unknown += _hidden_fields_used(request, caller_names, model, params)
    if unknown:
        _record_failure(read)
        names = ", ".join(sorted(unknown))
        raise JHTTPBadRequest(f"'{model.__name__}' object does not have fields: {names}")


def _record_failure(read: Optional[ReadContext]) -> None:
    if read is not None:
        read.record_primary(
            Reason.UNSUPPORTED_PARAMETER if read.kind is ReadKind.TRANSPARENT else read.reason
        )


def _is_plain(value: Any) -> bool:
    """Return True if *value* is one that a field can have, or a list of such: a database takes a
    dict as a query in its own language."""
    if isinstance(value, (list, tuple)):
        return all(not isinstance(each, (dict, list, tuple)) for each in value)
    return not isinstance(value, dict)


def _python_only(model: Any, params: dict[str, Any]) -> list[str]:
    """Return the parameters of ``get_collection`` that are for Python code (``_explain`` shows SQL,
    ``_raise_on_empty`` the view's own filters), but have a value as one that came over HTTP.

    What nefertari's documentation gives to callers is known; every other name that is no field
    is refused like any unknown field.
    """
    return [
        name
        for name, value in params.items()
        # Python code passes no text for these.
        if isinstance(value, (str, list))
        and (name == "query_set" or (name.startswith("_") and not name.startswith("__")))
        and name not in RESERVED_PARAMS
        and not model.has_field(name)
    ]


def _hidden_fields_used(
    request: Any, caller_names: CallerNames, model: Any, params: Iterable[str]
) -> list[str]:
    """Return the fields of *model* that this caller may not see, but filters or sorts by.

    :param caller_names: what the caller named.
    :param params: names of the parameters in use. Parameters that the view removed do not count,
        nor do those that it added itself.
    :returns: their names, without modifiers (``name__bool``).
    """
    used = {name for name in params if name in caller_names}
    names = {
        form
        for name in used
        if name not in RESERVED_PARAMS and not name.startswith("__")
        for form in (name, name.partition("__")[0])
    }
    if "_sort" in used:
        for key in parse_sort(noted_parameters(request).get("_sort")):
            name = key.name.strip("-+ ")
            # MongoDB's way into a field (options__size).
            names.update((name, name.partition("__")[0]))
    names = {name for name in names if model.has_field(name)}
    # Most reads use only fields that are visible to all: the caller need not be looked up.
    if not names or names <= _visible_to_all(model):
        return []
    visible = Caller.of(request).visible(model)
    return [] if visible is None else sorted(names - visible)


def _visible_to_all(model: Any) -> frozenset[str]:
    anonymous, user = Caller(True, False).visible(model), Caller(True, True).visible(model)
    return (anonymous or frozenset()) & (user or frozenset())
