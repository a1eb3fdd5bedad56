"""What one write, and the writes that belong to it, have put into the outbox so far."""

from __future__ import annotations

import time
from typing import Any, Optional

from nefertari_search_tween.interfaces.primary import Key


class UnitOfWork:
    """A write of the application with those that it causes (backreferences, reverse delete rules,
    the objects of a bulk). Events have it as their session.

    :ivar depth: how many writes are running inside each other.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.record: Optional[TransactionRecord] = None


class TransactionRecord:
    """What a unit of work has recorded so far.

    :param token: of its rows.
    :ivar rows: by key, the id of its latest row.
    :ivar fan_outs: by key, the FanOut of that row, or 0; only of rows that are certainly there.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.began = time.monotonic()
        self.rows: dict[Key, Any] = {}
        self.fan_outs: dict[Key, int] = {}
