"""The database file: connections, transactions, and the catalog of indices and aliases."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional, Union

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import rejected
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.storage.private_files import make_private
from nefertari_search_tween.backends.embedded.storage.tables import (
    FILLING,
    create_levels,
    create_tables,
    drop_tables,
    missing_indices,
)
from nefertari_search_tween.backends.embedded.text.phrases import phrase_frequency
from nefertari_search_tween.concurrency.sqlite_connections import ThreadConnections
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    IndexMissing,
)

MIN_SQLITE = (3, 32)
FILE_NAME = "search.sqlite"
# Incremented when files of older releases become unreadable, because terms are split
# differently or tables have changed.
FORMAT = 2
# The documents have a column more, which nothing reads any more.
OLDER_FORMAT = 1
# A writer waits for the other writers of all processes.
WRITE_TIMEOUT_SECONDS = 60.0
# Virtual machine instructions between two checks of the clock.
CLOCK_STEP = 20_000
CACHE_KIB = 16 * 1024
# Pages of the log (4 KiB) after which it is written back: a rebuild does so every few bulks.
LOG_PAGES = 8000

NEVER = Deadline()

# Parts of SQLite's messages about a statement beyond its limits.
_LIMITS = ("parser stack overflow", "too many", "too large", "too long")

_CATALOG = """
CREATE TABLE about (format INTEGER NOT NULL);
CREATE TABLE indices (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL, writes INTEGER NOT NULL,
    latest_version INTEGER NOT NULL DEFAULT 0,
    mapping TEXT NOT NULL, settings TEXT NOT NULL, layout TEXT NOT NULL
);
CREATE TABLE aliases (
    alias TEXT NOT NULL, number INTEGER NOT NULL REFERENCES indices, PRIMARY KEY (alias, number)
) WITHOUT ROWID;
"""
_ADDED = "ALTER TABLE indices ADD COLUMN latest_version INTEGER NOT NULL DEFAULT 0"


#: device and inode
File = tuple[int, int]


class Running:
    """What runs on a connection now.

    :ivar deadline: of it; ends its statements, and the loops of functions inside them.
    """

    def __init__(self) -> None:
        self.deadline = NEVER

    def is_over(self) -> bool:
        return self.deadline.is_over()

    def phrase_frequency(self, slop: int, *positions: Union[int, str]) -> float:
        """SQL function: see :func:`phrase_frequency`."""
        return phrase_frequency(self.deadline, slop, positions)


class Connection(sqlite3.Connection):
    """A connection to the file.

    :ivar file: which one it was opened for.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.running = Running()
        self.file: Optional[File] = None


class Store:
    """One directory of indices, shared by threads and processes.

    It may be removed, and made again, while connections are open: these go on in a file without a
    name, which nobody else will ever read. So the file of a connection is compared with the one of
    the path before each use; and after each commit, because a write that went into a removed file
    must not be taken for done. (An inode is not given again while a connection has it open.)

    :param directory: created if it does not exist; private (see private_files.py).
    """

    def __init__(self, directory: str) -> None:
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            raise ConfigurationError(
                f"the embedded backend needs SQLite {'.'.join(map(str, MIN_SQLITE))}, "
                f"this Python has {sqlite3.sqlite_version}"
            )
        self.directory = os.path.abspath(directory)
        self.path = os.path.join(self.directory, FILE_NAME)
        self._connections = ThreadConnections(self._connect)
        # Replaced as a whole: threads and children of a fork read it without a lock.
        self._indices: dict[tuple[Optional[File], int, int], Index] = {}

    # Connections

    def _connect(self) -> Connection:
        """Return a new connection."""
        self._create_files()
        connection = sqlite3.connect(
            self.path,
            timeout=WRITE_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            factory=Connection,
        )
        try:
            # Acknowledged writes are on disk, and a killed process leaves whole transactions.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            running = connection.running
            connection.set_progress_handler(running.is_over, CLOCK_STEP)
            connection.create_function(
                "phrase_frequency", -1, running.phrase_frequency, deterministic=True
            )
            self._check_format(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_files(self) -> None:
        """Create the directory and the file if they are missing.

        :raises BackendUnavailable: they can't be created.
        """
        try:
            make_private(self.directory, FILE_NAME)
        except OSError as error:
            raise BackendUnavailable(
                f"nefertari_search.backend: {self.directory} can't be used: {error}"
            ) from error

    def _check_format(self, connection: sqlite3.Connection) -> None:
        def columns() -> set[str]:
            return {row[1] for row in connection.execute("PRAGMA table_info(indices)")}

        if "latest_version" not in columns():
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Looked up again: another process may have been faster.
                current = columns()
                if not current:
                    for statement in _CATALOG.split(";"):
                        connection.execute(statement)
                    connection.execute("INSERT INTO about VALUES (?)", (FORMAT,))
                elif "latest_version" not in current:
                    # A file of before; older releases can go on with it.
                    connection.execute(_ADDED)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        (version,) = connection.execute("SELECT format FROM about").fetchone()
        if version == OLDER_FORMAT:
            # Gone on with. Older releases, which need the column, must not.
            connection.execute("UPDATE about SET format = ?", (FORMAT,))
        elif version != FORMAT:
            raise BackendUnavailable(
                f"{self.path} has format {version}, this release writes format {FORMAT}: delete "
                "it and run `nefertari-search rebuild`"
            )

    def file(self) -> Optional[File]:
        """Return the file that the path names; None if there is none."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def _use(self, file: Optional[File], separate: bool = False) -> Iterator[Connection]:
        """Yield a connection to *file*, this thread's or one beside it."""
        connections = self._connections
        with connections.separate() if separate else connections.use(file) as connection:
            connection.file = file
            yield connection

    def close(self) -> None:
        """Close this thread's connection."""
        self._connections.let_go()

    # Transactions

    @contextmanager
    def reading(self, deadline: Deadline, separate: bool = False) -> Iterator[Connection]:
        """Yield a connection that reads at one point in time.

        :param separate: beside this thread's, which may be used meanwhile.
        :raises BackendTimeout: a statement had not ended by *deadline*.
        """
        with translate_errors(deadline), self._use(self.file(), separate) as connection:
            connection.running.deadline = deadline
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.running.deadline = NEVER
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are committed together, or not at all.

        :raises BackendUnavailable: the file was removed meanwhile.
        """
        file = self.file()
        if file is None:
            self._create_files()
            file = self.file()
        with translate_errors(NEVER), self._use(file) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
                if self.file() != file:
                    raise BackendUnavailable(f"{self.path} was removed while it was written to")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    # Catalog

    def resolve(self, connection: Connection, name: str) -> list[Index]:
        """Return the indices behind *name*: an index, an alias, or several joined by commas.

        :raises IndexMissing: one of them does not exist.
        """
        indices: dict[int, Index] = {}
        for part in name.split(","):
            rows = connection.execute(
                "SELECT number, generation FROM indices WHERE name = ?1 OR number IN "
                "(SELECT number FROM aliases WHERE alias = ?1) ORDER BY name",
                (part,),
            ).fetchall()
            if not rows:
                raise IndexMissing(f"no such index [{part}]")
            for number, generation in rows:
                indices[number] = self._index(connection, number, generation)
        return list(indices.values())

    def resolve_one(self, connection: Connection, name: str) -> Index:
        """Return the one index behind *name*."""
        indices = self.resolve(connection, name)
        if len(indices) != 1:
            names = ", ".join(index.name for index in indices)
            raise rejected(f"{name} refers to {names}: one index expected")
        return indices[0]

    def _index(self, connection: Connection, number: int, generation: int) -> Index:
        file = connection.file
        index = self._indices.get((file, number, generation))
        if index is None:
            index = self.load_index(connection, number)
            others = {
                key: each
                for key, each in self._indices.items()
                if key[0] == file and key[1] != number
            }
            self._indices = {**others, (file, number, generation): index}
        return index

    def load_one(self, connection: Connection, name: str) -> Index:
        """Return the one index behind *name*; the caller may change it."""
        return self.load_index(connection, self.resolve_one(connection, name).number)

    @staticmethod
    def load_index(connection: sqlite3.Connection, number: int) -> Index:
        """Return an index that the caller may change."""
        name, mapping, settings, layout = connection.execute(
            "SELECT name, mapping, settings, layout FROM indices WHERE number = ?", (number,)
        ).fetchone()
        return Index(number, name, json.loads(mapping), json.loads(settings), json.loads(layout))

    @staticmethod
    def save_index(connection: sqlite3.Connection, index: Index) -> None:
        """Store the changes of *index*, and create the tables and columns that it needs."""
        create_levels(connection, index)
        connection.execute(
            "UPDATE indices SET generation = generation + 1, mapping = ?, settings = ?, "
            "layout = ? WHERE number = ?",
            (*map(json.dumps, (index.mapping, index.settings, index.layout)), index.number),
        )

    def end_filling(self, name: str) -> None:
        """Create the missing indices of columns; other writers can write between two of them."""
        missing = True
        while missing:
            with self.writing() as connection:
                index = self.load_one(connection, name)
                statements = missing_indices(connection, index)
                missing = bool(statements)
                if missing:
                    connection.execute(statements[0])
                elif index.layout.pop(FILLING, None):
                    self.save_index(connection, index)

    @staticmethod
    def create_index(
        connection: sqlite3.Connection, name: str, mapping: dict[str, Any], settings: dict[str, Any]
    ) -> Index:
        """Create an index and its tables."""
        layout: dict[str, Any] = {"levels": {}, "fields": {}, "multi": []}
        number = connection.execute(
            "INSERT INTO indices (name, generation, writes, mapping, settings, layout) "
            "VALUES (?, 0, 0, ?, ?, ?)",
            (name, json.dumps(mapping), json.dumps(settings), json.dumps(layout)),
        ).lastrowid
        assert number is not None
        index = Store.load_index(connection, number)
        create_tables(connection, index)
        Store.save_index(connection, index)
        return index

    @staticmethod
    def drop_index(connection: sqlite3.Connection, index: Index) -> None:
        """Delete an index and its tables."""
        drop_tables(connection, index)
        connection.execute("DELETE FROM aliases WHERE number = ?", (index.number,))
        connection.execute("DELETE FROM indices WHERE number = ?", (index.number,))


@contextmanager
def translate_errors(deadline: Deadline) -> Iterator[None]:
    """Translate the database's exceptions to ours."""
    try:
        yield
    except BackendError:
        raise
    except sqlite3.OperationalError as error:
        # It may also be a function in SQL that looked at the clock.
        if deadline.is_over() or "interrupted" in str(error):
            raise deadline.error() from error
        if any(limit in str(error) for limit in _LIMITS):
            raise rejected(f"the query is too large for the embedded backend: {error}") from error
        if "locked" in str(error):
            raise BackendTimeout(f"other writers hold the lock: {error}") from error
        raise BackendUnavailable(str(error)) from error
    except (sqlite3.DatabaseError, OSError) as error:
        raise BackendUnavailable(str(error)) from error
