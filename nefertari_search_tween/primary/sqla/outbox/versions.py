"""Versions of claims: those of a model only grow, whichever process takes them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Callable

from sqlalchemy import and_, case, select
from sqlalchemy.exc import IntegrityError

from nefertari_search_tween.primary.sqla.outbox.tables import VERSIONS


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


def advance(connection: Any, names: list[str]) -> dict[str, int]:
    """Return a new version for each of *names* (sorted: two claims must not deadlock).

    Microseconds since 1970, or one more than the latest: so they also grow when the table was
    restored from a backup that is older than the index.
    """
    now = time.time_ns() // 1000
    version = VERSIONS.c.version
    versions = {}
    for name in names:
        updated = connection.execute(
            VERSIONS.update()
            .where(VERSIONS.c.model == name)
            .values(version=case([(version >= now, version + 1)], else_=now))
        ).rowcount
        if not updated:
            # The tables were recreated since the application started.
            connection.execute(VERSIONS.insert().values(model=name, version=now))
        # The row is locked until the transaction ends: this is the version that was set.
        versions[name] = int(connection.execute(select([latest(name)])).scalar())
    return versions


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
