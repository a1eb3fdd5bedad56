"""Fixes of nefertari's ``apply_privacy``, which lets too much through.

An object whose ``_type`` names no model was returned unchanged; it has no privacy rules, so only
admins see it. In a list of nested documents the rules apply to each, not only to the first; those
that the caller may not view by their own ACLs are omitted.
"""

from __future__ import annotations

import logging
from typing import Any

from nefertari import engine, wrappers
from nefertari.utils import dictset, is_document

log = logging.getLogger(__name__)

#: fields of every object that every caller sees
ALWAYS = ("_type", "_pk", "_self")


def may_view(request: Any, document: dict[str, Any]) -> bool:
    """Return True if the caller may view the nested *document*; ``guards`` replaces this."""
    return True


def install() -> None:
    """Replace methods of ``nefertari.wrappers.apply_privacy``; idempotent."""
    wrappers.apply_privacy._filter_fields = _filter_fields
    wrappers.apply_privacy._apply_nested_privacy = _apply_nested_privacy


_original = wrappers.apply_privacy._filter_fields


def _filter_fields(self: Any, data: Any) -> Any:
    if "_type" in data and self.request is not None and not self.is_admin:
        try:
            engine.get_document_cls(data["_type"])
        except ValueError:
            log.error("an object of unknown type %r is not shown", data["_type"])
            return dictset(data).subset([name for name in ALWAYS if name in data])
    return _original(self, data)


def _apply_nested_privacy(self: Any, data: Any) -> Any:
    options = {"is_admin": self.is_admin, "drop_hidden": self.drop_hidden}

    def apply_privacy(value: Any) -> Any:
        if not is_document(value):
            return value
        return wrappers.apply_privacy(self.request)(result=value, **options)

    def is_visible(value: Any) -> bool:
        return not is_document(value) or may_view(self.request, value)

    for name, value in data.items():
        if type(value) is list:
            data[name] = [apply_privacy(each) for each in value if is_visible(each)]
        else:
            data[name] = apply_privacy(value) if is_visible(value) else None
    return data
