"""Works off the outbox outside of any request: a claim of each model in turn.

No error ends it: a document that can't be indexed becomes a dead letter, a model whose index
refuses everything waits while the others go on, and while the search server or the database is
down everything waits.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Callable

from nefertari_search_tween.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    SearchError,
)
from nefertari_search_tween.indexing.failures import Troubles
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.wakeup import Alarm

FIRST_IDLE_SECONDS = 0.1
LONGEST_IDLE_SECONDS = 1.0
# What all models share: the search server and the database.
ALL = "the search server or the database"
# A drain gives a model up after so many failures in a row.
ATTEMPTS = 3


class Counts:
    """What a worker has done since its start.

    :ivar settled: documents by model.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.settled: Counter[str] = Counter()
        self.claims = 0
        self.errors = 0


class Worker:
    """See the module.

    :param alarm: how it waits, and is stopped.
    :param idle: the most seconds between two looks into the outbox.
    """

    def __init__(self, indexer: Indexer, alarm: Alarm, idle: float = LONGEST_IDLE_SECONDS) -> None:
        self.indexer = indexer
        self.outbox = indexer.outbox
        self.alarm = alarm
        self.idle = idle
        self.counts = Counts()
        self.troubles = Troubles()

    def follow(self, report: Callable[[], float]) -> None:
        """Index what waits and what comes, until the alarm is stopped. The claim in hand is
        finished then, within its lease.

        :param report: called between claims; gives the seconds until it wants to be called again.
        """
        # Who hears news need not look often; all others begin with short waits.
        shortest = FIRST_IDLE_SECONDS if self.alarm.news is None else self.idle
        idle = shortest = min(shortest, self.idle)
        look = time.monotonic()
        while not self.alarm.stopped:
            due = report()
            left = look - time.monotonic()
            if left > 0:
                if self._wait(min(due, left)):
                    look = time.monotonic()
            elif self.work():
                idle = shortest
                # Or the database would have to keep what it tells a worker that is busy for long.
                self.alarm.wait(0)
            else:
                look = time.monotonic() + min([idle, *self._pauses()])
                idle = min(idle * 2, self.idle)

    def _wait(self, seconds: float) -> bool:
        """True when there are news, which do not matter while nothing works."""
        if self.troubles.of(ALL) is None:
            return self.alarm.wait(seconds)
        self.alarm.pause(seconds)
        return False

    def drain(self) -> dict[str, int]:
        """Index what waits by now.

        What others have claimed is waited for: it is settled, or free, after a lease.

        :returns: number of rows that are left, by model.
        :raises Exception: what the search server or the database failed with.
        """
        began = progress = time.monotonic()
        pause = FIRST_IDLE_SECONDS
        while True:
            worked = self.work()
            trouble = self.troubles.of(ALL)
            if trouble is not None:
                raise trouble.error
            if worked:
                progress, pause = time.monotonic(), FIRST_IDLE_SECONDS
                continue
            left = self._older(time.monotonic() - began)
            late = time.monotonic() - progress > self.outbox.lease + LONGEST_IDLE_SECONDS
            if self.alarm.stopped or late or all(map(self._given_up, left)):
                return left
            self.alarm.pause(pause)
            pause = min(pause * 2, LONGEST_IDLE_SECONDS)

    def work(self) -> bool:
        """One claim of each model that has rows; True when there was any."""
        if self.troubles.pause(ALL):
            return False
        worked = False
        try:
            # Not by a claim: it would be given back, every time.
            if self.troubles.of(ALL) is not None and not self.indexer.mirrors.backend.alive():
                raise BackendUnavailable("no answer")
            names = self.outbox.claimable()
            self.troubles.over(ALL)
        except Exception as error:  # noqa: BLE001 - told, and tried again
            self._failed(ALL, error)
            return False
        for name in names:
            if self.alarm.stopped or self.troubles.of(ALL) is not None:
                break
            if not self.troubles.pause(name):
                worked = self._step(name) or worked
        return worked

    def _step(self, name: str) -> bool:
        mirror = self.indexer.mirrors.get(name)
        if mirror is None:
            return False
        try:
            done = self.indexer.step(mirror, self.outbox.lease)
        except Exception as error:  # noqa: BLE001 - a worker goes on, whatever a claim meets
            self._failed(ALL if self._all_fail(error) else name, error)
            return False
        if done is None:
            # Another worker was faster.
            return False
        self.troubles.over(name)
        self.counts.claims += 1
        self.counts.settled[name] += done
        return True

    def _failed(self, name: str, error: Exception) -> None:
        self.counts.errors += 1
        expected = isinstance(error, SearchError) or name == ALL
        self.troubles.begin(name, error, with_stack=not expected)

    def _all_fail(self, error: Exception) -> bool:
        """True when the next model would fail in the same way."""
        if isinstance(error, (BackendUnavailable, BackendTimeout)):
            return not self.indexer.mirrors.backend.alive()
        return not isinstance(error, BackendError) and not self.outbox.answers()

    def _pauses(self) -> list[float]:
        """Seconds until what failed is tried again."""
        if self.troubles.of(ALL) is not None:
            return [self.troubles.pause(ALL)]
        pauses = (self.troubles.pause(mirror.name) for mirror in self.indexer.mirrors)
        return [pause for pause in pauses if pause]

    def _older(self, age: float) -> dict[str, int]:
        """Rows that were recorded before *age* seconds, or at about that time."""
        return {
            name: waiting.rows
            for name, waiting in self.outbox.lag().items()
            if waiting.oldest >= age - FIRST_IDLE_SECONDS
        }

    def _given_up(self, name: str) -> bool:
        """Nobody here will settle rows of this model."""
        trouble = self.troubles.of(name)
        return name not in self.indexer.mirrors or (
            trouble is not None and trouble.count >= ATTEMPTS
        )
