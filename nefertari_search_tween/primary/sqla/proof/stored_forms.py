"""What a row holds that the column's type allows, and the known code never stores.

The proofs of fields are for values as SQLAlchemy stores them. A database may hold others: SQLite
takes any text for a date (``CURRENT_TIMESTAMP``, a frequent default, has no microseconds, and sorts
before the same moment with them) and any number for a truth value; PostgreSQL has intervals of
months, which it compares as 30 days each, and the driver returns a year as 365; it has infinite
dates and the time 24:00:00 (23:59:59.9 in a column of whole seconds is one), which the driver
returns as the last date that Python has, and as midnight. So the database is asked, with the row,
whether each such value has the form that the proof is about; if not, the document names the field
in ``_inexact``, and no filter or sort on it is answered by the index.

SQLite keeps decimals as binary numbers, which the type rounds, and a type may make floats of
PostgreSQL's decimals: the number itself is read besides.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import and_, case, extract, func, literal_column, or_
from sqlalchemy import types as sqltypes
from sqlalchemy.sql.expression import type_coerce

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.proof.types import known_type

_DAY = "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2))
_TIME = ":".join(["[0-9]" * 2] * 3) + "." + "[0-9]" * 6
# SQLAlchemy keeps an interval as the moment that it ends at, after 1970 began.
_WRITTEN = {
    "date": _DAY,
    "time": _TIME,
    "moment": f"{_DAY} {_TIME}",
    "interval": f"{_DAY} {_TIME}",
}
# Whole numbers up to here are the same in binary.
_BINARY_EXACT = str(2**53)
# As which type the number itself is read.
_NUMBERS = {
    "sqlite": sqltypes.Float(asdecimal=False),
    "postgresql": sqltypes.Numeric(asdecimal=True),
}
# An expression may not be deeper than a table may be wide.
_TERMS = 100


class RowForms(NamedTuple):
    """How the database stores the values of a row.

    :param exact: its own numbers, which values of Python's have lost, by name of the field.
    :param inexact: names of the fields whose values have another form than the known one.
    """

    exact: dict[str, Any]
    inexact: Collection[str]


class StoredForms:
    """The expressions by which the rows of *model* tell what is special of them.

    :param database: the name of its dialect.
    :ivar expressions: to select besides the columns.
    """

    def __init__(self, model: Any, database: str) -> None:
        self._numbers: list[str] = []
        self._doubtful: list[str] = []
        numbers, terms = [], []
        for name in model._mapped_columns():
            if not schema.plain_attribute(model, name):
                continue
            attribute = getattr(model, name)
            facts = known_type(attribute.type)
            family = "" if facts is None else facts.family
            lossy = database == "sqlite" or not getattr(attribute.type, "asdecimal", True)
            if family == "decimal" and lossy:
                number_type = _NUMBERS.get(database)
                if number_type is not None:
                    self._numbers.append(name)
                    numbers.append(type_coerce(attribute, number_type).label(f"_x_{name}"))
            regular = _regular(attribute, family, database)
            if regular is not None:
                is_regular = or_(attribute.is_(None), regular)
                position = _text(f"{len(self._doubtful)} ")
                terms.append(case([(is_regular, _text(""))], else_=position))
                self._doubtful.append(name)
        concatenated = [
            type_coerce(functools.reduce(operator.add, part), sqltypes.String).label(f"_f_{number}")
            for number, part in enumerate(chunks(terms, _TERMS))
        ]
        self.expressions = [*numbers, *concatenated]

    def of_row(self, values: Any) -> RowForms:
        """Return what the *values* of the expressions say of a row."""
        positions = "".join(values[len(self._numbers) :])
        inexact = [self._doubtful[int(each)] for each in positions.split()] if positions else ()
        return RowForms(dict(zip(self._numbers, values)), inexact)


@lru_cache(maxsize=1000)
def _forms(model: Any, database: str) -> StoredForms:
    return StoredForms(model, database)


def stored_forms(model: Any, session: Any) -> StoredForms:
    """Return those of *model* in the database of *session*, made once."""
    return _forms(model, session.get_bind(model.__mapper__).dialect.name)


def _regular(attribute: Any, family: str, database: str) -> Any:
    """Return the condition for the values that the proof is about, None if all are."""
    if database == "postgresql":
        return _regular_in_postgresql(attribute, family)
    if database != "sqlite":
        return None
    if family == "boolean":
        return attribute.in_([literal_column("0"), literal_column("1")])
    if family == "decimal":
        kind = func.typeof(attribute)
        return or_(
            kind == _text("real"),
            and_(kind == _text("integer"), func.abs(attribute) <= literal_column(_BINARY_EXACT)),
        )
    if family in _WRITTEN:
        written = type_coerce(attribute, sqltypes.String)
        return written.op("GLOB")(_text(_WRITTEN[family]))
    return None


def _regular_in_postgresql(attribute: Any, family: str) -> Any:
    if family == "interval":
        return and_(extract("year", attribute) == 0, extract("month", attribute) == 0)
    if family == "time":
        return extract("hour", attribute) < literal_column("24")
    if family in ("date", "moment"):
        return func.isfinite(attribute)
    return None


def _text(value: str) -> Any:
    # A constant, not a parameter: old versions of SQLite allow 999 of them.
    return literal_column(f"'{value}'", sqltypes.String)
