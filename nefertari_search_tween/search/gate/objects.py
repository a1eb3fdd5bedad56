"""What callers see of results: nefertari's ``apply_privacy``, for values of every type.

nefertari's own judges dicts alone, and only where it looks for them. It returns unchanged: objects,
tuples and generators; whatever a dict holds that is no object itself; an object with a field
``data``, which it takes for a collection; an object whose ``_type`` names no model. It judges a
list of nested documents by its first. The same wrapper checks what requests may write, where a body
with a key ``data`` could name every field.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import uuid
from collections.abc import Iterable
from typing import Any

from nefertari import engine, wrappers
from nefertari.utils import dictset, is_document

from nefertari_search_tween.search.context import HIGHLIGHT
from nefertari_search_tween.search.features.highlights import Highlights
from nefertari_search_tween.search.privacy import ALWAYS_VISIBLE

log = logging.getLogger(__name__)

#: fields of every object that every caller sees
ALWAYS = (*sorted(ALWAYS_VISIBLE), "_self")
#: values that are their own text; what an engine renders of a field may be of other types, too
_PLAIN = (
    str,
    bytes,
    int,
    float,
    type(None),
    decimal.Decimal,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
)


def may_view(request: Any, document: dict[str, Any]) -> bool:
    """Return True if the caller may view the nested *document*; ``guards`` replaces this."""
    return True


def install() -> None:
    """Replace methods of ``nefertari.wrappers.apply_privacy``; idempotent."""
    wrappers.apply_privacy.__call__ = _apply_privacy
    wrappers.apply_privacy._filter_fields = _filter_fields
    wrappers.apply_privacy._apply_nested_privacy = _apply_nested_privacy


_original = wrappers.apply_privacy._filter_fields


def _apply_privacy(self: Any, **kwargs: Any) -> Any:
    self.drop_hidden = kwargs.get("drop_hidden", True)
    self.is_admin = kwargs.get("is_admin")
    if self.is_admin is None:
        user = getattr(self.request, "user", None)
        self.is_admin = user is not None and type(user).is_admin(user)
    return visible_part(kwargs["result"], self)


def visible_part(value: Any, privacy: Any) -> Any:
    """Return *value* as the caller may see it.

    :param privacy: nefertari's wrapper, which applies a model's rules to a dict; None applies none,
        and objects become dicts all the same.
    :returns: a plain value, a dict or a list. None for what is none of these: nobody knows what it
        would show.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        if privacy is not None and isinstance(value.get("_type"), str):
            return privacy._filter_fields(value)
        # Changed in place, as nefertari does: other after-calls may have the same dict.
        for name, each in value.items():
            value[name] = visible_part(each, privacy)
        return value
    if hasattr(value, "to_dict"):
        request = None if privacy is None else privacy.request
        return visible_part(wrappers.obj2dict(request)(result=value), privacy)
    if isinstance(value, Iterable):
        return [visible_part(each, privacy) for each in value]
    log.error("a %s is not shown: it is neither an object nor a value", type(value))
    return None


def _filter_fields(self: Any, data: Any) -> Any:
    if "_type" in data and self.request is not None and not self.is_admin:
        try:
            engine.get_document_cls(data["_type"])
        except ValueError:
            log.error("an object of unknown type %r is not shown", data["_type"])
            return dictset(data).subset([name for name in ALWAYS if name in data])
    visible = _original(self, data)
    highlights = data.get(HIGHLIGHT)
    if type(highlights) is Highlights:
        # Made for this caller, of fields that it may see.
        visible[HIGHLIGHT] = highlights
    return visible


def _apply_nested_privacy(self: Any, data: Any) -> Any:
    """Apply privacy to what the visible fields of an object hold."""
    if not self.drop_hidden:
        # The names in a request are checked, not a result: its values may be whole objects.
        return data
    for name, value in data.items():
        data[name] = _nested(self, value)
    return data


def _nested(privacy: Any, value: Any) -> Any:
    """Return what the caller may see of *value*, which a visible field holds: None of an object
    whose own ACL hides it.

    The field's name was judged. So a type that only the application's encoder knows stays.
    """
    # nefertari's dicts raise a KeyError for an attribute that they lack.
    if not isinstance(value, dict) and hasattr(value, "to_dict"):
        value = wrappers.obj2dict(privacy.request)(result=value)
    if is_document(value):
        return visible_part(value, privacy) if may_view(privacy.request, value) else None
    if isinstance(value, dict):
        return {name: _nested(privacy, each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        members = ((each, _nested(privacy, each)) for each in value)
        return [visible for each, visible in members if visible is not None or each is None]
    return value
