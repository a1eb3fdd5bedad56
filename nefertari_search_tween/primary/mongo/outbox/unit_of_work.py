"""What one write, and the writes that belong to it, have put into the outbox so far."""

from __future__ import annotations

import time
import uuid
from typing import Any, Optional

from nefertari_search_tween.interfaces.primary import Key

# Of a lease, what may be over when a claim is better renewed before it is used.
RENEW_BELOW = 0.5


class UnitOfWork:
    """A write of the application with those that it brings along (backreferences, reverse delete
    rules, the objects of a bulk). It stands where events have a session.

    :ivar depth: how many of them are running inside each other.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.recorded: Optional[TransactionRecord] = None


class TransactionRecord:
    """What a unit has recorded so far.

    :ivar rows: by key, the id of its last row.
    :ivar spreads: by key, what that row stands for (see outbox.py).
    :ivar models: names of models whose rows are not settled.
    """

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.began = time.monotonic()
        self.rows: dict[Key, Any] = {}
        self.spreads: dict[Key, int] = {}
        self.models: set[str] = set()

    def covers(self, key: Key, spread: int, lease: float) -> bool:
        """True when there is a row that says as much, and certainly still is."""
        if time.monotonic() - self.began > RENEW_BELOW * lease:
            # It may have been processed by others: what is written now needs one of its own.
            return False
        return self.spreads.get(key, -1) >= spread
