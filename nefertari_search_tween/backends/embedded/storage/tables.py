"""The tables of an index, and the indices of their columns.

Those of columns serve searches alone. An index that is filled before it is searched gets them
afterwards: sorted once, and not changed with each bulk all over the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from nefertari_search_tween.backends.embedded.storage.mapping import Index

#: key of an index's layout: it is filled before it is searched, and has no indices of columns yet
FILLING = "filling"


def create_tables(connection: sqlite3.Connection, index: Index) -> None:
    """Create the tables of a new index, but those of its levels."""
    connection.execute(
        f"CREATE TABLE {index.docs} (doc INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
        "version INTEGER NOT NULL, source BLOB)"
    )
    create_term_tables(connection, index, "CREATE TABLE")


def create_term_tables(connection: sqlite3.Connection, index: Index, create: str) -> None:
    """Create the tables of terms, of lists and of counts.

    :param create: the beginning of the statements.
    """
    connection.execute(
        f"{create} {index.post} (field INTEGER, term TEXT, doc INTEGER, tf INTEGER, "
        "length INTEGER, positions, PRIMARY KEY (field, term, doc)) WITHOUT ROWID"
    )
    connection.execute(
        f"{create} {index.multi} (field INTEGER, doc INTEGER, place INTEGER, value, "
        "PRIMARY KEY (field, doc, place)) WITHOUT ROWID"
    )
    connection.execute(
        f"{create} {index.stats} (field INTEGER PRIMARY KEY, docs INTEGER, terms INTEGER)"
    )


def create_levels(connection: sqlite3.Connection, index: Index) -> None:
    """Create the tables of levels, and the columns, that *index* needs and has not."""
    for level in index.levels.values():
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {level.table} "
            "(doc INTEGER PRIMARY KEY, parent INTEGER, root INTEGER)"
        )
        if level.parent is not None:
            # Deletes need it, too.
            connection.execute(
                f"CREATE INDEX IF NOT EXISTS {level.table}_root ON {level.table} (root)"
            )
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({level.table})")}
        for field in level.fields:
            if field.column not in columns:
                connection.execute(f"ALTER TABLE {level.table} ADD COLUMN {field.column}")
    if not index.layout.get(FILLING):
        for statement in missing_indices(connection, index):
            connection.execute(statement)


def drop_tables(connection: sqlite3.Connection, index: Index) -> None:
    """Delete the tables of *index*."""
    tables = [index.docs, index.post, index.multi, index.stats]
    for table in tables + [level.table for level in index.levels.values()]:
        connection.execute(f"DROP TABLE {table}")


def _column_indices(index: Index) -> Iterator[tuple[str, str]]:
    """Yield name, and table with columns, of each index of columns."""
    yield f"{index.multi}_value", f"{index.multi} (field, value, doc)"
    for level in index.levels.values():
        for field in level.fields:
            if field.kind != "text":
                yield f"{level.table}_{field.column}", f"{level.table} ({field.column})"


def missing_indices(connection: sqlite3.Connection, index: Index) -> list[str]:
    """Return the statements that create the missing indices of columns."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
    names = {name for (name,) in rows}
    return [
        f"CREATE INDEX {name} ON {columns}"
        for name, columns in _column_indices(index)
        if name not in names
    ]


def begin_filling(connection: sqlite3.Connection, index: Index) -> None:
    """Delete the indices of columns, if no document was written yet; the caller saves *index*."""
    if connection.execute(f"SELECT 1 FROM {index.docs} LIMIT 1").fetchone() is None:
        index.layout[FILLING] = True
        for name, _ in _column_indices(index):
            connection.execute(f"DROP INDEX IF EXISTS {name}")
