"""Scanning the primary into an index: the next chunk is read while others are on their way."""

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

# Bulks on their way at a time; memory holds one chunk more than that.
MAX_IN_FLIGHT = 4
# What was read longer ago is read again before it is written. A server forgets what was deleted
# after index.gc_deletes: written later, a document would come back (see indexing/rebuild.py).
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
    arrived: Callable[[Any, int], None],
) -> BulkResult:
    """Write all objects of *mirror* behind the key *after* to *target*.

    :param version: of the documents that are written.
    :param arrived: called with the last key up to which everything is in the index, and with
        how many documents came with it.
    :raises BackendError: the backend failed, or the index is gone.
    """
    result = BulkResult()
    sent: deque[tuple[Future[BulkResult], Any, int]] = deque()

    def await_oldest() -> None:
        future, last, count = sent.popleft()
        add(result, future.result())
        arrived(last, count)

    with ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix="nefertari-search-bulk") as pool:
        for chunk in _read(mirror, chunk_size, after):
            if len(sent) >= MAX_IN_FLIGHT:
                await_oldest()
            future = pool.submit(_send, mirror, target, version, chunk, chunk_size)
            sent.append((future, chunk.rows[-1][0], len(chunk.rows)))
        while sent:
            await_oldest()
    return result


def add(result: BulkResult, written: BulkResult) -> None:
    """Add what became of a chunk to *result*.

    :raises BackendError: its index is gone.
    """
    if written.target_missing:
        raise BackendError("the index went away while it was built")
    result.indexed += written.indexed
    result.errors.update(written.errors)


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
