"""The decorator that marks models to mirror."""

from __future__ import annotations

from typing import Any

import venusian

MARK = "__nefertari_search_mirrored__"


def mirrored(model: Any) -> Any:
    """Class decorator: make a mirror of this model, though it has no nefertari index.

    Found by ``config.scan`` as Pyramid's own decorators are; the mark itself works without a
    scan, too.
    """

    def register(scanner: Any, name: str, cls: Any) -> None:
        setattr(cls, MARK, True)

    venusian.attach(model, register, category="nefertari_search")
    setattr(model, MARK, True)
    return model


def marked(model: Any) -> bool:
    """True when *model* itself (not a base of it) carries the mark."""
    return MARK in vars(model)
