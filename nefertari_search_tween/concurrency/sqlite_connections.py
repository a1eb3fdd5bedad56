"""Connections to an SQLite file, one for each thread, none of which is open at a fork.

SQLite's locks belong to a process. A file that is open at a fork looks locked to the child and is
not, for connections that the child opens itself, too; and it forbids to use or to close the
inherited ones there (https://sqlite.org/howtocorrupt.html, "Carrying an open database connection
across a fork"). So all are closed before, and opened again when they are needed.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Generic, Optional, TypeVar

from nefertari_search_tween.concurrency.forks import PerProcess

log = logging.getLogger(__name__)

# How long a fork waits for what other threads run, and for its end once it is interrupted.
PATIENCE_SECONDS = 1.0
INTERRUPTED_SECONDS = 10.0

C = TypeVar("C", bound=Any)

# What could not be closed before a fork: neither may the garbage collector of the child do it.
_INHERITED: list[Any] = []


class _Handle(Generic[C]):
    """One connection.

    :ivar lock: held by the thread that uses it.
    :ivar users: how often that thread uses it at the same time.
    :ivar file: what it was opened for.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users = 0
        self.connection: Optional[C] = None
        self.file: Any = None

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        # Its thread has ended.
        self.close()


class ThreadConnections(PerProcess, Generic[C]):
    """See the module.

    :param connect: opens a connection, which any thread may close.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._start_anew()
        self.watch_forks()

    def _start_anew(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._handles: weakref.WeakSet[_Handle[C]] = weakref.WeakSet()
        self._locked: list[_Handle[C]] = []
        self._busy: list[tuple[_Handle[C], C]] = []

    @contextmanager
    def use(self, file: Any = None) -> Iterator[C]:
        """Yield this thread's connection.

        :param file: if it is not equal to that of the last use, the file is another one.
        """
        handle = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = self._new_handle()
        with self._used(handle, file) as connection:
            yield connection

    @contextmanager
    def separate(self) -> Iterator[C]:
        """Yield a connection that is closed afterwards, beside that of the thread."""
        handle = self._new_handle()
        with self._used(handle, None) as connection:
            try:
                yield connection
            finally:
                handle.close()

    def let_go(self) -> None:
        """Close this thread's connection, unless it is in use."""
        handle = getattr(self._local, "handle", None)
        if handle is not None and not handle.users:
            with handle.lock:
                handle.close()

    def _new_handle(self) -> _Handle[C]:
        handle: _Handle[C] = _Handle()
        with self._lock:
            self._handles.add(handle)
        return handle

    @contextmanager
    def _used(self, handle: _Handle[C], file: Any) -> Iterator[C]:
        with handle.lock:
            if handle.connection is not None and handle.file != file:
                handle.close()
            if handle.connection is None:
                handle.connection, handle.file = self._connect(), file
            handle.users += 1
            try:
                yield handle.connection
            finally:
                handle.users -= 1

    # Forks

    def before_fork(self) -> None:
        """Close all connections; until the fork is over, no thread opens another."""
        self._lock.acquire()
        for handle in list(self._handles):
            if self._acquired(handle):
                self._locked.append(handle)
                if not handle.users:
                    handle.close()
            if handle.connection is not None:
                # In use, by the thread that forks or by one that does not end.
                log.warning("a process was forked inside a transaction of its search index")
                self._busy.append((handle, handle.connection))
                _INHERITED.append(handle.connection)
                # What the threads of the parent hold is gone in the child before this is heard of.
                handle.connection = None

    @staticmethod
    def _acquired(handle: _Handle[C]) -> bool:
        """Wait until no other thread uses *handle*, and keep it; interrupt what takes long."""
        if handle.lock.acquire(timeout=PATIENCE_SECONDS):
            return True
        connection = handle.connection
        if connection is not None:
            connection.interrupt()
        return handle.lock.acquire(timeout=INTERRUPTED_SECONDS)

    def after_fork_in_parent(self) -> None:
        for handle, connection in self._busy:
            _INHERITED.remove(connection)
            handle.connection = connection
        for handle in self._locked:
            handle.lock.release()
        self._locked, self._busy = [], []
        self._lock.release()

    def after_fork_in_child(self) -> None:
        for handle in list(self._handles):
            # Open at a fork that was not announced.
            _INHERITED.append(handle.connection)
            handle.connection = None
        self._start_anew()
