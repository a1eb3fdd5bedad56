"""Scanning the primary into an index: the next chunk is read while others are in flight."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from typing import Any, Callable, NamedTuple, Optional

from nefertari_search_tween.concurrency.processes import forked, run
from nefertari_search_tween.concurrency.threads import in_order
from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.bulk_writer import BulkResult, build_actions, write
from nefertari_search_tween.interfaces.primary import Body, KeyRange, Reader
from nefertari_search_tween.mirror.mirror import Mirror

# Bulks in flight at a time, of one chunk; memory holds one bulk more than that.
MAX_IN_FLIGHT = 4
# Of larger ones: one is written while the next one is prepared.
MIN_IN_FLIGHT = 2
# A chunk that was read longer ago is read again before it is written. A server forgets what was
# deleted after index.gc_deletes: written later, a document would come back (see rebuild.py).
FRESH_SECONDS = 60.0
# Chunks in one range of keys, which is one process's work: so many are done again when a rebuild by
# several processes is interrupted, and no process waits for the others for longer at the end.
CHUNKS_PER_RANGE = 20


class Chunk(NamedTuple):
    """Documents as they were at *began* (:func:`time.monotonic`) or later, in key order."""

    began: float
    rows: list[tuple[Any, Body]]


class Acknowledged(NamedTuple):
    """Documents that the backend has acknowledged, and all before them.

    :param key: the last one; None if there are none.
    """

    key: Optional[Any]
    documents: int
    result: BulkResult


class Backfill:
    """Writes the objects of *mirror* to *target*.

    :param version: of the documents that are written.
    :param processes: how many work on it.
    """

    def __init__(
        self, mirror: Mirror, target: str, version: int, chunk_size: int, processes: int = 1
    ) -> None:
        self.mirror = mirror
        self.target = target
        self.version = version
        self.chunk_size = chunk_size * mirror.backend.backfill_chunks
        self.in_flight = max(MIN_IN_FLIGHT, MAX_IN_FLIGHT // mirror.backend.backfill_chunks)
        self.processes = processes

    def run(
        self, after: Optional[Any], stopped: Callable[[], bool] = lambda: False
    ) -> Generator[Acknowledged, None, None]:
        """Write all objects after the key *after*; yield what is done, in the order of keys.

        :param stopped: called before more is read; returns True to end.
        :raises BackendError: the backend failed, or the index was deleted.
        :raises ProcessFailed: one of several processes was killed.
        """
        if self.processes == 1:
            yield from self._write(KeyRange(after), stopped)
            return
        ranges = key_ranges(self.mirror.reader, self.chunk_size * CHUNKS_PER_RANGE, after)
        with forked(self.processes, self._write_range) as pool:
            calls = (partial(run, keys) for keys in takewhile(lambda keys: not stopped(), ranges))
            # One more than they work on: none waits for the next.
            yield from in_order(pool, self.processes + 1, calls)

    def _write_range(self, keys: KeyRange) -> Acknowledged:
        last, count, result = None, 0, BulkResult()
        for part in self._write(keys, lambda: False):
            last, count = part.key, count + part.documents
            add_result(result, part.result)
        return Acknowledged(last if keys.until is None else keys.until, count, result)

    def _write(self, keys: KeyRange, stopped: Callable[[], bool]) -> Iterator[Acknowledged]:
        with ThreadPoolExecutor(self.in_flight, thread_name_prefix="nefertari-search-bulk") as pool:
            calls = (partial(self._send, chunk) for chunk in self._read(keys, stopped))
            yield from in_order(pool, self.in_flight, calls)

    def _read(self, keys: KeyRange, stopped: Callable[[], bool]) -> Iterator[Chunk]:
        chunks = iter(self.mirror.reader.scan(self.chunk_size, keys))
        while not stopped():
            began = time.monotonic()
            rows = next(chunks, None)
            if rows is None:
                return
            yield Chunk(began, rows)

    def _send(self, chunk: Chunk) -> Acknowledged:
        mirror = self.mirror
        bodies = dict(chunk.rows)
        pks = list(bodies)
        if time.monotonic() - chunk.began > FRESH_SECONDS:
            bodies = mirror.reader.read(pks)
        batch = build_actions(mirror, self.target, self.version, pks, bodies)
        return Acknowledged(pks[-1], len(pks), write(mirror, batch, self.chunk_size))


def key_ranges(reader: Reader, size: int, after: Optional[Any] = None) -> Iterator[KeyRange]:
    """Yield the ranges of *size* keys that follow *after*, in order; the last one has no end."""
    until = after
    while True:
        after, until = until, reader.key_after(until, size)
        yield KeyRange(after, until)
        if until is None:
            return


def add_result(total: BulkResult, result: BulkResult) -> None:
    """Add the result of a chunk to *total*.

    :raises BackendError: its index was deleted.
    """
    if result.target_missing:
        raise BackendError("the index was deleted while it was built")
    total.indexed += result.indexed
    total.conflict = max(total.conflict, result.conflict)
    total.errors.update(result.errors)
