"""Which database engine is an application's primary: what its ``nefertari.engine`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from pyramid.settings import aslist

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.primary.startup import StartupRecorder, start_recording

if TYPE_CHECKING:
    from nefertari_search_tween.primary.mongo.primary import MongoPrimary
    from nefertari_search_tween.primary.sqla.primary import SqlaPrimary

SQLA = "nefertari_sqla"
MONGODB = "nefertari_mongodb"


def engine_of(settings: Any) -> Optional[str]:
    """Return the first engine of ``nefertari.engine`` that can be a primary, or None."""
    engines = aslist(settings.get("nefertari.engine", ""))
    return next((name for name in engines if name in (SQLA, MONGODB)), None)


def prepare_primary(settings: Any, is_selected: Callable[[Any], bool]) -> Optional[StartupRecorder]:
    """Prepare the primary before the application's models are defined.

    :param is_selected: returns True if a model is to be mirrored.
    :returns: what takes keys (``enqueue``) that the application wants indexed before it is made;
        None if there is no primary.
    """
    name = engine_of(settings)
    if name is None:
        return None
    if name == MONGODB:
        from nefertari_search_tween.primary.mongo.engine_patches import patch_engine
    else:
        from nefertari_search_tween.primary.sqla.engine_patches import patch_engine
    patch_engine()
    # Also imports the tables of the outbox, which are created with the application's.
    return start_recording(StartupRecorder(_primary(name), is_selected))


def primary_for(settings: Any) -> Union[SqlaPrimary, MongoPrimary]:
    """Return the primary of an application whose models are complete.

    :raises ConfigurationError: ``nefertari.engine`` names none.
    """
    name = engine_of(settings)
    if name is None:
        raise ConfigurationError(
            f"nefertari.engine: '{settings.get('nefertari.engine', '')}' names neither {SQLA} nor "
            f"{MONGODB}, which mirrors can be made of"
        )
    return _primary(name)


def _primary(name: str) -> Union[SqlaPrimary, MongoPrimary]:
    # Only the driver of the primary in use need be installed.
    if name == SQLA:
        from nefertari_search_tween.primary.sqla.primary import SqlaPrimary

        return SqlaPrimary()
    from nefertari_search_tween.primary.mongo.primary import MongoPrimary

    return MongoPrimary()
