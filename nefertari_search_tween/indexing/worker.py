"""Processes the outbox outside of any request: a claim of each model in turn.

No error ends it: a document that can't be indexed becomes a dead letter, a model whose index
rejects everything is paused while the others go on, and while the search server or the database
is down all of them are.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Callable

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    SearchError,
)
from nefertari_search_tween.indexing.failures import FailureTracker
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.wakeup import Wakeup

FIRST_IDLE_SECONDS = 0.1
MAX_IDLE_SECONDS = 1.0
# What all models share: the search server and the database.
ALL = "the search server or the database"
# A drain gives a model up after this number of failures in a row.
ATTEMPTS = 3


class WorkerStats:
    """What a worker has done since its start.

    :ivar indexed: number of documents by model.
    """

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.indexed: Counter[str] = Counter()
        self.claims = 0
        self.errors = 0


class Worker:
    """See the module.

    :param wakeup: how it waits, and is stopped.
    :param max_idle_seconds: between two polls of the outbox.
    """

    def __init__(
        self, indexer: Indexer, wakeup: Wakeup, max_idle_seconds: float = MAX_IDLE_SECONDS
    ) -> None:
        self.indexer = indexer
        self.outbox = indexer.outbox
        self.wakeup = wakeup
        self.max_idle_seconds = max_idle_seconds
        self.stats = WorkerStats()
        self.failures = FailureTracker()

    def run(self, report: Callable[[], float]) -> None:
        """Index what is pending and what comes, until the wakeup is stopped. The current claim is
        finished then, within its lease.

        :param report: called between claims; returns the seconds until its next call.
        """
        # A worker that is notified need not poll often; all others begin with short waits.
        first = FIRST_IDLE_SECONDS if self.wakeup.listener is None else self.max_idle_seconds
        backoff = Backoff(first, self.max_idle_seconds)
        poll_at = time.monotonic()
        while not self.wakeup.stopped:
            due = report()
            remaining = poll_at - time.monotonic()
            if remaining > 0:
                if self._wait(min(due, remaining)):
                    poll_at = time.monotonic()
            elif self.run_once():
                backoff.reset()
                # Or the database would have to keep the notifications of a worker that is busy.
                self.wakeup.wait(0)
            else:
                poll_at = time.monotonic() + min([backoff.next_seconds(), *self._pauses()])

    def _wait(self, seconds: float) -> bool:
        """Return True if there is a notification, which does not matter while everything fails."""
        if self.failures.of(ALL) is None:
            return self.wakeup.wait(seconds)
        self.wakeup.pause(seconds)
        return False

    def drain(self) -> dict[str, int]:
        """Index what is pending by now.

        It waits for the claims of others: their rows are settled, or claimable, after a lease.

        :returns: number of remaining rows, by model.
        :raises Exception: what the search server or the database failed with.
        """
        began = progress = time.monotonic()
        backoff = Backoff(FIRST_IDLE_SECONDS, MAX_IDLE_SECONDS)
        while True:
            worked = self.run_once()
            failure = self.failures.of(ALL)
            if failure is not None:
                raise failure.error
            if worked:
                progress = time.monotonic()
                backoff.reset()
                continue
            remaining = self._older(time.monotonic() - began)
            late = time.monotonic() - progress > self.outbox.lease_seconds + MAX_IDLE_SECONDS
            if self.wakeup.stopped or late or all(map(self._given_up, remaining)):
                return remaining
            self.wakeup.pause(backoff.next_seconds())

    def run_once(self) -> bool:
        """Process one claim of each model that has rows, and return True if there was any."""
        if self.failures.seconds_until_retry(ALL):
            return False
        worked = False
        try:
            # Not by a claim: it would be released, every time.
            if self.failures.of(ALL) is not None and not self.indexer.mirrors.backend.ping():
                raise BackendUnavailable("no answer")
            names = self.outbox.claimable_models()
            self.failures.record_success(ALL)
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            self._failed(ALL, error)
            return False
        for name in names:
            if self.wakeup.stopped or self.failures.of(ALL) is not None:
                break
            if not self.failures.seconds_until_retry(name):
                worked = self._process_model(name) or worked
        return worked

    def _process_model(self, name: str) -> bool:
        mirror = self.indexer.mirrors.get(name)
        if mirror is None:
            return False
        try:
            done = self.indexer.process_next_claim(mirror, self.outbox.lease_seconds)
        except Exception as error:  # noqa: BLE001 - a worker goes on, whatever a claim meets
            self._failed(ALL if self._all_fail(error) else name, error)
            return False
        if done is None:
            # Another worker was faster.
            return False
        self.failures.record_success(name)
        self.stats.claims += 1
        self.stats.indexed[name] += done
        return True

    def _failed(self, name: str, error: Exception) -> None:
        self.stats.errors += 1
        expected = isinstance(error, SearchError) or name == ALL
        self.failures.record_failure(name, error, with_stack=not expected)

    def _all_fail(self, error: Exception) -> bool:
        """Return True if the next model would fail in the same way."""
        if isinstance(error, (BackendUnavailable, BackendTimeout)):
            return not self.indexer.mirrors.backend.ping()
        return not isinstance(error, BackendError) and not self.outbox.ping()

    def _pauses(self) -> list[float]:
        """Return the seconds until each retry."""
        if self.failures.of(ALL) is not None:
            return [self.failures.seconds_until_retry(ALL)]
        pauses = (self.failures.seconds_until_retry(mirror.name) for mirror in self.indexer.mirrors)
        return [pause for pause in pauses if pause]

    def _older(self, age: float) -> dict[str, int]:
        """Return the number of rows by model that are about *age* seconds old or older."""
        return {
            name: backlog.rows
            for name, backlog in self.outbox.backlog().items()
            if backlog.age_seconds >= age - FIRST_IDLE_SECONDS
        }

    def _given_up(self, name: str) -> bool:
        """Return True if this worker will not settle rows of the model."""
        failure = self.failures.of(name)
        return name not in self.indexer.mirrors or (
            failure is not None and failure.attempts >= ATTEMPTS
        )
