"""What one transaction has written into the outbox so far."""

from __future__ import annotations

import time
import uuid

from nefertari_search_tween.interfaces.primary import Key


class TransactionRecord:
    """What a transaction has recorded so far.

    :ivar keys: documents that changed.
    :ivar content_changes: objects whose contents changed.
    :ivar persisted: of both, those whose rows no savepoint has rolled back.
    :ivar notified: workers will be notified at the commit.
    """

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.began = time.monotonic()
        self.keys: set[Key] = set()
        self.content_changes: set[Key] = set()
        self.persisted: tuple[set[Key], set[Key]] = (set(), set())
        self.notified = False

    def __bool__(self) -> bool:
        return bool(self.keys or self.content_changes)
