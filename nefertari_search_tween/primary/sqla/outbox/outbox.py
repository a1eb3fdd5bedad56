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

from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError

from nefertari_search_tween.interfaces.outbox import (
    LEASE_SECONDS,
    Backlog,
    Claim,
    DeadLetter,
    FanOut,
    SyncState,
    Watermark,
)
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.outbox import (
    dead_letters,
    notifications,
    queries,
    versions,
)
from nefertari_search_tween.primary.sqla.outbox.claims import claimable_rows, newest_rows
from nefertari_search_tween.primary.sqla.outbox.connections import ReadConnections
from nefertari_search_tween.primary.sqla.outbox.fan_out import FanOutPlan
from nefertari_search_tween.primary.sqla.outbox.tables import (
    FANS_OUT,
    OUTBOX,
)
from nefertari_search_tween.primary.sqla.outbox.transaction import TransactionRecord

_RECORDED = "nefertari_search.recorded"
# Rows of one statement: SQLite of old allows 999 variables.
ROWS_PER_STATEMENT = 500
# Of a lease, what is left when a claim is better renewed before it is written.
RENEW_BELOW = 0.5
# How many rows of triggers a commit takes along, besides two for each document of its own.
ALONG = 50


class SqlaOutbox:
    """See :class:`~nefertari_search_tween.interfaces.outbox.Outbox`.

    :param models: the mirrored models by name.
    :param spreader: finds the documents that rows of triggers stand for.
    :param engine: gives the SQLAlchemy engine.
    :param owned: rows are born claimed by this process (inline sync); else they are free, and
        workers are told of them where the database can.
    :param lease: seconds that a claim is its owner's; None: LEASE_SECONDS.
    """

    #: Triggers fill the outbox, too: what one transaction changed has their rows beside ours.
    triggers = False

    def __init__(
        self,
        models: Mapping[str, Any],
        spreader: FanOutPlan,
        engine: Callable[[], Any],
        owned: bool,
        lease: Optional[float] = None,
    ) -> None:
        self.models = models
        self.spreader = spreader
        self._others = {
            name: tuple(sorted(spreader.source_models(name) - {name})) for name in models
        }
        self._carried = {name: spreader.carried(name) for name in models}
        self.engine = engine
        self._looking = ReadConnections(engine)
        self.inline = owned
        self.lease_seconds = LEASE_SECONDS if lease is None else lease
        self._mapper = next((schema.mapper_of(model) for model in models.values()), None)
        # Transactions that were committed, and are not begun yet.
        self._published: dict[str, TransactionRecord] = {}
        versions.prepare(self._transaction, models)

    # In the transaction of a change

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        self._record(session, set(keys), 0)

    def _record(self, session: Any, keys: set[Key], spread: int) -> None:
        recorded: Optional[TransactionRecord] = session.info.get(_RECORDED)
        if recorded is None:
            recorded = session.info[_RECORDED] = TransactionRecord()
        (recorded.content_changes if spread else recorded.keys).update(keys)
        # A row that stands for others stands for its own document, too.
        new = keys - recorded.persisted[1] - (set() if spread else recorded.persisted[0])
        if not new:
            return
        token = recorded.token if self.inline else None
        rows = self._rows(sorted(new, key=str), token, spread)
        connection = session.connection(mapper=self._mapper)
        connection.execute(OUTBOX.insert(), rows)
        # A prepared transaction can't notify: there, workers find the rows when they look.
        if not (self.inline or recorded.notified or session.twophase):
            notifications.notify_on_commit(connection)
            recorded.notified = True
        recorded.persisted[bool(spread)].update(new)

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        self._record(
            session,
            {key for key in keys if self.spreader.embedded(key.model)},
            FanOut.EMBEDDING_BY_SESSION,
        )

    def has_recorded(self, session: Any) -> bool:
        return bool(session.info.get(_RECORDED))

    def savepoint_rolled_back(self, session: Any) -> None:
        recorded: Optional[TransactionRecord] = session.info.get(_RECORDED)
        if recorded is not None:
            for each in recorded.persisted:
                each.clear()
            recorded.notified = False

    def committed(self, session: Any) -> Optional[str]:
        recorded: Optional[TransactionRecord] = session.info.pop(_RECORDED, None)
        if not recorded or not self.inline:
            return None
        self._published[recorded.token] = recorded
        return str(recorded.token)

    def rolled_back(self, session: Any) -> None:
        session.info.pop(_RECORDED, None)

    # Claims

    def claim_committed(self, token: str) -> Optional[Claim]:
        recorded = self._published.pop(token)
        age = time.monotonic() - recorded.began
        with self._transaction(writing=self.triggers, durable=False) as connection:
            if age > RENEW_BELOW * self.lease_seconds and not self._extend(connection, token):
                return None
            if recorded.content_changes:
                recorded.keys |= self._spread_own(connection, recorded)
            names = sorted({key.model for key in recorded.keys})
            if self.triggers:
                along = ALONG + 2 * len(recorded.keys)
                recorded.keys |= self._claim_trigger_rows(connection, names, token, along)
            numbers = versions.advance(connection, names)
        if age > RENEW_BELOW * self.lease_seconds:
            age = 0.0
        deadline = time.monotonic() - age + self.lease_seconds
        return Claim(token, frozenset(recorded.keys), numbers, deadline)

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        for name in self._carried[model_name]:
            while self._replace(name, limit):
                pass
        token = uuid.uuid4().hex
        with self._transaction(writing=True, durable=False) as connection:
            rows = claimable_rows(connection, model_name, limit, milliseconds())
            if not rows:
                return None
            # One that stands for everything is a claim of its own: it takes longer.
            rows = [row for row in rows if row.pk is None] or rows
            if any(row.fan_out for row in rows):
                self._notice(rows)
                self.spreader.expand(connection, model_name, rows, milliseconds())
            began = time.monotonic()
            self._mark([row.id for row in rows], token, connection)
            numbers = versions.advance(connection, [model_name])
        return Claim(
            token, frozenset(self._keys(model_name, rows)), numbers, began + self.lease_seconds
        )

    def _replace(self, model_name: str, limit: int) -> bool:
        """Rows of a model without a mirror give way to those of the documents that show it."""
        with self._transaction(writing=True) as connection:
            rows = claimable_rows(connection, model_name, limit, milliseconds())
            self._notice(rows)
            self.spreader.expand(connection, model_name, rows, milliseconds())
            self.spreader.mark_expanded(connection, model_name, rows)
        return bool(rows)

    def _notice(self, rows: list[Any]) -> None:
        """Triggers may have been installed since this process started."""
        self.triggers = self.triggers or any(
            row.fan_out in (FanOut.EMBEDDING, FanOut.REFERENCING) for row in rows
        )

    def _spread_own(self, connection: Any, recorded: TransactionRecord) -> set[Key]:
        """Documents that hold what the committed transaction changed, and that it could not see.

        They get rows of the same claim, in the transaction that makes the others stand for
        themselves: it happens once, or whoever takes the claim over does it.
        """
        embedding = self.spreader.embedding(connection, recorded.content_changes)
        found = {key for key in embedding if key.model in self.models} - recorded.keys
        if found:
            connection.execute(
                OUTBOX.insert(), self._rows(sorted(found, key=str), recorded.token, 0)
            )
        for name in sorted({key.model for key in recorded.content_changes}):
            own = and_(OUTBOX.c.model == name, OUTBOX.c.claim_token == recorded.token, FANS_OUT)
            if name in self.models:
                connection.execute(OUTBOX.update().where(own).values(fan_out=0))
                found |= {key for key in recorded.content_changes if key.model == name}
            else:
                connection.execute(OUTBOX.delete().where(own))
        return found

    def _claim_trigger_rows(
        self, connection: Any, names: list[str], token: str, limit: int
    ) -> set[Key]:
        """Claim what triggers wrote for the transaction that has just been committed, too.

        Their rows are the newest; what is not among them, somebody else's claim will find.
        """
        # Those that stand for others first: what they become is taken along with the rest.
        others = {other for name in names for other in self._others[name]}
        for name in sorted({*names, *others}):
            rows = newest_rows(connection, name, limit, FANS_OUT)
            self.spreader.expand(connection, name, rows, milliseconds())
            self.spreader.mark_expanded(connection, name, rows)
        found: set[Key] = set()
        own = and_(OUTBOX.c.fan_out == 0, OUTBOX.c.pk.isnot(None))
        for name in names:
            rows = newest_rows(connection, name, limit, own)
            self._mark([row.id for row in rows], token, connection)
            found.update(self._keys(name, rows))
        return found

    def _mark(self, ids: list[int], token: str, connection: Any) -> None:
        expires = milliseconds() + int(self.lease_seconds * 1000)
        for start in range(0, len(ids), ROWS_PER_STATEMENT):
            part = ids[start : start + ROWS_PER_STATEMENT]
            connection.execute(
                OUTBOX.update()
                .where(OUTBOX.c.id.in_(part))
                .values(claim_token=token, lease_expires_at=expires, fan_out=0)
            )

    def next_version(self, model_name: str) -> int:
        # Durable: no row waits that would bring another one after a crash of the database.
        with self._transaction() as connection:
            return versions.advance(connection, [model_name])[model_name]

    def _extend(self, connection: Any, token: str) -> bool:
        """Give the rows of *token* a new lease; False when there are none."""
        return (
            self._set(connection, token, token, milliseconds() + int(self.lease_seconds * 1000)) > 0
        )

    def _set(self, connection: Any, token: str, claim: Optional[str], expires: Any) -> int:
        """Give the rows of *token* these values; number of them.

        Also those of models without a mirror, which stand for documents of others.
        """
        return sum(
            connection.execute(
                OUTBOX.update()
                .where(and_(OUTBOX.c.model == name, OUTBOX.c.claim_token == token))
                .values(claim_token=claim, lease_expires_at=expires)
            ).rowcount
            for name in self.spreader.models
        )

    def settle(
        self, claim: Claim, model_name: str, refused: Mapping[Any, str], settled: Iterable[Any]
    ) -> None:
        with self._transaction(durable=False) as connection:
            connection.execute(
                OUTBOX.delete().where(
                    and_(OUTBOX.c.model == model_name, OUTBOX.c.claim_token == claim.token)
                )
            )
            dead_letters.replace(connection, model_name, refused, settled, milliseconds())

    def renew(self, claim: Claim) -> bool:
        with self._transaction(durable=False) as connection:
            return self._extend(connection, claim.token)

    def release(self, token: str) -> None:
        self._published.pop(token, None)
        with self._transaction(durable=False) as connection:
            self._set(connection, token, None, None)

    def enqueue(self, keys: Iterable[Key]) -> None:
        rows = self._rows(keys, None, 0)
        with self._transaction() as connection:
            for start in range(0, len(rows), ROWS_PER_STATEMENT):
                connection.execute(OUTBOX.insert(), rows[start : start + ROWS_PER_STATEMENT])
            if rows and not self.inline:
                notifications.notify_on_commit(connection)

    def enqueue_model(self, model_name: str) -> None:
        with self._transaction() as connection:
            self.spreader.enqueue_model(connection, model_name, milliseconds())

    # What is there

    def sync_state(self, model_name: str) -> SyncState:
        return queries.sync_state(self._looking, model_name, self._others[model_name])

    def pending_count(self, model_name: Optional[str] = None) -> int:
        with self._looking.connect() as connection:
            return queries.pending_count(connection, model_name)

    def backlog(self) -> dict[str, Backlog]:
        with self._looking.connect() as connection:
            return queries.backlog(connection, milliseconds())

    def claim_tokens(self, model_name: str) -> set[str]:
        with self._looking.connect() as connection:
            return queries.claim_tokens(connection, model_name)

    def claimable_models(self) -> list[str]:
        with self._looking.connect() as connection:
            return queries.claimable_models(connection, self._carried, milliseconds())

    def ping(self) -> bool:
        try:
            with self._looking.connect() as connection:
                connection.execute(select([1]))
        except SQLAlchemyError:
            return False
        return True

    def watermark(self) -> Watermark:
        with self._looking.connect() as connection:
            return queries.watermark(connection, milliseconds())

    def has_passed(self, mark: Watermark) -> bool:
        with self._looking.connect() as connection:
            return queries.has_passed(connection, mark)

    def raise_version(self, model_name: str, number: int) -> None:
        with self._transaction() as connection:
            versions.raise_to(connection, model_name, number)

    # Dead letters

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        with self._looking.connect() as connection:
            return [
                DeadLetter(
                    Key(row.model, self._decoded(row.model, row.pk)),
                    row.error,
                    row.failed_at / 1000,
                )
                for row in dead_letters.rows(connection, model_name)
            ]

    def dead_letter_counts(self) -> dict[str, int]:
        with self._looking.connect() as connection:
            return dead_letters.counts(connection)

    def retry(self, keys: Iterable[Key]) -> int:
        wanted = list(keys)
        # The letters stay until the documents are in the index.
        self.enqueue(wanted)
        return len(wanted)

    def drop(self, keys: Iterable[Key]) -> int:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in keys:
            by_model[key.model].append(key.pk)
        with self._transaction() as connection:
            return sum(dead_letters.forget(connection, name, pks) for name, pks in by_model.items())

    # How

    def _rows(self, keys: Iterable[Key], token: Optional[str], spread: int) -> list[dict[str, Any]]:
        now = milliseconds()
        expires = None if token is None else now + int(self.lease_seconds * 1000)
        return [
            {
                "model": key.model,
                "pk": str(key.pk),
                "fan_out": int(spread),
                "recorded_at": now,
                "claim_token": token,
                "lease_expires_at": expires,
            }
            for key in keys
        ]

    def _keys(self, model_name: str, rows: list[Any]) -> Iterator[Key]:
        return (Key(model_name, self._decoded(model_name, row.pk)) for row in rows)

    def _decoded(self, model_name: str, text: Optional[str]) -> Any:
        model = self.models.get(model_name)
        return text if model is None or text is None else schema.parse_key(model, text)

    @contextmanager
    def _transaction(self, writing: bool = False, durable: bool = True) -> Iterator[Any]:
        """A short transaction of its own.

        :param writing: the first statement may be a query, whose result must still hold when
            the next one writes.
        :param durable: False where it does no harm that a crash of the database takes the
            transaction back: rows that are there again are indexed again, by a claim that gets
            a later number, since numbers follow the clock (docs/consistency.rst, 6). It then
            need not wait for the disk, where the database lets it choose.
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
                if not durable and connection.dialect.name == "postgresql":
                    connection.execute("SET LOCAL synchronous_commit TO off")
                yield connection
