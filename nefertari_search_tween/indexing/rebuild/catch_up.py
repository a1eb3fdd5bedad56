"""What claims wrote to an index in the moments when not all of them knew it.

A new index is known to a claim that looks the indices up after it was made. So of two claims of one
document the older may write to it and the newer not, when the older one is the slower: it looks
later. The newer state is in the other index alone, and what the scan brings is older than both.
"""

from __future__ import annotations

from collections.abc import Iterable

from nefertari_search_tween.exceptions import BackendError
from nefertari_search_tween.indexing.bulk_writer import build_actions, write
from nefertari_search_tween.indexing.index_scan import key_of, scan_index
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.threads import wait_until


def wait_for_older_claims(outbox: Outbox, mirrors: Iterable[Mirror]) -> None:
    """Return when no claim of *mirrors* is on its way that is as old as this call.

    At most as long as a lease: after that its owner writes nothing any more.
    """
    older = {mirror.name: outbox.claim_tokens(mirror.name) for mirror in mirrors}

    def all_ended() -> bool:
        for name, tokens in older.items():
            if tokens:
                tokens &= outbox.claim_tokens(name)
        return not any(older.values())

    wait_until(all_ended, outbox.lease_seconds + 1.0)


def reindex_documents(outbox: Outbox, mirror: Mirror, index: str, chunk_size: int) -> None:
    """Bring the documents that *index* holds to the state of the primary, as a claim would.

    :raises BackendError: the backend failed, or the index is gone.
    """
    for documents in scan_index(mirror, index, chunk_size):
        try:
            pks = [key_of(mirror, document) for document in documents]
        except ValueError as error:
            raise BackendError(f"{index} holds what is no object's: {error}") from error
        # Numbered before it is read, as every claim is.
        number = outbox.next_version(mirror.name)
        bodies = mirror.reader.read(pks)
        batch = build_actions(mirror, write_alias(index), number, pks, bodies)
        if write(mirror, batch, chunk_size).target_missing:
            raise BackendError("the index went away while it was built")
