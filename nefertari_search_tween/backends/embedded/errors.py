"""Rejections, shaped as Elasticsearch shapes its error objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nefertari_search_tween.exceptions import EmbeddedRejected


def rejected(reason: str, kind: str = "illegal_argument_exception") -> EmbeddedRejected:
    """Return the error for a request that Elasticsearch would reject, too."""
    return EmbeddedRejected(400, error(kind, reason))


def unsupported(feature: str) -> EmbeddedRejected:
    """Return the error for a valid request that this backend does not support."""
    return rejected(
        f"the embedded backend has no {feature}; Elasticsearch has it "
        "(nefertari_search.backend = elasticsearch)",
        "unsupported_operation_exception",
    )


def no_field_data(name: str) -> EmbeddedRejected:
    """Return the error for a text field where single values are needed."""
    return rejected(
        f"Fielddata is disabled on [{name}]: text fields can't be sorted or aggregated; "
        "use a keyword field instead"
    )


def reject_unknown(options: Iterable[str], supported: Iterable[str], owner: str) -> None:
    """Reject *options* of *owner* that are not among the *supported* ones."""
    for name in sorted(set(options).difference(supported)):
        raise unsupported(f"option '{name}' of {owner}")


def error(kind: str, reason: str) -> dict[str, Any]:
    """Return an error object."""
    return {"type": kind, "reason": reason}
