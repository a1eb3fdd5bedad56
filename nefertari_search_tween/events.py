"""The events of changes of the primary, with or without a request; applications may subscribe.

Every event carries keys, never contents: its subscribers read the current state.
"""

from nefertari_search_tween.indexing.events import (
    BulkDeleted,
    BulkEvent,
    BulkUpdated,
    ChangeEvent,
    ItemCreated,
    ItemDeleted,
    ItemEvent,
    ItemUpdated,
)

__all__ = [
    "BulkDeleted",
    "BulkEvent",
    "BulkUpdated",
    "ChangeEvent",
    "ItemCreated",
    "ItemDeleted",
    "ItemEvent",
    "ItemUpdated",
]
