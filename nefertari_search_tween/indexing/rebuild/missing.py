"""Indexing the objects that have no document, without touching the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import BackendError, BackendRejected
from nefertari_search_tween.indexing.bulk_writer import BulkResult, build_actions, write
from nefertari_search_tween.indexing.rebuild.backfill import add_result
from nefertari_search_tween.indexing.rebuild.rebuild import Progress, no_progress, rebuild
from nefertari_search_tween.indexing.restored import recover
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.interfaces.rebuild_lock import RebuildLocks
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id

HTTP_CONFLICT = 409


def index_missing(
    mirrors: MirrorRegistry,
    mirror: Mirror,
    chunk_size: int,
    outbox: Outbox,
    locks: RebuildLocks,
    progress: Callable[[Mirror], Progress] = no_progress,
    only: Optional[list[Any]] = None,
) -> BulkResult:
    """Index the objects of *mirror* that its index does not hold; an index that does not exist is
    built.

    Each chunk has a version of its own, as a claim has.

    :param only: keys of the objects to check; None: all.
    :raises BackendError: the backend failed; the index is of another schema; there is none, and
        some objects alone would make an incomplete one.
    """
    if mirrors.backend.get_mapping(mirror.alias) is None:
        if only is not None:
            raise BackendError(
                f"the index of {mirror.name} is not built, and some of its objects do not make "
                "an index: index all of them first"
            )
        return rebuild(mirrors, locks, outbox, [mirror], chunk_size, progress)[mirror.name]
    if not mirror.check():
        raise BackendRejected(
            HTTP_CONFLICT, f"the index of {mirror.name} was built for another schema: rebuild it"
        )
    result = BulkResult()
    report = progress(mirror)
    mirror.backend.refresh(mirror.alias)
    scan = mirror.reader.scan(chunk_size) if only is None else _read(mirror, only, chunk_size)
    while True:
        # The version before the rows: what a document was deleted with is older.
        version = outbox.next_version(mirror.name)
        rows = next(scan, None)
        if rows is None:
            break
        documents = mirrors.backend.multi_get(mirror.alias, [document_id(pk) for pk, _ in rows])
        missing = {pk: body for pk, body in rows if documents.get(document_id(pk)) is None}
        target = _live_target(mirrors, mirror)
        batch = build_actions(mirror, target, version, list(missing), missing)
        add_result(result, write(mirror, batch, chunk_size))
        report(len(rows))
    if result.conflict:
        recover(outbox, mirror, result.conflict)
    mirror.backend.refresh(mirror.alias)
    return result


def _read(mirror: Mirror, pks: list[Any], chunk_size: int) -> Iterator[list[tuple[Any, Body]]]:
    for part in mirror.reader.split(pks, chunk_size):
        yield list(mirror.reader.read(part).items())


def _live_target(mirrors: MirrorRegistry, mirror: Mirror) -> str:
    for index, aliases in mirrors.indices_of(mirror).items():
        if mirror.alias in aliases:
            return write_alias(index)
    raise BackendError(f"the index of {mirror.name} was deleted")
