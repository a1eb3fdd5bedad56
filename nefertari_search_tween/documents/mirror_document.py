"""Document classes: what a mirror's results are made of."""

from __future__ import annotations

from typing import Any, Optional

from nefertari.utils import dictset

from nefertari_search_tween.documents.fields import BaseField, Relationship
from nefertari_search_tween.documents.format import EXACT, INTERNAL

# What SQLAlchemy knows an object by; only instances have it.
STATE = "_sa_instance_state"

_classes: dict[str, type[BaseDocument]] = {}


class BaseMixin:
    """Attributes that every nefertari model has; see nefertari's own documentation."""

    _public_fields: Any = None
    _auth_fields: Any = None
    _hidden_fields: Any = None
    _nested_relationships: Any = ()
    _nesting_depth = 1


class BaseDocument(BaseMixin):
    """A document of a mirror: reads as the primary's object, writes through it.

    Made of what the backend stored; an attribute that the document does not hold (a related
    object, a pickled value) and every write go to the primary's own object, which is loaded
    then, once.
    """

    primary: Any = None
    _abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._abstract = "_abstract" in cls.__dict__ and bool(cls.__dict__["_abstract"])
        if not cls._abstract:
            _classes[cls.__name__] = cls
        cls._fields = None

    _fields: Optional[dict[str, BaseField]] = None

    def __init__(self, source: dict[str, Any]) -> None:
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_loaded", None)

    # The schema

    @classmethod
    def fields(cls) -> dict[str, BaseField]:
        """Fields by name, in the order in which the primary renders them."""
        if cls._fields is None:
            found = {}
            for base in reversed(cls.__mro__):
                for name, member in base.__dict__.items():
                    if isinstance(member, BaseField):
                        found[name] = member
            cls._fields = found
        return cls._fields

    @classmethod
    def native_fields(cls) -> list[str]:
        return list(cls.fields())

    @classmethod
    def has_field(cls, field: str) -> bool:
        return field in cls.fields()

    @classmethod
    def get_field_params(cls, field_name: str) -> Optional[dict[str, Any]]:
        """Init arguments of the field *field_name*, None when there is no such field."""
        field = cls.fields().get(field_name)
        return None if field is None else field._init_kwargs

    @classmethod
    def pk_field(cls) -> str:
        """Name of the primary key field."""
        for name, field in cls.fields().items():
            if field.primary_key:
                return name
        raise TypeError(f"{cls.__name__} has no primary key field")

    @classmethod
    def related(cls, field_name: str) -> type[BaseDocument]:
        """The document class that the relationship *field_name* points to."""
        field = cls.fields()[field_name]
        if not isinstance(field, Relationship):
            raise TypeError(f"{cls.__name__}.{field_name} is no relationship")
        return get_document_cls(field.document)

    @classmethod
    def nests(cls, field_name: str) -> bool:
        """True when the relationship *field_name* is rendered as whole documents."""
        return field_name in cls._nested_relationships

    @classmethod
    def joins(cls, field_name: str) -> bool:
        """False: a mirror's documents hold what they relate to, or its keys."""
        return False

    @classmethod
    def custom_to_dict(cls) -> bool:
        """True when the primary's model renders itself by a ``to_dict`` of its own."""
        return False

    @classmethod
    def get_collection(cls, **params: Any) -> Any:
        """What the primary's ``get_collection`` gives for *params*, read from the mirror.

        :raises SearchUnavailable: the mirror can't answer now.
        """
        return cls.primary.get_collection(_query_secondary=True, **params)

    @classmethod
    def get_item(cls, **params: Any) -> Any:
        """What the primary's ``get_item`` gives, read from the mirror.

        :raises JHTTPNotFound: there is none, unless ``_raise_on_empty=False``.
        """
        return cls.primary.get_item(_query_secondary=True, **params)

    @classmethod
    def get_by_ids(cls, ids: Any, **params: Any) -> Any:
        """What the primary's ``get_by_ids`` gives, read from the mirror."""
        return cls.primary.get_by_ids(ids, _query_secondary=True, **params)

    # The document

    @property
    def _type(self) -> str:
        return type(self).__name__

    @property
    def _pk(self) -> str:
        return str(self._source["_pk"])

    def field_value(self, name: str) -> Any:
        """The value of the field *name*, as the primary's object has it."""
        loaded = self._loaded
        if loaded is not None:
            return getattr(loaded, name)
        field = self.fields()[name]
        if isinstance(field, Relationship) or name not in self._source or self._opaque(name):
            return getattr(self.primary_object(), name)
        return restored(field, self._source, name)

    def set_field_value(self, name: str, value: Any) -> None:
        setattr(self.primary_object(), name, value)

    def primary_object(self) -> Any:
        """The primary's own object of this document, loaded at the first call.

        :raises nefertari.json_httpexceptions.JHTTPNotFound: it is gone.
        """
        if self._loaded is None:
            primary = self.primary
            loaded = primary.get_item(**{primary.pk_field(): self.pk_value()})
            object.__setattr__(self, "_loaded", loaded)
        return self._loaded

    def pk_value(self) -> Any:
        """The primary key's value, in the type that the primary has."""
        return self._source[self.pk_field()]

    def to_dict(self, **kwargs: Any) -> Any:
        """What the primary's ``to_dict`` gives: values by name, ``_type`` and ``_pk``."""
        if self._loaded is not None:
            return self._loaded.to_dict(**kwargs)
        result = self.rendered(self._source)
        for name in result:
            if self._opaque(name):
                result[name] = getattr(self.primary_object(), name)
        return result

    def _opaque(self, name: str) -> bool:
        """True for a value that can't be made of what was stored (a pickled object)."""
        field = self.fields().get(name)
        if field is None or field.restorable or self._source[name] is None:
            return False
        return self._source.get(EXACT, {}).get(name) is not True

    @classmethod
    def rendered(cls, source: dict[str, Any], depth: Optional[int] = None) -> Any:
        """*source* as a dictset with the values that the primary's ``to_dict`` has."""
        if depth is None:
            depth = cls._nesting_depth
        result = dictset()
        fields = cls.fields()
        for name, stored in source.items():
            if name in INTERNAL:
                continue
            field = fields.get(name)
            value = stored
            if stored is not None and field is not None:
                if field.kind == "relationship":
                    if depth > 0 and cls.nests(name):
                        related = cls.related(name)
                        value = (
                            [related.rendered(each, depth - 1) for each in stored]
                            if isinstance(stored, list)
                            else related.rendered(stored, depth - 1)
                        )
                elif field.restore is not None:
                    value = restored(field, source, name)
            result[name] = value
        return result

    def __getattr__(self, name: str) -> Any:
        # nefertari probes documents for attributes that no object has (`_nefertari_meta`,
        # `__html__`): these must not load the primary's object.
        if name != STATE and (name.startswith("__") or not hasattr(self.primary, name)):
            raise AttributeError(name)
        return getattr(self.primary_object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.primary_object(), name, value)

    def __eq__(self, other: Any) -> bool:
        return (
            getattr(other, "_type", None) == self._type and getattr(other, "_pk", None) == self._pk
            if isinstance(other, BaseDocument)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((self._type, self._pk))

    def __repr__(self) -> str:
        return f"<{self._type} document: {self._pk}>"


def restored(field: BaseField, source: dict[str, Any], name: str) -> Any:
    """The Python value of the field *name* of the stored document *source*."""
    stored = source[name]
    if stored is None or field.restore is None:
        return stored
    return field.restore(stored, source.get(EXACT, {}).get(name))


class ESBaseDocument(BaseDocument):
    """The same: here every document is in a search backend."""

    _abstract = True
    _index_enabled = True


def get_document_cls(name: str) -> type[BaseDocument]:
    """The document class called *name*.

    :raises ValueError: there is none.
    """
    try:
        return _classes[name]
    except KeyError:
        raise ValueError(f"Mirror model `{name}` does not exist") from None


def get_document_classes() -> dict[str, type[BaseDocument]]:
    """All document classes by name."""
    return dict(_classes)
