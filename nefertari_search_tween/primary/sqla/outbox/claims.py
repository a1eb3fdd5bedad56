"""The rows that a claim may take: locked, so that no two claims take the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select

from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

_COLUMNS = [OUTBOX.c.id, OUTBOX.c.pk, OUTBOX.c.fan_out]


def claimable_rows(connection: Any, model_name: str, limit: int, now: int) -> list[Any]:
    """Return free rows, oldest first; else rows of a claim whose lease expired.

    :param now: milliseconds since 1970.
    """
    free = OUTBOX.c.claim_token.is_(None)
    expired = and_(OUTBOX.c.claim_token.isnot(None), OUTBOX.c.lease_expires_at < now)
    for condition in (free, expired):
        rows = _locked(connection, model_name, limit, condition, OUTBOX.c.claim_token, OUTBOX.c.id)
        if rows:
            return rows
    return []


def newest_rows(connection: Any, model_name: str, limit: int, condition: Any) -> list[Any]:
    """Return free rows that fulfil *condition*, newest first."""
    free = and_(OUTBOX.c.claim_token.is_(None), condition)
    return _locked(connection, model_name, limit, free, OUTBOX.c.id.desc())


def _locked(connection: Any, model_name: str, limit: int, condition: Any, *order: Any) -> list[Any]:
    query = select(_COLUMNS).where(and_(OUTBOX.c.model == model_name, condition))
    query = skip_locked(query.order_by(*order).limit(limit), connection)
    return list(connection.execute(query))


def skip_locked(query: Any, connection: Any) -> Any:
    """Return *query* so that it locks its rows and skips those that another transaction has locked.

    SQLite has one writer at a time: there, begin the transaction with BEGIN IMMEDIATE.
    """
    name = connection.dialect.name
    if name == "postgresql":
        return query.with_for_update(skip_locked=True)
    if name == "mysql" and _skips_locked(connection):
        return query.suffix_with("FOR UPDATE SKIP LOCKED")
    return query.with_for_update()


def _skips_locked(connection: Any) -> bool:
    """Return True for MySQL 8.0.1, MariaDB 10.6 and later; on older ones claims wait."""
    dialect = connection.dialect
    version = dialect.server_version_info
    if getattr(dialect, "_is_mariadb", False):
        return bool(getattr(dialect, "_mariadb_normalized_version_info", version) >= (10, 6))
    return bool(version >= (8, 0, 1))
