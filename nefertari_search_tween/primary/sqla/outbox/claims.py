"""The rows that a claim may take: locked, so that no two claims take the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_, select

from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

_COLUMNS = [OUTBOX.c.id, OUTBOX.c.pk, OUTBOX.c.fan_out]


def claimable_rows(
    connection: Any, model_name: str, limit: int, bounds: tuple[int, int]
) -> list[Any]:
    """Return free rows, oldest first; else rows of a claim whose lease expired.

    :param bounds: the times between which the leases of living claims end.
    """
    for condition in (OUTBOX.c.claim_token.is_(None), expired(bounds)):
        rows = _locked(connection, model_name, limit, condition, OUTBOX.c.claim_token, OUTBOX.c.id)
        if rows:
            return rows
    return []


def expired(bounds: tuple[int, int]) -> Any:
    """Return the condition of rows whose claim is not alive; see :func:`claimable_rows`."""
    lease = OUTBOX.c.lease_expires_at
    beyond = or_(lease < bounds[0], lease > bounds[1])
    return and_(OUTBOX.c.claim_token.isnot(None), beyond)


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

    SQLite has one writer at a time: there, see :func:`lock_file`.
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


def lock_file(connection: Any) -> None:
    """Make the running transaction of SQLite's the one that writes, before its first query.

    What the query returns holds then until the transaction ends. An application may have made the
    driver begin transactions by itself, or have none begun but its own (``isolation_level = None``
    and a listener of ``begin``, as SQLAlchemy's documentation has it for savepoints): then there is
    one already, which a statement that writes nothing makes a writing one.
    """
    if connection.connection.in_transaction:
        connection.execute(OUTBOX.delete().where(OUTBOX.c.id.is_(None)))
    else:
        connection.execute("BEGIN IMMEDIATE")
