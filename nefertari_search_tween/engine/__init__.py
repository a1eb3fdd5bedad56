"""A nefertari engine whose documents live in a search backend.

It exports the same names as ``nefertari_sqla`` and ``nefertari_mongodb``. Configured beside one
of them (``nefertari.engine = nefertari_sqla nefertari_search_tween.engine``) it has the mirrors
of its models, which are generated at start-up.
"""

from __future__ import annotations

from typing import Any

from pyramid.settings import aslist

from nefertari_search_tween.documents import mirror_document
from nefertari_search_tween.documents.fields import FIELDS, Relationship
from nefertari_search_tween.documents.mirror_document import BaseMixin
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import guards, model_registry
from nefertari_search_tween.engine.models import BaseDocument, ESBaseDocument, ESMetaclass
from nefertari_search_tween.engine.serializers import JSONEncoder, client_serializer
from nefertari_search_tween.engine.writes import unique_values
from nefertari_search_tween.settings.settings import Settings

# The field classes, under their names.
globals().update(FIELDS)
relationship_fields = (Relationship,)


def __getattr__(name: str) -> Any:
    if name == "ESJSONSerializer":
        return client_serializer()
    raise AttributeError(f"module {__name__} has no attribute {name}")


def get_document_cls(name: str) -> Any:
    """Return the model called *name*, or the mirror of the primary's model of that name.

    :raises ValueError: neither exists.
    """
    try:
        return model_registry.get(name)
    except ValueError:
        return mirror_document.get_document_cls(name)


def get_document_classes() -> dict[str, Any]:
    """Return all models and mirrors by name."""
    return {**mirror_document.get_document_classes(), **model_registry.models()}


def is_relationship_field(field: str, model_cls: Any) -> bool:
    """Return True if *field* of *model_cls* is a relationship."""
    return isinstance(model_cls.fields().get(field), relationship_fields)


def get_relationship_cls(field: str, model_cls: Any) -> Any:
    """Return the document class that the relationship *field* of *model_cls* points to."""
    return model_cls.related(field)


def is_only_engine(settings: Any) -> bool:
    """Return True if this engine stores the documents of the application with these settings."""
    engines = aslist(settings.get("nefertari.engine", ""))
    return bool(engines) and engines[0] == __name__


def includeme(config: Any) -> None:
    """Include the whole package: the tween, and the indexing of mirrors if there are any."""
    config.include("nefertari_search_tween")
    if is_only_engine(config.registry.settings):
        guards.install()


def setup_database(config: Any) -> None:
    """Connect to the backend, and create the missing indices of all models.

    Beside another engine nothing is done: the indices of its mirrors are created once the
    application was made.

    :raises ConfigurationError: an invalid setting, or an index that does not fit its model.
    """
    if not is_only_engine(config.registry.settings):
        return
    for model in model_registry.models().values():
        unique_values.unique_groups(model)
    database = engine_database.Database(
        Settings(config.registry.settings, config.registry.package_name)
    )
    engine_database.bind(database)
    database.prepare()


__all__ = [
    "BaseDocument",
    "BaseMixin",
    "ESBaseDocument",
    "ESJSONSerializer",
    "ESMetaclass",
    "JSONEncoder",
    "get_document_classes",
    "get_document_cls",
    "get_relationship_cls",
    "is_relationship_field",
    "relationship_fields",
    "setup_database",
]
__all__.extend(FIELDS)
