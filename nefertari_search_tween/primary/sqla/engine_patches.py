"""Patches of nefertari_sqla 0.4.2: ``_fields`` with relationships.

``apply_fields`` selects ``Model.relationship`` as if it were a column: the condition of its join is
dropped, and the result is one row for every pair of objects, those of hidden models counted. Here
such a request is answered as the document would show the relationship: by its keys, or by nested
documents. Requests for columns alone stay nefertari_sqla's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari.utils import process_fields
from pyramid.threadlocal import get_current_request
from sqlalchemy.orm import Load, Query
from sqlalchemy.orm.collections import InstrumentedList

from nefertari_search_tween.primary.sqla import schema

_PATCHED = "_nefertari_search_patched"
# How relationships are loaded that end up with their objects, now or when they are rendered.
_LOADED = ("select", True, "immediate", "joined", False, "selectin", "subquery")


def patch_engine() -> None:
    """Patch nefertari_sqla in this process. Doing so twice is safe."""
    from nefertari_sqla.documents import BaseMixin

    if getattr(BaseMixin, _PATCHED, False):
        return
    setattr(BaseMixin, _PATCHED, True)
    select_columns = BaseMixin.apply_fields.__func__
    name_columns = BaseMixin.add_field_names.__func__

    def apply_fields(cls: Any, query_set: Any, _fields: Any) -> Any:
        names = picked_fields(cls, _fields)
        if not _relationships(cls, names):
            return select_columns(cls, query_set, _fields)
        for name in names:
            # A parameter's name is no attribute: the same error as for columns alone.
            getattr(cls, name)
        if not _selects(query_set, cls):
            query_set = query_set.with_entities(cls)
        return query_set.options(*_load_options(query_set, cls, names))

    def add_field_names(cls: Any, query_set: Any, requested_fields: Any) -> Any:
        if not _selects(query_set, cls):
            return name_columns(cls, query_set, requested_fields)
        return _rows(cls, query_set, requested_fields)

    BaseMixin.apply_fields = classmethod(apply_fields)
    BaseMixin.add_field_names = classmethod(add_field_names)


def picked_fields(model: Any, fields: Any) -> list[str]:
    """Return the names of the fields that *fields* (``_fields``) select, in their order.

    With the primary key, by which nefertari names each object; empty for whole documents.
    """
    only, exclude = process_fields(fields)
    if not (only or exclude):
        return []
    names = {name for name in (only or model.native_fields()) if name not in exclude}
    return sorted({*names, model.pk_field()})


def _relationships(model: Any, names: Iterable[str]) -> list[Any]:
    relationships = schema.mapper_of(model).relationships
    return [relationships[name] for name in names if name in relationships]


def _selects(query: Any, model: Any) -> bool:
    """Return True if *query* returns objects of *model*, and nothing besides."""
    # By identity: "==" of a column makes an expression, or an error of its type.
    selected = [each["expr"] for each in query.column_descriptions]
    return len(selected) == 1 and selected[0] is model


def _load_options(query: Any, model: Any, names: list[str]) -> list[Any]:
    """Return options that load the related objects of all rows together: one statement for 500
    objects, where nefertari_sqla's relationships load those of each object by themselves, and
    theirs with them.

    They are other statements than those that an application's own hooks on queries know: then
    there are none.
    """
    if type(query) is not Query or query.dispatch.before_compile:
        return []
    return list(load_options(Load(model), model, names, model._nesting_depth))


def load_options(path: Any, model: Any, names: Iterable[str], depth: int) -> Iterator[Any]:
    """Yield the options to load the relationships *names* of *model*, and no others."""
    for prop in schema.mapper_of(model).relationships:
        if prop.lazy not in _LOADED:
            continue
        attribute, target = getattr(model, prop.key), prop.mapper.class_
        if prop.key not in names:
            yield path.lazyload(attribute)
            continue
        load = path.selectinload(attribute)
        yield load
        nested = prop.key in model._nested_relationships and depth > 0
        rendered = schema.mapper_of(target).relationships.keys() if nested else ()
        yield from load_options(load, target, rendered, depth - 1)


def _rows(model: Any, items: Iterable[Any], fields: Any) -> Any:
    """Return the dicts of nefertari_sqla: the fields by name, ``_type`` and ``_pk``."""
    from nefertari_sqla.utils import FieldsQuerySet

    names, pk = picked_fields(model, fields), model.pk_field()
    related = {prop.key for prop in _relationships(model, names)}
    custom = schema.custom_to_dict(model)
    rows = FieldsQuerySet()
    for item in items:
        document: Optional[Any] = None
        if custom and related:
            # As in a response with whole documents.
            document = item.to_dict(_keys=fields, request=get_current_request())
        row = {}
        for name in names:
            if name not in related:
                row[name] = getattr(item, name)
            elif document is None:
                row[name] = _rendered(item, name)
            elif name in document:
                row[name] = document[name]
        row["_type"] = model.__name__
        row["_pk"] = row[pk]
        if pk not in fields:
            del row[pk]
        rows.append(row)
    return rows


def _rendered(item: Any, name: str) -> Any:
    """Return the relationship *name* as ``to_dict`` of nefertari_sqla renders it."""
    from nefertari_sqla import BaseMixin

    depth = item._nesting_depth
    nested = name in item._nested_relationships and depth > 0

    def encode(each: Any) -> Any:
        return each.to_dict(_depth=depth - 1) if nested else getattr(each, each.pk_field(), None)

    value = getattr(item, name, None)
    if isinstance(value, BaseMixin):
        return encode(value)
    if isinstance(value, InstrumentedList):
        return [encode(each) for each in value]
    return value
