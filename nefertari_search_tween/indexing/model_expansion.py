"""A row that represents a whole model becomes a row for each of its documents.

After a TRUNCATE the database does not know what was there; the index does.
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
    """Enqueue each document of *mirror*: those of the database's objects, those that are being
    written at the moment, and the others that its indices hold.

    In this order: what is being written is in the outbox until it is in the index. In constant
    memory, chunk by chunk; each renews the claim.

    :returns: False while an index is being built: what the rebuild has read but not written yet is
        not visible, so expand it again later.
    :raises ClaimExpired: another process does it.
    """
    outbox.enqueue_model(mirror.name)
    indices = mirrors.indices_of(mirror)
    for index in indices:
        try:
            _enqueue_deleted(mirror, index, outbox, claim, chunk_size)
        except IndexMissing:
            log.info("%s was deleted while it was scanned", index)
    return all(mirror.alias in aliases for aliases in indices.values())


def _enqueue_deleted(
    mirror: Mirror, index: str, outbox: Outbox, claim: Claim, chunk_size: int
) -> None:
    """Enqueue the documents of *index* whose objects were deleted: the others have their rows."""
    for documents in scan_index(mirror, index, chunk_size):
        if not outbox.renew(claim):
            raise ClaimExpired(f"another process scans {mirror.name}")
        keys = [_key(mirror, document) for document in documents]
        existing = mirror.reader.existing(key for key in keys if key is not None)
        outbox.enqueue(
            Key(mirror.name, document.text)
            for document, key in zip(documents, keys)
            if key not in existing
        )


def _key(mirror: Mirror, document: IndexedDocument) -> Any:
    """Return the key of *document*; None if no object can have it."""
    try:
        return key_of(mirror, document)
    except ValueError:
        return None
