"""Claim -> current state -> bulk index -> settle."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat, zip_longest
from typing import Any, Callable, Optional

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.exceptions import BackendError, BackendTimeout, BackendUnavailable
from nefertari_search_tween.indexing.bulk_writer import build_actions, write_together
from nefertari_search_tween.indexing.model_expansion import expand_whole_model
from nefertari_search_tween.indexing.recovery import RecoveryThread
from nefertari_search_tween.indexing.restored import recover
from nefertari_search_tween.interfaces.outbox import Claim, ClaimExpired, Outbox
from nefertari_search_tween.interfaces.primary import Key, keys_by_model
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id

log = logging.getLogger(__name__)

# How long the list of a mirror's indices is cached. A rebuild trusts what it scans into an index
# once no list of before can be in use any more, so that every later claim writes to both.
TARGETS_SECONDS = 0.5
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
    :param background: a thread of this process indexes what it commits.
    :ivar rejected: number of documents that became dead letters, by model.
    """

    def __init__(
        self,
        mirrors: MirrorRegistry,
        outbox: Outbox,
        chunk_size: int,
        commit_timeout: float,
        refresh_requested: Callable[[], bool] = bool,
        background: bool = False,
    ) -> None:
        self.mirrors = mirrors
        self.outbox = outbox
        self.chunk_size = chunk_size
        self.commit_timeout = commit_timeout
        self.refresh_requested = refresh_requested
        self.background = background
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

    def index_soon(self) -> None:
        """Let the thread of this process index what is pending, unless it is the workers' work.

        Never raises.
        """
        if self.background:
            self.recovery.wake()

    def index_pending(self) -> None:
        """Index what is pending, now or, after a fault, later; leave it to the thread or to the
        workers if it is their work. Never raises."""
        if not self.outbox.inline:
            self.index_soon()
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
            for name in self.outbox.claimable_models():
                mirror = self.mirrors.get(name)
                assert mirror is not None, name
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
        documents: dict[Mirror, list[Any]] = {}
        postponed: set[str] = set()
        for name, pks in keys_by_model(claim.keys).items():
            mirror = self.mirrors.get(name)
            if mirror is None:
                continue
            if None not in pks:
                documents[mirror] = pks
            elif not expand_whole_model(self.mirrors, mirror, self.outbox, claim, self.chunk_size):
                postponed.add(name)
        rejected = self._index(claim, documents, timeout)
        settled = frozenset(key for key in claim.keys if key.model not in postponed)
        if settled:
            self.outbox.settle(replace(claim, keys=settled), rejected)
        if postponed:
            self.outbox.postpone(claim.token)
        self.rejected.update(key.model for key in rejected)
        return sum(map(len, documents.values()))

    def _index(
        self, claim: Claim, documents: dict[Mirror, list[Any]], timeout: Optional[float]
    ) -> dict[Key, str]:
        """Write to every index of the mirrors, and return the errors of rejected ones by key.

        In parts: one transaction may have changed any number of objects, of any size. Each has a
        part of the objects of every model.
        """
        rejected: dict[Key, str] = {}
        parts = (zip(repeat(mirror), self._split(mirror, pks)) for mirror, pks in documents.items())
        for group in zip_longest(*parts):
            claim = self._renewed(claim)
            rejected.update(self._index_parts(claim, dict(filter(None, group)), timeout))
        return rejected

    def _split(self, mirror: Mirror, pks: list[Any]) -> Iterable[list[Any]]:
        # One object is one part, however large it is.
        return [pks] if len(pks) == 1 else mirror.reader.split(pks, self.chunk_size)

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

    def _index_parts(
        self, claim: Claim, parts: dict[Mirror, list[Any]], timeout: Optional[float]
    ) -> dict[Key, str]:
        bodies = {mirror: mirror.reader.read(pks) for mirror, pks in parts.items()}
        rejected = {
            Key(mirror.name, pk): repr(body)
            for mirror, each in bodies.items()
            for pk, body in each.items()
            if isinstance(body, Exception)
        }
        for _ in range(2):
            batch = [
                (mirror, action)
                for mirror, pks in parts.items()
                for target in self.write_targets(mirror)
                for action in build_actions(
                    mirror, target, claim.versions[mirror.name], pks, bodies[mirror]
                )
            ]
            if claim.expired:
                # The version and what was read are old by now: the next claim of the rows starts
                # over.
                names = ", ".join(mirror.name for mirror in parts)
                raise ClaimExpired(f"a claim of {names} took longer than its lease")
            results = write_together(batch, self.chunk_size, timeout)
            for mirror, pks in parts.items():
                result = results[mirror]
                if result.conflict and recover(self.outbox, mirror, result.conflict):
                    # A row of all documents is pending now, also of those that were refused.
                    self._restored.add(mirror.name)
                by_id = {document_id(pk): Key(mirror.name, pk) for pk in pks}
                rejected.update({by_id[each]: text for each, text in result.errors.items()})
            # If there is no index, nothing needs to be written: a rebuild scans the state that was
            # committed before this moment (see rebuild.py). But an index may have been deleted
            # between look-up and write. (Writing to its twin again does no harm.)
            parts = {mirror: pks for mirror, pks in parts.items() if results[mirror].target_missing}
            if not parts:
                return rejected
            for mirror in parts:
                self._targets.pop(mirror.name, None)
        names = ", ".join(mirror.name for mirror in parts)
        raise BackendError(f"the indices of {names} change faster than one bulk")

    def write_targets(self, mirror: Mirror) -> list[str]:
        """Return the names to write to: of the live index and of one that is being built."""
        cached = self._targets.get(mirror.name)
        # Before the look-up: its result was true then at the earliest.
        now = time.monotonic()
        if cached is not None and now - cached[0] < TARGETS_SECONDS:
            return cached[1]
        names = self.mirrors.write_targets(mirror)
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
