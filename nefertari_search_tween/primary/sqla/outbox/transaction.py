"""What one transaction has written into the outbox so far."""

from __future__ import annotations

import time
from typing import Any

from nefertari_search_tween.interfaces.primary import Key

#: In ``session.info``: the running transaction may have changed rows that documents depend on.
WRITTEN = "nefertari_search.written"


class TransactionRecord:
    """What a transaction has recorded so far.

    :param token: of its rows, if this process claims them when it is committed.
    :ivar keys: documents that changed.
    :ivar content_changes: objects whose contents changed.
    :ivar persisted: of both, those whose rows no savepoint has rolled back.
    :ivar versions: of the claim of its rows, by model, where they are taken with the rows.
    :ivar notified: workers will be notified at the commit.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.began = time.monotonic()
        self.keys: set[Key] = set()
        self.content_changes: set[Key] = set()
        self.persisted: tuple[set[Key], set[Key]] = (set(), set())
        self.versions: dict[str, int] = {}
        self.notified = False

    def __bool__(self) -> bool:
        return bool(self.keys or self.content_changes)


def ends_with_connection(session: Any, connection: Any) -> bool:
    """Return True if the end of the transaction of *session* is that of *connection*'s.

    It is not where the connection was given to the session, with a transaction that another one
    ends, or has none.
    """
    transaction = session.transaction
    while transaction is not None and transaction._parent is not None:
        transaction = transaction._parent
    begun = None if transaction is None else transaction._connections.get(connection.engine)
    return begun is not None and begun[1]._parent is begun[1]
