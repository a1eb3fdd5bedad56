"""Exact forms of the values that requests compare with, which both primaries find alike."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.documents.fields import INT64_MAX, BaseField
from nefertari_search_tween.exceptions import Reason, Unanswerable


def exact_form(handlers: Any, field: BaseField, value: Any) -> Any:
    """Return the exact form of *value* by the handler for the class or else the kind of *field*.

    :param handlers: has a method ``_CLASS`` or ``_kind`` (field, value) for each field whose values
        it compares; it returns None for a value that only the primary can compare.
    :raises Unanswerable: only the primary can compare it.
    """
    handler = getattr(handlers, f"_{type(field).__name__}", None)
    handler = handler or getattr(handlers, f"_{field.kind}", None)
    exact = None if handler is None else handler(field, value)
    if exact is None:
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
    return exact


def exact_integer(value: Any) -> Any:
    """Return *value* if it is a number that an index sorts exactly, else None."""
    return value if type(value) is int and -INT64_MAX <= value < INT64_MAX else None
