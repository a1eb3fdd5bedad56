"""What the outbox holds, by one statement each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Optional

from sqlalchemy import and_, exists, func, literal, or_, select, union_all

from nefertari_search_tween.interfaces.outbox import Backlog, SyncState, Watermark
from nefertari_search_tween.primary.sqla.outbox import versions
from nefertari_search_tween.primary.sqla.outbox.connections import ReadConnections
from nefertari_search_tween.primary.sqla.outbox.tables import FANS_OUT, OUTBOX


def sync_state(
    connections: ReadConnections, model_name: str, sources: tuple[str, ...]
) -> SyncState:
    """Return the sync state of a model.

    :param sources: other models whose rows may represent documents of this one.
    """
    version, pending = connections.fetch_first(_state(model_name, sources))
    return SyncState(bool(pending), int(version or 0))


@cache
def _state(model_name: str, sources: tuple[str, ...]) -> Any:
    pending = exists([OUTBOX.c.id]).where(OUTBOX.c.model == model_name)
    if sources:
        expandable = and_(OUTBOX.c.model.in_(sources), FANS_OUT)
        pending = or_(pending, exists([OUTBOX.c.id]).where(expandable))
    return select([versions.latest(model_name), pending])


def pending_count(connection: Any, model_name: Optional[str]) -> int:
    """Return the number of rows (of one model)."""
    query = select([func.count()]).select_from(OUTBOX)
    if model_name is not None:
        query = query.where(OUTBOX.c.model == model_name)
    return int(connection.execute(query).scalar())


def backlog(connection: Any, now: int) -> dict[str, Backlog]:
    """Return the backlog by model.

    :param now: milliseconds since 1970.
    """
    query = select([OUTBOX.c.model, func.count(), func.min(OUTBOX.c.recorded_at)])
    rows = connection.execute(query.group_by(OUTBOX.c.model)).fetchall()
    return {name: Backlog(count, max(0.0, (now - oldest) / 1000)) for name, count, oldest in rows}


def claim_tokens(connection: Any, model_name: str) -> set[str]:
    """Return the tokens of the claims that rows of a model belong to."""
    claimed = and_(OUTBOX.c.model == model_name, OUTBOX.c.claim_token.isnot(None))
    return {token for (token,) in connection.execute(select([OUTBOX.c.claim_token]).where(claimed))}


def claimable_models(connection: Any, carried: Mapping[str, Iterable[str]], now: int) -> list[str]:
    """Return the models that have claimable rows.

    :param carried: model name -> models whose rows its claims expand.
    :param now: milliseconds since 1970.
    """
    free = OUTBOX.c.claim_token.is_(None)
    expired = and_(OUTBOX.c.claim_token.isnot(None), OUTBOX.c.lease_expires_at < now)
    parts = []
    for name, sources in carried.items():
        # Separate look-ups: an OR of them would be read from the first row of the model on.
        either = (
            exists([OUTBOX.c.id]).where(and_(OUTBOX.c.model == each, condition))
            for each in (name, *sources)
            for condition in (free, expired)
        )
        parts.append(select([literal(name)]).where(or_(*either)))
    return [name for (name,) in connection.execute(union_all(*parts))] if parts else []


def watermark(connection: Any, now: int) -> Watermark:
    """Return the position behind all pending rows."""
    last = connection.execute(select([func.max(OUTBOX.c.id)])).scalar()
    return Watermark(int(last or 0), now)


def has_passed(connection: Any, watermark: Watermark) -> bool:
    """Return True once no row up to *watermark* is pending."""
    before = OUTBOX.c.id <= watermark.row_id
    if connection.dialect.name == "sqlite":
        # It gives row ids again. One host has the file, so one clock.
        before = and_(before, OUTBOX.c.recorded_at <= watermark.recorded_at)
    return not connection.execute(select([exists([OUTBOX.c.id]).where(before)])).scalar()
