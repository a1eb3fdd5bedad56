"""SELECTs of outbox rows, as the triggers of both databases need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import types as sqltypes

from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.primary.sqla.capture.triggers.plan import Lookup, TableCapture

#: Every name of ours in the database begins so; nothing else is dropped.
PREFIX = "nefertari_search_"
COLUMNS = "model, pk, fan_out, recorded_at"


class Statements:
    """Writes the SQL of one dialect.

    :param preparer: quotes names as the dialect does.
    :param now: SQL for milliseconds since 1970.
    :param qualified: tables are named with their schema.
    """

    def __init__(self, preparer: Any, now: str, qualified: bool) -> None:
        self.preparer = preparer
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
            f"{self.column(old, name)} {differs} {self.column(new, name)}" for name in names
        )

    def select(
        self,
        model: str,
        key: str,
        fan_out: str,
        sources: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> str:
        """Return one row for each row of *sources*, except for keys that are NULL: one in the
        outbox would represent the whole model."""
        where = [*conditions, f"{key} IS NOT NULL"]
        text = f"SELECT {literal(model)}, {key}, {fan_out}, {self.now}"
        if sources:
            # SQLite keeps to the order of a CROSS JOIN: the few rows at hand first.
            text += f" FROM {' CROSS JOIN '.join(sources)}"
        return text + " WHERE " + " AND ".join(f"({each})" for each in where)

    def objects(
        self,
        capture: TableCapture,
        row: str,
        fan_out: str,
        sources: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> list[str]:
        """Return SELECTs of the objects that *row* is."""
        return [
            self.select(model, self.text(row, key), fan_out, sources, conditions)
            for model, key in capture.models
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
        if lookup.source is None:
            key = self.text(row, lookup.key)
            return self.select(lookup.owner, key, fan_out, sources, conditions)
        on = [
            f"{self.column('s', source_column)} = {self.column(row, row_column)}"
            for source_column, row_column in lookup.on
        ]
        return self.select(
            lookup.owner,
            self.text("s", lookup.key),
            fan_out,
            [*sources, f"{self.table(lookup.source)} s"],
            [*conditions, *on],
        )

    def inserted(self, capture: TableCapture, row: str, rows: Iterable[str] = ()) -> list[str]:
        """Return SELECTs of what the new *row* of *rows* concerns."""
        return [
            *self.objects(capture, row, str(FanOut.REFERENCING), rows),
            *(self.documents(link, row, rows) for link in capture.links),
        ]

    def deleted(
        self,
        capture: TableCapture,
        row: str,
        rows: Iterable[str] = (),
        conditions: Iterable[str] = (),
    ) -> list[str]:
        """Return SELECTs of what the old *row* of *rows* concerns."""
        lookups = (*capture.lookups, *capture.links)
        return [
            *self.objects(capture, row, str(FanOut.EMBEDDING), rows, conditions),
            *(self.documents(each, row, rows, conditions) for each in lookups),
        ]

    def kind(self, capture: TableCapture, old: str, new: str) -> str:
        """Return the FanOut of an update."""
        if not capture.foreign_key_columns:
            return str(FanOut.EMBEDDING)
        moved = self.changed(capture.foreign_key_columns, old, new)
        return f"CASE WHEN {moved} THEN {FanOut.REFERENCING} ELSE {FanOut.EMBEDDING} END"


def literal(text: str) -> str:
    """Return *text* as a string constant of SQL."""
    return "'" + text.replace("'", "''") + "'"
