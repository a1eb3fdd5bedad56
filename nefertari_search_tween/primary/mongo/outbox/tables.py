"""The collections that this package keeps beside the application's, in the same database."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.primary.mongo.collections import current

#: Keys that must be indexed; a document for each time that something changed, or was about to.
#:
#: ``model``, ``pk`` (as text; null: everything of the model), ``spread`` (1 or 2: documents that
#: show the object, too, see outbox.py), ``recorded`` (milliseconds since 1970), ``claim`` (who
#: works on it; null: nobody), ``expires`` (until when), ``roots`` (of which documents of this
#: collection it was made).
OUTBOX = "nefertari_search_outbox"
#: Numbers that claims were given; the greatest of a model is the last (versions.py).
NUMBERS = "nefertari_search_counters"
#: ``model``, ``pk``, ``error``, ``failed``.
DEAD_LETTERS = "nefertari_search_dead_letters"
#: ``_id`` (the model), ``index_name``, ``owner``, ``token``, ``heartbeat``, ``position``, ``done``.
REBUILDS = "nefertari_search_rebuilds"

#: ``_id`` (a process), ``models``, ``told``; there only where answers are cached.
CACHES = "nefertari_search_caches"

_INDEXES: dict[str, list[list[tuple[str, int]]]] = {
    OUTBOX: [
        [("model", 1), ("claim", 1), ("_id", 1)],
        [("claim", 1)],
        [("model", 1), ("spread", 1)],
        [("roots", 1)],
    ],
    NUMBERS: [[("model", 1), ("number", -1)]],
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
        self.numbers = current(database[NUMBERS])
        self.dead_letters = current(database[DEAD_LETTERS])
        self.rebuilds = current(database[REBUILDS])
        self.caches = current(database[CACHES])

    def create_indexes(self) -> None:
        """Create those of their indexes that are missing."""
        for name, indexes in _INDEXES.items():
            for keys in indexes:
                self.database[name].create_index(keys)
