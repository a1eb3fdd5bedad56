"""From the rows that a statement changes to the documents that they affect.

Keys are collected, never contents: the state is read after the commit. An extra key costs one
read, a missing one loses an update, so every doubt adds a key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Optional

from sqlalchemy import and_, select

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla.capture.statements import UNKNOWN
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import column_of, stored_key
from nefertari_search_tween.primary.sqla.dependencies.tables import (
    Cascade,
    Identity,
    Lookup,
    WatchedTable,
    among_rows,
)
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY

# Values of a row by name of the column.
Row = dict[str, Any]


class AffectedDocuments:
    """What changes of rows affect, collected before and after the statements that make them.

    :ivar rows: documents and other objects that the rows themselves are, by what was done.
    :ivar owners: documents whose lists change, whole-model keys included.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        self.dependencies = dependencies
        self.rows: set[Key] = set()
        self.owners: set[Key] = set()
        # To be asked once the rows are what they will be.
        self._lookups: dict[Lookup, set[Identity]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.owners or self._lookups)

    # Before a statement

    def deleted(self, connection: Any, watched: WatchedTable, rows: list[Row]) -> None:
        """Note what the rows affect that are about to be deleted."""
        self._walk(connection, [(watched, rows, None)])

    def updated(
        self, connection: Any, watched: WatchedTable, rows: list[Row], values: list[Row]
    ) -> None:
        """Note what rows affect that are about to get new *values* (one set for each row)."""
        self._walk(connection, [(watched, rows, values)])

    def _walk(
        self, connection: Any, changes: list[tuple[WatchedTable, list[Row], Optional[list[Row]]]]
    ) -> None:
        """Follow what the database changes by itself, from table to table.

        :param changes: rows that change, and their new values; None: they are deleted.
        """
        done: set[tuple[Any, Identity, Any]] = set()
        while changes:
            watched, rows, values = changes.pop()
            pairs = []
            for row, new in zip(rows, values or [None] * len(rows)):  # type: ignore[list-item]
                mark = (watched, _identity(watched, row), None if new is None else frozenset(new))
                if mark not in done:
                    done.add(mark)
                    pairs.append((row, new))
            if not pairs:
                continue
            self._note(connection, watched, pairs)
            for cascade in watched.cascades:
                changes += self._cascaded(connection, cascade, pairs)

    def _note(
        self, connection: Any, watched: WatchedTable, pairs: list[tuple[Row, Optional[Row]]]
    ) -> None:
        for row, new in pairs:
            self.add_row(watched, row)
            if new is not None and not new.keys().isdisjoint(watched.identity):
                # Its documents and those that list it have another key afterwards.
                after = {**row, **new}
                if UNKNOWN in _identity(watched, after):
                    self.owners |= self.dependencies.whole_models(watched)
                else:
                    self.add_row(watched, after)
        for lookup in watched.lookups:
            moved = [
                (row, new)
                for row, new in pairs
                if new is None or not lookup.columns.isdisjoint(new.keys())
            ]
            self._add_owners(connection, watched, lookup, [row for row, _ in moved])
            for row, new in moved:
                if new is not None:
                    self._look_up_later(watched, lookup, {**row, **new})

    def _cascaded(
        self, connection: Any, cascade: Cascade, pairs: list[tuple[Row, Optional[Row]]]
    ) -> list[tuple[WatchedTable, list[Row], Optional[list[Row]]]]:
        """Return the rows that the database changes with those of *pairs*, and how."""
        watched = self.dependencies.tables[cascade.table]
        changes: list[tuple[WatchedTable, list[Row], Optional[list[Row]]]] = []
        referring = [name for name, _ in cascade.columns]
        for deleting, rule in ((True, cascade.on_delete), (False, cascade.on_update)):
            if rule is None:
                continue
            new_of: dict[Identity, Row] = {}
            for row, new in pairs:
                old = tuple(row[to] for _, to in cascade.columns)
                if None in old or deleting is not (new is None):
                    continue
                if new is None:
                    new_of[old] = {}
                elif any(to in new and new[to] != row[to] for _, to in cascade.columns):
                    new_of[old] = {name: new.get(to, row[to]) for name, to in cascade.columns}
            if not new_of:
                continue
            rows = self._rows_among(connection, watched, referring, new_of)
            if deleting and rule == "CASCADE":
                changes.append((watched, rows, None))
                continue
            values = []
            for row in rows:
                if rule == "CASCADE":
                    old = tuple(row[name] for name in referring)
                    # A key that is equal to the database, but not to Python.
                    values.append(new_of.get(old, dict.fromkeys(referring, UNKNOWN)))
                else:
                    value = None if rule == "SET NULL" else UNKNOWN
                    values.append(dict.fromkeys(referring, value))
            changes.append((watched, rows, values))
        return changes

    def _rows_among(
        self, connection: Any, watched: WatchedTable, names: list[str], values: Iterable[Identity]
    ) -> list[Row]:
        columns = [column_of(watched.table, name) for name in names]
        selected = list(dict.fromkeys([*watched.columns, *columns]))
        rows: list[Row] = []
        for part in chunks(values, KEYS_PER_QUERY // len(columns)):
            query = select(selected).where(among_rows(columns, part))
            rows += as_rows(selected, connection.execute(query))
        return rows

    # After a statement

    def inserted(self, connection: Any, watched: WatchedTable, row: Row) -> None:
        """Note what a new row affects; its identity is known."""
        self.add_row(watched, row)
        # Elsewhere foreign keys may be declared, and not checked.
        checks = connection.dialect.name == "postgresql"
        for lookup in watched.lookups:
            if not (checks and lookup.refers):
                self._look_up_later(watched, lookup, row)

    def look_up(self, connection: Any) -> None:
        """Find the owners that the changed rows have now."""
        lookups, self._lookups = self._lookups, defaultdict(set)
        for lookup, identities in lookups.items():
            watched = self.dependencies.tables[lookup.table]
            self.owners |= lookup.owners(connection, watched.identity, identities)

    # Keys

    def add_row(self, watched: WatchedTable, row: Row) -> None:
        """Add the keys of the objects that *row* is, as far as they are known."""
        for name, model, column in watched.models:
            value = row.get(column)
            if value is not None and value is not UNKNOWN:
                self.rows.add(Key(name, stored_key(model, value)))

    def _add_owners(
        self, connection: Any, watched: WatchedTable, lookup: Lookup, rows: list[Row]
    ) -> None:
        """Add the owners that stored *rows* have."""
        if lookup.direct is not None:
            for row in rows:
                if row[lookup.direct] is not None:
                    self.owners.add(lookup.key(row[lookup.direct]))
        elif rows:
            identities = {_identity(watched, row) for row in rows}
            self.owners |= lookup.owners(connection, watched.identity, identities)

    def _look_up_later(self, watched: WatchedTable, lookup: Lookup, row: Row) -> None:
        if lookup.direct is not None and row.get(lookup.direct, UNKNOWN) is not UNKNOWN:
            if row[lookup.direct] is not None:
                self.owners.add(lookup.key(row[lookup.direct]))
            return
        identity = _identity(watched, row)
        if UNKNOWN in identity:
            self.owners |= self.dependencies.whole_models(watched)
        else:
            self._lookups[lookup].add(identity)


def _identity(watched: WatchedTable, row: Row) -> Identity:
    return tuple(row.get(name, UNKNOWN) for name in watched.identity)


def as_rows(columns: list[Any], result: Iterable[Any]) -> list[Row]:
    names = [column.name for column in columns]
    return [dict(zip(names, row)) for row in result]


def stored_rows(
    connection: Any, watched: WatchedTable, condition: Any, params: Row, locking: bool
) -> list[Row]:
    """Return the stored rows that fulfil *condition*, with the columns that matter.

    :param locking: nobody else changes them until the end of the transaction.
    """
    query = select(watched.columns)
    if condition is not None:
        query = query.where(condition)
    if locking and connection.dialect.name != "sqlite":
        query = query.order_by(*(column_of(watched.table, name) for name in watched.identity))
        query = query.with_for_update(
            of=watched.table if connection.dialect.name == "postgresql" else None
        )
    return as_rows(watched.columns, connection.execute(query, params))


def rows_of(
    connection: Any, watched: WatchedTable, identities: list[Identity], locking: bool
) -> list[Row]:
    """Return the stored rows with these identities."""
    columns = [column_of(watched.table, name) for name in watched.identity]
    rows: list[Row] = []
    for part in chunks(identities, KEYS_PER_QUERY // len(columns)):
        rows += stored_rows(connection, watched, among_rows(columns, part), {}, locking)
    return rows


def condition_of(watched: WatchedTable, rows: list[Row]) -> Any:
    """Return the condition that a row is one of *rows*."""
    columns = [column_of(watched.table, name) for name in watched.identity]
    return and_(among_rows(columns, [_identity(watched, row) for row in rows]))
