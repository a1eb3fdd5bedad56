"""Versions of claims: those of a model only grow, whichever process takes them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Callable

from sqlalchemy import String, and_, bindparam, case, func, select, true
from sqlalchemy.exc import IntegrityError

from nefertari_search_tween.primary.sqla.dependencies.relationships import compiled_once
from nefertari_search_tween.primary.sqla.outbox.tables import VERSIONS

MODELS = "models"
VERSION = "new_version"
COMMIT = "commit"
_AMONG = VERSIONS.c.model.in_(bindparam(MODELS, expanding=True))
_LATEST = (
    select([VERSIONS.c.model, VERSIONS.c.version])
    .where(_AMONG)
    .order_by(VERSIONS.c.model)
    .with_for_update()
)
_ADVANCE = VERSIONS.update().where(_AMONG).values(version=bindparam(VERSION))
_OUTDATE = (
    VERSIONS.update()
    .where(_AMONG)
    .values(
        version=case(
            [(VERSIONS.c.version >= bindparam(VERSION), VERSIONS.c.version + 1)],
            else_=bindparam(VERSION),
        )
    )
)
# All of it in one statement, and whether its transaction waits for the disk.
_LOCKED = select([VERSIONS.c.model]).where(_AMONG).order_by(VERSIONS.c.model).with_for_update()
_LOCKED = _LOCKED.alias("locked")
_DURABILITY = func.set_config(
    "synchronous_commit",
    func.coalesce(bindparam(COMMIT, type_=String()), func.current_setting("synchronous_commit")),
    true(),
)
_ADVANCE_POSTGRESQL = (
    VERSIONS.update()
    .where(VERSIONS.c.model == _LOCKED.c.model)
    .values(version=func.greatest(VERSIONS.c.version + 1, bindparam(VERSION)))
    .returning(VERSIONS.c.model, VERSIONS.c.version, _DURABILITY)
)


def prepare(transaction: Callable[[], AbstractContextManager[Any]], names: Iterable[str]) -> None:
    """Create the counter of every model.

    :param transaction: opens a short transaction.
    """
    with transaction() as connection:
        existing = {name for (name,) in connection.execute(select([VERSIONS.c.model]))}
    for name in sorted(set(names) - existing):
        try:
            with transaction() as connection:
                connection.execute(VERSIONS.insert().values(model=name, version=0))
        except IntegrityError:
            # Another process that starts at the same time was faster.
            pass


def advance(connection: Any, names: Iterable[str], durable: bool = True) -> dict[str, int]:
    """Return a new version for each of *names*.

    Microseconds since 1970, or one more than the latest: so they also grow when the table was
    restored from a backup that is older than the index. Their rows are locked, in the order of
    names, so that no two of these deadlock, and until the transaction ends.

    :param connection: of a transaction. On SQLite, one that has the file's lock already.
    :param durable: False where a crash of the database may take the transaction back: it need not
        wait for the disk, where the database lets it choose.
    """
    models = sorted(set(names))
    if not models:
        return {}
    now = time.time_ns() // 1000
    cached = compiled_once(connection)
    if connection.dialect.name == "postgresql":
        values = {MODELS: models, VERSION: now, COMMIT: None if durable else "off"}
        rows = cached.execute(_ADVANCE_POSTGRESQL, values).fetchall()
        versions = {row.model: int(row.version) for row in rows}
    else:
        rows = cached.execute(_LATEST, {MODELS: models}).fetchall()
        now = max(now, *(row.version + 1 for row in rows)) if rows else now
        cached.execute(_ADVANCE, {MODELS: models, VERSION: now})
        versions = dict.fromkeys((row.model for row in rows), now)
    missing = [{"model": name, "version": now} for name in models if name not in versions]
    if missing:
        # The tables were recreated since the application started.
        connection.execute(VERSIONS.insert(), missing)
    return {**dict.fromkeys(models, now), **versions}


def outdate(connection: Any, names: Iterable[str]) -> None:
    """Take a version for each of *names*, as :func:`advance` does, without returning it: the one
    that readers have seen is an old one then.

    A crash of the database may take the transaction back: see :func:`advance`.
    """
    models = sorted(set(names))
    if models and connection.dialect.name != "postgresql":
        values = {MODELS: models, VERSION: time.time_ns() // 1000}
        compiled_once(connection).execute(_OUTDATE, values)
    else:
        advance(connection, models, durable=False)


def raise_to(connection: Any, name: str, version: int) -> None:
    """Make all later versions of the model *name* greater than *version*."""
    # It creates the counter of a model that has none.
    advance(connection, [name])
    connection.execute(
        VERSIONS.update()
        .where(and_(VERSIONS.c.model == name, VERSIONS.c.version < version))
        .values(version=version)
    )


def latest(name: str) -> Any:
    """Return SQL for the latest version of the model *name*; NULL if there is none."""
    return select([VERSIONS.c.version]).where(VERSIONS.c.model == name).as_scalar()
