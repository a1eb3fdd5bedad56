"""Where the package gets ready for an application that names nothing but its tween.

The tween's factory comes last, when the application is made. Models are defined before, and
objects may be written: so it is the include of nefertari's engine that counts, which every
application makes before its models.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from pyramid.settings import aslist

from nefertari_search_tween.settings.settings import Settings

TWEEN = "nefertari_search_tween.tween_factory"


def install() -> None:
    """Put ourselves behind ``nefertari.engine.includeme``."""
    from nefertari import engine

    original = engine.includeme
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def includeme(config: Any) -> None:
        original(config)
        _get_ready(config.registry)

    engine.includeme = includeme


def _get_ready(registry: Any) -> None:
    from nefertari_search_tween.compat.elasticsearch import ES
    from nefertari_search_tween.runtime import prepare

    # What has been included is ready.
    if ES.starting is None and TWEEN in aslist(registry.settings.get("pyramid.tweens", "")):
        prepare(registry.settings, Settings(registry.settings, registry.package_name).models)
