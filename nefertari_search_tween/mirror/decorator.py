"""The decorator that marks models to mirror."""

from __future__ import annotations

from typing import Any

import venusian

MARK = "__nefertari_search_mirrored__"


def mirrored(model: Any) -> Any:
    """Mark a model to be mirrored that has no nefertari index (a class decorator).

    Found by ``config.scan`` as Pyramid's own decorators are; the mark itself works without a
    scan, too.
    """

    def register(scanner: Any, name: str, cls: Any) -> None:
        setattr(cls, MARK, True)

    venusian.attach(model, register, category="nefertari_search")
    setattr(model, MARK, True)
    return model


def marked(model: Any) -> bool:
    """Return True if *model* itself (not a base of it) has the mark."""
    return MARK in vars(model)
