"""Connections that read what is committed, outside of any transaction.

Every read of a mirror queries the outbox once. SQLAlchemy opens an SQLite file again each time,
which takes several times as long as the query itself, most of it to read the schema. So each thread
keeps one connection of the driver for it. Why that is correct:

* A statement ends with its query, so no lock is held in between; outside of a transaction, the next
  one sees what is committed by then.
* A file that was replaced (by a backup, say) is another file: device and inode are compared at each
  query.
* SQLite forbids to use a connection in the child of a fork, or to close it there. The child neither
  uses nor closes it.
* SQLAlchemy's events and its log do not see these queries: they read nothing of the application's.
* A query that fails is repeated on a connection of SQLAlchemy's, so errors are SQLAlchemy's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

from sqlalchemy.pool import NullPool

# Connections of the parent of a fork: not to be closed here, so not to be garbage-collected.
_INHERITED: list[Any] = []


@dataclass(frozen=True)
class _ThreadConnection:
    """One thread's connection, and the file that it is to.

    :param connection: the driver's.
    :param file: device and inode.
    """

    connection: Any
    engine: Any
    file: tuple[int, int]
    process: int


class ReadConnections:
    """:param engine: a SQLAlchemy engine."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._local = threading.local()
        # Statements are compiled once: compiling takes longer than the query.
        self._compiled: dict[Any, Any] = {}
        self._texts: dict[Any, tuple[str, tuple[Any, ...]]] = {}

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a connection whose every query sees what is committed by then."""
        with self.engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                # SQLite's driver begins no transaction for a query.
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    def fetch_first(self, statement: Any) -> Any:
        """Return the first row of *statement*, of what is committed by now.

        :param statement: one that the caller keeps for all calls; of columns whose values need no
            conversion (texts, whole numbers).
        """
        engine = self.engine
        file = _file_of(engine)
        if file is not None:
            try:
                cursor = self._of_thread(engine, file).execute(*self._text(engine, statement))
                row = cursor.fetchone()
                cursor.close()
                return row
            except engine.dialect.dbapi.Error:
                self._close_own()
        with self.connect() as connection:
            cached = connection.execution_options(compiled_cache=self._compiled)
            return cached.execute(statement).first()

    def _text(self, engine: Any, statement: Any) -> tuple[str, tuple[Any, ...]]:
        text = self._texts.get(statement)
        if text is None:
            compiled = statement.compile(dialect=engine.dialect)
            values = tuple(compiled.params[name] for name in compiled.positiontup)
            text = self._texts[statement] = str(compiled), values
        return text

    def _of_thread(self, engine: Any, file: tuple[int, int]) -> Any:
        own: Optional[_ThreadConnection] = getattr(self._local, "own", None)
        process = os.getpid()
        if own is None or (own.engine, own.file, own.process) != (engine, file, process):
            self._close_own()
            # Made like the application's own, by its arguments and its listeners.
            pooled = engine.raw_connection()
            connection = pooled.connection
            pooled.detach()  # it does not return to the pool
            own = self._local.own = _ThreadConnection(connection, engine, file, process)
        return own.connection

    def _close_own(self) -> None:
        own: Optional[_ThreadConnection] = self._local.__dict__.pop("own", None)
        if own is None:
            return
        if own.process != os.getpid():
            _INHERITED.append(own)
            return
        own.connection.close()


def _file_of(engine: Any) -> Optional[tuple[int, int]]:
    """Return device and inode of the SQLite file that *engine* opens for each connection; None if
    there is no file (yet)."""
    if engine.dialect.name != "sqlite" or not isinstance(engine.pool, NullPool):
        return None
    try:
        status = os.stat(engine.url.database)
    except OSError:
        # Not created yet; or named by a URI, whose options SQLite reads.
        return None
    return status.st_dev, status.st_ino
