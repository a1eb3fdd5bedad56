"""SQL text with its parameters, composed of parts."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple


class Sql(NamedTuple):
    """A piece of SQL and the values of its question marks.

    :param tables: named SELECTs that it reads from, each after those that it reads from itself.
    """

    text: str
    params: tuple[Any, ...] = ()
    tables: tuple[Sql, ...] = ()

    def __add__(self, other: object) -> Sql:
        if isinstance(other, Sql):
            return Sql(
                self.text + other.text, self.params + other.params, self.tables + other.tables
            )
        return Sql(self.text + str(other), self.params, self.tables)

    def __radd__(self, other: str) -> Sql:
        return Sql(other + self.text, self.params, self.tables)

    def as_table(self) -> Sql:
        """Return this SELECT as a table that is defined ahead of the statement.

        SQLite's parser has a stack of 100 symbols, which deeply nested queries would overflow.
        """
        name = f"\x00{next(_numbers)}\x00"
        definition = Sql(f"{name} AS ({self.text})", self.params)
        # A part that is used twice repeats its tables.
        return Sql(name, (), (*dict.fromkeys(self.tables), definition))

    def run(self, connection: sqlite3.Connection, before: str = "") -> sqlite3.Cursor:
        """Execute the statement.

        :param before: the beginning of the statement (``INSERT INTO ...``).
        """
        text = before + self.text
        params = self.params
        tables = list(dict.fromkeys(self.tables))
        if tables:
            text = "WITH " + ", ".join(table.text for table in tables) + " " + text
            params = tuple(p for table in tables for p in table.params) + params
            # The same names in every search, so that its statement is prepared once.
            names: dict[str, str] = {}
            text = _NAME.sub(lambda match: names.setdefault(match[0], f"t{len(names)}"), text)
        return connection.execute(text, params)


_NAME = re.compile("\x00[0-9]+\x00")
_numbers = itertools.count()


#: for a parameter that is a JSON list
IN_JSON = "(SELECT value FROM json_each(?))"
# SQLite takes 500 tables in one UNION, and expressions of depth 1000.
MAX_UNION = 200
MAX_OPERANDS = 100

TRUE = Sql("1")
FALSE = Sql("0")


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """Return the *parts* joined by *separator*."""
    texts: list[str] = []
    params: list[Any] = []
    tables: list[Sql] = []
    for part in parts:
        texts.append(part.text)
        params.extend(part.params)
        tables.extend(part.tables)
    return Sql(separator.join(texts), tuple(params), tuple(tables))


def all_of(parts: Iterable[Sql]) -> Sql:
    """Return the conjunction of conditions; those that always hold are left out."""
    return _combined(" AND ", [part for part in parts if part != TRUE], TRUE)


def any_of(parts: Iterable[Sql]) -> Sql:
    """Return the disjunction of conditions."""
    return _combined(" OR ", list(parts), FALSE)


def _combined(word: str, parts: list[Sql], empty: Sql) -> Sql:
    if not parts:
        return empty
    if len(parts) == 1:
        return parts[0]
    return "(" + _grouped(word, parts) + ")"


def sum_of(parts: Iterable[Sql]) -> Sql:
    """Return the SQL of how many conditions hold."""
    return _grouped(" + ", ["ifnull(" + part + ", 0)" for part in parts])


def _grouped(word: str, parts: list[Sql]) -> Sql:
    """Return *parts* joined as a shallow tree."""
    while len(parts) > MAX_OPERANDS:
        parts = [
            "(" + joined(word, parts[first : first + MAX_OPERANDS]) + ")"
            for first in range(0, len(parts), MAX_OPERANDS)
        ]
    return joined(word, parts)


def united(columns: str, tables: Iterable[Sql]) -> Sql:
    """Return the union of *tables*, each a SELECT of *columns*."""
    parts = list(tables)
    while len(parts) > MAX_UNION:
        parts = [
            f"SELECT {columns} FROM ("
            + joined(" UNION ALL ", parts[first : first + MAX_UNION])
            + ")"
            for first in range(0, len(parts), MAX_UNION)
        ]
    return joined(" UNION ALL ", parts)


def negated(condition: Sql) -> Sql:
    """Return the negation of *condition*, whose null counts as false."""
    return "NOT ifnull(" + condition + ", 0)"
