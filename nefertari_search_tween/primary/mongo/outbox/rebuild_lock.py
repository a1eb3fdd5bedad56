"""Builds of indices, written down in the primary database, for nefertari_mongodb."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Optional

from pymongo.errors import DuplicateKeyError

from nefertari_search_tween.interfaces.rebuild_lock import (
    ALIVE_SECONDS,
    RebuildInProgress,
    RebuildLock,
    RebuildLost,
    this_process,
)
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.outbox.tables import Collections


class MongoRebuildLocks:
    """See :class:`~nefertari_search_tween.interfaces.rebuild_lock.Rebuilds`.

    A build is begun by inserting a document, which succeeds once; every later change names the
    token.

    :param models: the mirrored models by name.
    """

    def __init__(self, stores: Collections, models: Mapping[str, Any]) -> None:
        self.rows = stores.rebuilds
        self.models = models

    def acquire(self, model_name: str) -> RebuildLock:
        token = uuid.uuid4().hex
        values = {"owner": this_process(), "token": token, "heartbeat_at": milliseconds()}
        nothing = {"index_name": "", "checkpoint": None, "documents": 0}
        # Another one may come or go between two commands; then everything is looked at again.
        for _ in range(5):
            row = self.rows.find_one({"_id": model_name})
            if row is None:
                try:
                    self.rows.insert_one({"_id": model_name, **nothing, **values})
                except DuplicateKeyError:
                    continue
                return RebuildLock(model_name, token, "", None, 0)
            if _alive(row):
                break
            taken = {"_id": model_name, "token": row["token"], "heartbeat_at": row["heartbeat_at"]}
            self.rows.update_one(taken, {"$set": values})
            # Whoever wrote last has it, also on a server where two of us may write.
            if self.rows.find_one({"_id": model_name, "token": token}) is not None:
                position = self._decoded(model_name, row["checkpoint"])
                return RebuildLock(model_name, token, row["index_name"], position, row["documents"])
        row = self.rows.find_one({"_id": model_name})
        who = "somebody" if row is None else row["owner"]
        raise RebuildInProgress(
            f"{model_name} is being rebuilt by {who}; if it died, wait {ALIVE_SECONDS:g} seconds"
        )

    def start(self, build: RebuildLock, index: str) -> None:
        self._own(build, {"index_name": index, "checkpoint": None, "documents": 0})

    def checkpoint(self, build: RebuildLock, position: Any, done: int) -> None:
        self._own(build, {"checkpoint": str(position), "documents": done})

    def heartbeat(self, build: RebuildLock) -> None:
        self._own(build, {})

    def release(self, build: RebuildLock) -> None:
        # One that had not begun leaves nothing to go on with.
        self.rows.delete_one({"_id": build.model, "token": build.token, "index_name": ""})
        own = {"_id": build.model, "token": build.token}
        self.rows.update_one(own, {"$set": {"heartbeat_at": 0}})

    def finish(self, build: RebuildLock) -> None:
        self.rows.delete_one({"_id": build.model, "token": build.token})

    def _own(self, build: RebuildLock, values: dict[str, Any]) -> None:
        own = {"_id": build.model, "token": build.token}
        values = {**values, "heartbeat_at": milliseconds()}
        if not self.rows.update_one(own, {"$set": values}).matched_count:
            raise RebuildLost(
                f"the rebuild of {build.model} was held up for more than {ALIVE_SECONDS:g} "
                "seconds, and another one has gone on with it"
            )

    def _decoded(self, model_name: str, text: Optional[str]) -> Any:
        return None if text is None else schema.parse_key(self.models[model_name], text)


def _alive(row: Any) -> bool:
    # By the clocks of two hosts: one that is ahead must not look like one that lives for ever.
    return bool(abs(milliseconds() - row["heartbeat_at"]) < ALIVE_SECONDS * 1000)
