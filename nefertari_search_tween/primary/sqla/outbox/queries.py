"""What the outbox holds, as it is committed: by one statement each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Optional

from sqlalchemy import and_, bindparam, exists, func, literal, not_, or_, select, union_all
from sqlalchemy.exc import SQLAlchemyError

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.outbox import Backlog, SyncState, Watermark
from nefertari_search_tween.primary.outbox_base import MAX_ROWS, OutboxBase
from nefertari_search_tween.primary.sqla.outbox import versions
from nefertari_search_tween.primary.sqla.outbox.claims import expired
from nefertari_search_tween.primary.sqla.outbox.connections import ReadConnections
from nefertari_search_tween.primary.sqla.outbox.tables import EXPANDS, FANS_OUT, OUTBOX

MODELS_PER_QUERY = 50
# A row may become rows of whole models, which become a row for each document.
MAX_EXPANSIONS = 2


class OutboxQueries(OutboxBase):
    """The part of the outbox that changes nothing."""

    engine: Any
    _reads: ReadConnections

    def sync_state(self, model_name: str) -> SyncState:
        statement = state_query(model_name, self._sources[model_name])
        first, last = self._awaited_range()
        version, pending = self._reads.fetch_first(statement, first=first, last=last)
        return SyncState(bool(pending), int(version or 0))

    def pending_count(self, model_name: Optional[str] = None) -> int:
        query = select([func.count()]).select_from(OUTBOX)
        if model_name is not None:
            query = query.where(OUTBOX.c.model == model_name)
        return int(self._rows_of(query)[0][0])

    def backlog(self) -> dict[str, Backlog]:
        now = self.clock.now()
        query = select([OUTBOX.c.model, func.count(), func.min(OUTBOX.c.recorded_at)])
        return {
            name: Backlog(count, max(0.0, (now - oldest) / 1000))
            for name, count, oldest in self._rows_of(query.group_by(OUTBOX.c.model))
        }

    def claim_tokens(self, model_name: str) -> set[str]:
        claimed = and_(OUTBOX.c.model == model_name, OUTBOX.c.claim_token.isnot(None))
        return {token for (token,) in self._rows_of(select([OUTBOX.c.claim_token]).where(claimed))}

    def claimable_models(self) -> list[str]:
        conditions = (
            OUTBOX.c.claim_token.is_(None),
            expired(self._lease_bounds(self.clock.now())),
        )
        names: list[str] = []
        # One statement has a number of parts and of parameters that databases limit.
        for models in chunks(self._carried.items(), MODELS_PER_QUERY):
            parts = []
            for name, carried in models:
                # Separate look-ups: an OR of them would be read from the first row of the model on.
                either = (
                    exists([OUTBOX.c.id]).where(and_(OUTBOX.c.model == each, condition))
                    for each in (name, *carried)
                    for condition in conditions
                )
                parts.append(select([literal(name)]).where(or_(*either)))
            names += [name for (name,) in self._rows_of(union_all(*parts))]
        return names

    def ping(self) -> bool:
        try:
            self._rows_of(select([1]))
        except SQLAlchemyError:
            return False
        return True

    def watermark(self) -> Watermark:
        with self._reads.connect() as connection:
            last, expandable = connection.execute(_LAST_ROW).first()
            now = self.clock.now(connection)
            if connection.dialect.name == "sqlite":
                # Not before a row that is there: the clock may have been set back since.
                query = select([func.max(OUTBOX.c.recorded_at)])
                now = max(now, int(connection.execute(query).scalar() or 0))
        return Watermark(int(last or 0), now, MAX_EXPANSIONS if expandable else 0)

    def has_passed(self, watermark: Watermark) -> bool:
        return self._has_passed(watermark)

    def has_passed_known(self, watermark: Watermark) -> bool:
        return self._has_passed(watermark, _not_awaited(*map(literal, self._awaited_range())))

    def _has_passed(self, watermark: Watermark, *conditions: Any) -> bool:
        while not self._has_row(and_(_up_to(watermark, self.engine), *conditions)):
            if not watermark.expansions:
                return True
            # A row is there until those that it becomes are: they are up to here now.
            behind = self.watermark()
            watermark.row_id, watermark.recorded_at = behind.row_id, behind.recorded_at
            watermark.expansions = min(watermark.expansions - 1, behind.expansions)
        return False

    def _has_row(self, condition: Any) -> bool:
        return bool(self._rows_of(select([exists([OUTBOX.c.id]).where(condition)]))[0][0])

    def _pending_texts(self, model_name: str) -> Iterable[str]:
        query = select([OUTBOX.c.pk]).where(
            and_(OUTBOX.c.model == model_name, OUTBOX.c.pk.isnot(None))
        )
        return [text for (text,) in self._rows_of(query.limit(MAX_ROWS).distinct())]

    def _rows_of(self, query: Any) -> list[Any]:
        with self._reads.connect() as connection:
            return list(connection.execute(query))


# The last row, and whether any becomes others.
_LAST_ROW = select(
    [
        select([func.max(OUTBOX.c.id)]).as_scalar(),
        exists([OUTBOX.c.id]).where(EXPANDS),
    ]
)


@cache
def state_query(model_name: str, sources: tuple[str, ...]) -> Any:
    """Return the query for the latest version of a model, and whether rows are pending that a
    reader may know of.

    Its parameters are *first* and *last*: the range of the tokens of the others.

    :param sources: other models whose rows may represent documents of this one.
    """
    not_awaited = _not_awaited(bindparam("first"), bindparam("last"))
    pending = exists([OUTBOX.c.id]).where(and_(OUTBOX.c.model == model_name, not_awaited))
    if sources:
        expandable = and_(OUTBOX.c.model.in_(sources), FANS_OUT, not_awaited)
        pending = or_(pending, exists([OUTBOX.c.id]).where(expandable))
    return select([versions.latest(model_name), pending])


def _not_awaited(first: Any, last: Any) -> Any:
    """Return the condition of rows that a reader may know of: all but the awaited ones."""
    return or_(OUTBOX.c.claim_token.is_(None), not_(OUTBOX.c.claim_token.between(first, last)))


def _up_to(watermark: Watermark, engine: Any) -> Any:
    before = OUTBOX.c.id <= watermark.row_id
    if engine.dialect.name == "sqlite":
        # It gives row ids again. One host has the file, so one clock.
        before = and_(before, OUTBOX.c.recorded_at <= watermark.recorded_at)
    return before
