"""Building an index from the primary, without downtime.

The next index is created first; from then on every claim of every process writes to both (an
indexer trusts its list of indices for TARGETS_SECONDS, and this waits for longer than that and
than a claim takes). Then the primary is scanned by key into the new index with version 0, so
a scanned document never replaces one that a claim wrote. Then the alias is swapped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.base import Action
from nefertari_search_tween.exceptions import BackendError, BackendRejected
from nefertari_search_tween.indexing.bulk import Written, actions, write
from nefertari_search_tween.indexing.indexer import TARGETS_SECONDS
from nefertari_search_tween.mirror.registry import Mirror, Mirrors, write_alias
from nefertari_search_tween.mirror.serializer import document_id

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2 * TARGETS_SECONDS
SCAN_VERSION = 0

#: called with the number of documents done since the last call
Progress = Callable[[int], None]


def rebuild(
    mirrors: Mirrors,
    chosen: list[Mirror],
    chunk_size: int,
    progress: Optional[Callable[[Mirror], Progress]] = None,
) -> dict[str, Written]:
    """Build new indices of the mirrors *chosen* and swap them in.

    :param progress: gives for each mirror what is told of its progress.
    :returns: what was written, by name of the model.
    :raises BackendError: the backend failed; the indices searched so far still are.
    """
    fresh: dict[str, str] = {}
    for mirror in chosen:
        _drop_left_over(mirrors, mirror)
        fresh[mirror.name] = mirrors.create_next(mirror)
        mirrors.backend.put_settings(fresh[mirror.name], {"index.refresh_interval": "-1"})
    time.sleep(SETTLE_SECONDS)
    results = {}
    for mirror in chosen:
        index = fresh[mirror.name]
        tell = progress(mirror) if progress is not None else _silent
        results[mirror.name] = _fill(mirror, index, chunk_size, tell)
        mirrors.backend.put_settings(index, {"index.refresh_interval": None})
        mirrors.backend.refresh(index)
    replaced: list[str] = []
    for mirror in chosen:
        old = mirrors.backend.swap_alias(mirror.alias, fresh[mirror.name])
        replaced.extend(old)
        mirror.forget()
    if replaced:
        # Readers and indexers of other processes let go of the old ones first.
        time.sleep(SETTLE_SECONDS)
        for index in replaced:
            mirrors.backend.delete_index(index)
    return results


def index_missing(
    mirrors: Mirrors,
    mirror: Mirror,
    chunk_size: int,
    number: Callable[[str], int],
    progress: Optional[Callable[[Mirror], Progress]] = None,
) -> Written:
    """Index the objects of *mirror* that its index does not hold; the others stay as they are.

    An index that does not exist is built.

    :param number: model name -> its next claim number; each chunk is a claim.
    """
    if mirrors.backend.get_mapping(mirror.alias) is None:
        return rebuild(mirrors, [mirror], chunk_size, progress)[mirror.name]
    if not mirror.check():
        raise BackendRejected(
            409, f"the index of {mirror.name} was built for another schema: rebuild it"
        )
    result = Written()
    tell = progress(mirror) if progress is not None else _silent
    mirror.backend.refresh(mirror.alias)
    chunks = iter(mirror.reader.scan(chunk_size))
    while True:
        # Numbered before it is read: what a document was deleted with is older.
        version = number(mirror.name)
        rows = next(chunks, None)
        if rows is None:
            break
        found = mirrors.backend.multi_get(mirror.alias, [document_id(pk) for pk, _ in rows])
        missing = [(pk, body) for pk, body in rows if found.get(document_id(pk)) is None]
        batch = _scan_actions(mirror, _live_target(mirrors, mirror), missing, version)
        _write(mirror, batch, chunk_size, result)
        tell(len(rows))
    mirror.backend.refresh(mirror.alias)
    return result


def _live_target(mirrors: Mirrors, mirror: Mirror) -> str:
    for index, aliases in mirrors.concrete(mirror).items():
        if mirror.alias in aliases:
            return write_alias(index)
    raise BackendError(f"the index of {mirror.name} went away")


def _fill(mirror: Mirror, index: str, chunk_size: int, tell: Progress) -> Written:
    result = Written()
    target = write_alias(index)
    for rows in mirror.reader.scan(chunk_size):
        _write(mirror, _scan_actions(mirror, target, rows, SCAN_VERSION), chunk_size, result)
        tell(len(rows))
    return result


def _scan_actions(mirror: Mirror, target: str, rows: Any, version: int) -> Iterator[Action]:
    bodies = dict(rows)
    return actions(mirror, target, version, list(bodies), bodies)


def _write(mirror: Mirror, batch: Iterator[Action], chunk_size: int, result: Written) -> None:
    written = write(mirror, batch, chunk_size)
    if written.target_missing:
        raise BackendError(f"the index of {mirror.name} went away while it was built")
    result.settled += written.settled
    result.errors.update(written.errors)


def _drop_left_over(mirrors: Mirrors, mirror: Mirror) -> None:
    """Indices of a build that did not end."""
    for index, aliases in mirrors.concrete(mirror).items():
        if mirror.alias not in aliases:
            log.warning("deleting %s, left over from a build that did not end", index)
            mirrors.backend.delete_index(index)


def _silent(count: int) -> None:
    """No one watches."""
