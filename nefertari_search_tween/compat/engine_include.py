"""A call at the include of nefertari's engine, which every application makes before its models.

A tween's factory comes last, when the application is made. Models are defined before, and objects
may be written.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable


def install(on_engine_included: Callable[[Any], None]) -> None:
    """Call *on_engine_included* with the configurator after each ``nefertari.engine.includeme``."""
    from nefertari import engine

    original = engine.includeme
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def includeme(config: Any) -> None:
        original(config)
        on_engine_included(config)

    engine.includeme = includeme
