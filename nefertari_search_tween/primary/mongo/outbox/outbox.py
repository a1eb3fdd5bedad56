"""The outbox as a collection beside the application's, for nefertari_mongodb.

A single MongoDB server has no transactions, so a row can't come with the change. Instead a row
says what is *about to* change: it is written before the write, claimed by the process that
writes, and processed by it after the write. Should the process die in between, it is unknown
whether the write was made; its lease expires (that is the grace period), another process takes the
row over, and reads what is stored. Should it only have been slow, it finds its rows deleted when
it is done, and writes them again. docs/consistency.rst has the argument as numbered claims.

Nothing here relies on more than what every MongoDB-protocol server does at once: inserting one
document, and changing one document by its key. Two processes may claim the same row where a
server sees no difference (FerretDB does not check again before it writes): both index it, each
under its own version, which does no harm.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Optional

from pymongo.errors import PyMongoError

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.outbox import Backlog, Claim, FanOut, SyncState
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.claim_tokens import new_token
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox import versions
from nefertari_search_tween.primary.mongo.outbox.dead_letters import MongoDeadLetters
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.mongo.outbox.unit_of_work import TransactionRecord, UnitOfWork
from nefertari_search_tween.primary.outbox_base import MAX_ROWS, OutboxBase

ROWS_PER_COMMAND = 1000
# A watermark lists up to so many rows one by one; else all rows have to be settled.
MAX_WATERMARK_ROWS = 10_000


class MongoOutbox(OutboxBase):
    """The rows are documents of a collection.

    With inline sync they stay claimed by this process; else they are free after the write, and
    workers poll for them.

    :param dependencies: of the mirrored models.
    """

    def __init__(self, collections: Collections, dependencies: Dependencies, inline: bool) -> None:
        reached = {
            name: {each.__name__ for each in dependencies.referencing_models(model)}
            for name, model in dependencies.models.items()
        }
        super().__init__(dependencies, reached, schema.parse_key, inline)
        self.collections = collections
        self.rows = collections.outbox
        self.letters = MongoDeadLetters(collections.dead_letters)
        self.dependencies = dependencies
        # Records of transactions that are claimed and not settled yet, by token.
        self._claimed: dict[str, TransactionRecord] = {}

    # Before and after a write

    def record_intent(self, unit: UnitOfWork, keys: Iterable[Key], fan_out: int = 0) -> None:
        """Record that these objects are about to change. A whole-model key represents any object
        of its model.

        :raises PyMongoError: it could not be stored: the write must not be made.
        """
        self._write(unit, set(keys), fan_out)

    def cancel_intent(self, unit: UnitOfWork, key: Key) -> None:
        """Delete the intent with *key*: more precise keys have replaced it."""
        if unit.record is not None:
            row = unit.record.rows.pop(key, None)
            if row is not None:
                self.rows.delete_one({"_id": row})

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        self._write(session, set(keys), 0)

    def _write(self, unit: UnitOfWork, keys: set[Key], fan_out: int) -> None:
        record = unit.record
        if record is None:
            # Where workers index, a writer that can't release its rows is answered all the same.
            token = self._awaited_token() if self.inline else new_token()
            record = unit.record = TransactionRecord(token)
        if self._needs_renewal(record.began):
            # The rows may have been processed by others: what is written now needs new ones.
            record.fan_outs.clear()
        new = sorted((key for key in keys if record.fan_outs.get(key, -1) < fan_out), key=str)
        rows = self._rows(new, record.token, fan_out)
        self._insert(rows)
        for key, row in zip(new, rows):
            record.rows[key] = row["_id"]
            record.fan_outs[key] = fan_out

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        """Do nothing: the intents of these objects represent the documents that embed them."""

    def has_recorded(self, session: Any) -> bool:
        return session.record is not None

    def savepoint_rolled_back(self, session: Any) -> None:
        """Do nothing: no write is ever rolled back."""

    def committed(self, session: Any) -> Optional[str]:
        record, session.record = session.record, None
        if record is None or not record.rows:
            return None
        self._committed[record.token] = record
        if not self.inline:
            self.release(record.token)
            return None
        return str(record.token)

    def rolled_back(self, session: Any) -> None:
        session.record = None

    # Claims

    def claim_committed(self, token: str) -> Optional[Claim]:
        record = self._claimed[token] = self._committed.pop(token)
        began = record.began
        if self._needs_renewal(began):
            began = time.monotonic()
            if self._renew(token) < len(record.rows):
                # Another process has processed them, perhaps before the write was made.
                self._insert(self._rows(record.rows, token, 0))
        keys = frozenset(record.rows)
        names = sorted({key.model for key in keys} & self.mirrored.keys())
        numbers = {name: self.next_version(name) for name in names}
        return Claim(token, keys, numbers, began + self.lease_seconds)

    def _claim_rows(self, model_name: str, limit: int) -> Optional[Claim]:
        began = time.monotonic()
        token = new_token()
        rows = self._lease_rows(model_name, limit, token)
        if not rows:
            return None
        self._expand(model_name, rows)
        keys = self._keys(model_name, rows)
        numbers = {model_name: self.next_version(model_name)}
        return Claim(token, keys, numbers, began + self.lease_seconds)

    def _lease_rows(self, model_name: str, limit: int, token: str) -> list[dict[str, Any]]:
        """Claim free rows, oldest first; else rows of a claim whose lease expired."""
        for condition in self._claimable():
            query = {"model": model_name, **condition}
            rows = list(self.rows.find(query).sort("_id", 1).limit(limit))
            # A row that represents the whole model is claimed alone: it takes longer.
            rows = [row for row in rows if row["pk"] is None] or rows
            if not rows:
                continue
            ids = [row["_id"] for row in rows]
            self.rows.update_many(
                {"_id": {"$in": ids}, **condition},
                {"$set": self._new_lease(token, self.clock.now())},
            )
            # Others may have been faster with some of them.
            return list(self.rows.find({"claim_token": token}))
        return []

    def _replace_rows(self, model_name: str, limit: int) -> bool:
        token = new_token()
        rows = self._lease_rows(model_name, limit, token)
        self._expand(model_name, rows)
        self.rows.delete_many({"claim_token": token})
        return bool(rows)

    def _expand(self, model_name: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows for the documents that *rows* represent besides their own.

        By what is stored now, after the write. A document that begins to embed or reference the
        object later has a row for that, and is read after it. It is done again by the process
        that takes *rows* over.
        """
        for fan_out in (FanOut.EMBEDDING, FanOut.REFERENCING):
            roots = [row for row in rows if row["fan_out"] == fan_out and row["pk"] is not None]
            keys = self._keys(model_name, roots)
            dependents = self.dependencies.dependents(keys, fan_out == FanOut.EMBEDDING)
            self._insert(self._rows(dependents, None, 0, [row["_id"] for row in roots]))
        whole = [row["_id"] for row in rows if row["fan_out"] and row["pk"] is None]
        if whole:
            owners = self.dependencies.referencing_models(self.models[model_name])
            whole_models = [Key.whole_model(owner.__name__) for owner in owners]
            self._insert(self._rows(whole_models, None, 0, whole))

    def next_version(self, model_name: str) -> int:
        return versions.advance(self.collections.versions, model_name)

    def raise_version(self, model_name: str, version: int) -> None:
        versions.raise_to(self.collections.versions, model_name, version)

    def settle(self, claim: Claim, rejected: Mapping[Key, str]) -> None:
        names = sorted({key.model for key in claim.keys})
        # The letters first: should this process die now, the rows make them again. The versions
        # before the rows go: who finds none has them.
        self.letters.replace(claim.keys, rejected)
        for name in names:
            if name in self.mirrored:
                self.next_version(name)
        self.rows.delete_many({"model": {"$in": names}, "claim_token": claim.token})
        self._claimed.pop(claim.token, None)

    def renew(self, claim: Claim) -> bool:
        return self._renew(claim.token) > 0

    def _renew(self, token: str) -> int:
        """Give the rows of *token* a new lease, and return how many there are."""
        lease = {"$set": self._new_lease(token, self.clock.now())}
        return int(self.rows.update_many({"claim_token": token}, lease).matched_count)

    def release(self, token: str) -> None:
        record = self._committed.pop(token, None) or self._claimed.pop(token, None)
        values = {"claim_token": None, "lease_expires_at": None}
        count = self.rows.update_many({"claim_token": token}, {"$set": values}).matched_count
        if record is not None and count < len(record.rows):
            # Some may be settled; some may have been processed by others before the write was
            # made. An extra row does no harm.
            self._insert(self._rows(record.rows, None, FanOut.REFERENCING))

    def postpone(self, token: str) -> None:
        self._claimed.pop(token, None)
        self.rows.update_many({"claim_token": token}, {"$set": {"claim_token": new_token()}})

    def enqueue(self, keys: Iterable[Key]) -> None:
        for part in chunks(keys, ROWS_PER_COMMAND):
            self._insert(self._rows(part, None, 0))

    def enqueue_model(self, model_name: str) -> None:
        objects = collection_of(self.mirrored[model_name]).find({}, {"_id": 1})
        self.enqueue(Key(model_name, row["_id"]) for row in objects)
        writing = {"model": model_name, "claim_token": {"$ne": None}, "pk": {"$ne": None}}
        rows = self.rows.find(writing, {"pk": 1})
        self.enqueue(Key(model_name, row["pk"]) for row in rows)

    # What is there

    def sync_state(self, model_name: str) -> SyncState:
        not_awaited = self._not_awaited()
        conditions: list[dict[str, Any]] = [{"model": model_name, **not_awaited}]
        if self._sources[model_name]:
            sources = {"$in": list(self._sources[model_name])}
            conditions.append({"model": sources, "fan_out": {"$gt": 0}, **not_awaited})
        # The rows first: what was settled before has taken its version.
        pending = any(map(self._has_row, conditions))
        return SyncState(pending, versions.latest(self.collections.versions, model_name))

    def _not_awaited(self) -> dict[str, Any]:
        """Return the condition of rows that a reader may know of: all but the awaited ones."""
        first, last = self._awaited_range()
        return {"claim_token": {"$not": {"$gte": first, "$lte": last}}}

    def _has_row(self, condition: dict[str, Any]) -> bool:
        return self.rows.find_one(condition, {"_id": 1}) is not None

    def pending_count(self, model_name: Optional[str] = None) -> int:
        return int(self.rows.count_documents({} if model_name is None else {"model": model_name}))

    def backlog(self) -> dict[str, Backlog]:
        now = self.clock.now()
        backlog = {}
        for name in self.rows.distinct("model"):
            oldest = self.rows.find_one(
                {"model": name}, {"recorded_at": 1}, sort=[("recorded_at", 1)]
            )
            if oldest is not None:
                age = max(0.0, (now - oldest["recorded_at"]) / 1000)
                backlog[name] = Backlog(self.pending_count(name), age)
        return backlog

    def claim_tokens(self, model_name: str) -> set[str]:
        claimed = {"model": model_name, "claim_token": {"$ne": None}}
        return set(self.rows.distinct("claim_token", claimed))

    def claimable_models(self) -> list[str]:
        if not self._has_row({}):
            return []
        return [
            name
            for name, carried in self._carried.items()
            if any(
                self._has_row({"model": each, **condition})
                for each in (name, *carried)
                for condition in self._claimable()
            )
        ]

    def ping(self) -> bool:
        try:
            self._has_row({})
        except PyMongoError:
            return False
        return True

    def watermark(self) -> Any:
        rows = list(self.rows.find({}, {"pk": 1}).limit(MAX_WATERMARK_ROWS + 1))
        # What a whole model becomes does not say what it was made from.
        if len(rows) > MAX_WATERMARK_ROWS or any(row["pk"] is None for row in rows):
            return None
        return [row["_id"] for row in rows]

    def has_passed(self, watermark: Any) -> bool:
        return not self._has_row(_up_to(watermark))

    def has_passed_known(self, watermark: Any) -> bool:
        return not self._has_row({**_up_to(watermark), **self._not_awaited()})

    def _pending_texts(self, model_name: str) -> Iterable[str]:
        rows = self.rows.find({"model": model_name, "pk": {"$ne": None}}, {"pk": 1})
        return (row["pk"] for row in rows.limit(MAX_ROWS))

    def _letters(self) -> AbstractContextManager[MongoDeadLetters]:
        return nullcontext(self.letters)

    # Rows

    def _rows(
        self, keys: Iterable[Key], token: Optional[str], fan_out: int, roots: Iterable[Any] = ()
    ) -> list[dict[str, Any]]:
        """Return new rows.

        :param roots: ids of the rows that they are made from.
        """
        from bson import ObjectId

        rows = []
        now = self.clock.now()
        for key in keys:
            referenced = self.dependencies.is_referenced(self.models[key.model])
            row = self._new_row(key, token, fan_out if referenced else 0, now)
            rows.append({"_id": ObjectId(), **row, "roots": list(roots)})
        return rows

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        for part in chunks(rows, ROWS_PER_COMMAND):
            self.rows.insert_many(part)

    def _claimable(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the conditions of free rows, and of rows whose claim is not alive."""
        first, last = self._lease_bounds(self.clock.now())
        beyond = [{"lease_expires_at": {"$lt": first}}, {"lease_expires_at": {"$gt": last}}]
        return {"claim_token": None}, {"claim_token": {"$ne": None}, "$or": beyond}

    def _read_clock(self, connection: Any) -> int:
        local_time = self.rows.database.client.admin.command("hello")["localTime"]
        return int(local_time.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)


def _up_to(watermark: Any) -> dict[str, Any]:
    """Return the condition of rows up to *watermark*, and of those that were made from them."""
    ids = {"$in": watermark}
    return {} if watermark is None else {"$or": [{"_id": ids}, {"roots": ids}]}
