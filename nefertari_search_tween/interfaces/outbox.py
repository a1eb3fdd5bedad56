"""Keys of documents that must be indexed: recorded, claimed, settled.

The order of two claims
-----------------------

Every claim takes a version from a counter that only grows, *after* the change was committed and
*before* the state is read; it is the external version of every document of the claim
(``external_gte``: the index keeps the newer). Take two claims of the same document, versions
m < n. The claim n took its version later, and it reads after that, so it sees everything that was
committed before n was taken. If m reads an older state than n, the index ends with n whatever the
order of arrival, because m's write is rejected once n's is in. If m reads after n did (a slow m),
it may have read something newer than n and lose it; but that newer change was committed after n's
read, so its own row came after n was claimed, and a later claim with a version above n brings it.
So the last state always gets in, and no older one can follow.

A claim that fails releases its rows; the next claim of them takes a new version and reads again.
So does the one that takes over a claim whose lease expired. What docs/consistency.rst says as
numbered claims is kept here and in the implementations.

Leases and clocks
-----------------

A lease decides who works, never what is true: two processes that work on the same rows do no harm,
by the above. So its clock has to guarantee one thing, that every row becomes claimable; and it
should not make two processes work where one is alive.

* The owner measures its lease by ``time.monotonic``, which can't be set: after the deadline it
  writes nothing.
* The end of a lease, as others read it, is a time of the database's clock: one clock for all hosts,
  so that no host is ahead of another. A process reads it every ten seconds and goes by its own
  monotonic clock in between.
* That clock may be set as well. Forward: leases end early, which does no harm. Back, by *d*: the
  leases of before end in *d* more than they should. No lease ends later than now + LEASE_SECONDS;
  one that ends later than that by more than CLOCK_SLACK_SECONDS was granted before the clock was
  set back, and counts as expired. So a row is claimable after LEASE_SECONDS + CLOCK_SLACK_SECONDS
  (and the ten seconds) at the latest, whatever *d* is: if *d* is below the slack it is waited for,
  and else nothing is. Claims that are alive at that moment are taken over once, not in turns: what
  takes them over is granted by the clock as it is now.
* Versions do not go back with the clock: each is above the latest (versions.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Optional, Protocol

from nefertari_search_tween.exceptions import SearchError
from nefertari_search_tween.interfaces.primary import Key, Reader

# How long a claim is its owner's. When a process dies, what it had claimed is pending this long;
# when it is merely slow, another process does the work, too (which does no harm).
LEASE_SECONDS = 20.0


class FanOut(IntEnum):
    """Which documents an outbox row represents besides the object's own; 0: none."""

    #: those that hold its contents
    EMBEDDING = 1
    #: also those that list its key: it is new, deleted, or has moved
    REFERENCING = 2
    #: as EMBEDDING, recorded by the session that changed the object and not by a trigger
    EMBEDDING_BY_SESSION = 3

    # The number itself in SQL text, on every version of Python.
    __str__ = int.__repr__


class ClaimExpired(SearchError):
    """The lease of a claim expired; another process may have its rows."""


@dataclass(frozen=True)
class Claim:
    """Rows that one indexer works on.

    :param token: marks the rows.
    :param keys: the documents to index. In a claim of a worker a whole-model key is the only one.
        Objects of models without a mirror may be among them; they have no documents.
    :param versions: external version of the documents, by model.
    :param deadline: on :func:`time.monotonic`: nothing is written for the claim after it.
    """

    token: str
    keys: frozenset[Key]
    versions: Mapping[str, int]
    deadline: float = field(compare=False)

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.deadline


class SyncState(NamedTuple):
    """What a reader must know of a model's outbox, as of one moment.

    :param pending: changes are not in the index yet, and are not awaited: a reader may know of
        them. (Awaited ones, whose writer indexes them itself and has not been answered, do not
        count; docs/consistency.rst, "Writes in flight".)
    :param version: the latest of the model that a claim or its settling took. If nothing is
        pending, what a claim settled with it or before it is in the index.
    """

    pending: bool
    version: int


class Backlog(NamedTuple):
    """The pending rows of one model.

    :param rows: how many, claimed ones included.
    :param age_seconds: since the oldest of them was recorded.
    """

    rows: int
    age_seconds: float


@dataclass
class Watermark:
    """A position in the outbox.

    :param row_id: of the last row that was there.
    :param recorded_at: when that was, in milliseconds since 1970.
    :param expansions: how often the rows up to here may yet become others, which are behind it: one
        that represents others a row for each, or for each model, and one of a whole model a row for
        each document.
    """

    row_id: int
    recorded_at: int
    expansions: int = 0


class DeadLetter(NamedTuple):
    """A document that could not be indexed.

    :param failed_at: seconds since 1970.
    """

    key: Key
    error: str
    failed_at: float


class Outbox(Protocol):
    """The pending keys, in the primary database.

    :ivar inline: this process indexes what it records; else workers do.
    :ivar lease_seconds: how long a claim is its owner's.
    """

    inline: bool
    lease_seconds: float

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        """Record, in the transaction of *session*, that these documents change with it."""

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        """Record, in the transaction of *session*, that the contents of these objects change,
        mirrored or not.

        The documents that hold them once it is committed are to be indexed: another transaction
        may be making one right now, which is visible to no other.
        """

    def has_recorded(self, session: Any) -> bool:
        """Return True if the running transaction of *session* has recorded keys."""

    def savepoint_rolled_back(self, session: Any) -> None:
        """Forget which rows exist: some of the transaction's may have been rolled back."""

    def committed(self, session: Any) -> Optional[str]:
        """End the record of a transaction that was committed.

        :returns: the token of its rows if this process indexes them, else None.
        """

    def rolled_back(self, session: Any) -> None:
        """End the record of a transaction that was not committed."""

    def claim_committed(self, token: str) -> Optional[Claim]:
        """Return the claim of the rows that :meth:`committed` returned *token* for.

        :returns: None if another process has them by now.
        """

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Add rows for these documents, whatever transaction runs."""

    def enqueue_model(self, model_name: str) -> None:
        """Add rows for every object of a model, and for every document of it that an indexer is
        writing at the moment."""

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        """Claim up to *limit* claimable rows of a model; None if there are none."""

    def next_version(self, model_name: str) -> int:
        """Return a new version of a model, for what is written without rows."""

    def settle(self, claim: Claim, rejected: Mapping[Key, str]) -> None:
        """Delete the rows of *claim* of the models of its keys: the documents are in the index.

        It takes versions: readers that saw the ones before may not have seen these documents.

        :param rejected: key -> error: these become dead letters; the others are none (any more).
        """

    def renew(self, claim: Claim) -> bool:
        """Extend *claim* by another lease; return False if another process has its rows."""

    def release(self, token: str) -> None:
        """Make the rows of a claim claimable that were not settled; no writer awaits them."""

    def postpone(self, token: str) -> None:
        """Leave the rows of a claim that were not settled to whoever claims them when its lease
        has expired; no writer awaits them."""

    def sync_state(self, model_name: str) -> SyncState:
        """Return the state of a model. Called on every read, must be fast."""

    def pending_count(self, model_name: Optional[str] = None) -> int:
        """Return the number of rows (of one model) that are not settled."""

    def backlog(self) -> dict[str, Backlog]:
        """Return the backlog by model; models without rows are left out."""

    def claim_tokens(self, model_name: str) -> set[str]:
        """Return the tokens of the claims that have rows of a model, expired or not."""

    def claimable_models(self) -> list[str]:
        """Return the names of the models that have rows which no process works on (any more).

        Called often, must be fast.
        """

    def ping(self) -> bool:
        """Return False if the database does not answer."""

    def watermark(self) -> Watermark:
        """Return the position behind all rows that are pending now.

        It covers all models, because a change of one may affect documents of another.
        """

    def has_passed(self, watermark: Watermark) -> bool:
        """Return True once no row up to *watermark* is pending, and none that such rows became.

        *watermark* follows them: it is one waiting reader's.
        """

    def has_passed_known(self, watermark: Watermark) -> bool:
        """Return True once no such row is pending that a reader may know of: all but the awaited
        ones."""

    def raise_version(self, model_name: str, version: int) -> None:
        """Make every version that a model takes from now on greater than *version*."""

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        """Return the dead letters (of one model), oldest first."""

    def dead_letter_counts(self) -> dict[str, int]:
        """Return the number of dead letters by model; models without any are left out."""

    def retry(self, keys: Iterable[Key]) -> int:
        """Enqueue the documents of dead letters again, and return how many there were."""

    def drop(self, keys: Iterable[Key]) -> int:
        """Delete dead letters, and return how many there were."""

    def all_pending(self, model_name: str, reader: Reader) -> bool:
        """Return True if every object of a model is pending: then an empty index is good enough.

        :param reader: of the model.
        """

    def notifications(self) -> Optional[NotificationListener]:
        """Return what notifies workers of new rows; None: they have to poll.

        With inline sync there are no notifications: the process that records does the work.
        """


class NotificationListener(Protocol):
    """Notifies a worker of new rows."""

    def connect(self) -> bool:
        """Connect unless connected; return True if that was needed: poll before you wait."""

    def fileno(self) -> Optional[int]:
        """Return what becomes readable with a notification; None: there is nothing to wait for."""

    def consume(self) -> None:
        """Read the notifications that arrived."""

    def close(self) -> None:
        """Close the connection."""
