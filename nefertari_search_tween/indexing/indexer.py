"""Claim -> current state -> bulk index -> settle."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import BackendError, BackendTimeout, BackendUnavailable
from nefertari_search_tween.indexing.bulk_writer import actions, write
from nefertari_search_tween.indexing.model_expansion import unfold
from nefertari_search_tween.indexing.recovery import Background
from nefertari_search_tween.interfaces.outbox import Claim, ClaimExpired, Outbox
from nefertari_search_tween.mirror.registry import Mirror, Mirrors, write_alias
from nefertari_search_tween.mirror.serializer import document_id

log = logging.getLogger(__name__)

# How long the list of a mirror's indices is trusted. A rebuild waits for longer than that
# between creating an index and scanning into it, so that every later claim writes to both.
TARGETS_SECONDS = 1.0


class Indexer:
    """Drains the outbox into the indices of the mirrors.

    :param chunk_size: documents in one claim and one bulk request.
    :param patience: seconds that a commit waits for one bulk; after that it goes on, and a
        thread indexes what waits.
    :param at_once: whether whoever commits now wants searches to see it when the commit returns.
    :ivar refused: how many documents became dead letters, by model.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        outbox: Outbox,
        chunk_size: int,
        patience: float,
        at_once: Callable[[], bool] = bool,
    ) -> None:
        self.mirrors = mirrors
        self.outbox = outbox
        self.chunk_size = chunk_size
        self.patience = patience
        self.at_once = at_once
        self.refused: Counter[str] = Counter()
        self.background = Background(
            self.drain, self._left_behind, outbox.waiting, self._failed, self._recovered
        )
        self._targets: dict[str, tuple[float, list[str]]] = {}
        self._warned = False

    # After a commit

    def index_committed(self, token: str) -> None:
        """Index what was just committed. Never raises: the commit stands whatever happens here.

        While the backend is down the rows wait, and a thread tries again with growing pauses.

        :param token: what the outbox published.
        """
        try:
            if not self.mirrors.breaker.open and not self.background.retrying:
                claim = self.outbox.begin(token)
                if claim is not None:
                    self.process(claim, self.patience)
                    if self.at_once():
                        self.show(claim.numbers)
                return
        except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
            self._failed(error)
        self._release(token)
        self.background.retry()

    def show(self, names: Iterable[str]) -> None:
        """Make what is in the indices of these models visible to searches. Never raises.

        (Not by the mirrors' own `make_visible`: other claims, numbered before, may still be on
        their way.)
        """
        for name in sorted(names):
            mirror = self.mirrors.get(name)
            try:
                if mirror is not None:
                    mirror.backend.refresh(mirror.alias)
            except BackendError as error:
                log.info("%s was not refreshed: %s", name, error)

    def index_waiting(self) -> None:
        """Index what waits, now or, after a fault, later; or leave it to the workers, whose work
        it is. Never raises."""
        if not self.outbox.owned:
            return
        try:
            if not self.mirrors.breaker.open and not self.background.retrying:
                self.drain(self.patience)
                return
        except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
            self._failed(error)
        self.background.retry()

    def _release(self, token: str) -> None:
        try:
            self.outbox.release(token)
        except Exception as error:  # noqa: BLE001 - the claim ends by itself
            log.warning(
                "a claim could not be given back, it ends in %g s: %s", self.outbox.lease, error
            )

    # Claim by claim

    def drain(self, timeout: Optional[float] = None) -> int:
        """Index everything that waits and that nobody works on; gives the number of documents.

        :param timeout: seconds that one bulk may take.
        :raises BackendError: the backend does not answer or refuses the bulk as a whole; what
            was not settled waits in the outbox.
        """
        done = 0
        failed: Optional[Exception] = None
        again = True
        while again and failed is None:
            # A claim may leave rows for other models: around until a whole round finds none.
            again = False
            for mirror in self.mirrors:
                try:
                    while (count := self.step(mirror, timeout)) is not None:
                        done += count
                        again = True
                except (BackendUnavailable, BackendTimeout):
                    raise
                except Exception as error:  # noqa: BLE001 - raised when the others had their turn
                    failed = failed or error
        if failed is not None:
            raise failed
        return done

    def step(self, mirror: Mirror, timeout: Optional[float] = None) -> Optional[int]:
        """Process one claim of *mirror*: number of documents, None when nothing waits."""
        claim = self.outbox.claim(mirror.name, self.chunk_size)
        if claim is None:
            return None
        try:
            return self.process(claim, timeout)
        except BaseException:
            self._release(claim.token)
            raise

    def process(self, claim: Claim, timeout: Optional[float] = None) -> int:
        """Bring the documents of *claim* to the state that the primary has now.

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
                if not unfold(self.mirrors, mirror, self.outbox, claim, self.chunk_size):
                    # Still claimed: it comes back when the claim runs out.
                    continue
                pks = []
            refused = {} if mirror is None or not pks else self._index(claim, mirror, pks, timeout)
            self.outbox.settle(claim, name, refused, [pk for pk in pks if pk not in refused])
            self.refused[name] += len(refused)
            done += len(pks)
        return done

    def _index(
        self, claim: Claim, mirror: Mirror, pks: list[Any], timeout: Optional[float]
    ) -> dict[Any, str]:
        """Write to every index of the mirror; gives what was refused, with the errors."""
        bodies = mirror.reader.read(pks)
        refused = {pk: repr(body) for pk, body in bodies.items() if isinstance(body, Exception)}
        by_id = {document_id(pk): pk for pk in pks}
        written: set[str] = set()
        for _ in range(2):
            # When none is built, there is nothing to remember: whoever builds one scans the
            # state that was committed before this moment (see rebuild.py).
            missing = False
            for target in self.targets(mirror):
                if target in written:
                    continue
                if claim.expired:
                    # The number and what was read are old by now: whoever takes the rows next
                    # begins anew.
                    raise ClaimExpired(f"a claim of {mirror.name} took longer than its lease")
                batch = actions(mirror, target, claim.numbers[mirror.name], pks, bodies)
                result = write(mirror, batch, self.chunk_size, timeout)
                refused.update({by_id[each]: text for each, text in result.errors.items()})
                missing = missing or result.target_missing
                if not result.target_missing:
                    written.add(target)
            if not missing:
                return refused
            # An index went away between look-up and write.
            self._targets.pop(mirror.name, None)
        raise BackendError(f"the indices of {mirror.name} change faster than one bulk")

    def targets(self, mirror: Mirror) -> list[str]:
        """Names to write to: of the live index and of one that is being built."""
        known = self._targets.get(mirror.name)
        # Taken before the look-up: what it tells was true then at the earliest.
        now = time.monotonic()
        if known is not None and now - known[0] < TARGETS_SECONDS:
            return known[1]
        names = [
            write_alias(index)
            for index, aliases in self.mirrors.concrete(mirror).items()
            if write_alias(index) in aliases
        ]
        # That there is none is looked at again each time: it is made at any moment.
        if names:
            self._targets[mirror.name] = (now, names)
        return names

    # After a fault

    def _left_behind(self) -> bool:
        """Somebody must go on with it, and can."""
        return not self.mirrors.breaker.open and bool(self.outbox.claimable())

    def _failed(self, error: Exception) -> None:
        if isinstance(error, (BackendUnavailable, BackendTimeout)):
            self.mirrors.breaker.failed()
        if not self._warned:
            self._warned = True
            log.warning(
                "indexing failed, what was changed waits and will be indexed when it works "
                "again: %s",
                error,
                exc_info=not isinstance(error, BackendError) and self.outbox.answers(),
            )

    def _recovered(self) -> None:
        self.mirrors.breaker.answered()
        if self._warned:
            self._warned = False
            log.warning("indexing works again, nothing waits")
