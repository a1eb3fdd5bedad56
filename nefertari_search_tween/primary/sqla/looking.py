"""Connections that look at what is committed, outside of any transaction.

Every read of a mirror looks once. SQLAlchemy opens an SQLite file anew each time, which takes
several times as long as the look itself, most of it to read the schema again. So each thread keeps
one connection for it. What keeps that right:

* A statement ends before the look does, so no lock is held in between (:meth:`Looking.kept` is for
  one row, by ``first()``); outside of a transaction, the next one sees what is committed by then.
* A file that another one was put in place of (a backup, say) is another file: device and inode are
  compared at each look.
* SQLite forbids to use a connection in the child of a fork, or to close it there. The child lets it
  be.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Optional

from sqlalchemy.pool import NullPool

# Of processes that this one was forked from: not to be closed here, so not to be collected.
_INHERITED: list[Any] = []


@dataclass(frozen=True)
class _Kept:
    """One thread's connection, and what it is to.

    :param file: device and inode.
    """

    connection: Any
    engine: Any
    file: tuple[int, int]
    process: int


class Looking:
    """:param engine: gives the SQLAlchemy engine."""

    def __init__(self, engine: Callable[[], Any]) -> None:
        self.engine = engine
        self._local = threading.local()

    @contextmanager
    def anew(self) -> Iterator[Any]:
        """A connection whose every query sees what is committed by then."""
        with self.engine().connect() as connection:
            yield _autocommitting(connection)

    @contextmanager
    def kept(self) -> Iterator[Any]:
        """The same, for one query whose result is read to its end: the thread's own, where
        making one is not the pool's matter."""
        engine = self.engine()
        file = _file_of(engine)
        if file is None:
            with self.anew() as connection:
                yield connection
            return
        kept = self._of_thread(engine, file)
        try:
            yield kept.connection
        except BaseException:
            self._let_go()
            raise

    def _of_thread(self, engine: Any, file: tuple[int, int]) -> _Kept:
        kept: Optional[_Kept] = getattr(self._local, "kept", None)
        process = os.getpid()
        if kept is not None and (kept.engine, kept.file, kept.process) == (engine, file, process):
            return kept
        self._let_go()
        kept = self._local.kept = _Kept(engine.connect(), engine, file, process)
        return kept

    def _let_go(self) -> None:
        kept: Optional[_Kept] = self._local.__dict__.pop("kept", None)
        if kept is None:
            return
        if kept.process != os.getpid():
            _INHERITED.append(kept)
            return
        kept.connection.close()


def _file_of(engine: Any) -> Optional[tuple[int, int]]:
    """Device and inode of the SQLite file that *engine* opens for each connection; None: it is
    none, or is not there yet."""
    if engine.dialect.name != "sqlite" or not isinstance(engine.pool, NullPool):
        return None
    try:
        found = os.stat(engine.url.database)
    except OSError:
        # Not made yet; or named as a URI, whose options are SQLite's to read.
        return None
    return found.st_dev, found.st_ino


def _autocommitting(connection: Any) -> Any:
    if connection.dialect.name == "sqlite":
        # Its driver begins no transaction for a query.
        return connection
    return connection.execution_options(isolation_level="AUTOCOMMIT")
