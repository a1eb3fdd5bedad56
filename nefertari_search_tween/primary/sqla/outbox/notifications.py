"""Recording transactions tell workers of their rows: NOTIFY and LISTEN of PostgreSQL.

A notification is sent by the database at the commit, and only then. It carries nothing: whoever
hears it looks into the outbox. One that is lost costs time and nothing else.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Optional

log = logging.getLogger(__name__)

#: Of the application's database: another one's is not heard.
CHANNEL = "nefertari_search"


def notify_on_commit(connection: Any) -> None:
    """Tell workers when the transaction of *connection* is committed, where the database can."""
    if connection.dialect.name == "postgresql":
        connection.execute(f"NOTIFY {CHANNEL}")


class PostgresqlNotifications:
    """Hears what :func:`ring` tells, on a connection of its own.

    :param engine: gives the SQLAlchemy engine; of PostgreSQL with psycopg2.
    """

    def __init__(self, engine: Callable[[], Any]) -> None:
        self._engine = engine
        self._connection: Optional[Any] = None

    def connect(self) -> bool:
        """Connect unless it is connected.

        :returns: True when it was not: what was told before has not been heard, so look.
        """
        if self._connection is not None:
            return False
        try:
            # Never given back to the pool: it would listen for somebody else.
            pooled = self._engine().raw_connection()
            connection = pooled.connection
            pooled.detach()
            connection.rollback()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
        except Exception as error:  # noqa: BLE001 - the database is down, which its next use tells
            log.info("no notifications, workers look again and again: %s", error)
            return False
        self._connection = connection
        return True

    def fileno(self) -> Optional[int]:
        """What to wait for; None when it is not connected."""
        return None if self._connection is None else int(self._connection.fileno())

    def consume(self) -> None:
        """Take what arrived: notifications, or that the connection is lost."""
        if self._connection is None:
            return
        try:
            self._connection.poll()
            del self._connection.notifies[:]
        except Exception as error:  # noqa: BLE001 - the next `listen` connects again
            log.info("the connection that listens is lost: %s", error)
            self.close()

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def listener(engine: Callable[[], Any]) -> Optional[PostgresqlNotifications]:
    """A listener where the database and its driver can notify, else None."""
    dialect = engine().dialect
    return PostgresqlNotifications(engine) if (dialect.name, dialect.driver) == _NOTIFYING else None


_NOTIFYING = ("postgresql", "psycopg2")
