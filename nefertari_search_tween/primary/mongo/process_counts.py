"""What all processes count, for nefertari_mongodb."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.interfaces.process_counts import (
    KEPT_MILLISECONDS,
    Counts,
    ProcessCount,
)
from nefertari_search_tween.primary.clock import milliseconds


class MongoProcessCounts:
    """See :class:`~nefertari_search_tween.interfaces.process_counts.ProcessCountStore`.

    A document for each process: ``_id``, ``counts`` (``model``, ``name``, ``number``) and
    ``reported_at``.

    :param rows: their collection.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def store(self, process: str, counts: Counts) -> None:
        now = milliseconds()
        self.rows.delete_many({"reported_at": {"$lt": now - KEPT_MILLISECONDS}})
        entries = [
            {"model": model, "name": name, "number": number}
            for (model, name), number in sorted(counts.items())
        ]
        row = {"_id": process, "counts": entries, "reported_at": now}
        self.rows.replace_one({"_id": process}, row, upsert=True)

    def read_all(self) -> list[ProcessCount]:
        recent = {"reported_at": {"$gte": milliseconds() - KEPT_MILLISECONDS}}
        return [
            ProcessCount(row["_id"], each["model"], each["name"], each["number"])
            for row in self.rows.find(recent).sort("_id", 1)
            for each in row["counts"]
        ]
