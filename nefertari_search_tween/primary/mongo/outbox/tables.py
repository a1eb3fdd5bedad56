"""The collections that this package keeps beside the application's, in the same database."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.primary.mongo.collections import current

#: Keys that must be indexed; a document for each time that something changed, or was about to.
#:
#: ``model``, ``pk`` (as text; null: the whole model), ``fan_out`` (a FanOut, or 0),
#: ``recorded_at`` (milliseconds since 1970), ``claim_token`` (null: not claimed),
#: ``lease_expires_at``, ``roots`` (the documents of this collection that it was made from).
OUTBOX = "nefertari_search_outbox"
#: Versions of claims; the greatest of a model is the latest (versions.py).
VERSIONS = "nefertari_search_versions"
#: ``model``, ``pk``, ``error``, ``failed_at``.
DEAD_LETTERS = "nefertari_search_dead_letters"
#: ``_id`` (the model), ``index_name``, ``owner``, ``token``, ``heartbeat_at``,
#: ``checkpoint``, ``documents``.
REBUILDS = "nefertari_search_rebuilds"
#: ``_id`` (1), ``identifier``, ``created_at``: what the database is known by.
IDENTITY = "nefertari_search_identity"

#: ``_id`` (a process), ``counts`` (``model``, ``name``, ``number``), ``reported_at``.
COUNTS = "nefertari_search_counts"

_INDEXES: dict[str, list[list[tuple[str, int]]]] = {
    OUTBOX: [
        [("model", 1), ("claim_token", 1), ("_id", 1)],
        [("claim_token", 1)],
        [("model", 1), ("fan_out", 1)],
        [("roots", 1)],
    ],
    VERSIONS: [[("model", 1), ("version", -1)]],
    DEAD_LETTERS: [[("model", 1), ("pk", 1)]],
    REBUILDS: [],
}


class Collections:
    """All of them, of one database.

    :param database: of PyMongo.
    """

    def __init__(self, database: Any) -> None:
        self.database = database
        self.outbox = current(database[OUTBOX])
        self.versions = current(database[VERSIONS])
        self.dead_letters = current(database[DEAD_LETTERS])
        self.rebuilds = current(database[REBUILDS])
        self.identity = current(database[IDENTITY])
        self.counts = current(database[COUNTS])

    def create_indexes(self) -> None:
        """Create the missing ones of their indexes."""
        for name, indexes in _INDEXES.items():
            for keys in indexes:
                self.database[name].create_index(keys)
