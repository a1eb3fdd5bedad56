"""Transactions notify workers of their rows: NOTIFY and LISTEN of PostgreSQL.

The database sends a notification at the commit, and only then. It carries nothing: the worker polls
the outbox. One that is lost costs time and nothing else.
"""

from __future__ import annotations

import logging
from typing import Any, Optional

from nefertari_search_tween.concurrency.forks import PerProcess

log = logging.getLogger(__name__)

#: Channels are per database.
CHANNEL = "nefertari_search"


def notify_on_commit(connection: Any) -> None:
    """Notify workers when the transaction of *connection* is committed, if the database can."""
    if connection.dialect.name == "postgresql":
        connection.execute(f"NOTIFY {CHANNEL}")


class PostgresqlNotifications(PerProcess):
    """Receives the notifications on a separate connection.

    :param engine: a SQLAlchemy engine of PostgreSQL with psycopg2.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._connection: Optional[Any] = None
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        # The driver closes no connection of another process.
        self._connection = None

    def connect(self) -> bool:
        """Connect unless it is connected.

        :returns: True if it was not: earlier notifications are lost, so poll.
        """
        if self._connection is not None:
            return False
        try:
            # Never returned to the pool: its next user would receive the notifications.
            pooled = self._engine.raw_connection()
            connection = pooled.connection
            pooled.detach()
            connection.rollback()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
        except Exception as error:  # noqa: BLE001 - the database is down; its next use reports it
            log.info("no notifications, workers poll: %s", error)
            return False
        self._connection = connection
        return True

    def fileno(self) -> Optional[int]:
        """Return what to wait for; None if it is not connected."""
        return None if self._connection is None else int(self._connection.fileno())

    def consume(self) -> None:
        """Read what arrived: notifications, or the end of the connection."""
        if self._connection is None:
            return
        try:
            self._connection.poll()
            del self._connection.notifies[:]
        except Exception as error:  # noqa: BLE001 - the next `connect` connects again
            log.info("the connection for notifications is lost: %s", error)
            self.close()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def listener(engine: Any) -> Optional[PostgresqlNotifications]:
    """Return a listener if the database and its driver can notify, else None."""
    can_notify = (engine.dialect.name, engine.dialect.driver) == ("postgresql", "psycopg2")
    return PostgresqlNotifications(engine) if can_notify else None
