"""Which database engine is an application's primary: what its ``nefertari.engine`` names."""

from __future__ import annotations

from typing import Any, Optional

from pyramid.settings import aslist

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.primary.base import Primary

SQLA = "nefertari_sqla"
MONGODB = "nefertari_mongodb"


def named(settings: Any) -> Optional[str]:
    """The first engine of ``nefertari.engine`` that can be a primary, None when there is none."""
    engines = aslist(settings.get("nefertari.engine", ""))
    return next((name for name in engines if name in (SQLA, MONGODB)), None)


def prepare(settings: Any) -> None:
    """Before the application's models are defined: what has to be there by then."""
    name = named(settings)
    if name == SQLA:
        # Tables of the outbox are created with those of the application's models.
        import nefertari_search_tween.primary.sqla.tables  # noqa: F401
    elif name == MONGODB:
        from nefertari_search_tween.primary.mongo import compatibility

        compatibility.mend()


def choose(settings: Any) -> Primary:
    """The primary of an application whose models are complete.

    :raises ConfigurationError: ``nefertari.engine`` names none.
    """
    name = named(settings)
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
