"""Hits and misses of the caches of all processes, for nefertari_mongodb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nefertari_search_tween.interfaces.cache_stats import KEPT_MILLISECONDS, CacheStats
from nefertari_search_tween.primary.clock import milliseconds


class MongoCacheStats:
    """See :class:`~nefertari_search_tween.interfaces.cache_stats.CacheStatsStore`.

    A document for each process: ``_id``, ``models`` (``model``, ``hits``, ``misses``) and
    ``reported_at``.

    :param rows: their collection.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def store(self, process: str, counts: Mapping[str, tuple[int, int]]) -> None:
        now = milliseconds()
        self.rows.delete_many({"reported_at": {"$lt": now - KEPT_MILLISECONDS}})
        models = [
            {"model": name, "hits": hits, "misses": misses}
            for name, (hits, misses) in sorted(counts.items())
        ]
        row = {"_id": process, "models": models, "reported_at": now}
        self.rows.replace_one({"_id": process}, row, upsert=True)

    def read_all(self) -> list[CacheStats]:
        recent = {"reported_at": {"$gte": milliseconds() - KEPT_MILLISECONDS}}
        return [
            CacheStats(row["_id"], each["model"], each["hits"], each["misses"])
            for row in self.rows.find(recent).sort("_id", 1)
            for each in row["models"]
        ]
