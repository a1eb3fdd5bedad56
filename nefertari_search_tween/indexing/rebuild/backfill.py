"""Scanning the primary into an index: the next chunk is read while others are in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Optional

from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.bulk_writer import BulkResult, build_actions, write
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.mirror.mirror import Mirror

# Bulks in flight at a time, of one chunk; memory holds one bulk more than that.
MAX_IN_FLIGHT = 4
# Of larger ones: one is written while the next one is prepared.
MIN_IN_FLIGHT = 2
# A chunk that was read longer ago is read again before it is written. A server forgets what was
# deleted after index.gc_deletes: written later, a document would come back (see rebuild.py).
FRESH_SECONDS = 60.0


class Chunk(NamedTuple):
    """Documents as they were at *began* (:func:`time.monotonic`) or later, in key order."""

    began: float
    rows: list[tuple[Any, Body]]


def backfill(
    mirror: Mirror,
    target: str,
    version: int,
    chunk_size: int,
    after: Optional[Any],
    on_acknowledged: Callable[[Any, int], None],
) -> BulkResult:
    """Write all objects of *mirror* after the key *after* to *target*.

    :param version: of the documents that are written.
    :param on_acknowledged: called with the last key up to which everything is in the index, and
        with the number of documents that came with it.
    :raises BackendError: the backend failed, or the index was deleted.
    """
    result = BulkResult()
    in_flight: deque[tuple[Future[BulkResult], Any, int]] = deque()
    most = max(MIN_IN_FLIGHT, MAX_IN_FLIGHT // mirror.backend.backfill_chunks)
    chunk_size *= mirror.backend.backfill_chunks

    def await_oldest() -> None:
        future, key, count = in_flight.popleft()
        add_result(result, future.result())
        on_acknowledged(key, count)

    with ThreadPoolExecutor(most, thread_name_prefix="nefertari-search-bulk") as pool:
        for chunk in _read(mirror, chunk_size, after):
            if len(in_flight) >= most:
                await_oldest()
            future = pool.submit(_send, mirror, target, version, chunk, chunk_size)
            in_flight.append((future, chunk.rows[-1][0], len(chunk.rows)))
        while in_flight:
            await_oldest()
    return result


def add_result(total: BulkResult, result: BulkResult) -> None:
    """Add the result of a chunk to *total*.

    :raises BackendError: its index was deleted.
    """
    if result.target_missing:
        raise BackendError("the index was deleted while it was built")
    total.indexed += result.indexed
    total.conflict = max(total.conflict, result.conflict)
    total.errors.update(result.errors)


def _read(mirror: Mirror, chunk_size: int, after: Optional[Any]) -> Iterator[Chunk]:
    chunks = iter(mirror.reader.scan(chunk_size, after))
    while True:
        began = time.monotonic()
        rows = next(chunks, None)
        if rows is None:
            return
        yield Chunk(began, rows)


def _send(mirror: Mirror, target: str, version: int, chunk: Chunk, chunk_size: int) -> BulkResult:
    bodies = dict(chunk.rows)
    pks = list(bodies)
    if time.monotonic() - chunk.began > FRESH_SECONDS:
        bodies = mirror.reader.read(pks)
    return write(mirror, build_actions(mirror, target, version, pks, bodies), chunk_size)
