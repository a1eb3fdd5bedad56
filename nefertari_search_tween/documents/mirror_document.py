"""Document classes: the objects in results of a mirror."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Optional

from nefertari.utils import dictset

from nefertari_search_tween.documents.base_field import BaseField, declared_fields
from nefertari_search_tween.documents.fields import Relationship
from nefertari_search_tween.documents.format import EXACT, INTERNAL

# The attribute by which SQLAlchemy recognizes its instances.
STATE = "_sa_instance_state"

_classes: dict[str, type[BaseDocument]] = {}


class BaseMixin:
    """Attributes that every nefertari model has; see nefertari's own documentation."""

    _public_fields: Any = None
    _auth_fields: Any = None
    _hidden_fields: Any = None
    _nested_relationships: Any = ()
    _nesting_depth = 1

    @property
    def _type(self) -> str:
        return type(self).__name__

    @classmethod
    def fields(cls) -> dict[str, BaseField]:
        """Return the fields by name, in the order in which they are rendered."""
        return declared_fields(cls)

    @classmethod
    def native_fields(cls) -> list[str]:
        return list(cls.fields())

    @classmethod
    def has_field(cls, field: str) -> bool:
        return field in cls.fields()

    @classmethod
    def get_field_params(cls, field_name: str) -> Optional[dict[str, Any]]:
        """Return the init arguments of the field *field_name*, None if it does not exist."""
        field = cls.fields().get(field_name)
        return None if field is None else field._init_kwargs

    @classmethod
    def pk_field(cls) -> str:
        """Return the name of the primary key field."""
        for name, field in cls.fields().items():
            if field.primary_key:
                return name
        raise TypeError(f"{cls.__name__} has no primary key field")


class RenderingPlan(NamedTuple):
    """What of the stored documents of a class may be another value than the one that is rendered.

    :param nested: names of relationships that are rendered as whole documents, and their classes.
    :param restored: fields whose values have another form.
    :param doubtful: fields whose values are opaque unless the exact form says otherwise.
    """

    nested: list[tuple[str, type[BaseDocument]]]
    restored: list[tuple[str, BaseField]]
    doubtful: list[tuple[str, BaseField]]


class BaseDocument(BaseMixin):
    """A document of a mirror: reads like the primary's object, and writes through to it.

    It is made from the stored document. Attributes that the document does not have (related
    objects, pickled values) and all writes go to the primary's own object, which is then loaded
    once.

    Its fields may have any names but those of the members of this class: so ``primary``, the
    primary's model, is an attribute only of classes whose fields leave the name free.
    """

    _primary_model: Any = None
    _abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._abstract = "_abstract" in cls.__dict__ and bool(cls.__dict__["_abstract"])
        if not cls._abstract:
            _classes[cls.__name__] = cls
        cls._fields = cls._rendering_plan = None

    _fields: Optional[dict[str, BaseField]] = None
    # Made at the first document: then all classes are known.
    _rendering_plan: Optional[RenderingPlan] = None

    def __init__(self, source: dict[str, Any]) -> None:
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_loaded", None)

    # The schema

    @classmethod
    def fields(cls) -> dict[str, BaseField]:
        """Return the fields by name, in the order in which the primary renders them."""
        if cls._fields is None:
            cls._fields = declared_fields(cls)
        return cls._fields

    @classmethod
    def related(cls, field_name: str) -> type[BaseDocument]:
        """Return the document class that the relationship *field_name* points to."""
        field = cls.fields()[field_name]
        if not isinstance(field, Relationship):
            raise TypeError(f"{cls.__name__}.{field_name} is no relationship")
        return get_document_cls(field.document)

    @classmethod
    def nests(cls, field_name: str) -> bool:
        """Return True if the relationship *field_name* is rendered as whole documents."""
        return field_name in cls._nested_relationships

    @classmethod
    def joins(cls, field_name: str) -> bool:
        """Return False: a mirror's documents contain their related documents or those keys."""
        return False

    @classmethod
    def own_rendering(cls) -> Optional[str]:
        """Return the name of code that changes what stored documents show, None without any."""
        return None

    @classmethod
    def custom_to_dict(cls) -> bool:
        """Return True if the primary's model has its own ``to_dict``."""
        return False

    @classmethod
    def get_collection(cls, **params: Any) -> Any:
        """Return the result of the primary's ``get_collection``, read from the mirror.

        :raises SearchUnavailable: the mirror can't be read now.
        """
        return cls._primary_model.get_collection(_query_secondary=True, **params)

    @classmethod
    def get_item(cls, **params: Any) -> Any:
        """Return the result of the primary's ``get_item``, read from the mirror.

        :raises JHTTPNotFound: nothing matches, unless ``_raise_on_empty=False``.
        """
        return cls._primary_model.get_item(_query_secondary=True, **params)

    @classmethod
    def get_by_ids(cls, ids: Any, **params: Any) -> Any:
        """Return the result of the primary's ``get_by_ids``, read from the mirror."""
        return cls._primary_model.get_by_ids(ids, _query_secondary=True, **params)

    # The document

    @property
    def _pk(self) -> str:
        return str(self._source["_pk"])

    def field_value(self, name: str) -> Any:
        """Return the value of the field *name*, as the primary's object has it."""
        loaded = self._loaded
        if loaded is not None:
            return getattr(loaded, name)
        field = self.fields()[name]
        if (
            isinstance(field, Relationship)
            or name not in self._source
            or is_opaque(field, self._source, name)
        ):
            return getattr(self.primary_object(), name)
        return restore_value(field, self._source, name)

    def set_field_value(self, name: str, value: Any) -> None:
        setattr(self.primary_object(), name, value)

    def primary_object(self) -> Any:
        """Return the primary's own object of this document, loaded at the first call.

        :raises nefertari.json_httpexceptions.JHTTPNotFound: it was deleted.
        """
        if self._loaded is None:
            primary = self._primary_model
            loaded = primary.get_item(**{primary.pk_field(): self.pk_value()})
            object.__setattr__(self, "_loaded", loaded)
        return self._loaded

    def pk_value(self) -> Any:
        """Return the value of the primary key, in the primary's type."""
        return self._source[self.pk_field()]

    def to_dict(self, **kwargs: Any) -> Any:
        """Return the same as the primary's ``to_dict``: values by name, ``_type`` and ``_pk``."""
        if self._loaded is None and self.restores(self._source):
            return self.rendered(self._source)
        return self.primary_object().to_dict(**kwargs)

    @classmethod
    def restores(cls, source: dict[str, Any], depth: Optional[int] = None) -> bool:
        """Return True if :meth:`rendered` restores all values of *source*."""
        plan = cls._plan()
        exact = source.get(EXACT, {})
        for name, field in plan.doubtful:
            if source.get(name) is not None and is_opaque(field, source, name):
                return False
        if any(each is False for each in exact.values()):
            fields = cls.fields()
            for name in exact.keys() & fields.keys() & source.keys():
                if is_opaque(fields[name], source, name):
                    return False
        depth = cls._nesting_depth if depth is None else depth
        if depth > 0:
            for name, related in plan.nested:
                stored = source.get(name)
                nested = stored if isinstance(stored, list) else [stored] if stored else ()
                if not all(related.restores(each, depth - 1) for each in nested):
                    return False
        return True

    @classmethod
    def rendered(cls, source: dict[str, Any], depth: Optional[int] = None) -> Any:
        """Return *source* as a dictset with the values of the primary's ``to_dict``."""
        plan = cls._plan()
        result = dictset(source)
        for name in INTERNAL:
            result.pop(name, None)
        for name, field in plan.restored:
            if source.get(name) is not None:
                result[name] = restore_value(field, source, name)
        depth = cls._nesting_depth if depth is None else depth
        if depth > 0:
            for name, related in plan.nested:
                stored = source.get(name)
                if isinstance(stored, list):
                    result[name] = [related.rendered(each, depth - 1) for each in stored]
                elif stored is not None:
                    result[name] = related.rendered(stored, depth - 1)
        return result

    @classmethod
    def _plan(cls) -> RenderingPlan:
        if cls._rendering_plan is None:
            fields = cls.fields().items()
            cls._rendering_plan = RenderingPlan(
                [
                    (name, cls.related(name))
                    for name, field in fields
                    if field.kind == "relationship" and cls.nests(name)
                ],
                [(name, field) for name, field in fields if field.restore is not None],
                [
                    (name, field)
                    for name, field in fields
                    if field.kind != "relationship"
                    and (field.exact_type is not None or not field.restorable)
                ],
            )
        return cls._rendering_plan

    def __getattr__(self, name: str) -> Any:
        # nefertari probes documents for attributes that no object has (`_nefertari_meta`,
        # `__html__`): that must not load the primary's object.
        if name != STATE and (name.startswith("__") or not hasattr(self._primary_model, name)):
            raise AttributeError(name)
        return getattr(self.primary_object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.primary_object(), name, value)

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, BaseDocument):
            return other._type == self._type and other._pk == self._pk
        if type(other) is self._primary_model:
            return str(getattr(other, self.pk_field())) == self._pk
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self._type, self._pk))

    def __repr__(self) -> str:
        return f"<{self._type} document: {self._pk}>"


def restore_value(field: BaseField, source: dict[str, Any], name: str) -> Any:
    """Return the Python value of the field *name* of the stored document *source*."""
    stored = source[name]
    if stored is None or field.restore is None:
        return stored
    exact = source.get(EXACT, {}).get(name)
    # A value without its exact form stays as it is rendered.
    if exact is None and field.exact_type is not None:
        return stored
    return field.restore(stored, exact)


def is_opaque(field: BaseField, source: dict[str, Any], name: str) -> bool:
    """Return True if the value of *field* can't be restored from *source* (a pickled object, a
    list of dates): only the primary's object has it."""
    if source[name] is None:
        return False
    exact = source.get(EXACT, {}).get(name)
    if field.exact_type is not None:
        return exact is None
    return exact is False if field.restorable else exact is not True


# Those of the class, and what its objects and their JSON have besides the fields.
_RESERVED = {
    *(name for name in dir(BaseDocument) if not name.startswith("__")),
    *INTERNAL,
    *("_source", "_loaded", "_score"),
}


def unusable_name(fields: Iterable[str], members: Iterable[str]) -> Optional[str]:
    """Return what is wrong with the names in a model, None if a mirror can have them all.

    :param fields: names of the fields.
    :param members: names of what else the application gave to the class.
    """
    names = set(fields)
    for kind, used in (("field", names), ("member", set(members))):
        reserved = min(_RESERVED & used, default=None)
        if reserved is not None:
            return f"has a {kind} called {reserved}, as a member of every mirror is"
    dotted = min((name for name in names if "." in name), default=None)
    return None if dotted is None else f"has a field called {dotted}, whose dot means nesting"


class ESBaseDocument(BaseDocument):
    """The same as BaseDocument: every mirror document is in a search backend."""

    _abstract = True
    _index_enabled = True


def get_document_cls(name: str) -> type[BaseDocument]:
    """Return the document class called *name*.

    :raises ValueError: it does not exist.
    """
    try:
        return _classes[name]
    except KeyError:
        raise ValueError(f"Mirror model `{name}` does not exist") from None


def get_document_classes() -> dict[str, type[BaseDocument]]:
    """Return all document classes by name."""
    return dict(_classes)
