"""What the models of nefertari_sqla look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional, Union

from sqlalchemy import types as sqltypes
from sqlalchemy.inspection import inspect
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy_utils.types.json import JSONType

from nefertari_search_tween.documents.exact_fields import (
    EnumField,
    ExactDecimalField,
    ZonedTimeField,
)
from nefertari_search_tween.documents.fields import FIELDS, BaseField
from nefertari_search_tween.documents.mirror_document import unusable_name

FieldSpecs = dict[str, tuple[Union[str, type[BaseField]], Optional[dict[str, Any]]]]

PK_FIELDS = {
    "IdField",
    "IntegerField",
    "BigIntegerField",
    "SmallIntegerField",
    "StringField",
    "TextField",
    "UnicodeField",
    "UnicodeTextField",
    "ForeignKeyField",
}

# For plain columns, which applications may mix with nefertari's; the first match counts.
_PLAIN_TYPES: tuple[tuple[type, str], ...] = (
    (sqltypes.Boolean, "BooleanField"),
    (sqltypes.BigInteger, "BigIntegerField"),
    (sqltypes.Integer, "IntegerField"),
    (sqltypes.Float, "FloatField"),
    (sqltypes.Numeric, "DecimalField"),
    (sqltypes.DateTime, "DateTimeField"),
    (sqltypes.Date, "DateField"),
    (sqltypes.Time, "TimeField"),
    (sqltypes.Interval, "IntervalField"),
    (sqltypes.PickleType, "PickleField"),
    (sqltypes.LargeBinary, "BinaryField"),
    (sqltypes.JSON, "DictField"),
    # Stored as a text, and read as what the text holds.
    (JSONType, "DictField"),
    (sqltypes.ARRAY, "ListField"),
    (sqltypes.String, "UnicodeField"),
)


def models() -> dict[str, Any]:
    """Return all models by name."""
    from nefertari_sqla import get_document_classes

    return dict(get_document_classes())


def base_class() -> type:
    from nefertari_sqla import BaseDocument

    return BaseDocument


def mapper_of(model: Any) -> Any:
    return inspect(model)


def related(model: Any) -> Iterator[Any]:
    """Return the models that *model* has relationships to."""
    return (each.mapper.class_ for each in mapper_of(model).relationships)


def mirror_definition(model: Any) -> dict[str, Any]:
    """Return the arguments of ``mirror.generator.generate`` besides the model."""
    return {
        "fields": field_specs(model),
        "base": base_class(),
        "custom": custom_to_dict(model),
    }


def pk_attribute(model: Any) -> Any:
    """Return the primary key as a class attribute."""
    return getattr(model, model.pk_field())


def has_integer_pk(model: Any) -> bool:
    """Return True if the primary key is a whole number; the other keys of PK_FIELDS are texts."""
    return is_integer(mapper_of(model).primary_key[0].type)


def is_integer(column_type: Any) -> bool:
    """Return True if the database stores values of this type as whole numbers."""
    while isinstance(column_type, sqltypes.TypeDecorator):
        column_type = column_type.impl
    return isinstance(column_type, sqltypes.Integer)


def parse_key(model: Any, text: str) -> Any:
    """Return the key whose ``str()`` is *text*: a whole number or a text, by the column's type."""
    try:
        return int(text) if has_integer_pk(model) else text
    except ValueError:
        # SQLite stores anything in any column.
        return text


def unmirrorable(model: Any) -> Optional[str]:
    """Return why *model* can't be mirrored, None if it can."""
    from nefertari_sqla import BaseMixin

    if not issubclass(model, BaseMixin):
        return "is no nefertari document"
    mapper = mapper_of(model)
    if len(mapper.primary_key) != 1:
        return "has a composite primary key"
    if mapper.inherits is not None or mapper.polymorphic_on is not None:
        return "is part of an inheritance hierarchy"
    pk = mapper.primary_key[0]
    if mapper.get_property_by_column(pk).key != pk.name:
        return f"maps its primary key {pk.name} under another name"
    if field_class(pk) not in PK_FIELDS:
        return f"has a primary key of type {type(pk.type).__name__}"
    for relationship in mapper.relationships:
        if len(relationship.mapper.primary_key) != 1:
            return f"relates to {relationship.mapper.class_.__name__} with a composite primary key"
    return None


def unusable(model: Any) -> Optional[str]:
    """Return what is wrong with the names of *model* for documents, None if nothing is."""
    return unusable_name(model.native_fields(), set(dir(model)).difference(dir(base_class())))


def field_class(column: Any) -> Optional[str]:
    """Return the name of the nefertari field class of *column*, None if there is none."""
    for cls in type(column).__mro__:
        if cls.__name__ in FIELDS:
            return cls.__name__
    return _class_of_type(column.type)


def _class_of_type(column_type: Any) -> Optional[str]:
    """Return the name of the nefertari field class for a type of SQLAlchemy's."""
    while True:
        # Before what it decorates: pickles and intervals are decorators, too.
        for kind, name in _PLAIN_TYPES:
            if isinstance(column_type, kind):
                return name
        if not isinstance(column_type, sqltypes.TypeDecorator):
            return None
        column_type = column_type.impl


def field_specs(model: Any) -> FieldSpecs:
    """Return field class names and init arguments, in the order of ``native_fields``."""
    mapper = mapper_of(model)
    columns = {column.name: column for column in mapper.columns}
    specs: FieldSpecs = {}
    for name in model.native_fields():
        prop = mapper.relationships.get(name)
        if prop is not None:
            specs[name] = ("Relationship", _relationship_params(prop))
        elif name in columns:
            column = columns[name]
            params = dict(model.get_field_params(name) or {})
            params["primary_key"] = bool(column.primary_key)
            # Columns that are not nefertari's have these in their types only.
            for param in ("timezone", "asdecimal", "scale"):
                if getattr(column.type, param, None) is not None:
                    params.setdefault(param, getattr(column.type, param))
            # A type that is searched as it is rendered: text, unless it is listed above.
            field: Union[str, type[BaseField]] = field_class(column) or "PickleField"
            if field == "DecimalField":
                field = ExactDecimalField
            elif field == "TimeField" and getattr(column.type, "timezone", False):
                field = ZonedTimeField
            if isinstance(column.type, sqltypes.Enum) and column.type.enum_class is not None:
                field = EnumField
                params["stored"] = column.type._valid_lookup
                params["members"] = column.type._object_lookup
            if field == "ForeignKeyField":
                # nefertari_sqla makes the column of it, and does not keep the arguments.
                params["ref_column_type"] = FIELDS.get(_class_of_type(column.type) or "")
            specs[name] = (field, params)
    return specs


def _relationship_params(prop: RelationshipProperty) -> dict[str, Any]:
    params = dict(getattr(prop, "_init_kwargs", None) or {})
    # A backreference has no init arguments, and names given as strings or callables are resolved
    # by now.
    params["document"] = prop.mapper.class_.__name__
    params["uselist"] = bool(prop.uselist)
    return params


def plain_attribute(model: Any, name: str) -> bool:
    """Return True if *name* is one mapped column under its own name."""
    prop = mapper_of(model).column_attrs.get(name)
    return prop is not None and len(prop.columns) == 1 and prop.columns[0].name == name


def custom_to_dict(model: Any) -> bool:
    """Return True if *model* overrides what nefertari renders."""
    from nefertari_sqla import BaseMixin

    return any(
        getattr(model, name).__func__ is not getattr(BaseMixin, name).__func__
        if hasattr(getattr(model, name), "__func__")
        else getattr(model, name) is not getattr(BaseMixin, name)
        for name in ("to_dict", "native_fields", "_mapped_columns", "_mapped_relationships")
    )


def columns_suffice(model: Any, depth: int) -> bool:
    """Return True if reading columns makes the same documents as loading objects."""
    if custom_to_dict(model):
        return False
    mapper = mapper_of(model)
    for name in model._mapped_columns():
        if not plain_attribute(model, name) or field_class(mapper.columns[name]) is None:
            return False
    for prop in mapper.relationships:
        if prop.lazy == "dynamic" or prop.collection_class not in (None, list):
            return False
        if prop.uselist and prop.mapper is mapper and prop.order_by:
            return False
        target = prop.mapper.class_
        if prop.mapper.inherits is not None or prop.mapper.polymorphic_on is not None:
            return False
        nested = prop.key in model._nested_relationships and depth > 0
        if nested and not columns_suffice(target, depth - 1):
            return False
    return True
