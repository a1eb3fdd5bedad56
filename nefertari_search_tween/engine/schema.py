"""The schema of a model: its fields, relationships and mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest
from nefertari.utils import dictset

from nefertari_search_tween.documents.base_field import BaseField, declared_fields
from nefertari_search_tween.documents.fields import Relationship
from nefertari_search_tween.documents.mirror_document import BaseMixin
from nefertari_search_tween.engine import database, model_registry
from nefertari_search_tween.known_code import is_known, name_of

_QUERY_FIELDS = ["id", "_limit", "_page", "_sort", "_fields", "_count", "_start"]


class Schema(BaseMixin):
    """The class methods by which nefertari and its views query the schema of a model."""

    @classmethod
    def fields(cls) -> dict[str, BaseField]:
        """Return the fields by name: columns first, then relationships, backreferences last."""
        return dict(_fields(cls))

    @classmethod
    def links(cls) -> dict[str, model_registry.Link]:
        """Return the relationships by name."""
        return model_registry.links(cls)

    @classmethod
    def pk_field_type(cls) -> type[BaseField]:
        return type(cls.fields()[cls.pk_field()])

    @classmethod
    def related(cls, field_name: str) -> Any:
        """Return the model that the relationship *field_name* points to."""
        return cls.links()[field_name].target

    @classmethod
    def nests(cls, field_name: str) -> bool:
        """Return False: documents store keys, related documents are nested when they are read."""
        return False

    @classmethod
    def joins(cls, field_name: str) -> bool:
        """Return True: related documents are searched in their own index."""
        return True

    @classmethod
    def owning_field(cls, field_name: str) -> Optional[str]:
        """Return the name of the field with the keys of the relationship *field_name*.

        None if the documents of the other side store them.
        """
        link = cls.links()[field_name]
        return link.field if link.is_owning else None

    @classmethod
    def custom_to_dict(cls) -> bool:
        """Return False: the fields are stored, whatever ``to_dict`` returns."""
        return False

    @classmethod
    def own_rendering(cls) -> Optional[str]:
        """Return the name of the model's own ``to_dict``, None if it has none."""
        render = getattr(cls, "to_dict", None)
        return None if render is None or is_known(render) else name_of(render)

    @classmethod
    def unique_fields(cls) -> list[BaseField]:
        return [
            field
            for field in cls.fields().values()
            if field.primary_key or field._init_kwargs.get("unique")
        ]

    @classmethod
    def fields_to_query(cls) -> list[str]:
        return list({*_QUERY_FIELDS, *cls.native_fields()})

    @classmethod
    def check_fields_allowed(cls, fields: Iterable[str]) -> None:
        """Check the names of *fields*.

        :raises JHTTPBadRequest: a name is neither a field nor a parameter of collections.
        """
        unknown = {each.split("__")[0] for each in fields} - set(cls.fields_to_query())
        if unknown:
            raise JHTTPBadRequest(
                f"'{cls.__name__}' object does not have fields: {', '.join(sorted(unknown))}"
            )

    @classmethod
    def filter_fields(cls, params: dict[str, Any]) -> Any:
        """Return *params* without the names that are no fields."""
        allowed = cls.fields_to_query()
        return dictset({key: each for key, each in params.items() if key.split("__")[0] in allowed})

    @classmethod
    def get_null_values(cls) -> dict[str, Any]:
        """Return the empty value of each field, which PUT sets for fields that are missing."""
        return {
            name: [] if isinstance(field, Relationship) and field.uselist else None
            for name, field in cls.fields().items()
            if name != "_acl"
        }

    @classmethod
    def get_es_mapping(cls, _depth: Optional[int] = None, types_map: Any = None) -> dict[str, Any]:
        """Return the mapping of the model's index under its name."""
        mapping = database.current().mirror(cls).mapping
        return {cls.__name__: {"properties": dict(mapping["properties"])}}


@model_registry.cached
def _fields(model: Any) -> dict[str, BaseField]:
    declared = declared_fields(model)
    for name, field in model_registry.backreferences(model).items():
        if name not in declared:
            declared[name] = field
            setattr(model, name, field)
    return dict(sorted(declared.items(), key=lambda item: isinstance(item[1], Relationship)))
