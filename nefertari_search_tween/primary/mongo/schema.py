"""What the models of nefertari_mongodb look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional, Union

from nefertari_search_tween.documents.fields import FIELDS, BaseField
from nefertari_search_tween.documents.mirror_document import unusable_name
from nefertari_search_tween.documents.objectid import ObjectIdField

# The modules of the engine's field classes; nefertari-guards has one for each engine.
_OF_ENGINE = ("nefertari_mongodb", "nefertari_guards.nefertari_mongodb")

FieldSpecs = dict[str, tuple[Union[str, type[BaseField]], Optional[dict[str, Any]]]]


class Reference(NamedTuple):
    """A field of a model that holds the key of another model's objects, or a list of them.

    :param stored: name of the field in the database.
    """

    name: str
    stored: str
    target: Any
    many: bool


def models() -> dict[str, Any]:
    """Return all models by name."""
    from nefertari_mongodb import BaseMixin, get_document_classes

    return {
        name: model
        for name, model in get_document_classes().items()
        # MongoEngine's registry has other kinds of documents, too.
        if issubclass(model, BaseMixin)
    }


def base_class() -> type:
    from nefertari_mongodb import BaseDocument

    return BaseDocument


def related(model: Any) -> Iterator[Any]:
    """Return the models that *model* has relationships to."""
    return (reference.target for reference in references(model))


def mirror_definition(model: Any) -> dict[str, Any]:
    """Return the arguments of ``mirror.generator.generate`` besides the model."""
    return {
        "fields": field_specs(model),
        "base": base_class(),
        "custom": custom_to_dict(model),
        "left_out": engine_members(model),
    }


def pk_field(model: Any) -> Any:
    """Return the field that is the primary key."""
    return model._fields[model.pk_field()]


def pk_kind(model: Any) -> Optional[type]:
    """Return the type of the keys in the database, None for one that can't be mirrored."""
    from bson import ObjectId
    from mongoengine import fields

    field = pk_field(model)
    for cls, kind in (
        (fields.ObjectIdField, ObjectId),
        (fields.StringField, str),
        (fields.IntField, int),
        # Another name of the same since MongoEngine 0.28.
        (getattr(fields, "LongField", fields.IntField), int),
    ):
        if isinstance(field, cls):
            return kind
    return None


def has_made_keys(model: Any) -> bool:
    """Return True if the driver makes the keys: then nothing references a new one before."""
    from bson import ObjectId

    return pk_kind(model) is ObjectId


def parse_key(model: Any, text: str) -> Any:
    """Return the key whose ``str()`` is *text*, as the model's objects have it.

    :raises ValueError: no object can have such a key.
    """
    from bson import ObjectId
    from bson.errors import InvalidId

    kind = pk_kind(model)
    if kind is ObjectId:
        try:
            return ObjectId(text)
        except InvalidId as error:
            raise ValueError(str(error)) from None
    if kind is int:
        number = int(text)
        # Also "+1" and "01" are numbers, but no key is written like that.
        if str(number) != text or not -(2**63) <= number < 2**63:
            raise ValueError(f"{text} is no key")
        return number
    return text


def unmirrorable(model: Any) -> Optional[str]:
    """Return why *model* can't be mirrored, None if it can."""
    import mongoengine

    if model._meta.get("allow_inheritance") or "_cls" in model._fields:
        return "is part of an inheritance hierarchy"
    if issubclass(model, mongoengine.DynamicDocument):
        return "is a dynamic document"
    if pk_kind(model) is None:
        return f"has a primary key of type {type(pk_field(model)).__name__}"
    for name, field in model._fields.items():
        if _refers_otherwise(field):
            return f"refers to other documents by {name}, which is no Relationship"
    for reference in references(model):
        if pk_kind(reference.target) is None:
            name = type(pk_field(reference.target)).__name__
            return f"relates to {reference.target.__name__} with a primary key of type {name}"
    return None


def unusable(model: Any) -> Optional[str]:
    """Return what is wrong with the names of *model* for documents, None if nothing is."""
    return unusable_name(model._fields, set(dir(model)).difference(dir(base_class())))


def _refers_otherwise(field: Any) -> bool:
    """Return True for references of MongoEngine that nefertari does not support or follow."""
    import mongoengine
    from nefertari_mongodb.fields import ReferenceField

    kinds = (
        mongoengine.fields.ReferenceField,
        mongoengine.fields.CachedReferenceField,
        mongoengine.fields.LazyReferenceField,
        mongoengine.fields.GenericReferenceField,
    )
    if isinstance(field, mongoengine.fields.ComplexBaseField) and field.field is not None:
        field = field.field
    return isinstance(field, kinds) and not isinstance(field, ReferenceField)


def references(model: Any) -> Iterator[Reference]:
    """Return the relationships of *model*, backreferences included: each side has a field."""
    from nefertari_mongodb.fields import ReferenceField, RelationshipField

    for name, field in model._fields.items():
        if isinstance(field, RelationshipField):
            yield Reference(name, field.db_field or name, field.field.document_type, True)
        elif isinstance(field, ReferenceField):
            yield Reference(name, field.db_field or name, field.document_type, False)


def rendered_fields(model: Any) -> dict[str, Any]:
    """Return the fields by name that ``to_dict`` renders, in its order."""
    from nefertari_mongodb.fields import ForeignKeyField

    return {
        name: field
        for name, field in model._fields.items()
        if not isinstance(field, ForeignKeyField)
    }


def field_class(field: Any) -> Union[str, type[BaseField]]:
    """Return the field class of this package's engine that is like *field*."""
    import mongoengine
    from nefertari_mongodb.fields import ChoiceField

    if isinstance(field, mongoengine.fields.ObjectIdField):
        return ObjectIdField
    if isinstance(field, ChoiceField):
        # It represents a field of the type of its choices.
        field = field._real_field
    for cls in type(field).__mro__:
        if cls.__module__.startswith(_OF_ENGINE) and cls.__name__ in FIELDS:
            return cls.__name__
    for kind, name in (
        (mongoengine.fields.BooleanField, "BooleanField"),
        (mongoengine.fields.IntField, "IntegerField"),
        (mongoengine.fields.FloatField, "FloatField"),
        (mongoengine.fields.DateTimeField, "DateTimeField"),
        (mongoengine.fields.StringField, "UnicodeField"),
    ):
        # Plain fields of MongoEngine; what derives from them may store anything.
        if type(field) is kind:
            return name
    # A type that is searched as it is rendered: text, unless it is listed above.
    return "PickleField"


def field_specs(model: Any) -> FieldSpecs:
    """Return field classes and init arguments, in the order in which *model* renders them."""
    related = {reference.name: reference for reference in references(model)}
    specs: FieldSpecs = {}
    for name, field in rendered_fields(model).items():
        params = dict(model.get_field_params(name) or {})
        reference = related.get(name)
        if reference is not None:
            # A backreference has no init arguments.
            params["document"] = reference.target.__name__
            params["uselist"] = reference.many
            specs[name] = ("Relationship", params)
        else:
            params["primary_key"] = name == model.pk_field()
            specs[name] = (field_class(field), params)
    return specs


def engine_members(model: Any) -> set[str]:
    """Return the names of members that are MongoEngine's, which a mirror does not need."""
    import mongoengine

    own = (mongoengine.fields.BaseField, mongoengine.queryset.QuerySetManager)
    settings = {"_public_fields", "_auth_fields", "_hidden_fields"}
    names = {"meta"}
    for cls in model.__mro__:
        if cls is base_class():
            break
        for name, member in vars(cls).items():
            exception = isinstance(member, type) and issubclass(member, Exception)
            private = name.startswith("_") and hasattr(base_class(), name)
            if isinstance(member, own) or exception or private:
                names.add(name)
    return names - settings


def custom_to_dict(model: Any) -> bool:
    """Return True if *model* overrides what nefertari renders."""
    from nefertari_mongodb import BaseMixin

    return model.to_dict is not BaseMixin.to_dict


def renders_by_itself(model: Any, depth: int) -> bool:
    """Return True if *model*, or one that its documents nest, overrides ``to_dict``."""
    if custom_to_dict(model):
        return True
    return depth > 0 and any(
        renders_by_itself(reference.target, depth - 1)
        for reference in references(model)
        if reference.name in model._nested_relationships
    )
