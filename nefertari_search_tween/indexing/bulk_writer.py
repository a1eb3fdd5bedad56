"""Writes documents of one mirror; what the backend refuses is replaced by a stub."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Optional

from nefertari_search_tween.backends.base import Backend, BulkAction, BulkItemResult
from nefertari_search_tween.exceptions import BackendError, BackendRejected
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import Serializer, document_id

log = logging.getLogger(__name__)


@dataclass
class BulkResult:
    """What became of a batch.

    :param settled: documents that the index holds, or holds newer.
    :param errors: document id -> error, of those in whose place a stub stands.
    :param target_missing: some were not written because their index is gone.
    :param resumed: of a rebuild: documents that one before it, which was cut off, had written.
    """

    indexed: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    target_missing: bool = False
    resumed: Optional[int] = None

    @property
    def rejected(self) -> int:
        return len(self.errors)


def write(
    mirror: Mirror, batch: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
) -> BulkResult:
    """Write *batch* to the backend.

    :param timeout: seconds that one chunk may take; None: as long as writes may.
    :raises BackendError: no answer, an overloaded backend, or one that refuses even stubs; what
        was written until then is.
    """
    result = BulkResult()
    actions = iter(batch)
    while chunk := list(islice(actions, chunk_size)):
        rejected: list[BulkAction] = []
        for outcome in _outcomes(mirror.backend, chunk, chunk_size, timeout):
            action = outcome.action
            if outcome.indexed:
                result.indexed += 1
            elif outcome.target_missing:
                result.target_missing = True
            elif outcome.overloaded:
                raise BackendError(f"the backend is overloaded: {outcome.error}")
            else:
                stub = Serializer.stub(_pk_of(action), outcome.error)
                rejected.append(BulkAction(action.index, action.id, action.version, stub))
                result.errors[action.id] = json.dumps(outcome.error, default=str)
        for outcome in mirror.backend.bulk(rejected, chunk_size, timeout):
            if not outcome.indexed:
                # An index that takes not even stubs takes nothing: no fault of the documents.
                raise BackendError(f"{mirror.name} {outcome.action.id}: {outcome.error}")
            log.error(
                "%s %s was refused by the backend and is left out of the mirror: %s",
                mirror.name,
                outcome.action.id,
                result.errors[outcome.action.id],
            )
    return result


def _pk_of(action: BulkAction) -> str:
    """The key of a document that was refused: its id is a digest of a long one."""
    document = json.loads(action.body or b"{}")
    return str(document.get("_pk", action.id))


def _outcomes(
    backend: Backend, chunk: list[BulkAction], chunk_size: int, timeout: Optional[float]
) -> Iterator[BulkItemResult]:
    """One outcome for each of *chunk*; a request that is refused whole is split."""
    try:
        yield from list(backend.bulk(chunk, chunk_size, timeout))
    except BackendRejected as error:
        if len(chunk) == 1:
            yield BulkItemResult(chunk[0], error.status, error.details)
            return
        middle = len(chunk) // 2
        yield from _outcomes(backend, chunk[:middle], chunk_size, timeout)
        yield from _outcomes(backend, chunk[middle:], chunk_size, timeout)


def build_actions(
    mirror: Mirror, target: str, version: int, pks: Iterable[Any], bodies: dict[Any, Any]
) -> Iterator[BulkAction]:
    """The writes that bring *pks* to the state *bodies*: an index of each, or a delete.

    An object that can't be rendered is indexed as the stub that says so.
    """
    for pk in pks:
        body = bodies.get(pk)
        if isinstance(body, Exception):
            log.error("%s %s can't be rendered: %r", mirror.name, pk, body)
            body = Serializer.stub(str(pk), repr(body))
        yield BulkAction(target, document_id(pk), version, body)
