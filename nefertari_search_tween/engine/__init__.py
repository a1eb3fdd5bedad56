"""A nefertari engine whose documents live in a search backend.

It exports the names that ``nefertari_sqla`` and ``nefertari_mongodb`` export. Named beside
one of them (``nefertari.engine = nefertari_sqla nefertari_search_tween.engine``) it holds
the mirrors of its models; the mirrors themselves are generated at start.
"""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.engine.documents import (
    BaseDocument,
    BaseMixin,
    ESBaseDocument,
    get_document_classes,
    get_document_cls,
)
from nefertari_search_tween.engine.fields import (
    BigIntegerField,
    BinaryField,
    BooleanField,
    ChoiceField,
    DateField,
    DateTimeField,
    DecimalField,
    DictField,
    FloatField,
    ForeignKeyField,
    IdField,
    IntegerField,
    IntervalField,
    ListField,
    PickleField,
    Relationship,
    SmallIntegerField,
    StringField,
    TextField,
    TimeField,
    UnicodeField,
    UnicodeTextField,
)
from nefertari_search_tween.engine.serializers import ESJSONSerializer, JSONEncoder

relationship_fields = (Relationship,)
#: nefertari's engines make indexed models by a metaclass; here every document is indexed
ESMetaclass = type


def is_relationship_field(field: str, model_cls: type[BaseDocument]) -> bool:
    """True when *field* of *model_cls* is a relationship."""
    return isinstance(model_cls.fields().get(field), relationship_fields)


def get_relationship_cls(field: str, model_cls: type[BaseDocument]) -> type[BaseDocument]:
    """The document class that the relationship *field* of *model_cls* points to."""
    return model_cls.related(field)


def includeme(config: Any) -> None:
    """Include the whole package: an engine of mirrors needs what keeps them in sync."""
    config.include("nefertari_search_tween")


def setup_database(config: Any) -> None:
    """Nothing to do: indices are prepared when the application has been made."""


__all__ = [
    "BaseDocument",
    "BaseMixin",
    "BigIntegerField",
    "BinaryField",
    "BooleanField",
    "ChoiceField",
    "DateField",
    "DateTimeField",
    "DecimalField",
    "DictField",
    "ESBaseDocument",
    "ESJSONSerializer",
    "ESMetaclass",
    "FloatField",
    "ForeignKeyField",
    "IdField",
    "IntegerField",
    "IntervalField",
    "JSONEncoder",
    "ListField",
    "PickleField",
    "Relationship",
    "SmallIntegerField",
    "StringField",
    "TextField",
    "TimeField",
    "UnicodeField",
    "UnicodeTextField",
    "get_document_classes",
    "get_document_cls",
    "get_relationship_cls",
    "is_relationship_field",
    "relationship_fields",
    "setup_database",
]
