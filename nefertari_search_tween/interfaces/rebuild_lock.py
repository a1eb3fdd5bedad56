"""Who builds which index, and how far it is: one build of a model at a time, whoever starts it.

It is written down in the primary database, which every process shares, and outlives whoever
wrote it: what a build that was killed had done is there for the next one.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from nefertari_search_tween.exceptions import SearchError

# A build that gave no sign of life for so long is dead, and the next one goes on with it.
# Should it only have been held up, two build the same index, which does no harm (see
# indexing/rebuild.py), until the first one finds that its build is not its own any more.
ALIVE_SECONDS = 15.0
# How often it gives one, whatever it waits for.
HEARTBEAT_SECONDS = 2.0


def this_process() -> str:
    """This process, for people (and for the width of a column)."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return f"{socket.gethostname()[:80]}, process {os.getpid()}, since {since}"


class RebuildInProgress(SearchError):
    """Somebody else builds an index of the model, and lives."""


class RebuildLost(SearchError):
    """Somebody else has gone on with this build: it was held up for too long."""


@dataclass(frozen=True)
class RebuildLock:
    """A build of a model's index, held by this process.

    :param token: the secret by which it knows itself.
    :param index: the index that a build before this one has left, empty when there was none.
    :param position: the last key that is certainly in it, None when there is none.
    :param done: how many documents it has up to there.
    """

    model: str
    token: str
    index: str
    checkpoint: Optional[Any]
    documents: int


class RebuildLocks(Protocol):
    """Where builds are written down."""

    def acquire(self, model_name: str) -> RebuildLock:
        """Take the build of a model, with what is left of one that died.

        :raises RebuildRuns: another one lives; the message says whose, and since when.
        """

    def start(self, build: RebuildLock, index: str) -> None:
        """It builds *index*, from the first key on.

        :raises RebuildLost: as do the others.
        """

    def checkpoint(self, build: RebuildLock, position: Any, done: int) -> None:
        """Everything up to the key *position* is in the index; it is a sign of life, too."""

    def heartbeat(self, build: RebuildLock) -> None:
        """Give a sign of life."""

    def release(self, build: RebuildLock) -> None:
        """It ends before it is done: the next one may go on at once."""

    def finish(self, build: RebuildLock) -> None:
        """It is done: nothing is left of it."""
