"""A limit of the time that the statements of a read may take, as each database has one.

What remains of the time is asked for each statement, because an answer is many of them: of the
collection, its total, and what is loaded for each of its objects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Optional

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

# Instructions of SQLite's machine between two looks at the clock.
CLOCK_STEP = 20_000


class PrimaryTimeout(Exception):
    """The time of a read was over before its next statement."""


class TimeLimit:
    """The time of one read."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self.ended = False
        # Seconds that PostgreSQL was told last.
        self._server_seconds = float("inf")

    @property
    def remaining(self) -> float:
        return self._at - time.monotonic()

    def is_over(self) -> bool:
        """Return True if the read takes too long; SQLite's progress handler, which a connection
        keeps until it is closed."""
        return not self.ended and self.remaining <= 0

    def apply(self, connection: Any, statement: str) -> str:
        """Limit the next statement on *connection*, and return its text.

        :raises PrimaryTimeout: no time remains.
        """
        remaining = self.remaining
        if remaining <= 0:
            raise PrimaryTimeout("the primary took too long")
        milliseconds = max(1, int(remaining * 1000))
        dialect = connection.dialect
        if dialect.name == "sqlite":
            connection.connection.connection.set_progress_handler(self.is_over, CLOCK_STEP)
        elif dialect.name == "postgresql":
            # Until the end of the transaction. Not before each statement: it is a round trip.
            if remaining < self._server_seconds / 2:
                self._server_seconds = remaining
                with connection.connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        elif dialect.name == "mysql" and statement.startswith("SELECT"):
            # In the statement: a variable of the session would outlive the read.
            if dialect._is_mariadb:
                return f"SET STATEMENT max_statement_time={milliseconds / 1000} FOR {statement}"
            hint = f"SELECT /*+ MAX_EXECUTION_TIME({milliseconds}) */"
            return statement.replace("SELECT", hint, 1)
        return statement


_LIMIT: ContextVar[Optional[TimeLimit]] = ContextVar("primary_time_limit", default=None)


@contextmanager
def limited(engine: Any, seconds: float) -> Iterator[None]:
    """Limit the statements of this thread to *seconds* in all."""
    if not event.contains(engine, "before_cursor_execute", _before):
        event.listen(engine, "before_cursor_execute", _before, retval=True)
    limit = TimeLimit(seconds)
    token = _LIMIT.set(limit)
    try:
        yield
    finally:
        limit.ended = True
        _LIMIT.reset(token)


def _before(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    limit = _LIMIT.get()
    return (statement if limit is None else limit.apply(connection, statement)), parameters


def is_timeout(error: BaseException) -> bool:
    """Return True if *error* is that of a statement that took too long."""
    if isinstance(error, PrimaryTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    original = error.orig
    # PostgreSQL's query_canceled; MySQL's ER_QUERY_TIMEOUT, MariaDB's ER_STATEMENT_TIMEOUT.
    return (
        getattr(original, "pgcode", None) == "57014"
        or (original.args[:1] and original.args[0] in (3024, 1969))
        or str(original) == "interrupted"
    )
