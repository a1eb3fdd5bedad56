"""What a model tells of itself: its fields, relationships and mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest
from nefertari.utils import dictset

from nefertari_search_tween.documents.base_field import BaseField, declared_fields
from nefertari_search_tween.documents.fields import Relationship
from nefertari_search_tween.documents.mirror_document import BaseMixin
from nefertari_search_tween.engine import database, model_registry

_QUERY_FIELDS = ["id", "_limit", "_page", "_sort", "_fields", "_count", "_start"]


class Schema(BaseMixin):
    """The class methods of a model that nefertari and its views ask for its schema."""

    _fields_of: Any = None
    _links_of: Any = None

    @classmethod
    def fields(cls) -> dict[str, BaseField]:
        """Fields by name: columns first, then relationships, backreferences last."""
        made = cls._fields_of
        if made is None or made[0] != model_registry.generation():
            own = declared_fields(cls)
            back = {
                name: field
                for name, field in model_registry.backreferences(cls).items()
                if name not in own
            }
            for name, field in back.items():
                setattr(cls, name, field)
            both = {**own, **back}
            found = {name: each for name, each in both.items() if not _relates(each)}
            found.update((name, each) for name, each in both.items() if _relates(each))
            made = cls._fields_of = (model_registry.generation(), found)
        return dict(made[1])

    @classmethod
    def links(cls) -> dict[str, model_registry.Link]:
        """Relationships by name."""
        made = cls._links_of
        if made is None or made[0] != model_registry.generation():
            made = cls._links_of = (model_registry.generation(), model_registry.links(cls))
        found: dict[str, model_registry.Link] = made[1]
        return found

    @classmethod
    def pk_field_type(cls) -> type[BaseField]:
        return type(cls.fields()[cls.pk_field()])

    @classmethod
    def related(cls, field_name: str) -> Any:
        """The model that the relationship *field_name* points to."""
        return cls.links()[field_name].target

    @classmethod
    def nests(cls, field_name: str) -> bool:
        """False: stored documents hold keys, whole documents are put in when they are read."""
        return False

    @classmethod
    def joins(cls, field_name: str) -> bool:
        """True: whatever is searched of related documents is in an index of its own."""
        return True

    @classmethod
    def held_in(cls, field_name: str) -> Optional[str]:
        """Name of the field that has the keys of the relationship *field_name*; None when the
        documents of the other side have them."""
        link = cls.links()[field_name]
        return link.field if link.is_owning else None

    @classmethod
    def custom_to_dict(cls) -> bool:
        """False: what is stored are the fields, whatever ``to_dict`` makes of them."""
        return False

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
        """
        :raises JHTTPBadRequest: a name that is no field, nor a parameter of collections.
        """
        unknown = {each.split("__")[0] for each in fields} - set(cls.fields_to_query())
        if unknown:
            raise JHTTPBadRequest(
                f"'{cls.__name__}' object does not have fields: {', '.join(sorted(unknown))}"
            )

    @classmethod
    def filter_fields(cls, params: dict[str, Any]) -> Any:
        """*params* without names that are no fields."""
        known = cls.fields_to_query()
        return dictset({key: each for key, each in params.items() if key.split("__")[0] in known})

    @classmethod
    def get_null_values(cls) -> dict[str, Any]:
        """What a field is without a value, by name: what PUT gives to fields that it leaves out."""
        return {
            name: [] if isinstance(field, Relationship) and field.uselist else None
            for name, field in cls.fields().items()
            if name != "_acl"
        }

    @classmethod
    def get_es_mapping(cls, _depth: Optional[int] = None, types_map: Any = None) -> dict[str, Any]:
        """The mapping of the model's index under its name."""
        mapping = database.current().mirror(cls).mapping
        return {cls.__name__: {"properties": dict(mapping["properties"])}}


def _relates(field: BaseField) -> bool:
    return isinstance(field, Relationship)
