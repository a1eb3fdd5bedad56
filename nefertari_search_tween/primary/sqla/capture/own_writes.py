"""What this thread has written, by whatever way: a read after it is the primary's.

SQLAlchemy's events see its own statements. Others go around them, by a cursor of the driver: but a
connection can say what its transaction has changed, and the pool whom it has given a connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from nefertari_search_tween.concurrency.threads import ThreadCounter

#: In ``session.info``: how many rows its connection had changed when the transaction began.
_CHANGES = "nefertari_search.total_changes"
# PostgreSQL's function of that name, here and below.
_ASSIGNED = "SELECT txid_current_if_assigned() IS NOT NULL"
_FIRST_VERSION = (10,)
_IDLE = 0


class WriteCounter(ThreadCounter):
    """Counts what this thread has written, and the connections it has got that can't be seen."""

    def add_connection(self, *event: Any) -> None:
        """Count a connection that the pool gives away."""
        self.number += 1

    def remove_connection(self, connection: Any, branch: bool) -> None:
        """Uncount one that SQLAlchemy uses itself, whose statements are seen."""
        if not branch:
            self.number -= 1


def note_begin(session: Any, transaction: Any, connection: Any) -> None:
    """Remember what *connection* has changed so far: the transaction of *session* begins."""
    if not transaction.nested and connection.dialect.name == "sqlite":
        session.info[_CHANGES] = _driver_connection(connection).total_changes


def connections_of(session: Any) -> Iterator[Any]:
    """Yield the connections that the transaction of *session* is on."""
    transaction = session.transaction
    while transaction is not None:
        for connection, *_ in set(transaction._connections.values()):
            yield connection
        transaction = transaction._parent


def may_have_changed_rows(session: Any, connection: Any) -> bool:
    """Return True unless the transaction of *session* on *connection* has certainly changed no row.

    Of other databases than SQLite and PostgreSQL that is not known.
    """
    if connection.closed or connection.invalidated:
        return True
    if connection.dialect.name == "sqlite":
        return bool(_driver_connection(connection).total_changes != session.info.get(_CHANGES))
    version = getattr(connection.dialect, "server_version_info", None) or ()
    if connection.dialect.name != "postgresql" or version < _FIRST_VERSION:
        return True
    driver = _driver_connection(connection)
    status = getattr(driver, "get_transaction_status", None)
    if status is not None and status() == _IDLE:
        return False
    try:
        with closing(driver.cursor()) as cursor:
            cursor.execute(_ASSIGNED)
            return bool(cursor.fetchone()[0])
    except connection.dialect.dbapi.Error:
        # The transaction has failed: its next statement says so.
        return True


def _driver_connection(connection: Any) -> Any:
    return connection.connection.connection
