"""Comparing a mirror with the primary, by content, while both are written to.

The primary is scanned in the order of keys, and each chunk is compared with its documents
(comparison.py). What differs in this first check may merely be in flight, so it is checked again:
see :class:`_Examiner`.

Documents without objects are what remains of the index. If it holds as many documents as were found
for objects, nothing does: so it is if no claim has written to it meanwhile. Else the index is
scanned, too, and each chunk's keys are queried. All of that takes constant memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from nefertari_search_tween.concurrency.threads import wait_until
from nefertari_search_tween.exceptions import BackendError, Reason
from nefertari_search_tween.indexing.index_scan import key_of, scan_index
from nefertari_search_tween.indexing.rebuild.catch_up import ClaimWatch
from nefertari_search_tween.indexing.verify.comparison import (
    MISSING,
    REJECTED_KIND,
    STALE,
    Comparison,
    Document,
    compare,
)
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id

log = logging.getLogger(__name__)

CHANGING, PENDING = "changing", "pending"

# Checks of one document, of which two in a row must find the same difference.
MAX_CHECKS = 6
CONFIRMATIONS = 2
# Documents that are checked again together.
BATCH = 500
# How long a check waits for what was in flight at its beginning: longer than the lease of a
# claim whose process has died.
PATIENCE_SECONDS = 30.0
# A scan of an index that a rebuild deletes begins again, so many times in all.
SCANS = 3


@dataclass
class Differences:
    """Where a mirror differs from the primary; keys as the model has them.

    :param compared: objects of the primary that were compared.
    :param missing: they have no document.
    :param stale: their document is not what the primary has now.
    :param orphaned: they have a document, and no object.
    :param rejected: they have a stub: the backend has rejected the document.
    :param foreign: ids of documents that no object can have; orphans, too.
    :param changing: they changed between all checks, and so did their documents.
    :param pending: they differ, and changes are pending for more than PATIENCE_SECONDS.
    :param problem: why nothing could be compared: ``NO_INDEX`` or ``SCHEMA_MISMATCH``.
    """

    compared: int = 0
    missing: list[Any] = field(default_factory=list)
    stale: list[Any] = field(default_factory=list)
    orphaned: list[Any] = field(default_factory=list)
    rejected: list[Any] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    changing: list[Any] = field(default_factory=list)
    pending: list[Any] = field(default_factory=list)
    problem: Optional[Reason] = None

    @property
    def keys(self) -> list[Any]:
        """Return the keys whose documents have to be written again."""
        return [*self.missing, *self.stale, *self.orphaned, *self.rejected]

    @property
    def clean(self) -> bool:
        return not (self.keys or self.foreign or self.pending or self.problem)


def verify(
    mirrors: MirrorRegistry,
    outbox: Outbox,
    mirror: Mirror,
    chunk_size: int,
    report: Callable[[int], None] = lambda count: None,
    processes: int = 1,
) -> Differences:
    """Compare *mirror* with the primary.

    :param report: called with the number of objects compared since the last call.
    :param processes: how many compare: this one, or others that are forked from it.
    :raises BackendError: the backend does not answer.
    """
    differences = Differences()
    if not mirror.check():
        differences.problem = mirror.problem
        return differences
    watch = ClaimWatch(outbox, [mirror])
    examiner = _Examiner(outbox, mirror, differences)
    documents = 0
    for part in Comparison(mirror, chunk_size, processes).run():
        examiner.add(part.suspects)
        documents += part.documents
        differences.compared += part.objects
        report(part.objects)
    examiner.finish()
    for kind in (MISSING, STALE, REJECTED_KIND, CHANGING, PENDING):
        getattr(differences, kind).sort(key=lambda key: (type(key).__name__, key))
    if documents != _document_count(mirror) or not watch.quiet(mirror):
        _find_orphans(mirrors, mirror, chunk_size, examiner)
        examiner.finish()
    return differences


def verify_keys(outbox: Outbox, mirror: Mirror, keys: Iterable[Any]) -> Differences:
    """Compare the objects and documents of *keys* alone; see :func:`verify`."""
    differences = Differences()
    examiner = _Examiner(outbox, mirror, differences)
    examiner.add(keys)
    examiner.finish()
    return differences


class _Examiner:
    """Checks what differs again, until it is known whether it was only in flight.

    One check: read the objects (*before*); take the watermark of the outbox; wait until it has
    passed; read the documents; read the objects again (*after*). A change that *before* has was
    committed before the watermark was taken, and so was its row, so the index has it. If *after*
    is the same, the document must be, too: or else it came from a state in between that was
    reverted, which is why two checks in a row have to find the difference.
    """

    def __init__(self, outbox: Outbox, mirror: Mirror, differences: Differences) -> None:
        self.outbox = outbox
        self.mirror = mirror
        self.differences = differences
        self.patience = PATIENCE_SECONDS
        self._suspects: list[Any] = []

    def add(self, keys: Iterable[Any]) -> None:
        self._suspects.extend(keys)
        while len(self._suspects) >= BATCH:
            batch, self._suspects = self._suspects[:BATCH], self._suspects[BATCH:]
            self._examine_all(batch)

    def finish(self) -> None:
        """Check the remaining suspects."""
        batch, self._suspects = self._suspects, []
        self._examine_all(batch)

    def _examine_all(self, keys: list[Any]) -> None:
        for part in self.mirror.reader.split(keys, BATCH):
            self._examine(part)

    def _examine(self, keys: list[Any]) -> None:
        confirmed = dict.fromkeys(keys, 0)
        drained = True
        for _ in range(MAX_CHECKS):
            if not confirmed or not drained:
                break
            before = self.mirror.reader.read_objects(confirmed)
            drained = self._drained()
            documents = self.documents(confirmed)
            after = self.mirror.reader.read_objects(confirmed)
            for pk in list(confirmed):
                kind = compare(after.get(pk), documents[pk])
                unchanged = _as_read(before.get(pk)) == _as_read(after.get(pk))
                confirmed[pk] = confirmed[pk] + 1 if unchanged and drained else 0
                if kind is None:
                    del confirmed[pk]
                elif confirmed[pk] >= CONFIRMATIONS:
                    getattr(self.differences, kind).append(pk)
                    del confirmed[pk]
        getattr(self.differences, CHANGING if drained else PENDING).extend(confirmed)

    def documents(self, keys: Iterable[Any]) -> dict[Any, Document]:
        """Return what the index holds of *keys* now, whatever searches see."""
        ids = {pk: document_id(pk) for pk in keys}
        documents = self.mirror.backend.multi_get(self.mirror.alias, ids.values())
        return {pk: documents[each] for pk, each in ids.items()}

    def _drained(self) -> bool:
        """Wait until the rows that are pending now are settled; return False after a time-out."""
        watermark = self.outbox.watermark()
        began = time.monotonic()
        drained = wait_until(lambda: self.outbox.has_passed(watermark), self.patience)
        self.patience -= time.monotonic() - began
        return drained


def _as_read(body: Optional[Body]) -> Any:
    return repr(body) if isinstance(body, Exception) else body


# Documents without objects


def _document_count(mirror: Mirror) -> int:
    mirror.backend.refresh(mirror.alias)
    body = {"size": 0, "track_total_hits": True}
    response = mirror.backend.search(mirror.alias, body, PATIENCE_SECONDS)
    return int(response["hits"]["total"]["value"])


def _find_orphans(
    mirrors: MirrorRegistry, mirror: Mirror, chunk_size: int, examiner: _Examiner
) -> None:
    for remaining in reversed(range(SCANS)):
        before = set(mirrors.indices_of(mirror))
        try:
            _scan_for_orphans(mirror, chunk_size, examiner)
        except BackendError:
            # The index that was scanned was deleted: a rebuild has swapped in another one.
            if not remaining or before <= set(mirrors.indices_of(mirror)):
                raise
        else:
            return


def _scan_for_orphans(mirror: Mirror, chunk_size: int, examiner: _Examiner) -> None:
    foreign: list[str] = []
    keys: list[Any] = []
    for documents in scan_index(mirror, mirror.alias, chunk_size):
        chunk = []
        for document in documents:
            try:
                chunk.append(key_of(mirror, document))
            except ValueError:
                foreign.append(document.id)
        existing = mirror.reader.existing(chunk)
        keys.extend(key for key in chunk if key not in existing)
    # Only now: a scan that failed is done again.
    examiner.add(keys)
    current = mirror.backend.multi_get(mirror.alias, foreign)
    examiner.differences.foreign.extend(each for each in foreign if current[each] is not None)
