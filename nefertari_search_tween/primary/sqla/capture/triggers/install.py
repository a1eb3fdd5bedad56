"""Triggers that fill the outbox: what no SQLAlchemy session does is mirrored, too.

They are installed by a command only. They write the keys of what changed, in the transaction of
the change; its dependent documents are found when the rows are claimed (fan_out.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.primary.sqla.capture.triggers.dialect import Dialect
from nefertari_search_tween.primary.sqla.capture.triggers.plan import trigger_plan
from nefertari_search_tween.primary.sqla.capture.triggers.postgresql import PostgresqlTriggers
from nefertari_search_tween.primary.sqla.capture.triggers.sqlite import SqliteTriggers
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable

INSTALLED = "installed"
MISSING = "missing"
OUTDATED = "outdated"
NO_TABLE = "no table"
OBSOLETE = "obsolete"

_DIALECTS: dict[str, Any] = {"postgresql": PostgresqlTriggers, "sqlite": SqliteTriggers}


class TriggerStatus(NamedTuple):
    """The triggers of one table.

    :param table: its name, as the database writes it.
    :param state: INSTALLED; MISSING; OUTDATED: not what the current models need, or disabled;
        NO_TABLE: the table is not in the database; OBSOLETE: no mirror needs them any more.
    """

    table: str
    state: str


def status(engine: Any, dependencies: Dependencies) -> list[TriggerStatus]:
    """Return the triggers of every table that has or should have some.

    :raises ConfigurationError: triggers of this database are not supported.
    """
    with _dialect(engine, changing=False) as dialect:
        return _status(dialect, trigger_plan(dependencies))


def install(engine: Any, dependencies: Dependencies) -> list[TriggerStatus]:
    """Create missing triggers, replace outdated ones, drop obsolete ones; all or nothing.

    What was changed before is not captured: see ``nefertari-search verify``.

    :returns: what :func:`status` returns now.
    :raises ConfigurationError: see :func:`status`; or a table is missing, in use, or not ours to
        change.
    """
    with _dialect(engine, changing=True) as dialect:
        expected = trigger_plan(dependencies)
        installed = dialect.installed()
        for capture in expected:
            address = dialect.address(capture.table)
            if address is None:
                raise ConfigurationError(f"there is no table {capture.table.fullname}")
            names = installed.pop(address, {})
            if names != dialect.expected(capture):
                dialect.drop(address, sorted(names))
                dialect.create(capture)
        for address, names in installed.items():
            dialect.drop(address, sorted(names))
        return _status(dialect, expected)


def remove(engine: Any, dependencies: Dependencies) -> list[TriggerStatus]:
    """Drop all triggers of ours, and nothing else.

    What they have written until then is still indexed.

    :returns: what :func:`status` returns now.
    :raises ConfigurationError: see :func:`install`.
    """
    with _dialect(engine, changing=True) as dialect:
        for address, names in dialect.installed().items():
            dialect.drop(address, sorted(names))
        return _status(dialect, trigger_plan(dependencies))


def present(engine: Any) -> bool:
    """Return True if there are triggers of ours, whatever they capture."""
    if engine.dialect.name not in _DIALECTS:
        return False
    with _dialect(engine, changing=False) as dialect:
        return bool(dialect.installed())


def _status(dialect: Dialect, expected: list[WatchedTable]) -> list[TriggerStatus]:
    installed = dialect.installed()
    statuses = []
    for capture in expected:
        address = dialect.address(capture.table)
        if address is None:
            statuses.append(TriggerStatus(capture.table.fullname, NO_TABLE))
            continue
        names = installed.pop(address, {})
        if not names:
            state = MISSING
        else:
            state = INSTALLED if names == dialect.expected(capture) else OUTDATED
        statuses.append(TriggerStatus(address, state))
    return statuses + [TriggerStatus(address, OBSOLETE) for address in sorted(installed)]


@contextmanager
def _dialect(engine: Any, changing: bool) -> Iterator[Dialect]:
    """Yield the dialect of the database, in one transaction.

    :raises ConfigurationError: the database rejects a change, or is not supported.
    """
    kind = _DIALECTS.get(engine.dialect.name)
    if kind is None:
        raise ConfigurationError(
            f"triggers work on PostgreSQL and SQLite, not on {engine.dialect.name}"
        )
    try:
        with engine.connect() as connection:
            dialect = kind(connection)
            with connection.begin():
                if changing:
                    dialect.prepare()
                yield dialect
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigurationError(f"the database refused, nothing was changed: {reason}") from error
