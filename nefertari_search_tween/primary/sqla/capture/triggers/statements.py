"""SELECTs of outbox rows, as the triggers of both databases need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import literal_column
from sqlalchemy import types as sqltypes

from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.primary.sqla.dependencies.conditions import with_constants
from nefertari_search_tween.primary.sqla.dependencies.tables import (
    Lookup,
    WatchedTable,
    column_of,
)

#: Every name of ours in the database begins so; nothing else is dropped.
PREFIX = "nefertari_search_"
COLUMNS = "model, pk, fan_out, recorded_at"


class Statements:
    """Writes the SQL of one dialect.

    :param dialect: SQLAlchemy's.
    :param now: SQL for milliseconds since 1970.
    :param qualified: tables are named with their schema.
    """

    def __init__(self, dialect: Any, now: str, qualified: bool) -> None:
        self.dialect = dialect
        self.preparer = dialect.identifier_preparer
        self.now = now
        self.qualified = qualified

    def name(self, text: str) -> str:
        return str(self.preparer.quote_identifier(text))

    def table(self, table: Any) -> str:
        if self.qualified and table.schema:
            return f"{self.name(table.schema)}.{self.name(table.name)}"
        return self.name(table.name)

    def column(self, row: str, column: Any) -> str:
        """Return *column* (or its name) of the row called *row*."""
        return f"{row}.{self.name(getattr(column, 'name', column))}"

    def text(self, row: str, column: Any) -> str:
        """Return the key in *column* as ``str()`` returns it."""
        column_type = column.type
        while isinstance(column_type, sqltypes.TypeDecorator):
            column_type = column_type.impl
        value = self.column(row, column)
        if self.qualified and isinstance(column_type, sqltypes.CHAR):
            # PostgreSQL's cast would cut off the spaces that Python is given.
            return f"concat({value})"
        return f"CAST({value} AS TEXT)"

    def changed(self, names: Iterable[str], old: str, new: str) -> str:
        """Return a condition: one of the columns *names* has changed."""
        differs = "IS DISTINCT FROM" if self.qualified else "IS NOT"
        return " OR ".join(
            f"{self.column(old, name)} {differs} {self.column(new, name)}" for name in sorted(names)
        )

    def select(
        self,
        model: str,
        key: str,
        fan_out: str,
        sources: Iterable[str] = (),
        conditions: Iterable[str] = (),
        joined: Iterable[str] = (),
    ) -> str:
        """Return one row for each row of *sources*, except for keys that are NULL: one in the
        outbox would represent the whole model.

        :param joined: other tables, in whatever order the database prefers.
        """
        where = [*conditions, f"{key} IS NOT NULL"]
        text = f"SELECT {literal(model)}, {key}, {fan_out}, {self.now}"
        # SQLite keeps to the order of a CROSS JOIN: the few rows at hand first.
        tables = [each for each in (" CROSS JOIN ".join(sources), *joined) if each]
        if tables:
            text += f" FROM {', '.join(tables)}"
        return text + " WHERE " + " AND ".join(f"({each})" for each in where)

    def objects(
        self,
        capture: WatchedTable,
        row: str,
        fan_out: str,
        sources: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> list[str]:
        """Return SELECTs of the objects that *row* is."""
        return [
            self.select(model, self.text(row, key), fan_out, sources, conditions)
            for model, key in objects_of(capture)
        ]

    def documents(
        self,
        lookup: Lookup,
        row: str,
        sources: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> str:
        """Return a SELECT of the documents that *lookup* finds from *row*."""
        fan_out = str(FanOut.EMBEDDING)
        name = lookup.edge.owner.__name__
        if lookup.direct is not None:
            key = self.text(row, column_of(lookup.table, lookup.direct))
            return self.select(name, key, fan_out, sources, conditions)
        # Quoted, as everywhere in the triggers.
        owner_key, aliases, joins = lookup.query(
            lambda column: literal_column(self.column(row, column), column.type)
        )
        return self.select(
            name,
            self.text(owner_key.table.name, owner_key),
            fan_out,
            sources,
            [*conditions, *map(self._condition, joins)],
            [f"{self.table(alias.element)} {alias.name}" for alias in aliases],
        )

    def _condition(self, clause: Any) -> str:
        """Return *clause* as text, its constants written out."""
        text = str(with_constants(clause, self.dialect).compile(dialect=self.dialect))
        # Drivers with parameters like %s; there are none here.
        return text.replace("%%", "%") if self.preparer._double_percents else text

    def inserted(self, capture: WatchedTable, row: str, rows: Iterable[str] = ()) -> list[str]:
        """Return SELECTs of what the new *row* of *rows* concerns."""
        return [
            *self.objects(capture, row, str(FanOut.REFERENCING), rows),
            *(self.documents(link, row, rows) for link in capture.linked),
        ]

    def deleted(
        self,
        capture: WatchedTable,
        row: str,
        rows: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> list[str]:
        """Return SELECTs of what the old *row* of *rows* concerns."""
        return [
            *self.objects(capture, row, str(FanOut.EMBEDDING), rows, conditions),
            *(self.documents(each, row, rows, conditions) for each in capture.lookups),
        ]

    def kind(self, capture: WatchedTable, old: str, new: str) -> str:
        """Return the FanOut of an update."""
        columns = {name for each in capture.listed for name in each.columns}
        if not columns:
            return str(FanOut.EMBEDDING)
        moved = self.changed(sorted(columns), old, new)
        return f"CASE WHEN {moved} THEN {FanOut.REFERENCING} ELSE {FanOut.EMBEDDING} END"


def objects_of(capture: WatchedTable) -> list[tuple[str, Any]]:
    """Return the models whose objects the rows are, with the column that is their key."""
    return [(name, column_of(capture.table, column)) for name, _, column in capture.models]


def literal(text: str) -> str:
    """Return *text* as a string constant of SQL."""
    return "'" + text.replace("'", "''") + "'"
