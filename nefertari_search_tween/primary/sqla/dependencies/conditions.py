"""The conditions and orders of relationships: which columns they are functions of.

A condition made of AND, OR, NOT, comparisons, constants and columns of the joined tables has, for
given rows, one value: only a change of these columns changes it. Anything else (a function, a
query, SQL text) may depend on more, so it is not taken to be followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from sqlalchemy import Table, literal_column
from sqlalchemy.sql import elements, operators, visitors
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Exists, ScalarSelect, SelectBase

_OPERATORS = {
    *(operators.and_, operators.or_, operators.inv, operators.istrue, operators.isfalse),
    *(operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge),
    *(operators.is_, operators.isnot, operators.in_op, operators.notin_op, operators.comma_op),
    *(operators.between_op, operators.notbetween_op, operators.like_op, operators.notlike_op),
    *(operators.asc_op, operators.desc_op, operators.nullsfirst_op, operators.nullslast_op),
}
_CONSTANTS = (elements.Null, elements.True_, elements.False_, elements.Grouping)


def columns_of(clause: Any) -> Iterator[Any]:
    """Yield the columns of tables that *clause* names."""
    for element in visitors.iterate(clause, {}):
        if isinstance(element, elements.ColumnClause) and isinstance(element.table, Table):
            yield element


def foreign_part(clause: Any) -> Optional[str]:
    """Return what in *clause* may depend on more than the columns that it names, in words; None
    if there is nothing."""
    for element in visitors.iterate(clause, {}):
        part = _foreign(element)
        if part is not None:
            return part
    return None


def _foreign(element: Any) -> Optional[str]:
    if isinstance(element, elements.TextClause):
        return "SQL text"
    if isinstance(element, FunctionElement):
        return f"the function {getattr(element, 'name', type(element).__name__)}"
    if isinstance(element, (SelectBase, ScalarSelect, Exists)):
        return "a query"
    if isinstance(element, elements.ColumnClause):
        return None if isinstance(element.table, Table) else "SQL text"
    if isinstance(element, elements.BindParameter):
        return None if element.callable is None else "a value that is computed for each query"
    if isinstance(element, elements.UnaryExpression):
        compares = {element.operator, element.modifier} <= {*_OPERATORS, None}
    elif isinstance(element, (elements.BinaryExpression, elements.ClauseList)):
        compares = element.operator in _OPERATORS
    else:
        compares = isinstance(element, _CONSTANTS)
    return None if compares else "an expression that is no comparison of columns"


def is_adaptable(clause: Any) -> bool:
    """Return True if *clause* may be written with other names of its tables."""
    return not any(
        isinstance(each, (elements.TextClause, SelectBase, ScalarSelect, Exists))
        or (isinstance(each, elements.ColumnClause) and not isinstance(each.table, Table))
        for each in visitors.iterate(clause, {})
    )


def conjuncts(clause: Any) -> Iterator[Any]:
    """Yield the conditions that *clause* joins by AND."""
    if isinstance(clause, elements.Grouping):
        yield from conjuncts(clause.element)
    elif isinstance(clause, elements.BooleanClauseList) and clause.operator is operators.and_:
        for each in clause.clauses:
            yield from conjuncts(each)
    else:
        yield clause


def equated(clause: Any) -> Optional[tuple[Any, Any]]:
    """Return the two columns that *clause* sets equal; None if it is another condition."""
    if not isinstance(clause, elements.BinaryExpression) or clause.operator is not operators.eq:
        return None
    pair = (clause.left, clause.right)
    if all(isinstance(e, elements.ColumnClause) and isinstance(e.table, Table) for e in pair):
        return pair
    return None


def with_constants(clause: Any, dialect: Any) -> Any:
    """Return *clause* with its parameters written out, as the driver would pass them."""

    def replace(element: Any) -> Any:
        if not isinstance(element, elements.BindParameter):
            return None
        value = element.value
        process = element.type.dialect_impl(dialect).bind_processor(dialect)
        return literal_column(_written(value if process is None else process(value)))

    return visitors.replacement_traverse(clause, {}, replace)


def _written(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"
