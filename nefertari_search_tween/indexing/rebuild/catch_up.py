"""What claims write to an index in the moments when not all of them know it.

A claim knows a new index if it looks the indices up after it was made. So of two claims of one
document the older may write to it and the newer not, if the older one is slower: it looks them up
later. Then the newer state is in the other index alone, and the older one is in the new index.
Where no claim was made in these moments, there is nothing to catch up with (:class:`ClaimWatch`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from nefertari_search_tween.concurrency.threads import wait_until
from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.bulk_writer import build_actions, write
from nefertari_search_tween.indexing.index_scan import key_of, scan_index
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.mirror.mirror import Mirror, write_alias


class ClaimWatch:
    """Knows whether claims of *mirrors* were made, or in flight, since it was.

    Every claim takes a version of its model, and has rows with its token from its commit on until
    it has written everything. So if the version has not changed since, no claim was made; and if
    there was no token, none was in flight. (The version is read first: a claim that was settled
    before the look for tokens either has changed it, or ended before that moment.)

    :ivar began: when it did, on :func:`time.monotonic`.
    """

    def __init__(self, outbox: Outbox, mirrors: Iterable[Mirror]) -> None:
        self._outbox = outbox
        versions = {mirror.name: outbox.sync_state(mirror.name).version for mirror in mirrors}
        self._versions = {
            name: None if outbox.claim_tokens(name) else each for name, each in versions.items()
        }
        self.began = time.monotonic()

    def quiet(self, mirror: Mirror) -> bool:
        """Return True if there was none of *mirror*."""
        return self._outbox.sync_state(mirror.name).version == self._versions[mirror.name]


def wait_for_older_claims(outbox: Outbox, mirrors: Iterable[Mirror]) -> None:
    """Return when all claims of *mirrors* that are as old as this call have ended.

    It takes at most as long as a lease: after that their owners write nothing any more.
    """
    older = {mirror.name: outbox.claim_tokens(mirror.name) for mirror in mirrors}

    def all_ended() -> bool:
        for name, tokens in older.items():
            if tokens:
                tokens &= outbox.claim_tokens(name)
        return not any(older.values())

    wait_until(all_ended, outbox.lease_seconds + 1.0)


def reindex_documents(outbox: Outbox, mirror: Mirror, index: str, chunk_size: int) -> None:
    """Update the documents that *index* holds to match the primary, as a claim would.

    :raises BackendError: the backend failed, or the index was deleted.
    """
    for documents in scan_index(mirror, index, chunk_size):
        try:
            pks = [key_of(mirror, document) for document in documents]
        except ValueError as error:
            raise BackendError(f"{index} holds a document that is no object's: {error}") from error
        for part in mirror.reader.split(pks, chunk_size):
            # The version before the state, as every claim.
            version = outbox.next_version(mirror.name)
            bodies = mirror.reader.read(part)
            batch = build_actions(mirror, write_alias(index), version, part, bodies)
            if write(mirror, batch, chunk_size).target_missing:
                raise BackendError("the index was deleted while it was built")
