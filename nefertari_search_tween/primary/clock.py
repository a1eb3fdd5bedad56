"""The time that is stored in the primary database."""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

# How long the database's clock is followed by this process's, which can't be set.
REREAD_SECONDS = 10.0


def milliseconds() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class DatabaseClock:
    """The clock of leases: the database's, one for all hosts (interfaces/outbox.py says why).

    :param read: returns its milliseconds since 1970; its argument is the connection of a
        transaction, None outside of any.
    """

    def __init__(self, read: Callable[[Any], int]) -> None:
        self._read = read
        self._reading: Optional[tuple[float, int]] = None

    def now(self, connection: Any = None) -> int:
        """Return the milliseconds since 1970."""
        reading, monotonic = self._reading, time.monotonic()
        if reading is None or monotonic - reading[0] > REREAD_SECONDS:
            reading = self._reading = monotonic, self._read(connection)
        return reading[1] + int((monotonic - reading[0]) * 1000)
