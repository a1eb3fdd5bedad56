"""Keys of documents that must be indexed: recorded, claimed, settled.

The order of two claims
-----------------------

Every claim takes a number from a counter that only grows, *after* the change was committed and
*before* the state is read; the number is the external version of every document of the claim
(``external_gte``: the index keeps the newer). Take two claims of the same document, numbers
m < n. The claim n was numbered later, and it reads after it was numbered, so it sees everything
that was committed before n was given out. If m reads an older state than n, the index ends with
n whatever the order of arrival, because m's write is refused once n's is in. If m reads after
n did (a slow m), it may have read something newer than n and lose it; but that newer change was
committed after n's read, so its own row came after n was claimed, and a later claim with a
number above n brings it. So the last state always gets in, and no older one can follow.

A claim that fails gives its rows back; the next claim of them takes a new number and reads
again. So does the one that takes over a claim whose time is up. What docs/consistency.rst says
as numbered claims is kept here and in the implementations.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Optional, Protocol

from nefertari_search_tween.exceptions import SearchError
from nefertari_search_tween.interfaces.primary import Key

# How long a claim is its owner's. When a process dies, what it had claimed waits this long;
# when it is merely slow, somebody else does the work, too (which does no harm).
LEASE_SECONDS = 20.0


class FanOut(IntEnum):
    """Which documents an outbox row represents besides the object's own; 0: none."""

    #: those that hold its contents
    EMBEDDING = 1
    #: also those that list its key: it is new, gone, or has moved
    REFERENCING = 2
    #: as EMBEDDING, recorded by the session that changed the object and not by a trigger
    EMBEDDING_BY_SESSION = 3

    # The number itself in SQL text, on every version of Python.
    __str__ = int.__repr__


class ClaimExpired(SearchError):
    """The lease of a claim is over; its rows may be somebody else's."""


@dataclass(frozen=True)
class Claim:
    """Rows that one indexer works on.

    :param token: marks the rows.
    :param keys: the documents to index. A key of None stands for everything of its model, and
        is the only one.
    :param numbers: external version of the documents, by model.
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

    :param waiting: committed changes are not in the index yet.
    :param number: of the last claim of the model.
    """

    pending: bool
    version: int


class Backlog(NamedTuple):
    """What waits of one model.

    :param rows: how many rows, claimed ones included.
    :param oldest: seconds since the first of them was recorded.
    """

    rows: int
    age_seconds: float


class Watermark(NamedTuple):
    """A place in the outbox.

    :param row: number of the last row that was there.
    :param moment: when that was, in milliseconds since 1970.
    """

    row_id: int
    recorded_at: int


class DeadLetter(NamedTuple):
    """A document that could not be indexed.

    :param failed: seconds since 1970.
    """

    key: Key
    error: str
    failed_at: float


class Outbox(Protocol):
    """Where keys wait, in the primary database.

    :ivar owned: what this process records is its own to index; else workers do it.
    :ivar lease: seconds that a claim is its owner's.
    """

    inline: bool
    lease_seconds: float

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        """In the transaction of *session*: these documents change with it."""

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        """In the transaction of *session*: the contents of these objects change, mirrored or not.

        The documents that hold them once it is committed are to be indexed: another transaction
        may be making one right now, which nobody else can see.
        """

    def has_recorded(self, session: Any) -> bool:
        """True when the running transaction of *session* has recorded keys."""

    def savepoint_rolled_back(self, session: Any) -> None:
        """Some of what the transaction recorded was rolled back: take nothing for recorded."""

    def committed(self, session: Any) -> Optional[str]:
        """The transaction was committed.

        :returns: the token of its rows where they are this process's to index, else None.
        """

    def rolled_back(self, session: Any) -> None:
        """The transaction ended without a commit."""

    def claim_committed(self, token: str) -> Optional[Claim]:
        """The claim of the rows that :meth:`publish` gave *token* for, numbered.

        :returns: None when they are somebody else's by now.
        """

    def enqueue(self, keys: Iterable[Key]) -> None:
        """These documents are to be indexed, whatever transaction runs."""

    def enqueue_model(self, model_name: str) -> None:
        """Every object of a model is to be indexed, and every document of it that an indexer is
        just writing."""

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        """Up to *limit* rows of a model that nobody works on; None when there are none."""

    def next_version(self, model_name: str) -> int:
        """A new number of a model, for what is written without rows."""

    def settle(
        self, claim: Claim, model_name: str, refused: Mapping[Any, str], settled: Iterable[Any]
    ) -> None:
        """The documents of one model of *claim* are in the index.

        :param refused: key -> error: these became dead letters.
        :param settled: keys of those that are none (any more).
        """

    def renew(self, claim: Claim) -> bool:
        """Keep the rows of *claim* for another lease; False when they are somebody else's."""

    def release(self, token: str) -> None:
        """Give back what of a claim was not settled."""

    def sync_state(self, model_name: str) -> SyncState:
        """See :class:`State`. Cheap: every read asks."""

    def pending_count(self, model_name: Optional[str] = None) -> int:
        """Number of rows (of one model) that are not settled."""

    def backlog(self) -> dict[str, Backlog]:
        """What waits, by model; models without rows are left out."""

    def claim_tokens(self, model_name: str) -> set[str]:
        """Of the claims that have rows of a model, ended or not."""

    def claimable_models(self) -> list[str]:
        """Names of the models that have rows which nobody works on (any more). Cheap."""

    def ping(self) -> bool:
        """False when the database does not answer."""

    def watermark(self) -> Watermark:
        """The end of what waits now, of all models: any change may concern any document."""

    def has_passed(self, mark: Watermark) -> bool:
        """True when nothing waits any more of what waited at *mark*."""

    def raise_version(self, model_name: str, number: int) -> None:
        """Every number that a model is given from now on is above *number*."""

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        """The dead letters (of one model), oldest first."""

    def dead_letter_counts(self) -> dict[str, int]:
        """Number of dead letters by model; models without any are left out."""

    def retry(self, keys: Iterable[Key]) -> int:
        """Put dead letters into the outbox again; gives how many there were."""

    def drop(self, keys: Iterable[Key]) -> int:
        """Forget dead letters; gives how many there were."""
