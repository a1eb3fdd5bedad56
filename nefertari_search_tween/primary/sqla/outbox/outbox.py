"""The outbox in the primary database, for nefertari_sqla.

A row is written in the transaction of the change, so it is committed or rolled back with it.
With inline sync the rows are recorded as claimed by the process that writes them: after the commit
it needs no query for them, only the version. Should it die, the lease expires, and any other
process takes the rows over.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional

from sqlalchemy import and_, bindparam

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.outbox import Claim, FanOut, NotificationListener
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.claim_tokens import is_awaited, new_token
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import compiled_once
from nefertari_search_tween.primary.sqla.outbox import notifications, versions
from nefertari_search_tween.primary.sqla.outbox.claims import (
    claimable_rows,
    lock_file,
    newest_rows,
)
from nefertari_search_tween.primary.sqla.outbox.connections import ReadConnections
from nefertari_search_tween.primary.sqla.outbox.dead_letters import MODELS, SqlaDeadLetters
from nefertari_search_tween.primary.sqla.outbox.fan_out import FanOutPlan
from nefertari_search_tween.primary.sqla.outbox.queries import OutboxQueries
from nefertari_search_tween.primary.sqla.outbox.tables import FANS_OUT, OUTBOX, create_missing
from nefertari_search_tween.primary.sqla.outbox.transaction import (
    TransactionRecord,
    ends_with_connection,
)
from nefertari_search_tween.primary.sqla.plain_query import KEYS_PER_QUERY, connection_of

# Named, so that logs of statements show whose they are: reads ask, too, every ten seconds.
_CLOCKS = {
    "postgresql": "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint) "
    "AS nefertari_search_clock",
    "mysql": "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS nefertari_search_clock",
}
_RECORD = "nefertari_search.transaction_record"
_INSERT = OUTBOX.insert()
TOKEN = "token"
_SETTLED = OUTBOX.delete().where(
    and_(
        OUTBOX.c.model.in_(bindparam(MODELS, expanding=True)),
        OUTBOX.c.claim_token == bindparam(TOKEN),
    )
)
# How many rows of triggers a commit also claims, besides two for each document of its own.
MAX_TRIGGER_ROWS = 50


class SqlaOutbox(OutboxQueries):
    """The rows are rows of a table.

    :param engine: a SQLAlchemy engine.
    """

    #: Triggers write into the outbox, too: what one transaction changed has their rows beside ours.
    triggers = False

    def __init__(
        self,
        dependencies: Dependencies,
        engine: Any,
        inline: bool,
    ) -> None:
        plan = self.fan_out_plan = FanOutPlan(dependencies)
        reached = {name: plan.reached(name) for name in plan.models}
        super().__init__(dependencies, reached, schema.parse_key, inline)
        self.engine = engine
        self._reads = ReadConnections(engine)
        self._mapper = dependencies.mapper

    def create_missing(self) -> None:
        """Create the tables, and the counters of the mirrored models.

        :raises ConfigurationError: the database user may not.
        """
        create_missing(self.engine)
        versions.prepare(self._transaction, self.mirrored)

    # In the transaction of a change

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        self._record(session, set(keys), 0)

    def _record(self, session: Any, keys: set[Key], fan_out: int) -> None:
        if not keys:
            return
        connection = connection_of(session, self._mapper)
        record: Optional[TransactionRecord] = session.info.get(_RECORD)
        if record is None:
            record = TransactionRecord(self._token_of_writer(session, connection))
            session.info[_RECORD] = record
        (record.content_changes if fan_out else record.keys).update(keys)
        # A row that represents others represents its own document, too.
        new = keys - record.persisted[1] - (set() if fan_out else record.persisted[0])
        if not new:
            return
        # Where the session does not see the end, the rows are free for any process.
        token = record.token if self.inline and ends_with_connection(session, connection) else None
        rows = self._rows(sorted(new, key=str), token, fan_out, connection)
        compiled_once(connection).execute(_INSERT, rows)
        if token is not None and not fan_out and self._claims_at_once:
            self._take_versions(connection, record)
        # A prepared transaction can't notify: there, workers find the rows when they poll.
        if not (self.inline or record.notified or session.twophase):
            notifications.notify_on_commit(connection)
            record.notified = True
        record.persisted[bool(fan_out)].update(new)

    def _token_of_writer(self, session: Any, connection: Any) -> str:
        """Return the token of what the transaction of *session* records.

        Readers count its rows from the commit on in two cases. Beside triggers: the claim after the
        commit also takes what they recorded, for other writers, too, which have been answered. And
        where the transaction is prepared: it may be committed at any time, by others.
        """
        if self.inline and not self.triggers and not session.twophase:
            return self._awaited_token(connection)
        return new_token()

    @property
    def _claims_at_once(self) -> bool:
        """True where a transaction claims its own rows, and no others: those of triggers have to be
        found after it."""
        return bool(self.engine.dialect.name == "sqlite" and not self.triggers)

    def _take_versions(self, connection: Any, record: TransactionRecord) -> None:
        """Take the versions of the claim of these rows now: on SQLite it is not too early.

        The transaction has the file's lock since it wrote the rows, so nothing is committed between
        the version and the end of the transaction but the transaction itself. What holds of a
        version that is taken right after the commit holds of this one: it is greater than those
        that were taken before, everything that was committed before it and the transaction itself
        are seen by a read after it, and everything else is committed later, with a greater one.
        """
        names = {key.model for key in record.keys} & self.mirrored.keys()
        record.versions.update(versions.advance(connection, names - record.versions.keys()))

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        self._record(
            session,
            {key for key in keys if key.pk is not None and self.fan_out_plan.embedded(key.model)},
            FanOut.EMBEDDING_BY_SESSION,
        )

    def has_recorded(self, session: Any) -> bool:
        return bool(session.info.get(_RECORD))

    def savepoint_rolled_back(self, session: Any) -> None:
        record: Optional[TransactionRecord] = session.info.get(_RECORD)
        if record is not None:
            for keys in record.persisted:
                keys.clear()
            record.versions.clear()
            record.notified = False

    def committed(self, session: Any) -> Optional[str]:
        record: Optional[TransactionRecord] = session.info.pop(_RECORD, None)
        if not record or not self.inline:
            return None
        self._committed[record.token] = record
        return str(record.token)

    def rolled_back(self, session: Any) -> None:
        session.info.pop(_RECORD, None)

    # Claims

    def claim_committed(self, token: str) -> Optional[Claim]:
        record = self._committed.pop(token)
        began = record.began
        record.keys |= record.content_changes
        names = {key.model for key in record.keys} & self.mirrored.keys()
        old = self._needs_renewal(began)
        if self._claims_at_once and not old and names == record.versions.keys():
            # It had the file's lock when it looked for the documents that its changes show in:
            # there are no others.
            numbers = record.versions
            return Claim(token, frozenset(record.keys), numbers, began + self.lease_seconds)
        with self._transaction(writing=True) as connection:
            if old:
                began = time.monotonic()
                if not self._renew(connection, token):
                    return None
            if record.content_changes:
                record.keys |= self._expand_own_rows(connection, record)
            names = {key.model for key in record.keys} & self.mirrored.keys()
            # Triggers may have been installed since the rows were recorded: see _token_of_writer.
            if self.triggers and not is_awaited(token):
                limit = MAX_TRIGGER_ROWS + 2 * len(record.keys)
                record.keys |= self._claim_trigger_rows(connection, names, token, limit)
            numbers = versions.advance(connection, names, durable=False)
        return Claim(token, frozenset(record.keys), numbers, began + self.lease_seconds)

    def _claim_rows(self, model_name: str, limit: int) -> Optional[Claim]:
        token = new_token()
        with self._transaction(writing=True) as connection:
            now = self.clock.now(connection)
            rows = claimable_rows(connection, model_name, limit, self._lease_bounds(now))
            if not rows:
                return None
            # A row that represents the whole model is claimed alone: it takes longer.
            rows = [row for row in rows if row.pk is None] or rows
            if any(row.fan_out for row in rows):
                self._note_triggers(rows)
                self.fan_out_plan.expand(connection, model_name, rows, now)
            began = time.monotonic()
            self._lease_rows([row.id for row in rows], token, connection)
            numbers = versions.advance(connection, [model_name], durable=False)
        keys = self._keys(model_name, rows)
        return Claim(token, keys, numbers, began + self.lease_seconds)

    def _replace_rows(self, model_name: str, limit: int) -> bool:
        with self._transaction(writing=True) as connection:
            now = self.clock.now(connection)
            rows = claimable_rows(connection, model_name, limit, self._lease_bounds(now))
            self._note_triggers(rows)
            self.fan_out_plan.expand(connection, model_name, rows, now)
            self.fan_out_plan.mark_expanded(connection, model_name, rows)
        return bool(rows)

    def _note_triggers(self, rows: list[Any]) -> None:
        """Triggers may have been installed since this process started."""
        self.triggers = self.triggers or any(
            row.fan_out in (FanOut.EMBEDDING, FanOut.REFERENCING) for row in rows
        )

    def _expand_own_rows(self, connection: Any, record: TransactionRecord) -> set[Key]:
        """Return the documents that hold what the committed transaction changed, and that it could
        not see.

        They get rows of the same claim, beside those that represent them, too, until all are
        settled: a process that takes the claim over looks them up once more.
        """
        embedding = self.fan_out_plan.embedding(connection, record.content_changes)
        keys = {key for key in embedding if key.model in self.mirrored} - record.keys
        if keys:
            rows = self._rows(sorted(keys, key=str), record.token, 0, connection)
            connection.execute(OUTBOX.insert(), rows)
        return keys

    def _claim_trigger_rows(
        self, connection: Any, names: Iterable[str], token: str, limit: int
    ) -> set[Key]:
        """Claim also what triggers wrote for the transaction that has just been committed.

        Their rows are the newest; those that are not among them are found by another claim.
        """
        # Rows that represent others first: what they become is claimed with the rest.
        sources = {source for name in names for source in self._sources[name]}
        for name in sorted({*names, *sources}):
            rows = newest_rows(connection, name, limit, FANS_OUT)
            self.fan_out_plan.expand(connection, name, rows, self.clock.now(connection))
            self.fan_out_plan.mark_expanded(connection, name, rows)
        keys: set[Key] = set()
        single = and_(OUTBOX.c.fan_out == 0, OUTBOX.c.pk.isnot(None))
        for name in sorted(names):
            rows = newest_rows(connection, name, limit, single)
            self._lease_rows([row.id for row in rows], token, connection)
            keys.update(self._keys(name, rows))
        return keys

    def _lease_rows(self, ids: list[int], token: str, connection: Any) -> None:
        values = {**self._new_lease(token, self.clock.now(connection)), "fan_out": 0}
        for part in chunks(ids, KEYS_PER_QUERY):
            connection.execute(OUTBOX.update().where(OUTBOX.c.id.in_(part)).values(**values))

    def next_version(self, model_name: str) -> int:
        # Durable: no row is pending that would bring another one after a crash of the database.
        with self._transaction(writing=True) as connection:
            return versions.advance(connection, [model_name])[model_name]

    def _renew(self, connection: Any, token: str) -> bool:
        lease = self._new_lease(token, self.clock.now(connection))
        return self._set(connection, token, lease) > 0

    def _set(self, connection: Any, token: str, values: dict[str, Any]) -> int:
        """Give the rows of *token* these values, and return how many there are.

        Also those of models without a mirror, which represent documents of others.
        """
        own = and_(OUTBOX.c.model.in_(sorted(self.models)), OUTBOX.c.claim_token == token)
        return int(connection.execute(OUTBOX.update().where(own).values(**values)).rowcount)

    def settle(self, claim: Claim, rejected: Mapping[Key, str]) -> None:
        names = {key.model for key in claim.keys}
        with self._transaction() as connection:
            cached = compiled_once(connection)
            cached.execute(_SETTLED, {MODELS: sorted(names), TOKEN: claim.token})
            SqlaDeadLetters(cached).replace(claim.keys, rejected)
            # Last: other claims of these models wait for it.
            versions.outdate(connection, names & self.mirrored.keys())

    def renew(self, claim: Claim) -> bool:
        with self._transaction(durable=False) as connection:
            return self._renew(connection, claim.token)

    def release(self, token: str) -> None:
        self._committed.pop(token, None)
        with self._transaction(durable=False) as connection:
            self._set(connection, token, {"claim_token": None, "lease_expires_at": None})

    def postpone(self, token: str) -> None:
        with self._transaction(durable=False) as connection:
            self._set(connection, token, {"claim_token": new_token()})

    def enqueue(self, keys: Iterable[Key]) -> None:
        with self._transaction() as connection:
            rows = self._rows(keys, None, 0, connection)
            for part in chunks(rows, KEYS_PER_QUERY):
                connection.execute(OUTBOX.insert(), part)
            if rows and not self.inline:
                notifications.notify_on_commit(connection)

    def enqueue_model(self, model_name: str) -> None:
        with self._transaction() as connection:
            self.fan_out_plan.enqueue_model(connection, model_name, self.clock.now(connection))

    def raise_version(self, model_name: str, version: int) -> None:
        with self._transaction(writing=True) as connection:
            versions.raise_to(connection, model_name, version)

    @contextmanager
    def _letters(self) -> Iterator[SqlaDeadLetters]:
        with self._transaction() as connection:
            yield SqlaDeadLetters(connection)

    def notifications(self) -> Optional[NotificationListener]:
        return None if self.inline else notifications.listener(self.engine)

    # Rows and transactions

    def _rows(
        self, keys: Iterable[Key], token: Optional[str], fan_out: int, connection: Any
    ) -> list[dict[str, Any]]:
        now = self.clock.now(connection)
        return [self._new_row(key, token, fan_out, now) for key in keys]

    def _read_clock(self, connection: Any) -> int:
        statement = _CLOCKS.get(self.engine.dialect.name)
        if statement is None:
            # SQLite: one host has the file.
            return milliseconds()
        if connection is not None:
            return int(connection.execute(statement).scalar())
        with self._reads.connect() as separate:
            return int(separate.execute(statement).scalar())

    @contextmanager
    def _transaction(self, writing: bool = False, durable: bool = True) -> Iterator[Any]:
        """A short, separate transaction.

        :param writing: the first statement may be a query, whose result must still hold when
            the next one writes.
        :param durable: False where it does no harm that a crash of the database takes the
            transaction back: rows that are there again are indexed again, by a claim that gets
            a later number, since numbers follow the clock (docs/consistency.rst, 6). It then
            need not wait for the disk, where the database lets it choose.
        """
        with self.engine.connect() as connection:
            if connection.dialect.name == "mysql":
                # At its default level InnoDB locks the gaps between rows, too: the places where
                # transactions of the application insert theirs.
                connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                if writing and connection.dialect.name == "sqlite":
                    # Otherwise the transaction would write only from the first write on, after the
                    # query.
                    lock_file(connection)
                if not durable and connection.dialect.name == "postgresql":
                    connection.execute("SET LOCAL synchronous_commit TO off")
                yield connection
