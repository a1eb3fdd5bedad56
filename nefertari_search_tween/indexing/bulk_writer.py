"""Writes documents of mirrors; a document that the backend rejects is replaced by a stub."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from nefertari_search_tween.backends.base import Backend, BulkAction, BulkItemResult
from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.exceptions import BackendError, BackendRejected
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import Serializer, document_id

log = logging.getLogger(__name__)


@dataclass
class BulkResult:
    """The result of writing a batch.

    :param indexed: documents that the index holds, or holds newer.
    :param errors: document id -> error, of those that a stub replaces.
    :param target_missing: some were not written because their index was deleted.
    :param conflict: the highest version for which the index kept what it had; 0: it kept nothing.
    :param resumed: of a rebuild: documents that an interrupted one before it had written.
    :param problem: of a rebuild: why the backend can't hold documents of this model.
    """

    indexed: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    target_missing: bool = False
    conflict: int = 0
    resumed: Optional[int] = None
    problem: Optional[str] = None

    @property
    def rejected(self) -> int:
        return len(self.errors)


def write(
    mirror: Mirror, batch: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
) -> BulkResult:
    """Write *batch* to the backend.

    :param timeout: seconds that one chunk may take; None: as long as writes may.
    :raises BackendError: the backend does not answer, is overloaded, or rejects even stubs; what
        was written until then stays.
    """
    return write_together(((mirror, each) for each in batch), chunk_size, timeout)[mirror]


def write_together(
    batch: Iterable[tuple[Mirror, BulkAction]], chunk_size: int, timeout: Optional[float] = None
) -> dict[Mirror, BulkResult]:
    """Write *batch*, documents of several mirrors of one backend; see :func:`write`.

    :returns: a result for each mirror, those that are not in the batch included.
    """
    results: dict[Mirror, BulkResult] = defaultdict(BulkResult)
    for chunk in chunks(batch, chunk_size):
        mirrors = {action.index: mirror for mirror, action in chunk}
        backend = chunk[0][0].backend
        rejected: list[BulkAction] = []
        for item in _item_results(backend, [each for _, each in chunk], chunk_size, timeout):
            action = item.action
            result = results[mirrors[action.index]]
            if item.indexed:
                result.indexed += 1
                result.conflict = max(result.conflict, item.conflict or 0)
            elif item.target_missing:
                result.target_missing = True
            elif item.overloaded:
                raise BackendError(f"the backend is overloaded: {item.error}")
            else:
                stub = Serializer.stub(_pk_of(action), item.error)
                rejected.append(BulkAction(action.index, action.id, action.version, stub))
                result.errors[action.id] = json.dumps(item.error, default=str)
        for item in backend.bulk(rejected, chunk_size, timeout):
            mirror = mirrors[item.action.index]
            if not item.indexed:
                # An index that rejects even stubs rejects everything: not the documents' fault.
                raise BackendError(f"{mirror.name} {item.action.id}: {item.error}")
            log.error(
                "%s %s was rejected by the backend and is left out of the mirror: %s",
                mirror.name,
                item.action.id,
                results[mirror].errors[item.action.id],
            )
    return results


def _pk_of(action: BulkAction) -> str:
    """Return the key of a rejected document: the id of a long one is a digest."""
    document = json.loads(action.body or b"{}")
    return str(document.get("_pk", action.id))


def _item_results(
    backend: Backend, chunk: list[BulkAction], chunk_size: int, timeout: Optional[float]
) -> Iterator[BulkItemResult]:
    """Yield a result for each of *chunk*; a request that is rejected as a whole is split."""
    try:
        yield from list(backend.bulk(chunk, chunk_size, timeout))
    except BackendRejected as error:
        if len(chunk) == 1:
            yield BulkItemResult(chunk[0], error.status, error.details)
            return
        middle = len(chunk) // 2
        yield from _item_results(backend, chunk[:middle], chunk_size, timeout)
        yield from _item_results(backend, chunk[middle:], chunk_size, timeout)


def build_actions(
    mirror: Mirror, target: str, version: int, pks: Iterable[Any], bodies: dict[Any, Any]
) -> Iterator[BulkAction]:
    """Yield the writes that update *pks* to match *bodies*: an index of each, or a delete.

    For an object that can't be rendered a stub with the error is indexed.
    """
    for pk in pks:
        body = bodies.get(pk)
        if isinstance(body, Exception):
            log.error("%s %s can't be rendered: %r", mirror.name, pk, body)
            body = Serializer.stub(str(pk), repr(body))
        yield BulkAction(target, document_id(pk), version, body)
