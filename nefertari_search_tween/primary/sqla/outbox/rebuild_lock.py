"""Builds of indices, written down in the primary database, for nefertari_sqla."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Callable, Optional

from sqlalchemy import and_, select
from sqlalchemy.exc import IntegrityError

from nefertari_search_tween.interfaces.rebuild_lock import (
    ALIVE_SECONDS,
    RebuildInProgress,
    RebuildLock,
    RebuildLost,
    this_process,
)
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.outbox.tables import REBUILDS


class SqlaRebuildLocks:
    """See :class:`~nefertari_search_tween.interfaces.rebuild_lock.Rebuilds`.

    Every change is one statement that names the token, so two of them can't both succeed.

    :param models: the mirrored models by name.
    :param engine: gives the SQLAlchemy engine.
    """

    def __init__(self, models: Mapping[str, Any], engine: Callable[[], Any]) -> None:
        self.models = models
        self.engine = engine

    def acquire(self, model_name: str) -> RebuildLock:
        token = uuid.uuid4().hex
        values = {"owner": this_process(), "token": token, "heartbeat_at": milliseconds()}
        # Another one may come or go between two statements; then everything is looked at again.
        for _ in range(5):
            row = self._row(model_name)
            if row is None:
                try:
                    with self.engine().begin() as connection:
                        connection.execute(
                            REBUILDS.insert().values(
                                model=model_name,
                                index_name="",
                                checkpoint=None,
                                documents=0,
                                **values,
                            )
                        )
                except IntegrityError:
                    continue
                return RebuildLock(model_name, token, "", None, 0)
            if _alive(row):
                break
            taken = and_(REBUILDS.c.token == row.token, REBUILDS.c.heartbeat_at == row.heartbeat_at)
            if self._update(model_name, taken, values):
                position = self._decoded(model_name, row.checkpoint)
                return RebuildLock(model_name, token, row.index_name, position, row.documents)
        row = self._row(model_name)
        who = "somebody" if row is None else row.owner
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
        self._delete(build, REBUILDS.c.index_name == "")
        self._update(build.model, REBUILDS.c.token == build.token, {"heartbeat_at": 0})

    def finish(self, build: RebuildLock) -> None:
        self._delete(build, True)

    def _delete(self, build: RebuildLock, condition: Any) -> None:
        own = and_(REBUILDS.c.model == build.model, REBUILDS.c.token == build.token)
        with self.engine().begin() as connection:
            connection.execute(REBUILDS.delete().where(and_(own, condition)))

    def _own(self, build: RebuildLock, values: dict[str, Any]) -> None:
        values = {**values, "heartbeat_at": milliseconds()}
        if not self._update(build.model, REBUILDS.c.token == build.token, values):
            raise RebuildLost(
                f"the rebuild of {build.model} was held up for more than {ALIVE_SECONDS:g} "
                "seconds, and another one has gone on with it"
            )

    def _update(self, model_name: str, condition: Any, values: dict[str, Any]) -> bool:
        with self.engine().begin() as connection:
            changed = connection.execute(
                REBUILDS.update()
                .where(and_(REBUILDS.c.model == model_name, condition))
                .values(**values)
            ).rowcount
        return bool(changed)

    def _row(self, model_name: str) -> Optional[Any]:
        with self.engine().begin() as connection:
            return connection.execute(
                select([REBUILDS]).where(REBUILDS.c.model == model_name)
            ).fetchone()

    def _decoded(self, model_name: str, text: Optional[str]) -> Optional[Any]:
        if text is None:
            return None
        return int(text) if schema.has_integer_pk(self.models[model_name]) else text


def _alive(row: Any) -> bool:
    # By the clocks of two hosts: one that is ahead must not look like one that lives for ever.
    return bool(abs(milliseconds() - row.heartbeat_at) < ALIVE_SECONDS * 1000)
