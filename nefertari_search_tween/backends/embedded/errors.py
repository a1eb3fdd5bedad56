"""Refusals, shaped as Elasticsearch shapes its error objects."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.exceptions import BackendRejected


def refused(reason: str, kind: str = "illegal_argument_exception") -> BackendRejected:
    """The request is wrong, and would be for Elasticsearch, too."""
    return BackendRejected(400, error(kind, reason))


def unsupported(feature: str) -> BackendRejected:
    """The request is right, but this backend can't do it."""
    return refused(
        f"the embedded backend has no {feature}; Elasticsearch has it "
        "(nefertari_search.backend = elasticsearch)",
        "unsupported_operation_exception",
    )


def error(kind: str, reason: str) -> dict[str, Any]:
    """An error object."""
    return {"type": kind, "reason": reason}
