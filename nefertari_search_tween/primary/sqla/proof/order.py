"""Which columns the index sorts as the database does, and the order that a model has by itself.

Both compare values, nulls apart (``nulls_first`` of the semantics). Why values compare alike:

* **texts** are sorted by code point in the index (the order of UTF-8 bytes); in the database, too,
  where its collation says so (``columns.py``). **Padded** texts are not: PostgreSQL compares them
  without their blanks, and a character before the blank (a tab) then has another place.
* **labels** of an enumeration are texts on SQLite; PostgreSQL sorts them as they were declared.
* **numbers**: integers, doubles and decimals that doubles hold have one order. The shortest
  decimals of single floats have that of the floats: each lies between the neighbours of its own.
* **truth values**: false before true.
* **dates, moments, times**: SQLite compares texts of a fixed width, most significant digits first;
  a row with another text says so (``stored_forms.py``). PostgreSQL compares moments with a zone by
  their instant, which is their exact form; times with a zone by instant and zone: those are not.
* **intervals**: on SQLite the moment at which they end; on PostgreSQL their length, if they have no
  months.
"""

from __future__ import annotations

from typing import Any, Optional

from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression

from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.proof.columns import StoredColumn

_UNSORTED = {
    "padded text": "texts are compared without their trailing blanks",
    "enum": "labels are sorted as they were declared",
    "zoned time": "times are compared by their zones, too",
}


def unsorted(column: StoredColumn) -> Optional[str]:
    """Return in words why *column* has another order than the index, None if it has the same."""
    if column.collation is not None:
        return f"texts are sorted {column.collation}"
    return _UNSORTED.get(column.kind)


def model_order(model: Any) -> Optional[list[str]]:
    """Return the mapper's ``order_by`` as ``_sort`` would say it, None if it can't."""
    mapper = schema.mapper_of(model)
    names = []
    for each in mapper.order_by or ():
        element = each.__clause_element__() if hasattr(each, "__clause_element__") else each
        sign = ""
        if isinstance(element, UnaryExpression):
            if element.modifier not in (operators.asc_op, operators.desc_op):
                return None
            sign = "-" if element.modifier is operators.desc_op else ""
            element = element.element
        name = getattr(element, "name", None)
        if not isinstance(name, str) or not schema.plain_attribute(model, name):
            return None
        if mapper.columns[name] is not element._deannotate():
            return None
        names.append(f"{sign}{name}")
    return names
