"""The identity of a database of nefertari_sqla: a row of a table, and what the database says."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import Any, Optional

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla.outbox.tables import IDENTITY

_ROW = 1
# The cluster's identifier is made by initdb; replicas have it, too.
_POSTGRESQL = (
    "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database "
    "WHERE datname = current_database()"
)
# MariaDB has no such variable, so there is no row.
_MYSQL = (
    "SELECT concat(variable_value, '/', database()) FROM performance_schema.global_variables "
    "WHERE variable_name = 'server_uuid'"
)
_QUERIES = {"postgresql": _POSTGRESQL, "mysql": _MYSQL}


def identity(engine: Any) -> Identity:
    """Return the identity of the database of *engine*, made at the first call."""
    identifier = _identifier(engine)
    if identifier is None:
        # Another process that starts at the same time may be faster.
        with suppress(IntegrityError), engine.begin() as connection:
            connection.execute(IDENTITY.insert().values(id=_ROW, **_new()))
        identifier = _identifier(engine)
    return Identity(str(identifier), location(engine), address(engine))


def renew(engine: Any) -> None:
    """Give the database another identifier."""
    with engine.begin() as connection:
        connection.execute(IDENTITY.delete())
        connection.execute(IDENTITY.insert().values(id=_ROW, **_new()))


def _identifier(engine: Any) -> Optional[str]:
    with engine.begin() as connection:
        identifier = connection.execute(select([IDENTITY.c.identifier])).scalar()
    return None if identifier is None else str(identifier)


def _new() -> dict[str, Any]:
    return {"identifier": uuid.uuid4().hex, "created_at": milliseconds()}


def location(engine: Any) -> str:
    """Return which of several copies the database is, by what it says of itself; empty: unknown."""
    name = engine.dialect.name
    if name == "sqlite":
        file = engine.url.database
        return os.path.realpath(file) if file and os.path.exists(file) else ""
    query = _QUERIES.get(name)
    if query is None:
        return ""
    try:
        with engine.begin() as connection:
            return str(connection.execute(query).scalar() or "")
    except DBAPIError:
        # The user may not ask.
        return ""


def address(engine: Any) -> str:
    """Return where the database is, for people: neither user nor password."""
    url = engine.url
    host = "" if not url.host else f"{url.host}{f':{url.port}' if url.port else ''}/"
    name = url.database or ""
    if engine.dialect.name == "sqlite" and name not in ("", ":memory:"):
        name = os.path.abspath(name)
    return f"{engine.dialect.name} {host}{name}".strip()
