"""Bodies of documents made from objects: by the models' own ``to_dict``.

The way of models whose documents are more than their columns, and of ``verify`` for all: it shares
neither statements nor rendering with the reader of columns.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import LargeBinary, Text, cast, func, literal
from sqlalchemy import types as sqltypes
from sqlalchemy.ext.baked import BakedQuery, bakery
from sqlalchemy.orm import Load, Session
from sqlalchemy.sql.elements import Grouping

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.known_code import outside_request
from nefertari_search_tween.mirror.serializer import Serializers, body_or_error
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.engine_patches import load_options
from nefertari_search_tween.primary.sqla.proof.stored_forms import RowForms, stored_forms
from nefertari_search_tween.primary.sqla.row_queries import Among, Narrow, selected

# Rows that are read for their order at a time.
KEYS_PER_ORDER = 500
# Types of a few bytes; of any other a value may have any length.
_SMALL = (
    sqltypes.Integer,
    sqltypes.Numeric,
    sqltypes.Boolean,
    sqltypes.Date,
    sqltypes.DateTime,
    sqltypes.Time,
    sqltypes.Interval,
)
# Up to that, a text is small, too.
_SHORT = 1000

Record = dict[str, Any]


class ObjectRenderer:
    """Renders objects of one model.

    :param by_columns: the documents of the index are made from columns: lists are by key where a
        relationship has no order.
    """

    def __init__(self, model: Any, serializers: Serializers, by_columns: bool) -> None:
        self.model = model
        self.serializers = serializers
        self.by_columns = by_columns
        self._bakery = bakery()
        self._queries: dict[type, BakedQuery] = {}

    def bodies(self, session: Session, narrow: Narrow) -> dict[Any, Body]:
        """Return the bodies by key.

        :param narrow: restricts a query to the objects.
        """
        serializer = self.serializers.of(self.model)
        bodies: dict[Any, Body] = {}
        forms = _row_forms(session, self.model, narrow)
        pk_field = self.model.pk_field()
        items = self._query(narrow)(session).params(narrow.parameters).all()
        with outside_request():
            for item in items:
                pk = getattr(item, pk_field)
                try:
                    record = self._converted(session, self.model, dict(item.to_dict()))
                except Exception as error:  # noqa: BLE001 - the application's own to_dict
                    bodies[pk] = error
                else:
                    bodies[pk] = body_or_error(serializer, record, *forms.get(pk, ()))
        return bodies

    def _query(self, narrow: Narrow) -> BakedQuery:
        """Return the query of the objects, made and compiled once for all that *narrow* restricts
        in the same way."""

        def query(session: Session) -> Any:
            query = narrow.of_parameters(session.query(self.model))
            if self.by_columns:
                names = schema.mapper_of(self.model).relationships.keys()
                depth = self.model._nesting_depth
                query = query.options(*load_options(Load(self.model), self.model, names, depth))
            return query

        kind = type(narrow)
        if kind not in self._queries:
            self._queries[kind] = self._bakery(query)
        return self._queries[kind]

    def _converted(self, session: Session, model: Any, data: Record) -> Record:
        """Return *data* (a ``to_dict``) with its nested documents serialized."""
        for prop in schema.mapper_of(model).relationships:
            name, target = prop.key, prop.mapper.class_
            value = data.get(name)
            if isinstance(value, dict):
                data[name] = self._nested(session, target, [value])[0]
            elif isinstance(value, list):
                if self.by_columns and prop.uselist and not prop.order_by:
                    value = _by_key(session, target, value)
                data[name] = self._nested(session, target, value)
        return data

    def _nested(self, session: Session, target: Any, values: list[Any]) -> list[Any]:
        documents = [each for each in values if isinstance(each, dict)]
        exact: dict[Any, Record] = {}
        pk = target.pk_field()
        if documents and not schema.custom_to_dict(target):
            attribute = schema.pk_attribute(target)
            for part in chunks([each[pk] for each in documents], KEYS_PER_ORDER):
                forms = _row_forms(session, target, Among(attribute, part))
                exact.update({key: each.exact for key, each in forms.items()})
        serializer = self.serializers.of(target)
        return [
            serializer.document(
                self._converted(session, target, dict(each)), exact.get(each.get(pk))
            )[0]
            if isinstance(each, dict)
            else each
            for each in values
        ]


def _row_forms(session: Session, model: Any, narrow: Narrow) -> dict[Any, RowForms]:
    """Return how the database stores the values of rows, by key."""
    stored = stored_forms(model, session)
    # What the application renders by itself may be something else.
    if not stored.expressions or schema.custom_to_dict(model):
        return {}
    rows = selected(
        session,
        model,
        ("forms", stored, type(narrow)),
        lambda: (
            narrow.of_parameters(
                session.query(schema.pk_attribute(model), *stored.expressions)
            ).statement
        ),
        narrow.parameters,
    )
    return {row[0]: stored.of_row(row[1:]) for row in rows}


def _by_key(session: Session, target: Any, values: list[Any]) -> list[Any]:
    """Return *values*, keys or documents of *target*, in the database's order of their keys."""
    if len(values) < 2:
        return values
    pk = target.pk_field()
    by_key = {each[pk] if isinstance(each, dict) else each: each for each in values}
    if schema.has_integer_pk(target):
        return [by_key[key] for key in sorted(by_key)]
    attribute = schema.pk_attribute(target)
    ordered: list[Any] = []
    for part in chunks(by_key, KEYS_PER_ORDER):
        ordered += session.query(attribute).filter(attribute.in_(part)).order_by(attribute)
    return [by_key[key] for (key,) in ordered]


def row_bytes(model: Any, session: Session) -> Any:
    """Return SQL for about the number of bytes of a row of *model*."""
    dialect = session.get_bind().dialect.name
    length = func.octet_length if dialect == "postgresql" else func.length
    terms: list[Any] = [literal(0)]
    for column in schema.mapper_of(model).columns:
        kind = column.type
        while isinstance(kind, sqltypes.TypeDecorator):
            kind = kind.impl
        if isinstance(kind, _SMALL) or 0 < (getattr(kind, "length", None) or 0) <= _SHORT:
            continue
        # Cast: what is a text by its type may be JSON in the database, which has no length.
        # (SQLite has the length of any value, of a cast one only up to a null byte.)
        bare = dialect == "sqlite" or isinstance(kind, LargeBinary)
        value = column if bare else cast(column, Text)
        terms.append(func.coalesce(length(value), 0))
    # In pairs: a table may have more columns than an expression may be deep.
    while len(terms) > 1:
        terms = [Grouping(sum(part[1:], part[0])) for part in chunks(terms, 2)]
    return terms[0]
