"""The locks of rebuilds for nefertari_mongodb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from pymongo.errors import DuplicateKeyError

from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.rebuild_lock_base import RebuildLocksBase


class MongoRebuildLocks(RebuildLocksBase):
    """A lock is taken by inserting a document, which succeeds once.

    :param models: the mirrored models by name.
    """

    def __init__(self, collections: Collections, models: Mapping[str, Any]) -> None:
        super().__init__(models, schema.parse_key)
        self.rows = collections.rebuilds

    def _row(self, model_name: str) -> Optional[Mapping[str, Any]]:
        row: Optional[Mapping[str, Any]] = self.rows.find_one({"_id": model_name})
        return row

    def _insert(self, model_name: str, values: dict[str, Any]) -> bool:
        try:
            self.rows.insert_one({"_id": model_name, **values})
        except DuplicateKeyError:
            return False
        return True

    def _compare_and_set(
        self, model_name: str, expected: dict[str, Any], values: dict[str, Any]
    ) -> bool:
        changed = self.rows.update_one({"_id": model_name, **expected}, {"$set": values})
        if "token" not in values:
            return bool(changed.matched_count)
        # The process that wrote last has it, also on a server where two of them may write.
        own = {"_id": model_name, "token": values["token"]}
        return self.rows.find_one(own) is not None

    def _delete(self, model_name: str, expected: dict[str, Any]) -> None:
        self.rows.delete_one({"_id": model_name, **expected})
