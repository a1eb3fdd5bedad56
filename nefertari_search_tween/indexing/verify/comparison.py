"""The first check of all objects: each chunk with its documents, while the next one is read.

The primary is read by its own objects, and by ``scan_objects`` alone: not as the indexer reads it.
Or else what the indexer's reader leaves out or renders wrongly would be left out here, too, and
agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Optional

from nefertari_search_tween.concurrency.processes import forked, run
from nefertari_search_tween.concurrency.threads import in_order
from nefertari_search_tween.documents.format import REJECTED
from nefertari_search_tween.indexing.rebuild.backfill import CHUNKS_PER_RANGE, key_ranges
from nefertari_search_tween.interfaces.primary import ALL_KEYS, Body, KeyRange
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import document_id

MISSING, STALE, ORPHANED, REJECTED_KIND = "missing", "stale", "orphaned", "rejected"
KINDS = (MISSING, STALE, ORPHANED, REJECTED_KIND)
# Chunks that wait for their documents, or are compared with them, while another one is read.
MAX_IN_FLIGHT = 2

Document = Optional[dict[str, Any]]
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Compared(NamedTuple):
    """Objects that were compared with their documents.

    :param documents: how many there are for them.
    :param suspects: keys of those that differ.
    """

    objects: int
    documents: int
    suspects: list[Any]


class Comparison:
    """Compares the objects of *mirror* with their documents, once.

    :param processes: how many do it: this one, or others that are forked from it.
    """

    def __init__(self, mirror: Mirror, chunk_size: int, processes: int) -> None:
        self.mirror = mirror
        self.chunk_size = chunk_size
        self.processes = processes

    def run(self) -> Iterator[Compared]:
        """Compare all objects; yield the results of parts.

        :raises BackendError: the backend does not answer.
        :raises ProcessFailed: one of several processes was killed.
        """
        if self.processes == 1:
            yield from self._compare(ALL_KEYS)
            return
        ranges = key_ranges(self.mirror.reader, self.chunk_size * CHUNKS_PER_RANGE)
        with forked(self.processes, self._compare_range) as pool:
            calls = (partial(run, keys) for keys in ranges)
            yield from in_order(pool, self.processes + 1, calls)

    def _compare_range(self, keys: KeyRange) -> Compared:
        parts = list(self._compare(keys))
        suspects = [pk for part in parts for pk in part.suspects]
        objects = sum(part.objects for part in parts)
        return Compared(objects, sum(part.documents for part in parts), suspects)

    def _compare(self, keys: KeyRange) -> Iterator[Compared]:
        chunks = self.mirror.reader.scan_objects(self.chunk_size, keys)
        with ThreadPoolExecutor(1, thread_name_prefix="nefertari-search-compare") as pool:
            calls = (partial(self._compare_chunk, rows) for rows in chunks)
            yield from in_order(pool, MAX_IN_FLIGHT, calls)

    def _compare_chunk(self, rows: list[tuple[Any, Body]]) -> Compared:
        ids = [document_id(pk) for pk, _ in rows]
        documents = self.mirror.backend.multi_get(self.mirror.alias, ids)
        suspects = [
            pk for (pk, body), each in zip(rows, ids) if compare(body, documents[each]) is not None
        ]
        return Compared(len(rows), sum(documents[each] is not None for each in ids), suspects)


def compare(body: Optional[Body], document: Document) -> Optional[str]:
    """Return how *document* differs from the primary's object, None if it does not.

    :param body: of the object; None if it does not exist.
    :param document: None if it does not exist.
    """
    if body is None:
        return None if document is None else ORPHANED
    if document is None:
        return MISSING
    if REJECTED in document:
        return REJECTED_KIND
    if isinstance(body, Exception):
        return STALE
    return None if same_json(body, document) else STALE


def same_json(body: bytes, document: dict[str, Any]) -> bool:
    """Return True if the JSON text *body* has the value *document*: 1 is 1.0, and true is not 1."""
    # A backend returns the text that it was given, so nearly all are equal here.
    if _encoded(document).encode() == body:
        return True
    return _same(json.loads(body), document)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
