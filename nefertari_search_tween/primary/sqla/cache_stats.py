"""Hits and misses of the caches of all processes, for nefertari_sqla."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select

from nefertari_search_tween.interfaces.cache_stats import KEPT_MILLISECONDS, CacheStats
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla.outbox.tables import CACHE_STATS


class SqlaCacheStats:
    """See :class:`~nefertari_search_tween.interfaces.cache_stats.CacheStatsStore`.

    :param engine: a SQLAlchemy engine.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def store(self, process: str, counts: Mapping[str, tuple[int, int]]) -> None:
        now = milliseconds()
        rows = [
            {"process": process, "model": name, "hits": hits, "misses": misses, "reported_at": now}
            for name, (hits, misses) in counts.items()
        ]
        old = or_(
            CACHE_STATS.c.process == process, CACHE_STATS.c.reported_at < now - KEPT_MILLISECONDS
        )
        with self.engine.begin() as connection:
            connection.execute(CACHE_STATS.delete().where(old))
            if rows:
                connection.execute(CACHE_STATS.insert(), rows)

    def read_all(self) -> list[CacheStats]:
        columns = [CACHE_STATS.c[name] for name in CacheStats._fields]
        recent = CACHE_STATS.c.reported_at >= milliseconds() - KEPT_MILLISECONDS
        query = select(columns).where(recent).order_by(CACHE_STATS.c.process, CACHE_STATS.c.model)
        with self.engine.begin() as connection:
            return [CacheStats(*row) for row in connection.execute(query)]
