"""Which process rebuilds which index, and its progress: one rebuild of a model at a time.

It is stored in the primary database, which every process shares, and outlives the process that
stored it: the next rebuild resumes what one that was killed had done.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from nefertari_search_tween.exceptions import SearchError

# A rebuild without a heartbeat for so long is dead, and the next one resumes it. Should it only
# have been held up, two build the same index, which does no harm (see indexing/rebuild/rebuild.py),
# until the first one finds that it has lost the lock.
ALIVE_SECONDS = 15.0
# How often a rebuild sends a heartbeat, whatever it waits for.
HEARTBEAT_SECONDS = 2.0


def this_process() -> str:
    """Return a name of this process, for people (and for the width of a column)."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return f"{socket.gethostname()[:80]}, process {os.getpid()}, since {since}"


class RebuildInProgress(SearchError):
    """Another process rebuilds the index of the model, and is alive."""


class RebuildLost(SearchError):
    """Another process has resumed this rebuild: it was held up for too long."""


@dataclass(frozen=True)
class RebuildLock:
    """The lock of a model's rebuild, held by this process.

    :param token: the secret that identifies the holder.
    :param index: the index of an interrupted rebuild, empty if there was none.
    :param checkpoint: the last key that is certainly in it, None if there is none.
    :param documents: how many it has up to there.
    """

    model: str
    token: str
    index: str
    checkpoint: Optional[Any]
    documents: int


class RebuildLocks(Protocol):
    """The locks, and the progress of the rebuilds that hold them."""

    def acquire(self, model_name: str) -> RebuildLock:
        """Take the lock of a model, with what a dead rebuild has left.

        :raises RebuildInProgress: another process holds it; the message says which, since when.
        """

    def start(self, lock: RebuildLock, index: str) -> None:
        """Store that *index* is built, from the first key on.

        :raises RebuildLost: as the other methods do.
        """

    def checkpoint(self, lock: RebuildLock, key: Any, documents: int) -> None:
        """Store that everything up to *key* is in the index; it is a heartbeat, too."""

    def heartbeat(self, lock: RebuildLock) -> None:
        """Store that the rebuild is alive."""

    def release(self, lock: RebuildLock) -> None:
        """Let the next process resume at once: this one ends before it is done."""

    def finish(self, lock: RebuildLock) -> None:
        """Delete the lock of a rebuild that is done."""
