"""The decorator that marks models to mirror, and says how they are searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import venusian

from nefertari_search_tween.documents.search_fields import WeightedName, parse_search_fields
from nefertari_search_tween.exceptions import ConfigurationError

MARK = "__nefertari_search_mirrored__"


def mirrored(model: Any = None, *, search_fields: Sequence[str] = ()) -> Any:
    """Mark a model to be mirrored, also one that has no nefertari index (a class decorator, with
    arguments or without).

    Found by ``config.scan`` as Pyramid's own decorators are; the mark itself works without a
    scan, too.

    :param search_fields: the fields that ``q`` and ``_query`` search if the request names none,
        each with a weight or without: ``["title^5", "director.name^3", "cast"]``. The setting
        ``nefertari_search.search_fields.MODEL`` takes precedence.
    :raises ConfigurationError: a weight is no number.
    """
    try:
        fields = parse_search_fields(search_fields)
    except ValueError as error:
        raise ConfigurationError(f"@mirrored(search_fields=...): {error}") from error

    def mark(cls: Any) -> Any:
        def register(scanner: Any, name: str, scanned: Any) -> None:
            setattr(scanned, MARK, fields)

        venusian.attach(cls, register, category="nefertari_search")
        setattr(cls, MARK, fields)
        return cls

    return mark if model is None else mark(model)


def marked(model: Any) -> bool:
    """Return True if *model* itself (not a base of it) has the mark."""
    return MARK in vars(model)


def marked_search_fields(model: Any) -> Optional[tuple[WeightedName, ...]]:
    """Return the fields that the mark of *model* says to search; None without any."""
    return vars(model).get(MARK) or None
