"""The outbox as a collection beside the application's, for nefertari_mongodb.

A single MongoDB server has no transactions, so a row can't come with the change. Instead a row
says what is *about to* change: it is written before the write, claimed by the process that
writes, and processed by it after the write. Should the process die in between, nobody knows
whether the write was made; its claim runs out (the grace period is the lease), somebody takes the
row over, and reads what there is. Should it only have been slow, it finds its rows gone when it
is done, and writes them again. docs/consistency.rst has the argument as numbered claims.

Nothing here relies on more than what every MongoDB-protocol server does at once: inserting one
document, and changing one document by its key. Two processes may claim the same row where a
server sees no difference (FerretDB does not look again before it writes): both index it, each
under a number of its own, which does no harm.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from pymongo.errors import PyMongoError

from nefertari_search_tween.interfaces.outbox import (
    LEASE_SECONDS,
    Backlog,
    Claim,
    DeadLetter,
    FanOut,
    SyncState,
)
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox import dead_letters, versions
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.mongo.outbox.unit_of_work import (
    RENEW_BELOW,
    TransactionRecord,
    UnitOfWork,
)

ROWS_PER_COMMAND = 1000
# So many rows are remembered one by one as the end of what waits; of more, all have to go.
MOST_MARKED = 10_000

_FREE = {"claim_token": None}


class MongoOutbox:
    """See :class:`~nefertari_search_tween.interfaces.outbox.Outbox`.

    :param relations: of the mirrored models.
    :param owned: rows stay this process's to index (inline sync); else they are free after the
        write, and workers look for them.
    :param lease: seconds that a claim is its owner's; None: LEASE_SECONDS.
    """

    def __init__(
        self,
        stores: Collections,
        relations: Dependencies,
        owned: bool,
        lease: Optional[float] = None,
    ) -> None:
        self.stores = stores
        self.rows = stores.outbox
        self.relations = relations
        self.models = {model.__name__: model for model in relations.tracked_models}
        self.mirrored = {model.__name__: model for model in relations.mirrored}
        self.inline = owned
        self.lease_seconds = LEASE_SECONDS if lease is None else lease
        self._others = {
            name: sorted(each.__name__ for each in relations.source_models(model) - {model})
            for name, model in self.mirrored.items()
        }
        self._carried: dict[str, list[str]] = {name: [] for name in self.mirrored}
        for name, model in sorted(self.models.items()):
            shown = [] if name in self.mirrored else relations.referencing_models(model)
            if shown:
                self._carried[shown[0].__name__].append(name)
        # Units that are over and not begun, and those begun and not settled, by token.
        self._published: dict[str, TransactionRecord] = {}
        self._begun: dict[str, TransactionRecord] = {}

    # Before and after a write

    def record_intent(self, unit: UnitOfWork, keys: Iterable[Key], spread: int = 0) -> None:
        """These objects are about to change. A key of None stands for any of its model.

        :raises PyMongoError: it could not be written down: the write must not be made.
        """
        self._write(unit, set(keys), spread)

    def cancel_intent(self, unit: UnitOfWork, key: Key) -> None:
        """What was intended with *key* is known better by now: other keys stand for it."""
        if unit.recorded is not None:
            row = unit.recorded.rows.pop(key, None)
            if row is not None:
                self.rows.delete_one({"_id": row})

    def record(self, session: Any, keys: Iterable[Key]) -> None:
        self._write(session, set(keys), 0)

    def _write(self, unit: UnitOfWork, keys: set[Key], spread: int) -> None:
        recorded = unit.recorded
        if recorded is None:
            recorded = unit.recorded = TransactionRecord()
        new = sorted(
            (key for key in keys if not recorded.covers(key, spread, self.lease_seconds)), key=str
        )
        rows = self._made(new, recorded.token, spread)
        self._insert(rows)
        for key, row in zip(new, rows):
            recorded.rows[key] = row["_id"]
            recorded.spreads[key] = spread
            recorded.models.add(key.model)

    def record_content_changes(self, session: Any, keys: Iterable[Key]) -> None:
        """Nothing: the intents of these objects stand for the documents that show them."""

    def has_recorded(self, session: Any) -> bool:
        return session.recorded is not None

    def savepoint_rolled_back(self, session: Any) -> None:
        """Nothing: no write is ever taken back."""

    def committed(self, session: Any) -> Optional[str]:
        recorded, session.recorded = session.recorded, None
        if recorded is None or not recorded.rows:
            return None
        self._published[recorded.token] = recorded
        if not self.inline:
            self.release(recorded.token)
            return None
        return str(recorded.token)

    def rolled_back(self, session: Any) -> None:
        session.recorded = None

    # Claims

    def claim_committed(self, token: str) -> Optional[Claim]:
        recorded = self._begun[token] = self._published.pop(token)
        began = recorded.began
        if time.monotonic() - began > RENEW_BELOW * self.lease_seconds:
            began = time.monotonic()
            if self._extend(token) < len(recorded.rows):
                # Somebody has processed them, perhaps before the write was made.
                self._insert(self._made(recorded.rows, token, 0))
        keys = frozenset(recorded.rows)
        names = sorted({key.model for key in keys} & self.mirrored.keys())
        numbers = {name: self.next_version(name) for name in names}
        return Claim(token, keys, numbers, began + self.lease_seconds)

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        for name in self._carried[model_name]:
            while self._replace(name, limit):
                pass
        began = time.monotonic()
        token = uuid.uuid4().hex
        rows = self._take(model_name, limit, token)
        if not rows:
            return None
        self._expand(model_name, rows)
        keys = frozenset(Key(model_name, self._decoded(model_name, row["pk"])) for row in rows)
        return Claim(
            token, keys, {model_name: self.next_version(model_name)}, began + self.lease_seconds
        )

    def _take(self, model_name: str, limit: int, token: str) -> list[dict[str, Any]]:
        """Mark rows that nobody works on, oldest first; else rows of a claim whose time is up."""
        left = {"claim_token": {"$ne": None}, "lease_expires_at": {"$lt": milliseconds()}}
        for condition in (_FREE, left):
            narrow = {"model": model_name, **condition}
            rows = list(self.rows.find(narrow).sort("_id", 1).limit(limit))
            # One that stands for everything is a claim of its own: it takes longer.
            rows = [row for row in rows if row["pk"] is None] or rows
            if not rows:
                continue
            values = {
                "claim_token": token,
                "lease_expires_at": milliseconds() + self._lease_milliseconds,
            }
            ids = [row["_id"] for row in rows]
            self.rows.update_many({"_id": {"$in": ids}, **condition}, {"$set": values})
            # Others may have been faster with some of them.
            return list(self.rows.find({"claim_token": token}))
        return []

    def _replace(self, model_name: str, limit: int) -> bool:
        """Rows of a model without a mirror give way to those of the documents that show it."""
        token = uuid.uuid4().hex
        rows = self._take(model_name, limit, token)
        self._expand(model_name, rows)
        self.rows.delete_many({"claim_token": token})
        return bool(rows)

    def _expand(self, model_name: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows for the documents that *rows* stand for besides their own.

        By what is stored now, after the write. A document that begins to show the object later
        has a row for that, and is read after it. Done again by whoever takes *rows* over.
        """
        for spread in (FanOut.EMBEDDING, FanOut.REFERENCING):
            wanted = [row for row in rows if row["fan_out"] == spread and row["pk"] is not None]
            keys = [Key(model_name, self._decoded(model_name, row["pk"])) for row in wanted]
            shown = (
                self.relations.dependents(keys, self.models, spread == FanOut.EMBEDDING)
                if keys
                else ()
            )
            self._insert(self._made(shown, None, 0, [row["_id"] for row in wanted]))
        everything = [row["_id"] for row in rows if row["fan_out"] and row["pk"] is None]
        if everything:
            shown_in = self.relations.referencing_models(self.models[model_name])
            all_of = [Key(each.__name__, None) for each in shown_in]
            self._insert(self._made(all_of, None, 0, everything))

    def next_version(self, model_name: str) -> int:
        return versions.advance(self.stores.versions, model_name)

    def raise_version(self, model_name: str, number: int) -> None:
        versions.raise_to(self.stores.versions, model_name, number)

    def settle(
        self, claim: Claim, model_name: str, refused: Mapping[Any, str], settled: Iterable[Any]
    ) -> None:
        # The letters first: should this process die now, the rows make them again.
        dead_letters.replace(self.stores.dead_letters, model_name, refused, settled, milliseconds())
        self.rows.delete_many({"model": model_name, "claim_token": claim.token})
        recorded = self._begun.get(claim.token)
        if recorded is not None:
            recorded.models.discard(model_name)
            if not recorded.models:
                del self._begun[claim.token]

    def renew(self, claim: Claim) -> bool:
        return self._extend(claim.token) > 0

    def _extend(self, token: str) -> int:
        """Give the rows of *token* a new lease; number of them."""
        values = {"lease_expires_at": milliseconds() + self._lease_milliseconds}
        return int(self.rows.update_many({"claim_token": token}, {"$set": values}).matched_count)

    def release(self, token: str) -> None:
        recorded = self._published.pop(token, None) or self._begun.pop(token, None)
        values = {"claim_token": None, "lease_expires_at": None}
        found = self.rows.update_many({"claim_token": token}, {"$set": values}).matched_count
        if recorded is not None and found < len(recorded.rows):
            # Some may be settled; some may have been processed by others before the write was
            # made. One too many does no harm.
            self._insert(self._made(recorded.rows, None, FanOut.REFERENCING))

    def enqueue(self, keys: Iterable[Key]) -> None:
        self._insert(self._made(keys, None, 0))

    def enqueue_model(self, model_name: str) -> None:
        found = collection_of(self.mirrored[model_name]).find({}, {"_id": 1})
        self._add_chunks(Key(model_name, row["_id"]) for row in found)
        writing = {"model": model_name, "claim_token": {"$ne": None}, "pk": {"$ne": None}}
        self._add_chunks(Key(model_name, row["pk"]) for row in self.rows.find(writing, {"pk": 1}))

    def _add_chunks(self, keys: Iterator[Key]) -> None:
        chunk: list[Key] = []
        for key in keys:
            chunk.append(key)
            if len(chunk) == ROWS_PER_COMMAND:
                self.enqueue(chunk)
                chunk = []
        self.enqueue(chunk)

    # What is there

    def sync_state(self, model_name: str) -> SyncState:
        # The number first: when nothing waits after that, all claims up to it are settled.
        number = versions.latest(self.stores.versions, model_name)
        narrow: dict[str, Any] = {"model": model_name}
        if self._others[model_name]:
            spreading = {"model": {"$in": self._others[model_name]}, "fan_out": {"$gt": 0}}
            narrow = {"$or": [narrow, spreading]}
        return SyncState(self.rows.find_one(narrow, {"_id": 1}) is not None, number)

    def pending_count(self, model_name: Optional[str] = None) -> int:
        narrow = {} if model_name is None else {"model": model_name}
        return int(self.rows.count_documents(narrow))

    def backlog(self) -> dict[str, Backlog]:
        now = milliseconds()
        found = {}
        for name in self.rows.distinct("model"):
            oldest = self.rows.find_one(
                {"model": name}, {"recorded_at": 1}, sort=[("recorded_at", 1)]
            )
            if oldest is not None:
                age = max(0.0, (now - oldest["recorded_at"]) / 1000)
                found[name] = Backlog(self.pending_count(name), age)
        return found

    def claim_tokens(self, model_name: str) -> set[str]:
        narrow = {"model": model_name, "claim_token": {"$ne": None}}
        return set(self.rows.distinct("claim_token", narrow))

    def claimable_models(self) -> list[str]:
        if self.rows.find_one({}, {"_id": 1}) is None:
            return []
        left = {"claim_token": {"$ne": None}, "lease_expires_at": {"$lt": milliseconds()}}
        return [
            name
            for name, others in self._carried.items()
            if any(
                self.rows.find_one({"model": each, **condition}, {"_id": 1}) is not None
                for each in (name, *others)
                for condition in (_FREE, left)
            )
        ]

    def ping(self) -> bool:
        try:
            self.rows.find_one({}, {"_id": 1})
        except PyMongoError:
            return False
        return True

    def watermark(self) -> Any:
        ids = [row["_id"] for row in self.rows.find({}, {"_id": 1}).limit(MOST_MARKED + 1)]
        return None if len(ids) > MOST_MARKED else ids

    def has_passed(self, mark: Any) -> bool:
        narrow = {} if mark is None else {"$or": [{"_id": {"$in": mark}}, {"roots": {"$in": mark}}]}
        return self.rows.find_one(narrow, {"_id": 1}) is None

    # Dead letters

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        return [
            DeadLetter(
                Key(row["model"], self._decoded(row["model"], row["pk"])),
                row["error"],
                row["failed_at"] / 1000,
            )
            for row in dead_letters.rows(self.stores.dead_letters, model_name)
        ]

    def dead_letter_counts(self) -> dict[str, int]:
        return dead_letters.counts(self.stores.dead_letters)

    def retry(self, keys: Iterable[Key]) -> int:
        wanted = list(keys)
        # The letters stay until the documents are in the index.
        self.enqueue(wanted)
        return len(wanted)

    def drop(self, keys: Iterable[Key]) -> int:
        return sum(
            dead_letters.forget(self.stores.dead_letters, key.model, [key.pk]) for key in keys
        )

    # Rows

    @property
    def _lease_milliseconds(self) -> int:
        return int(self.lease_seconds * 1000)

    def _made(
        self, keys: Iterable[Key], token: Optional[str], spread: int, roots: Iterable[Any] = ()
    ) -> list[dict[str, Any]]:
        from bson import ObjectId

        now = milliseconds()
        expires = None if token is None else now + self._lease_milliseconds
        return [
            {
                "_id": ObjectId(),
                "model": key.model,
                "pk": None if key.pk is None else str(key.pk),
                "fan_out": int(spread)
                if self.relations.is_referenced(self.models[key.model])
                else 0,
                "recorded_at": now,
                "claim_token": token,
                "lease_expires_at": expires,
                "roots": list(roots),
            }
            for key in keys
        ]

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), ROWS_PER_COMMAND):
            self.rows.insert_many(rows[start : start + ROWS_PER_COMMAND])

    def _decoded(self, model_name: str, text: Optional[str]) -> Any:
        model = self.models.get(model_name)
        if model is None or text is None:
            return text
        try:
            return schema.parse_key(model, text)
        except ValueError:
            # No object can have it; a document of the index may.
            return text
