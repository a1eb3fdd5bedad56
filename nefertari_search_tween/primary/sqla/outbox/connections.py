"""Connections that read what is committed, outside of any transaction.

Every read of a mirror queries the outbox once. SQLAlchemy opens an SQLite file again each time,
which takes several times as long as the query itself, most of it to read the schema. So each thread
keeps one connection of the driver for it. Why that is correct:

* A statement ends with its query, so no lock is held in between; outside of a transaction, the next
  one sees what is committed by then.
* A file that was replaced (by a backup, say) is another file: device and inode are compared at each
  query.
* No child of a fork inherits an open file (sqlite_connections.py).
* SQLAlchemy's events and its log do not see these queries: they read nothing of the application's.
* A query that fails is repeated on a connection of SQLAlchemy's, so errors are SQLAlchemy's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from sqlalchemy import event
from sqlalchemy.pool import NullPool

from nefertari_search_tween.concurrency.sqlite_connections import ThreadConnections


class ReadConnections:
    """:param engine: a SQLAlchemy engine."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._connections = ThreadConnections(self._connect_driver)
        self._connecting = threading.local()
        if engine.dialect.name == "sqlite":
            event.listen(engine, "do_connect", self._do_connect)
        # Statements are compiled once: compiling takes longer than the query.
        self._compiled: dict[Any, Any] = {}
        self._texts: dict[Any, tuple[str, list[str], dict[str, Any]]] = {}

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a connection whose every query sees what is committed by then."""
        with self.engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                # SQLite's driver begins no transaction for a query.
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    def fetch_first(self, statement: Any, **params: Any) -> Any:
        """Return the first row of *statement*, of what is committed by now.

        :param statement: one that the caller keeps for all calls; of columns and parameters whose
            values need no conversion (texts, whole numbers).
        :param params: values of its parameters by name; the others are constants of it.
        """
        engine = self.engine
        file = _file_of(engine)
        if file is not None:
            try:
                with self._connections.use(file) as connection:
                    text, names, constants = self._text(engine, statement)
                    values = {**constants, **params}
                    cursor = connection.execute(text, [values[name] for name in names])
                    row = cursor.fetchone()
                    cursor.close()
                    return row
            except engine.dialect.dbapi.Error:
                self._connections.let_go()
        with self.connect() as connection:
            cached = connection.execution_options(compiled_cache=self._compiled)
            return cached.execute(statement, params).first()

    def _text(self, engine: Any, statement: Any) -> tuple[str, list[str], dict[str, Any]]:
        """Return the text of *statement*, the names of its parameters in order, and its constants
        among them."""
        text = self._texts.get(statement)
        if text is None:
            compiled = statement.compile(dialect=engine.dialect)
            text = str(compiled), compiled.positiontup, compiled.params
            self._texts[statement] = text
        return text

    def _connect_driver(self) -> Any:
        """Return a connection of the driver, made like the application's own: by its arguments and
        its listeners."""
        self._connecting.now = True
        try:
            pooled = self.engine.raw_connection()
        finally:
            self._connecting.now = False
        connection = pooled.connection
        pooled.detach()  # it does not return to the pool
        return connection

    def _do_connect(self, dialect: Any, record: Any, args: Any, options: dict[str, Any]) -> Any:
        """Let the thread that forks close the connections of this class; the application's stay as
        they are."""
        if not getattr(self._connecting, "now", False):
            return None
        return dialect.connect(*args, **{**options, "check_same_thread": False})


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
