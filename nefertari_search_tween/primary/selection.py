"""Which database engine is an application's primary: what its ``nefertari.engine`` names."""

from __future__ import annotations

from typing import Any, Callable, Optional

from pyramid.settings import aslist

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary import Primary
from nefertari_search_tween.primary import startup

SQLA = "nefertari_sqla"
MONGODB = "nefertari_mongodb"


def engine_of(settings: Any) -> Optional[str]:
    """Return the first engine of ``nefertari.engine`` that can be a primary, or None."""
    engines = aslist(settings.get("nefertari.engine", ""))
    return next((name for name in engines if name in (SQLA, MONGODB)), None)


def prepare_primary(settings: Any, is_selected: Callable[[Any], bool]) -> Any:
    """Prepare the primary before the application's models are defined.

    :param is_selected: returns True if a model is to be mirrored.
    :returns: what takes keys (``enqueue``) that the application wants indexed before it is made;
        None if there is no primary.
    """
    name = engine_of(settings)
    if name == SQLA:
        # Also imports the tables of the outbox, which are created with the application's.
        from nefertari_search_tween.primary.sqla import schema
        from nefertari_search_tween.primary.sqla.capture.startup import StartupCapture

        return startup.start_recording(StartupCapture(_selector(is_selected, schema.unmirrorable)))
    if name == MONGODB:
        from nefertari_search_tween.primary.mongo import engine_patches
        from nefertari_search_tween.primary.mongo import schema as documents
        from nefertari_search_tween.primary.mongo.capture.startup import (
            StartupCapture as MongoStartupCapture,
        )

        engine_patches.patch_engine()
        return startup.start_recording(
            MongoStartupCapture(_selector(is_selected, documents.unmirrorable))
        )
    return None


def _selector(
    is_selected: Callable[[Any], bool], unmirrorable: Callable[[Any], Optional[str]]
) -> Callable[[dict[str, Any]], list[Any]]:
    """Return a function that returns, of all models by name, those that will have mirrors."""
    return lambda models: [
        model for model in models.values() if is_selected(model) and unmirrorable(model) is None
    ]


def primary_for(settings: Any) -> Primary:
    """Return the primary of an application whose models are complete.

    :raises ConfigurationError: ``nefertari.engine`` names none.
    """
    name = engine_of(settings)
    if name == SQLA:
        from nefertari_search_tween.primary.sqla.primary import SqlaPrimary

        return SqlaPrimary()
    if name == MONGODB:
        from nefertari_search_tween.primary.mongo.primary import MongoPrimary

        return MongoPrimary()
    raise ConfigurationError(
        f"nefertari.engine: '{settings.get('nefertari.engine', '')}' names neither {SQLA} nor "
        f"{MONGODB}, which mirrors can be made of"
    )
