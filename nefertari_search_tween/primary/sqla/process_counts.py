"""What all processes count, for nefertari_sqla."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from nefertari_search_tween.interfaces.process_counts import (
    KEPT_MILLISECONDS,
    Counts,
    ProcessCount,
)
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla.capture.databases import is_in_memory
from nefertari_search_tween.primary.sqla.outbox.tables import COUNTS


class SqlaProcessCounts:
    """See :class:`~nefertari_search_tween.interfaces.process_counts.ProcessCountStore`.

    :param engine: a SQLAlchemy engine.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def store(self, process: str, counts: Counts) -> None:
        if is_in_memory(self.engine.url):
            # No other process can read it, and its one connection is the application's.
            return
        now = milliseconds()
        rows = [
            {"process": process, "model": model, "name": name, "number": each, "reported_at": now}
            for (model, name), each in sorted(counts.items())
        ]
        old = or_(COUNTS.c.process == process, COUNTS.c.reported_at < now - KEPT_MILLISECONDS)
        with self.engine.begin() as connection:
            connection.execute(COUNTS.delete().where(old))
            if rows:
                connection.execute(COUNTS.insert(), rows)

    def read_all(self) -> list[ProcessCount]:
        columns = [COUNTS.c[name] for name in ProcessCount._fields]
        recent = COUNTS.c.reported_at >= milliseconds() - KEPT_MILLISECONDS
        query = select(columns).where(recent).order_by(*columns[:3])
        with self.engine.begin() as connection:
            return [ProcessCount(*row) for row in connection.execute(query)]
