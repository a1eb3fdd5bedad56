"""Claim -> current state -> bulk index -> settle."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Callable, Optional

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.exceptions import BackendError, BackendTimeout, BackendUnavailable
from nefertari_search_tween.indexing.bulk_writer import build_actions, write
from nefertari_search_tween.indexing.model_expansion import expand_whole_model
from nefertari_search_tween.indexing.recovery import RecoveryThread
from nefertari_search_tween.indexing.restored import recover
from nefertari_search_tween.interfaces.outbox import Claim, ClaimExpired, Outbox
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id

log = logging.getLogger(__name__)

# How long the list of a mirror's indices is cached. A rebuild waits longer than that between
# creating an index and scanning into it, so that every later claim writes to both.
TARGETS_SECONDS = 1.0
# Between two attempts to release rows whose writer is to be answered.
FIRST_RELEASE_PAUSE_SECONDS = 0.05
MAX_RELEASE_PAUSE_SECONDS = 1.0


class Indexer:
    """Drains the outbox into the indices of the mirrors.

    :param chunk_size: documents in one claim and one bulk request.
    :param commit_timeout: seconds that a commit waits for one bulk; after that it goes on, and a
        thread indexes what is pending.
    :param refresh_requested: returns True if searches have to see the change when the commit
        returns.
    :ivar rejected: number of documents that became dead letters, by model.
    """

    def __init__(
        self,
        mirrors: MirrorRegistry,
        outbox: Outbox,
        chunk_size: int,
        commit_timeout: float,
        refresh_requested: Callable[[], bool] = bool,
    ) -> None:
        self.mirrors = mirrors
        self.outbox = outbox
        self.chunk_size = chunk_size
        self.commit_timeout = commit_timeout
        self.refresh_requested = refresh_requested
        self.rejected: Counter[str] = Counter()
        self.recovery = RecoveryThread(
            self.drain,
            self._has_claimable_rows,
            outbox.pending_count,
            self._failed,
            self._recovered,
        )
        self._targets: dict[str, tuple[float, list[str]]] = {}
        self._warned = False
        # Models that a claim has found to be newer in the index: all of them is pending.
        self._restored: set[str] = set()

    # After a commit

    def index_committed(self, token: str) -> None:
        """Index what was just committed. Never raises: the commit stands whatever happens here.

        While the backend is down the rows are pending, and a thread retries after growing pauses.

        :param token: of the rows, from the outbox.
        """
        try:
            if not self.mirrors.breaker.open and not self.recovery.retrying:
                claim = self.outbox.claim_committed(token)
                if claim is not None:
                    self.process_claim(claim, self.commit_timeout)
                    if any(key.pk is None for key in claim.keys):
                        # Whole models have become a row for each document.
                        self.drain(self.commit_timeout)
                    if self._restored:
                        self._restored.clear()
                        self.recovery.schedule_retry()
                    if self.refresh_requested():
                        self.refresh_indices(claim.versions)
                return
        except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
            self._failed(error)
        except BaseException:
            # The end of the process or of this request (by gevent, say), which may be answered.
            self._hand_over(token)
            raise
        self._hand_over(token)
        self.recovery.schedule_retry()

    def _hand_over(self, token: str) -> None:
        """Release rows that their writer waited for, before it is answered: reads begin to count
        them.

        If the database fails at that moment, wait for it; at most for a lease, after which reads
        count them all the same.
        """
        deadline = time.monotonic() + self.outbox.lease_seconds
        backoff = Backoff(FIRST_RELEASE_PAUSE_SECONDS, MAX_RELEASE_PAUSE_SECONDS)
        while not self._release(token) and time.monotonic() < deadline:
            time.sleep(backoff.next_seconds())

    def refresh_indices(self, names: Iterable[str]) -> None:
        """Make what is in the indices of these models visible to searches. Never raises.

        (Not by the mirrors' own `ensure_visible`: claims with smaller versions may still be in
        flight.)
        """
        for name in sorted(names):
            mirror = self.mirrors.get(name)
            try:
                if mirror is not None:
                    mirror.backend.refresh(mirror.alias)
            except BackendError as error:
                log.info("%s was not refreshed: %s", name, error)

    def index_pending(self) -> None:
        """Index what is pending, now or, after a fault, later; leave it to the workers if it is
        their work. Never raises."""
        if not self.outbox.inline:
            return
        try:
            if not self.mirrors.breaker.open and not self.recovery.retrying:
                self.drain(self.commit_timeout)
                return
        except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
            self._failed(error)
        self.recovery.schedule_retry()

    def _release(self, token: str) -> bool:
        """Release the rows of *token*; return False if the database failed. Never raises."""
        try:
            self.outbox.release(token)
        except Exception as error:  # noqa: BLE001 - its lease expires by itself
            log.warning(
                "a claim could not be released, its lease expires in %g s: %s",
                self.outbox.lease_seconds,
                error,
            )
            return False
        return True

    # Claim by claim

    def drain(self, timeout: Optional[float] = None) -> int:
        """Index all claimable rows, and return the number of documents.

        :param timeout: seconds that one bulk may take.
        :raises BackendError: the backend does not answer or rejects the bulk as a whole; what
            was not settled is still pending.
        """
        done = 0
        failed: Optional[Exception] = None
        again = True
        while again and failed is None:
            # A claim may add rows of other models: until a whole round finds none.
            again = False
            for mirror in self.mirrors:
                try:
                    while (count := self.process_next_claim(mirror, timeout)) is not None:
                        done += count
                        again = True
                except (BackendUnavailable, BackendTimeout):
                    raise
                except Exception as error:  # noqa: BLE001 - raised after the other models
                    failed = failed or error
        if failed is not None:
            raise failed
        self._restored.clear()
        return done

    def process_next_claim(self, mirror: Mirror, timeout: Optional[float] = None) -> Optional[int]:
        """Process one claim of *mirror*, and return its number of documents; None: no rows."""
        claim = self.outbox.claim(mirror.name, self.chunk_size)
        if claim is None:
            return None
        try:
            return self.process_claim(claim, timeout)
        except BaseException:
            self._release(claim.token)
            raise

    def process_claim(self, claim: Claim, timeout: Optional[float] = None) -> int:
        """Update the documents of *claim* to match the primary.

        :returns: number of documents that are settled.
        :raises BackendError: see :meth:`drain`.
        :raises ClaimExpired: it took longer than the lease; nothing was written after that.
        """
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in claim.keys:
            by_model[key.model].append(key.pk)
        done = 0
        for name, pks in by_model.items():
            mirror = self.mirrors.get(name)
            if mirror is not None and None in pks:
                if not expand_whole_model(
                    self.mirrors, mirror, self.outbox, claim, self.chunk_size
                ):
                    self.outbox.postpone(claim.token)
                    continue
                pks = []
            rejected = {} if mirror is None or not pks else self._index(claim, mirror, pks, timeout)
            self.outbox.settle(claim, name, rejected, [pk for pk in pks if pk not in rejected])
            self.rejected[name] += len(rejected)
            done += len(pks)
        return done

    def _index(
        self, claim: Claim, mirror: Mirror, pks: list[Any], timeout: Optional[float]
    ) -> dict[Any, str]:
        """Write to every index of the mirror, and return the errors of rejected ones by key.

        In parts: one transaction may have changed any number of objects, of any size.
        """
        rejected: dict[Any, str] = {}
        for part in mirror.reader.split(pks, self.chunk_size):
            claim = self._renewed(claim)
            rejected.update(self._index_part(claim, mirror, part, timeout))
        return rejected

    def _renewed(self, claim: Claim) -> Claim:
        """Return *claim* with at least half a lease before it.

        All parts have its version, but each is read and written within one lease: that is what
        keeps a document from coming back whose delete the index has forgotten. An old version with
        a newer state does no harm (interfaces/outbox.py).

        :raises ClaimExpired: another process has its rows.
        """
        now = time.monotonic()
        lease = self.outbox.lease_seconds
        if claim.deadline - now > lease / 2:
            return claim
        if not self.outbox.renew(claim):
            raise ClaimExpired("a claim took longer than its lease, and another process has it")
        return replace(claim, deadline=now + lease)

    def _index_part(
        self, claim: Claim, mirror: Mirror, pks: list[Any], timeout: Optional[float]
    ) -> dict[Any, str]:
        bodies = mirror.reader.read(pks)
        rejected = {pk: repr(body) for pk, body in bodies.items() if isinstance(body, Exception)}
        by_id = {document_id(pk): pk for pk in pks}
        written: set[str] = set()
        for _ in range(2):
            # If there is no index, nothing needs to be written: a rebuild scans the state that was
            # committed before this moment (see rebuild.py).
            missing = False
            for target in self.write_targets(mirror):
                if target in written:
                    continue
                if claim.expired:
                    # The version and what was read are old by now: the next claim of the rows
                    # starts over.
                    raise ClaimExpired(f"a claim of {mirror.name} took longer than its lease")
                batch = build_actions(mirror, target, claim.versions[mirror.name], pks, bodies)
                result = write(mirror, batch, self.chunk_size, timeout)
                if result.conflict and recover(self.outbox, mirror, result.conflict):
                    # A row of all documents is pending now, also of those that were refused.
                    self._restored.add(mirror.name)
                rejected.update({by_id[each]: text for each, text in result.errors.items()})
                missing = missing or result.target_missing
                if not result.target_missing:
                    written.add(target)
            if not missing:
                return rejected
            # An index was deleted between look-up and write.
            self._targets.pop(mirror.name, None)
        raise BackendError(f"the indices of {mirror.name} change faster than one bulk")

    def write_targets(self, mirror: Mirror) -> list[str]:
        """Return the names to write to: of the live index and of one that is being built."""
        cached = self._targets.get(mirror.name)
        # Before the look-up: its result was true then at the earliest.
        now = time.monotonic()
        if cached is not None and now - cached[0] < TARGETS_SECONDS:
            return cached[1]
        names = [
            write_alias(index)
            for index, aliases in self.mirrors.indices_of(mirror).items()
            if write_alias(index) in aliases
        ]
        # An empty list is not cached: an index may be created at any moment.
        if names:
            self._targets[mirror.name] = (now, names)
        return names

    # After a fault

    def _has_claimable_rows(self) -> bool:
        """Return True if there are rows to index, and the backend answers."""
        return not self.mirrors.breaker.open and bool(self.outbox.claimable_models())

    def _failed(self, error: Exception) -> None:
        if isinstance(error, (BackendUnavailable, BackendTimeout)):
            self.mirrors.breaker.record_failure(error)
        if not self._warned:
            self._warned = True
            log.warning(
                "indexing failed, pending changes will be retried: %s",
                error,
                exc_info=not isinstance(error, BackendError) and self.outbox.ping(),
            )

    def _recovered(self) -> None:
        self.mirrors.breaker.record_response()
        if self._warned:
            self._warned = False
            log.warning("indexing works again, nothing is pending")
