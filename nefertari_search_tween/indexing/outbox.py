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
committed after n's read, so its own key was recorded after n was claimed, and a later claim
with a number above n brings it. So the last state always gets in, and no older one can follow.

A claim that fails gives its keys back; the next claim of them takes a new number and reads
again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Callable, Protocol

from nefertari_search_tween.primary.base import Key

_RECORDED = "nefertari_search.recorded"


@dataclass(frozen=True)
class Claim:
    """Keys that one indexer works on.

    :param number: external version of every document that it writes.
    """

    number: int
    keys: frozenset[Key]
    id: int = field(compare=False, default=0)


class Outbox(Protocol):
    """Where keys wait. Every implementation keeps the order that this module argues for."""

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        """In the transaction of *session*: these documents change with it."""

    def add(self, keys: Iterable[Key]) -> None:
        """These documents may be claimed at once, whatever transaction runs."""

    def uncommitted(self, session: Any) -> bool:
        """True when the running transaction of *session* has recorded keys."""

    def publish(self, session: Any) -> bool:
        """The transaction was committed: its keys may be claimed. True when there are any."""

    def discard(self, session: Any) -> None:
        """The transaction ended; what it recorded and did not commit is forgotten."""

    def claim(self, limit: int) -> Claim | None:
        """Up to *limit* keys that nobody works on, None when there are none."""

    def settle(self, claim: Claim, keys: Iterable[Key]) -> None:
        """*keys* of *claim* are in the index."""

    def release(self, claim: Claim) -> None:
        """Give back what of *claim* was not settled."""

    def waiting(self, model_name: str | None = None) -> int:
        """Number of keys (of one model) that are not in the index yet."""


class Counter:
    """Numbers that only grow, over restarts of the process too: microseconds since 1970."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, self._clock() // 1000)
            return self._last


class MemoryOutbox:
    """An outbox of this process: what a crash leaves in it is lost (see docs/limits)."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = threading.Lock()
        # A key may be free and claimed at once: changed again while it is being indexed.
        self._free: dict[Key, None] = {}
        self._claimed: dict[int, set[Key]] = {}
        self._claims = 0
        # By model, so that every read can ask, however many keys wait.
        self._waiting: dict[str, int] = {}

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        session.info.setdefault(_RECORDED, set()).update(keys)

    def add(self, keys: Iterable[Key]) -> None:
        with self._lock:
            self._add(keys)

    def uncommitted(self, session: Any) -> bool:
        return bool(session.info.get(_RECORDED))

    def publish(self, session: Any) -> bool:
        recorded = session.info.pop(_RECORDED, None)
        if not recorded:
            return False
        self.add(recorded)
        return True

    def discard(self, session: Any) -> None:
        session.info.pop(_RECORDED, None)

    def claim(self, limit: int) -> Claim | None:
        with self._lock:
            if not self._free:
                return None
            keys = set(islice(self._free, limit))
            for key in keys:
                del self._free[key]
            self._claims += 1
            self._claimed[self._claims] = set(keys)
            return Claim(self._counter.next(), frozenset(keys), self._claims)

    def settle(self, claim: Claim, keys: Iterable[Key]) -> None:
        with self._lock:
            rest = self._claimed.get(claim.id)
            if rest is None:
                return
            for key in rest.intersection(keys):
                rest.remove(key)
                self._waiting[key.model] -= 1
            if not rest:
                del self._claimed[claim.id]

    def release(self, claim: Claim) -> None:
        with self._lock:
            rest = self._claimed.pop(claim.id, set())
            for key in rest:
                self._waiting[key.model] -= 1
            self._add(rest)

    def waiting(self, model_name: str | None = None) -> int:
        with self._lock:
            if model_name is not None:
                return self._waiting.get(model_name, 0)
            return sum(self._waiting.values())

    def _add(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key not in self._free:
                self._free[key] = None
                self._waiting[key.model] = self._waiting.get(key.model, 0) + 1
