"""Mirror models: generated from the primary's models, no second schema to write."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, Optional, Union

from nefertari_search_tween.documents.fields import FIELDS, BaseField
from nefertari_search_tween.documents.mirror_document import BaseDocument

# Names that the document class brings itself; the primary's must not replace them.
_OWN = frozenset(dir(BaseDocument))


FieldClass = Union[str, type[BaseField]]


def generate(
    model: Any,
    fields: Mapping[str, tuple[FieldClass, Optional[dict[str, Any]]]],
    base: type,
    custom: bool,
    left_out: Collection[str] = (),
) -> type[BaseDocument]:
    """Return a mirror model of *model*.

    :param model: the primary's model class.
    :param fields: by field name, in rendering order: its field class, or the name of one of this
        engine, and its init arguments.
    :param base: the base class of models of the primary's engine: members are taken from
        the classes between it and *model*.
    :param custom: *model* has a ``to_dict`` of its own.
    :param left_out: names of the engine's own members.
    :raises KeyError: a field class that this engine does not have.
    """
    namespace: dict[str, Any] = {}
    for cls in reversed(model.__mro__):
        if cls is base or cls in base.__mro__:
            continue
        for name, member in vars(cls).items():
            ours = name in fields or name in _OWN or name in left_out or name.startswith("__")
            if not ours and _is_application_member(name, member):
                namespace[name] = member
    for name, (field_class, params) in fields.items():
        cls = FIELDS[field_class] if isinstance(field_class, str) else field_class
        namespace[name] = cls(**(params or {}))
    namespace.update(
        {
            "__doc__": model.__doc__,
            "__module__": model.__module__,
            # isinstance(document, Model) holds, as for the primary's own objects.
            "__class__": property(lambda self: model),
            "_primary_model": model,
            "_public_fields": model._public_fields,
            "_auth_fields": model._auth_fields,
            "_hidden_fields": model._hidden_fields,
            "_nested_relationships": tuple(model._nested_relationships),
            "_nesting_depth": model._nesting_depth,
            "_index_enabled": True,
            "_fields": None,
            "custom_to_dict": classmethod(lambda cls: custom),
        }
    )
    namespace.setdefault("primary", model)
    return type(model.__name__, (BaseDocument,), namespace)


def link(model: Any, mirror_class: type[BaseDocument]) -> list[str]:
    """Make *mirror_class* the attribute ``secondary`` of *model*, if the name is free.

    Whatever the application has there stays: a class in the place of a column would take its
    values, which the database would never see.

    :returns: the names, ``secondary`` or ``primary`` of the mirror, that are not free.
    """
    occupied = []
    present = inspect.getattr_static(model, "secondary", None)
    # An application that was made earlier has left its own mirror there.
    if present is None or (isinstance(present, type) and issubclass(present, BaseDocument)):
        model.secondary = mirror_class
    else:
        occupied.append("secondary")
    if inspect.getattr_static(mirror_class, "primary") is not model:
        occupied.append("primary")
    return occupied


def _is_application_member(name: str, member: Any) -> bool:
    """Return True for methods, properties and constants of the application."""
    if name.startswith("_sa_") or name in ("metadata", "registry", "query"):
        return False
    return not hasattr(member, "_sa_class_manager") and not hasattr(member, "impl")
