"""Claim -> current state -> bulk index -> settle; and a thread that goes on after a fault."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import Any, Optional

from nefertari_search_tween.exceptions import BackendError, BackendTimeout, BackendUnavailable
from nefertari_search_tween.indexing.bulk import Written, actions, write
from nefertari_search_tween.indexing.outbox import Claim, Outbox
from nefertari_search_tween.mirror.registry import Mirror, Mirrors, write_alias
from nefertari_search_tween.primary.base import Body, Key

log = logging.getLogger(__name__)

# How long the list of a mirror's indices is trusted. A rebuild waits for longer than that
# between creating an index and scanning into it, so that every later claim writes to both.
TARGETS_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class Indexer:
    """Drains the outbox into the indices of the mirrors.

    :param chunk_size: documents in one claim and one bulk request.
    :param patience: seconds that a commit waits for one bulk; after that it goes on, and a
        thread indexes what waits.
    """

    def __init__(self, mirrors: Mirrors, outbox: Outbox, chunk_size: int, patience: float) -> None:
        self.mirrors = mirrors
        self.outbox = outbox
        self.chunk_size = chunk_size
        self.patience = patience
        self._targets: dict[str, tuple[float, list[str]]] = {}
        self._retry: Optional[threading.Thread] = None
        self._retry_lock = threading.Lock()
        self._warned = False

    def index_committed(self) -> None:
        """Index what was just committed. Never raises: the commit stands whatever happens here.

        While the backend is down the keys wait, and a thread tries again with growing pauses.
        """
        if self.mirrors.breaker.open or self._retrying():
            self._retry_later()
            return
        try:
            self.drain(self.patience)
        except Exception as error:  # noqa: BLE001 - the keys are back in the outbox
            self._failed(error)
            self._retry_later()

    def drain(self, timeout: Optional[float] = None) -> int:
        """Index everything that waits; gives the number of keys settled.

        :param timeout: seconds that one bulk may take.
        :raises BackendError: the backend does not answer or refuses the bulk as a whole; what
            was not settled waits in the outbox.
        """
        settled = 0
        while True:
            claim = self.outbox.claim(self.chunk_size)
            if claim is None:
                return settled
            try:
                settled += self._process(claim, timeout)
            finally:
                self.outbox.release(claim)

    def _process(self, claim: Claim, timeout: Optional[float]) -> int:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in claim.keys:
            by_model[key.model].append(key.pk)
        settled = 0
        for name, pks in by_model.items():
            mirror = self.mirrors.get(name)
            if mirror is not None:
                self._index(mirror, claim.number, pks, timeout)
            keys = [Key(name, pk) for pk in pks]
            self.outbox.settle(claim, keys)
            settled += len(keys)
        return settled

    def _index(self, mirror: Mirror, number: int, pks: list[Any], timeout: Optional[float]) -> None:
        bodies = mirror.reader.read(pks)
        targets = self.targets(mirror)
        if not targets:
            # Nothing is built: whoever builds it scans the state that was committed before
            # this moment (see rebuild.py), so there is nothing to remember.
            return
        if self._write(mirror, targets, number, bodies, pks, timeout).target_missing:
            # An index went away between look-up and write.
            self._targets.pop(mirror.name, None)
            targets = self.targets(mirror)
            if self._write(mirror, targets, number, bodies, pks, timeout).target_missing:
                raise BackendError(f"the indices of {mirror.name} change faster than one bulk")
        mirror.wrote()

    def _write(
        self,
        mirror: Mirror,
        targets: list[str],
        number: int,
        bodies: dict[Any, Body],
        pks: list[Any],
        timeout: Optional[float],
    ) -> Written:
        batch = (
            action for target in targets for action in actions(mirror, target, number, pks, bodies)
        )
        return write(mirror, batch, self.chunk_size, timeout)

    def targets(self, mirror: Mirror) -> list[str]:
        """Names to write to: of the live index and of one that is being built."""
        now = time.monotonic()
        known = self._targets.get(mirror.name)
        if known is not None and now - known[0] < TARGETS_SECONDS:
            return known[1]
        names = [
            write_alias(index)
            for index, aliases in self.mirrors.concrete(mirror).items()
            if write_alias(index) in aliases
        ]
        self._targets[mirror.name] = (now, names)
        return names

    # After a fault

    def _failed(self, error: Exception) -> None:
        if isinstance(error, (BackendUnavailable, BackendTimeout)):
            self.mirrors.breaker.failed()
        if not self._warned:
            self._warned = True
            log.warning(
                "indexing failed, %d documents wait and will be indexed when it works again: %s",
                self.outbox.waiting(),
                error,
                exc_info=not isinstance(error, BackendError),
            )

    def _retrying(self) -> bool:
        # A thread does not survive a fork: is_alive tells.
        return self._retry is not None and self._retry.is_alive()

    def _retry_later(self) -> None:
        with self._retry_lock:
            if not self._retrying():
                self._retry = threading.Thread(
                    target=self._retry_loop, name="nefertari-search-indexer", daemon=True
                )
                self._retry.start()

    def _retry_loop(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            threading.Event().wait(pause)
            try:
                self.drain()
            except Exception as error:  # noqa: BLE001 - the keys are back in the outbox
                self._failed(error)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            with self._retry_lock:
                if not self.outbox.waiting():
                    self.mirrors.breaker.answered()
                    self._retry = None
                    if self._warned:
                        self._warned = False
                        log.warning("indexing works again, nothing waits")
                    return
