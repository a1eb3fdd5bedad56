"""What nefertari's ``apply_privacy`` lets through, and must not.

An object whose ``_type`` names no model was shown as it is; there are no rules for it, so it is
shown to admins only. In a list of nested documents each is looked at, not only the first; and those
that the caller may not view by an ACL of their own are left out.
"""

from __future__ import annotations

import logging
from typing import Any

from nefertari import engine, wrappers
from nefertari.utils import dictset, is_document

log = logging.getLogger(__name__)

#: what everybody sees of every object
ALWAYS = ("_type", "_pk", "_self")


def may_view(request: Any, document: dict[str, Any]) -> bool:
    """True when the caller may view the nested *document*; ``guards`` knows better."""
    return True


def install() -> None:
    """Put the mended methods into ``nefertari.wrappers.apply_privacy``; once is enough."""
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
