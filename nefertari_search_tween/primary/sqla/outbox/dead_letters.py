"""The table of dead letters."""

from __future__ import annotations

from typing import Any, Optional

from sqlalchemy import and_, bindparam, func, select

from nefertari_search_tween.primary.outbox_base import DeadLettersBase
from nefertari_search_tween.primary.sqla.outbox.tables import DEAD_LETTERS

MODELS = "models"
_FIRST = (
    select([DEAD_LETTERS.c.id])
    .where(DEAD_LETTERS.c.model.in_(bindparam(MODELS, expanding=True)))
    .limit(1)
)


class SqlaDeadLetters(DeadLettersBase):
    """:param connection: in whose transaction everything happens."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def _has_letters(self, model_names: list[str]) -> bool:
        return self.connection.execute(_FIRST, {MODELS: model_names}).scalar() is not None

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        self.connection.execute(DEAD_LETTERS.insert(), rows)

    def _delete(self, model_name: str, texts: list[str]) -> int:
        condition = and_(DEAD_LETTERS.c.model == model_name, DEAD_LETTERS.c.pk.in_(texts))
        return int(self.connection.execute(DEAD_LETTERS.delete().where(condition)).rowcount)

    def read_all(self, model_name: Optional[str]) -> list[tuple[str, str, str, int]]:
        query = select([DEAD_LETTERS]).order_by(DEAD_LETTERS.c.id)
        if model_name is not None:
            query = query.where(DEAD_LETTERS.c.model == model_name)
        rows = self.connection.execute(query)
        return [(row.model, row.pk, row.error, row.failed_at) for row in rows]

    def counts(self) -> dict[str, int]:
        query = select([DEAD_LETTERS.c.model, func.count()]).group_by(DEAD_LETTERS.c.model)
        return {name: int(count) for name, count in self.connection.execute(query)}
