"""Claim -> current state -> bulk index -> settle; and a thread that goes on after a fault."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari_search_tween.backends.base import Action
from nefertari_search_tween.exceptions import BackendError, BackendTimeout, BackendUnavailable
from nefertari_search_tween.indexing.outbox import Claim, Outbox
from nefertari_search_tween.mirror.registry import Mirror, Mirrors, write_alias
from nefertari_search_tween.mirror.serializer import Serializer, document_id
from nefertari_search_tween.primary.base import Key

log = logging.getLogger(__name__)

# How long the list of a mirror's indices is trusted. A rebuild waits for longer than that
# between creating an index and scanning into it, so that every later claim writes to both.
TARGETS_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class Indexer:
    """Drains the outbox into the indices of the mirrors.

    :param chunk_size: documents in one claim and one bulk request.
    """

    def __init__(self, mirrors: Mirrors, outbox: Outbox, chunk_size: int) -> None:
        self.mirrors = mirrors
        self.outbox = outbox
        self.chunk_size = chunk_size
        self._targets: dict[str, tuple[float, list[str]]] = {}
        self._retry: Optional[threading.Thread] = None
        self._retry_lock = threading.Lock()
        self._warned = False

    def index_committed(self) -> None:
        """Index what was just committed. Never raises: the commit stands whatever happens here.

        While the backend is down the keys wait, and a thread tries again with growing pauses.
        """
        if self.mirrors.breaker.open:
            self._retry_later()
            return
        try:
            self.drain()
        except Exception as error:  # noqa: BLE001 - the keys are back in the outbox
            self._failed(error)
            self._retry_later()

    def drain(self) -> int:
        """Index everything that waits; gives the number of keys settled.

        :raises BackendError: the backend does not answer or refuses the bulk as a whole; what
            was not settled waits in the outbox.
        """
        settled = 0
        while True:
            claim = self.outbox.claim(self.chunk_size)
            if claim is None:
                return settled
            try:
                settled += self._process(claim)
            finally:
                self.outbox.release(claim)

    def _process(self, claim: Claim) -> int:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in claim.keys:
            by_model[key.model].append(key.pk)
        settled = 0
        for name, pks in by_model.items():
            mirror = self.mirrors.get(name)
            if mirror is not None:
                self._index(mirror, claim.number, pks)
            keys = [Key(name, pk) for pk in pks]
            self.outbox.settle(claim, keys)
            settled += len(keys)
        return settled

    def _index(self, mirror: Mirror, number: int, pks: list[Any]) -> None:
        targets = self.targets(mirror)
        if not targets:
            # Nothing is built: whoever builds it scans the state that was committed before
            # this moment (see rebuild.py), so there is nothing to remember.
            return
        bodies = mirror.reader.read(pks)
        mirror_actions = [
            action for target in targets for action in actions(mirror, target, number, pks, bodies)
        ]
        if not self._bulk(mirror, mirror_actions):
            # An index went away between look-up and write.
            self._targets.pop(mirror.name, None)
            again = [
                action
                for target in self.targets(mirror)
                for action in actions(mirror, target, number, pks, bodies)
            ]
            if not self._bulk(mirror, again):
                raise BackendError(f"the indices of {mirror.name} change faster than one bulk")
        mirror.wrote()

    def _bulk(self, mirror: Mirror, batch: list[Action]) -> bool:
        """Write *batch*; False when a target is gone.

        :raises BackendError: the backend is overloaded, or refuses even the stub of a document.
        """
        complete = True
        refused: list[Action] = []
        for outcome in self.mirrors.backend.bulk(batch, self.chunk_size):
            action = outcome.action
            if outcome.settled or (action.body is None and outcome.status == 404):
                continue
            if outcome.target_missing:
                complete = False
            elif outcome.overloaded:
                raise BackendError(f"the backend is overloaded: {outcome.error}")
            else:
                log.error(
                    "%s %s was refused by the backend and is left out of the mirror: %s",
                    mirror.name,
                    action.id,
                    outcome.error,
                )
                stub = Serializer.stub(action.id, outcome.error)
                refused.append(Action(action.index, action.id, action.version, stub))
        for outcome in self.mirrors.backend.bulk(refused, self.chunk_size):
            if not outcome.settled:
                raise BackendError(f"{mirror.name} {outcome.action.id}: {outcome.error}")
        return complete

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

    def _retry_later(self) -> None:
        with self._retry_lock:
            # A thread does not survive a fork: is_alive tells.
            if self._retry is None or not self._retry.is_alive():
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
            with self._retry_lock:
                if not self.outbox.waiting():
                    self.mirrors.breaker.answered()
                    self._retry = None
                    if self._warned:
                        self._warned = False
                        log.warning("indexing works again, nothing waits")
                    return


def actions(
    mirror: Mirror, target: str, number: int, pks: Iterable[Any], bodies: dict[Any, Any]
) -> Iterator[Action]:
    """The writes that bring *pks* to the state *bodies*: an index of each, or a delete.

    An object that can't be rendered is indexed as the stub that says so.
    """
    for pk in pks:
        body = bodies.get(pk)
        if isinstance(body, Exception):
            log.error("%s %s can't be rendered: %r", mirror.name, pk, body)
            body = Serializer.stub(str(pk), repr(body))
        yield Action(target, document_id(pk), number, body)
