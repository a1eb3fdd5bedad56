"""Exact forms of the values that requests compare with, which both primaries find alike."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.documents.fields import INT64_MAX


def exact_integer(value: Any) -> Any:
    """Return *value* if it is a number that an index sorts exactly, else None."""
    return value if type(value) is int and -INT64_MAX <= value < INT64_MAX else None
