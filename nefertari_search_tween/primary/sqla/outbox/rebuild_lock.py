"""The locks of rebuilds for nefertari_sqla."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from sqlalchemy import and_, select
from sqlalchemy.exc import IntegrityError

from nefertari_search_tween.primary.rebuild_lock_base import RebuildLocksBase
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.outbox.tables import REBUILDS


class SqlaRebuildLocks(RebuildLocksBase):
    """Every change is one statement.

    :param models: the mirrored models by name.
    :param engine: a SQLAlchemy engine.
    """

    def __init__(self, models: Mapping[str, Any], engine: Any) -> None:
        super().__init__(models, schema.parse_key)
        self.engine = engine

    def _row(self, model_name: str) -> Optional[Mapping[str, Any]]:
        query = select([REBUILDS]).where(REBUILDS.c.model == model_name)
        with self.engine.begin() as connection:
            row = connection.execute(query).fetchone()
        return None if row is None else dict(row)

    def _insert(self, model_name: str, values: dict[str, Any]) -> bool:
        try:
            with self.engine.begin() as connection:
                connection.execute(REBUILDS.insert().values(model=model_name, **values))
        except IntegrityError:
            return False
        return True

    def _compare_and_set(
        self, model_name: str, expected: dict[str, Any], values: dict[str, Any]
    ) -> bool:
        statement = REBUILDS.update().where(_has(model_name, expected)).values(**values)
        with self.engine.begin() as connection:
            return bool(connection.execute(statement).rowcount)

    def _delete(self, model_name: str, expected: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            connection.execute(REBUILDS.delete().where(_has(model_name, expected)))


def _has(model_name: str, expected: dict[str, Any]) -> Any:
    return and_(
        REBUILDS.c.model == model_name,
        *(REBUILDS.c[name] == value for name, value in expected.items()),
    )
