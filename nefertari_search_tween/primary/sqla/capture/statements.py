"""What an INSERT, UPDATE or DELETE of SQLAlchemy's says about the rows that it changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Optional

from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.engine.util import _distill_params
from sqlalchemy.sql import elements, operators
from sqlalchemy.sql.dml import Delete, Insert, Update

from nefertari_search_tween.primary.sqla.dependencies.conditions import conjuncts
from nefertari_search_tween.primary.sqla.dependencies.tables import Identity, WatchedTable

#: The value that an expression of the database gives, not known here.
UNKNOWN = object()

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(\w+)", re.DOTALL)
_WORDS = re.compile(r"\w+")
# What changes no row, or the schema, after which indices are built again. Anything else may change
# some: CALL, WITH ... DELETE, DO.
_READING = {
    *("ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REINDEX", "REVOKE", "VACUUM"),
    *("ANALYZE", "BEGIN", "CLOSE", "COMMIT", "DEALLOCATE", "DECLARE", "DISCARD", "EXPLAIN"),
    *("FETCH", "LISTEN", "LOCK", "NOTIFY", "PRAGMA", "RELEASE", "RESET", "ROLLBACK", "SAVEPOINT"),
    *("SELECT", "SET", "SHOW", "START", "UNLISTEN", "VALUES"),
}
# What changes the tables that it names, and no others (but for rules of the database).
_NAMING = {"COPY", "DELETE", "INSERT", "MERGE", "REPLACE", "TRUNCATE", "UPDATE", "WITH"}


class Statement:
    """An INSERT, UPDATE or DELETE with its parameters.

    :ivar compiled: it was compiled by the caller, so nothing can be added to it.
    """

    def __init__(self, element: Any, multiparams: Any, params: Any) -> None:
        self.compiled = isinstance(element, Compiled)
        self.element = element.statement if self.compiled else element
        self.params: list[dict[str, Any]] = [
            {_name(key): value for key, value in each.items()} if isinstance(each, dict) else {}
            for each in _distill_params(multiparams, params)
        ] or [{}]
        self.inserts = isinstance(self.element, Insert)
        self.updates = isinstance(self.element, Update)
        self.deletes = isinstance(self.element, Delete)

    @property
    def table(self) -> Any:
        return self.element.table

    def set_values(self, params: dict[str, Any]) -> Optional[dict[str, Any]]:
        """Return the values of an UPDATE by name of the column, UNKNOWN for expressions; None if
        it may change other tables.

        :param params: one set of parameters.
        """
        values: dict[str, Any] = {}
        columns = self.table.c
        for key, value in (self.element.parameters or {}).items():
            column = _column(key)
            if getattr(column, "table", self.table) is not self.table:
                return None
            name = column if isinstance(column, str) else column.key
            if name in columns:
                values[columns[name].name] = _constant(value, params)
        for key, value in params.items():
            if key in columns:
                values[columns[key].name] = _constant(value, params)
        return values or {column.name: UNKNOWN for column in columns}

    def identities(self, watched: WatchedTable) -> Optional[list[Identity]]:
        """Return the identities of the rows that are changed, if the statement names them."""
        where = self.element._whereclause
        if where is None or not watched.has_key:
            return None
        parameters: dict[str, Any] = {}
        for each in conjuncts(where):
            if isinstance(each, elements.BinaryExpression) and each.operator is operators.eq:
                for column, value in ((each.left, each.right), (each.right, each.left)):
                    if getattr(column, "table", None) is self.table and isinstance(
                        value, elements.BindParameter
                    ):
                        parameters[column.name] = value
        if not parameters.keys() >= set(watched.identity):
            return None
        rows = []
        for params in self.params:
            row = tuple(_constant(parameters[name], params) for name in watched.identity)
            if UNKNOWN in row:
                return None
            if None not in row:
                rows.append(row)
        return rows

    @property
    def inserts_plainly(self) -> bool:
        """Return True for an INSERT of values that replaces nothing."""
        element = self.element
        return (
            element.select is None
            and getattr(element, "_post_values_clause", None) is None
            and not element._prefixes
        )

    def inserted_values(self, context: Any, columns: Iterable[Any]) -> list[dict[str, Any]]:
        """Return the values of the rows of an INSERT by name of the column, after its execution.

        A column that is left out has its default: UNKNOWN if that is the database's.

        :param context: of the execution.
        :param columns: of the table, those that are needed.
        """
        element = self.element
        names = {column.key: column.name for column in columns}
        defaults = {column.name: _default(column) for column in columns}
        if element._has_multi_parameters:
            rows = [{**defaults, **_by_name(each, names)} for each in element.parameters]
        else:
            constants = _by_name(element.parameters or {}, names)
            rows = [
                {
                    **defaults,
                    **constants,
                    **_by_name(each, names),
                    **_expressions(constants, each),
                }
                for each in context.compiled_parameters
            ]
        if not (context.executemany or element._has_multi_parameters):
            rows[0].update(
                (column.name, value)
                for column, value in zip(self.table.primary_key, _key_of(context))
                if value is not None and column.key in names
            )
        return rows


def _by_name(values: dict[Any, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return *values* by name of the column.

    :param names: those that are needed, by key of the column.
    """
    by_name = {}
    for key, value in values.items():
        name = names.get(key if isinstance(key, str) else _name(_column(key)))
        if name is not None:
            by_name[name] = _constant(value, values)
    return by_name


def _expressions(constants: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Keep what is an expression unknown: a parameter of its name is a part of it."""
    return {
        name: UNKNOWN
        for name, value in constants.items()
        if value is UNKNOWN and name not in params
    }


def _key_of(context: Any) -> list[Any]:
    try:
        return list(context.inserted_primary_key or ())
    except AttributeError:
        # An INSERT whose keys SQLAlchemy does not fetch (inline).
        return []


def _default(column: Any) -> Any:
    """Return what the database stores in *column* if the INSERT does not name it."""
    generated = column.server_default is not None or column.default is not None
    identity = column.primary_key or getattr(column, "computed", None) is not None
    return UNKNOWN if generated or identity else None


def _column(key: Any) -> Any:
    return key.__clause_element__() if hasattr(key, "__clause_element__") else key


def _name(key: Any) -> Any:
    return getattr(key, "key", key)


def _constant(value: Any, params: dict[Any, Any]) -> Any:
    if isinstance(value, elements.BindParameter):
        if value.callable is not None:
            return UNKNOWN
        value = params.get(value.key, value.value if not value.required else UNKNOWN)
    if isinstance(value, elements.Null):
        return None
    if isinstance(value, elements.ClauseElement) or hasattr(value, "__clause_element__"):
        return UNKNOWN
    return value


def may_write(text: str, tables: Iterable[str]) -> bool:
    """Return True if the SQL *text* may change rows of *tables*."""
    match = _FIRST_WORD.match(text)
    first = match[1].upper() if match else ""
    if first in _READING:
        return False
    if first in _NAMING:
        return not {word.lower() for word in _WORDS.findall(text)}.isdisjoint(tables)
    return True


def is_rollback(text: str) -> bool:
    match = _FIRST_WORD.match(text)
    return bool(match) and match[1].upper() == "ROLLBACK"  # type: ignore[index]
