"""A row that stands for everything of a model becomes a row for each of its documents.

After a TRUNCATE the database can't tell what was there; the index can.
"""

from __future__ import annotations

import logging
from typing import Any

from nefertari_search_tween.exceptions import IndexMissing
from nefertari_search_tween.indexing.index_scan import IndexedDocument, key_of, scan_index
from nefertari_search_tween.interfaces.outbox import Claim, ClaimExpired, Outbox
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry

log = logging.getLogger(__name__)


def expand_whole_model(
    mirrors: MirrorRegistry, mirror: Mirror, outbox: Outbox, claim: Claim, chunk_size: int
) -> bool:
    """Put a row for each document of *mirror* into the outbox: those of the database's objects,
    those that are being written just now, and those that are left in its indices.

    In this order: what is being written before is in the outbox until it is in the index. In
    constant memory, chunk by chunk; each renews the claim.

    :returns: False while an index is being built: what the build has read but not written yet
        can't be seen, so look again later.
    :raises ClaimExpired: somebody else does it.
    """
    outbox.enqueue_model(mirror.name)
    indices = mirrors.indices_of(mirror)
    for index in indices:
        try:
            _enqueue_deleted(mirror, index, outbox, claim, chunk_size)
        except IndexMissing:
            log.info("%s went away while it was looked through", index)
    return all(mirror.alias in aliases for aliases in indices.values())


def _enqueue_deleted(
    mirror: Mirror, index: str, outbox: Outbox, claim: Claim, chunk_size: int
) -> None:
    """Documents in *index* whose objects are no more: the others have their rows by now."""
    for documents in scan_index(mirror, index, chunk_size):
        if not outbox.renew(claim):
            raise ClaimExpired(f"somebody else looks through {mirror.name}")
        keys = [_key(mirror, document) for document in documents]
        there = mirror.reader.existing(key for key in keys if key is not None)
        outbox.enqueue(
            Key(mirror.name, document.text)
            for document, key in zip(documents, keys)
            if key not in there
        )


def _key(mirror: Mirror, document: IndexedDocument) -> Any:
    """The key of *document*; None: no object can have it."""
    try:
        return key_of(mirror, document)
    except ValueError:
        return None
