"""The outbox in the primary database, for nefertari_sqla.

A row is written in the transaction of the change, so it is committed or rolled back with it.
With inline sync the rows are born claimed by the process that writes them: after the commit it
needs no look-up, only the number. Should it die, the claim runs out, and any other process
takes the rows over.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable, Optional

from sqlalchemy import and_, case, exists, func, literal, or_, select, union_all
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from nefertari_search_tween.primary.base import Key
from nefertari_search_tween.primary.outbox import (
    LEASE_SECONDS,
    Claim,
    DeadLetter,
    Mark,
    State,
    Waiting,
)
from nefertari_search_tween.primary.sqla import bell, dead_letters, schema
from nefertari_search_tween.primary.sqla.tables import COUNTERS, OUTBOX

_RECORDED = "nefertari_search.recorded"
# Rows of one statement: SQLite of old allows 999 variables.
ROWS_PER_STATEMENT = 500
# Of a lease, what is left when a claim is better renewed before it is written.
RENEW_BELOW = 0.5


class _Recorded:
    """What a transaction has recorded so far.

    :param keys: all of it.
    :param sure: those whose rows no savepoint has rolled back.
    """

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.began = time.monotonic()
        self.keys: set[Key] = set()
        self.sure: set[Key] = set()
        # Workers will be told at the commit.
        self.told = False


class SqlaOutbox:
    """See :class:`~nefertari_search_tween.primary.outbox.Outbox`.

    :param models: the mirrored models by name.
    :param sources: model name -> names of the models whose rows may concern its documents
        (itself, and those that it embeds).
    :param engine: gives the SQLAlchemy engine.
    :param owned: rows are born claimed by this process (inline sync); else they are free, and
        workers are told of them where the database can.
    :param lease: seconds that a claim is its owner's; None: LEASE_SECONDS.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        sources: Callable[[str], Iterable[str]],
        engine: Callable[[], Any],
        owned: bool,
        lease: Optional[float] = None,
    ) -> None:
        self.models = models
        self.sources = {name: sorted(sources(name)) for name in models}
        self.engine = engine
        self.owned = owned
        self.lease = LEASE_SECONDS if lease is None else lease
        self._mapper = next((schema.mapper_of(model) for model in models.values()), None)
        # Transactions that were committed, and are not begun yet.
        self._published: dict[str, _Recorded] = {}
        self.prepare()

    def prepare(self) -> None:
        """Give every model its counter."""
        with self._transaction() as connection:
            known = {name for (name,) in connection.execute(select([COUNTERS.c.model]))}
        for name in sorted(set(self.models) - known):
            try:
                with self._transaction() as connection:
                    connection.execute(COUNTERS.insert().values(model=name, number=0))
            except IntegrityError:
                # Another process that starts at the same time was faster.
                pass

    # In the transaction of a change

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        recorded = session.info.get(_RECORDED)
        if recorded is None:
            recorded = session.info[_RECORDED] = _Recorded()
        new = set(keys) - recorded.sure
        if not new:
            return
        token = recorded.token if self.owned else None
        rows = self._rows(sorted(new, key=str), token)
        connection = session.connection(mapper=self._mapper)
        connection.execute(OUTBOX.insert(), rows)
        # A prepared transaction can't notify: there, workers find the rows when they look.
        if not (self.owned or recorded.told or session.twophase):
            bell.ring(connection)
            recorded.told = True
        recorded.keys |= new
        recorded.sure |= new

    def uncommitted(self, session: Any) -> bool:
        recorded = session.info.get(_RECORDED)
        return recorded is not None and bool(recorded.keys)

    def forget(self, session: Any) -> None:
        recorded = session.info.get(_RECORDED)
        if recorded is not None:
            recorded.sure.clear()
            recorded.told = False

    def publish(self, session: Any) -> Optional[str]:
        recorded = session.info.pop(_RECORDED, None)
        if recorded is None or not recorded.keys or not self.owned:
            return None
        self._published[recorded.token] = recorded
        return str(recorded.token)

    def discard(self, session: Any) -> None:
        session.info.pop(_RECORDED, None)

    # Claims

    def begin(self, token: str) -> Optional[Claim]:
        recorded = self._published.pop(token)
        age = time.monotonic() - recorded.began
        names = sorted({key.model for key in recorded.keys})
        with self._transaction() as connection:
            if age > RENEW_BELOW * self.lease and not self._extend(connection, token):
                return None
            numbers = self._numbers(connection, names)
        if age > RENEW_BELOW * self.lease:
            age = 0.0
        deadline = time.monotonic() - age + self.lease
        return Claim(token, frozenset(recorded.keys), numbers, deadline)

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        began = time.monotonic()
        token = uuid.uuid4().hex
        with self._transaction(writing=True) as connection:
            rows = self._free_rows(connection, model_name, limit)
            if not rows:
                return None
            self._mark([row.id for row in rows], token, connection)
            numbers = self._numbers(connection, [model_name])
        keys = frozenset(Key(model_name, self._decoded(model_name, row.pk)) for row in rows)
        return Claim(token, keys, numbers, began + self.lease)

    def _free_rows(self, connection: Any, model_name: str, limit: int) -> list[Any]:
        """Rows that nobody works on, locked; else rows of a claim whose time is up."""
        columns = [OUTBOX.c.id, OUTBOX.c.pk, OUTBOX.c.spread]
        free = OUTBOX.c.claim.is_(None)
        left = and_(OUTBOX.c.claim.isnot(None), OUTBOX.c.expires < _now())
        for condition in (free, left):
            query = (
                select(columns)
                .where(and_(OUTBOX.c.model == model_name, condition))
                .order_by(OUTBOX.c.claim, OUTBOX.c.id)
                .limit(limit)
            )
            rows = list(connection.execute(_locking(query, connection)))
            if rows:
                return rows
        return []

    def _mark(self, ids: list[int], token: str, connection: Any) -> None:
        expires = _now() + int(self.lease * 1000)
        for start in range(0, len(ids), ROWS_PER_STATEMENT):
            part = ids[start : start + ROWS_PER_STATEMENT]
            connection.execute(
                OUTBOX.update().where(OUTBOX.c.id.in_(part)).values(claim=token, expires=expires)
            )

    def _numbers(self, connection: Any, names: list[str]) -> dict[str, int]:
        """A new number for each of *names* (sorted: two claims must not wait for each other).

        Microseconds since 1970, or one more than the last: so they also grow when the table was
        restored from a backup that is older than the index.
        """
        now = time.time_ns() // 1000
        number = COUNTERS.c.number
        numbers = {}
        for name in names:
            found = connection.execute(
                COUNTERS.update()
                .where(COUNTERS.c.model == name)
                .values(number=case([(number >= now, number + 1)], else_=now))
            ).rowcount
            if not found:
                # The tables were made anew since the application started.
                connection.execute(COUNTERS.insert().values(model=name, number=now))
            # The row is locked until the transaction ends: this is the number that was set.
            numbers[name] = int(
                connection.execute(select([number]).where(COUNTERS.c.model == name)).scalar()
            )
        return numbers

    def number(self, model_name: str) -> int:
        with self._transaction() as connection:
            return self._numbers(connection, [model_name])[model_name]

    def _extend(self, connection: Any, token: str) -> bool:
        """Give the rows of *token* a new lease; False when there are none."""
        done = 0
        for name in self.models:
            done += connection.execute(
                OUTBOX.update()
                .where(and_(OUTBOX.c.model == name, OUTBOX.c.claim == token))
                .values(expires=_now() + int(self.lease * 1000))
            ).rowcount
        return bool(done)

    def settle(
        self, claim: Claim, model_name: str, refused: Mapping[Any, str], settled: Iterable[Any]
    ) -> None:
        with self._transaction() as connection:
            connection.execute(
                OUTBOX.delete().where(
                    and_(OUTBOX.c.model == model_name, OUTBOX.c.claim == claim.token)
                )
            )
            dead_letters.replace(connection, model_name, refused, settled, _now())

    def release(self, token: str) -> None:
        self._published.pop(token, None)
        with self._transaction() as connection:
            for name in self.models:
                connection.execute(
                    OUTBOX.update()
                    .where(and_(OUTBOX.c.model == name, OUTBOX.c.claim == token))
                    .values(claim=None, expires=None)
                )

    def add(self, keys: Iterable[Key]) -> None:
        rows = self._rows(keys, None)
        with self._transaction() as connection:
            for start in range(0, len(rows), ROWS_PER_STATEMENT):
                connection.execute(OUTBOX.insert(), rows[start : start + ROWS_PER_STATEMENT])
            if rows and not self.owned:
                bell.ring(connection)

    # What is there

    def state(self, model_name: str) -> State:
        waits = exists([OUTBOX.c.id]).where(OUTBOX.c.model.in_(self.sources[model_name]))
        number = select([COUNTERS.c.number]).where(COUNTERS.c.model == model_name).as_scalar()
        with self._looking() as connection:
            last, waiting = connection.execute(select([number, waits])).fetchone()
        return State(bool(waiting), int(last or 0))

    def waiting(self, model_name: Optional[str] = None) -> int:
        query = select([func.count()]).select_from(OUTBOX)
        if model_name is not None:
            query = query.where(OUTBOX.c.model == model_name)
        with self._looking() as connection:
            return int(connection.execute(query).scalar())

    def lag(self) -> dict[str, Waiting]:
        query = select([OUTBOX.c.model, func.count(), func.min(OUTBOX.c.recorded)])
        with self._looking() as connection:
            rows = connection.execute(query.group_by(OUTBOX.c.model)).fetchall()
        return {
            name: Waiting(count, max(0.0, (_now() - oldest) / 1000)) for name, count, oldest in rows
        }

    def claimable(self) -> list[str]:
        free = OUTBOX.c.claim.is_(None)
        left = and_(OUTBOX.c.claim.isnot(None), OUTBOX.c.expires < _now())
        parts = []
        for name in self.models:
            # Two look-ups each: an OR of them would be read from the first row of the model.
            either = (
                exists([OUTBOX.c.id]).where(and_(OUTBOX.c.model == name, condition))
                for condition in (free, left)
            )
            parts.append(select([literal(name)]).where(or_(*either)))
        with self._looking() as connection:
            return [name for (name,) in connection.execute(union_all(*parts))] if parts else []

    def answers(self) -> bool:
        try:
            with self._looking() as connection:
                connection.execute(select([1]))
        except SQLAlchemyError:
            return False
        return True

    def mark(self) -> Mark:
        now = _now()
        with self._looking() as connection:
            last = connection.execute(select([func.max(OUTBOX.c.id)])).scalar()
        return Mark(int(last or 0), now)

    def passed(self, mark: Mark) -> bool:
        before = OUTBOX.c.id <= mark.row
        with self._looking() as connection:
            if connection.dialect.name == "sqlite":
                # It gives numbers again. One host has the file, so one clock.
                before = and_(before, OUTBOX.c.recorded <= mark.moment)
            return not connection.execute(select([exists([OUTBOX.c.id]).where(before)])).scalar()

    def raise_number(self, model_name: str, number: int) -> None:
        counter = COUNTERS.c.number
        with self._transaction() as connection:
            # One of a model that has none yet is made by its first claim.
            self._numbers(connection, [model_name])
            connection.execute(
                COUNTERS.update()
                .where(and_(COUNTERS.c.model == model_name, counter < number))
                .values(number=number)
            )

    # Dead letters

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        with self._looking() as connection:
            return [
                DeadLetter(
                    Key(row.model, self._decoded(row.model, row.pk)), row.error, row.failed / 1000
                )
                for row in dead_letters.rows(connection, model_name)
            ]

    def dead_letter_counts(self) -> dict[str, int]:
        with self._looking() as connection:
            return dead_letters.counts(connection)

    def retry(self, keys: Iterable[Key]) -> int:
        wanted = list(keys)
        # The letters stay until the documents are in the index.
        self.add(wanted)
        return len(wanted)

    def drop(self, keys: Iterable[Key]) -> int:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in keys:
            by_model[key.model].append(key.pk)
        with self._transaction() as connection:
            return sum(dead_letters.forget(connection, name, pks) for name, pks in by_model.items())

    # How

    def _rows(self, keys: Iterable[Key], token: Optional[str]) -> list[dict[str, Any]]:
        now = _now()
        expires = None if token is None else now + int(self.lease * 1000)
        return [
            {
                "model": key.model,
                "pk": str(key.pk),
                "spread": 0,
                "recorded": now,
                "claim": token,
                "expires": expires,
            }
            for key in keys
        ]

    def _decoded(self, model_name: str, text: str) -> Any:
        """A key as the model has it: the column's type is one of whole numbers or of texts."""
        model = self.models.get(model_name)
        if model is None:
            return text
        return int(text) if schema.has_integer_pk(model) else text

    @contextmanager
    def _transaction(self, writing: bool = False) -> Iterator[Any]:
        """A short transaction of its own.

        :param writing: the first statement may be a query, whose result must still hold when
            the next one writes.
        """
        with self.engine().connect() as connection:
            if connection.dialect.name == "mysql":
                # At its default level InnoDB locks the gaps between rows, too: the places where
                # transactions of the application insert theirs.
                connection = connection.execution_options(isolation_level="READ COMMITTED")
            if writing and connection.dialect.name == "sqlite":
                # Otherwise the transaction would begin with the first write, after the query.
                connection.execute("BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def _looking(self) -> Iterator[Any]:
        """A connection whose every query sees what is committed by then."""
        with self.engine().connect() as connection:
            if connection.dialect.name != "sqlite":
                # SQLite's driver begins no transaction for a query.
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection


def _locking(query: Any, connection: Any) -> Any:
    """*query*, which leaves out rows that another transaction has locked.

    SQLite has one writer at a time, which is this one (see ``_transaction``).
    """
    name = connection.dialect.name
    if name == "postgresql":
        return query.with_for_update(skip_locked=True)
    if name == "mysql" and _skips_locked(connection):
        return query.suffix_with("FOR UPDATE SKIP LOCKED")
    return query.with_for_update()


def _skips_locked(connection: Any) -> bool:
    """MySQL has it since 8.0.1, MariaDB since 10.6; before, claims wait for each other."""
    dialect = connection.dialect
    version = dialect.server_version_info
    if getattr(dialect, "_is_mariadb", False):
        return bool(getattr(dialect, "_mariadb_normalized_version_info", version) >= (10, 6))
    return bool(version >= (8, 0, 1))


def _now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
