"""The proofs of the fields of one model."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple, Optional

import nefertari_sqla.fields
from sqlalchemy import Column
from sqlalchemy.orm import ColumnProperty
from sqlalchemy.orm.attributes import InstrumentedAttribute

from nefertari_search_tween.documents.fields import BaseField, ForeignKeyField, Relationship
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.interfaces.field_proof import Doubt, FieldProof
from nefertari_search_tween.known_code import function_of, is_known
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.proof import parameters
from nefertari_search_tween.primary.sqla.proof.columns import Database, StoredColumn
from nefertari_search_tween.primary.sqla.proof.order import unsorted
from nefertari_search_tween.primary.sqla.proof.parameters import Compared, ExactForm
from nefertari_search_tween.primary.sqla.proof.rendering import unrendered
from nefertari_search_tween.primary.sqla.proof.types import KnownType, known_type

#: Members by which nefertari_sqla makes the statement of a collection.
_READ_MEMBERS = (
    *("apply_sort", "apply_fields", "add_field_names", "_pop_iterables", "filter_fields"),
    *("check_fields_allowed", "fields_to_query", "has_field", "pk_field"),
)
#: members of a column's class that nothing compares by
_MADE = {
    *("__init__", "__setattr__", "_constructor", "__doc__", "__module__", "__annotations__"),
    *("__annotate__", "__firstlineno__", "__static_attributes__"),
}
_COLUMNS = {
    Column,
    *(
        member
        for member in vars(nefertari_sqla.fields).values()
        if isinstance(member, type) and issubclass(member, Column)
    ),
}
#: families that the index stores, and does not compare
_UNCOMPARED = ("binary", "pickle", "json", "list", "uuid")


class ProvenField(NamedTuple):
    """One field, and how its filters are compared; None where they are the primary's."""

    proof: FieldProof
    compared: Optional[Compared] = None
    exact_form: Optional[ExactForm] = None


def prove(
    model: Any, document_cls: type[BaseDocument], database: Database
) -> dict[str, ProvenField]:
    """Return all fields of *document_cls* by name.

    :param database: of the table of *model*.
    """
    rendering = unrendered(model, database.own_zone)
    columns = {column.name: column for column in schema.mapper_of(model).columns}
    override = _override(model)
    proven = {}
    for name, field in document_cls.fields().items():
        words = override or rendering[name]
        doubt = None if words is None else Doubt(Reason.UNPROVEN_FIELD, words)
        if isinstance(field, Relationship):
            each = _uncompared("it is a relationship")
        elif override is not None:
            each = _unknown(override)
        else:
            each = _comparison(model, columns[name], field, database)
        proven[name] = each._replace(proof=each.proof._replace(rendering=doubt))
    return proven


def _override(model: Any) -> Optional[str]:
    for name in _READ_MEMBERS:
        if not is_known(function_of(getattr(model, name))):
            return f"{model.__name__}.{name} is the application's own"
    return None


def _unknown(words: str) -> ProvenField:
    doubt = Doubt(Reason.UNPROVEN_FIELD, words)
    return ProvenField(FieldProof(None, doubt, doubt, doubt))


def _uncompared(words: str) -> ProvenField:
    equality = Doubt(Reason.UNSUPPORTED_PARAMETER, words)
    order = Doubt(Reason.UNSUPPORTED_SORT, words)
    return ProvenField(FieldProof(None, equality, order, equality))


def _comparison(model: Any, column: Any, field: BaseField, database: Database) -> ProvenField:
    """Return what is known of filters and sorts by *column*."""
    facts = known_type(column.type)
    if facts is None:
        return _unknown(f"its type {type(column.type).__name__} is not known")
    words = _own_code(model, column)
    if words is not None:
        return _unknown(words)
    if facts.family in _UNCOMPARED or field.kind in ("opaque", "list"):
        return _uncompared("the index only stores it")
    if not database.name:
        return _uncompared("this database is not known")
    if database.columns is None:
        return _unknown("the table does not exist yet")
    stored = database.columns.get(column.name)
    if stored is None:
        return _unknown("the database has no such column")
    return _compared(column, field, facts, stored, database.name)


def _own_code(model: Any, column: Any) -> Optional[str]:
    """Return in words which code of the application's makes the condition, None if none does."""
    if not schema.plain_attribute(model, column.name):
        return "it is not one column under its own name"
    for cls in type(column).__mro__:
        if cls in _COLUMNS:
            break
        # A class of fields may be made otherwise; how it is compared is SQLAlchemy's.
        if any(hasattr(Column, name) for name in vars(cls).keys() - _MADE):
            return f"its column class {cls.__name__} is not known"
    prop = schema.mapper_of(model).column_attrs[column.name]
    attribute = inspect.getattr_static(model, column.name, None)
    if type(attribute) is not InstrumentedAttribute or attribute.property is not prop:
        return "its attribute is the application's own"
    if type(prop) is not ColumnProperty or prop.comparator_factory is not ColumnProperty.Comparator:
        return "its comparator is the application's own"
    return None


def _compared(
    column: Any, field: BaseField, facts: KnownType, stored: StoredColumn, database: str
) -> ProvenField:
    on_postgresql = database == "postgresql"
    table = parameters.POSTGRESQL if on_postgresql else parameters.SQLITE
    accepted = table.get((facts.family, stored.kind))
    zoned = (facts.family, stored.kind) in (("moment", "zoned moment"), ("time", "zoned time"))
    if accepted is None and not zoned:
        return _unknown(
            f"the model's type is {type(column.type).__name__}, the database's "
            f"{stored.declared or 'unknown'}"
        )
    words = _unlike(column, field, facts, stored)
    if words is not None:
        return _unknown(words)
    equality = order = None
    if facts.compares is not None:
        equality = Doubt(Reason.UNPROVEN_FIELD, facts.compares)
    elif facts.binds is not None:
        equality = Doubt(Reason.UNPROVEN_FIELD, facts.binds)
    elif zoned or accepted is None:
        equality = Doubt(Reason.UNSUPPORTED_PARAMETER, "only the database reads times with zones")
    elif not stored.is_deterministic:
        equality = Doubt(Reason.COLLATION, f"compared {stored.collation}")
    elif stored.kind == "padded text" and not stored.size:
        equality = Doubt(Reason.UNPROVEN_FIELD, "its length is not known")
    unlike = unsorted(stored)
    if facts.compares is not None:
        order = equality
    elif unlike is not None:
        order = Doubt(Reason.UNSUPPORTED_SORT, unlike)
    # A comparator of its own may make anything of "== None".
    nulls = equality if facts.compares is not None else None
    proof = FieldProof(None, equality, order, nulls, accepted.words if accepted else "")
    if accepted is None or equality is not None:
        return ProvenField(proof._replace(parameters=""))
    compared = Compared(field, stored, column.type, on_postgresql)
    return ProvenField(proof, compared, accepted.exact_form)


def _unlike(column: Any, field: BaseField, facts: KnownType, stored: StoredColumn) -> Optional[str]:
    """Return in words why documents do not hold what the database compares, None if they do."""
    if isinstance(field, ForeignKeyField) and facts.family not in ("text", "integer"):
        return "a reference of this type has no exact form"
    if facts.family == "float" and column.type.asdecimal:
        return "its decimals are rounded numbers of the database"
    members = getattr(column.type, "enum_class", None)
    if members is not None and len(members) < len(members.__members__):
        return "its members have more than one name"
    if stored.kind == "zoned moment" and not getattr(column.type, "timezone", False):
        return "the model's type has no zone, the database's has"
    return None
