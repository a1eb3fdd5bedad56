"""What an application writes while it is being configured, before it has its mirrors.

Ramses makes its system user then, others load what they need. Intents are written as always; their
rows are free after the write, and pending until the application is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.interfaces.primary import BulkChange, FlushedChanges, Key, Reader
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.capture.write_wrappers import WriteWrappers
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.mongo.outbox.unit_of_work import UnitOfWork
from nefertari_search_tween.primary.startup import MAX_ROWS, all_pending


class StartupCapture(WriteWrappers):
    """A capture that is its own listener: it leaves rows that are not claimed.

    :param select_models: returns, of all models by name, those that will have mirrors.
    """

    def __init__(self, select_models: Callable[[dict[str, Any]], list[Any]]) -> None:
        self._select_models = select_models
        self._models: dict[str, Any] = {}
        self._collections: Optional[Collections] = None
        self._outbox: Optional[MongoOutbox] = None
        self.recorded = False
        super().__init__(Dependencies(()), self, None)  # type: ignore[arg-type]

    # Models may still come: they are listed again at each write.

    @property
    def dependencies(self) -> Dependencies:
        models = schema.models()
        if models != self._models:
            self._models = models
            self._relations = Dependencies(self._select_models(models))
            self._outbox = None
        return self._relations

    @dependencies.setter
    def dependencies(self, dependencies: Dependencies) -> None:
        self._relations = dependencies

    @property
    def outbox(self) -> MongoOutbox:
        """The outbox; used when something is written, so the application has connected by then."""
        dependencies = self.dependencies
        if self._outbox is None:
            from mongoengine.connection import get_db

            if self._collections is None:
                self._collections = Collections(get_db())
                self._collections.create_indexes()
            self._outbox = MongoOutbox(self._collections, dependencies, inline=False)
        return self._outbox

    @outbox.setter
    def outbox(self, outbox: Optional[MongoOutbox]) -> None:
        self._outbox = outbox

    # As a listener: the intents represent the dependent documents, too.

    def flushed(self, session: UnitOfWork, changes: FlushedChanges) -> None:
        """Do nothing."""

    def bulk_changed(self, session: UnitOfWork, change: BulkChange) -> None:
        """Do nothing."""

    def savepoint_rolled_back(self, session: UnitOfWork) -> None:
        """Do nothing: there are no savepoints."""

    def transaction_ended(self, session: UnitOfWork, committed: bool) -> None:
        if session.record is not None:
            self.recorded = True
            # The outbox is not inline: the rows are free at once.
            self.outbox.committed(session)

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Record *keys*, for ``ES.index`` and similar calls."""
        mirrored = self.outbox.mirrored
        parsed = [
            Key(each.model, schema.parse_key(mirrored[each.model], str(each.pk)))
            for each in keys
            if each.model in mirrored
        ]
        if parsed:
            self.recorded = True
            self.outbox.enqueue(parsed)


def all_recorded(outbox: MongoOutbox, model_name: str, reader: Reader) -> bool:
    """Return True if every object of a model is pending: then an empty index is good enough.

    :param reader: of the model.
    """
    rows = outbox.rows.find({"model": model_name, "pk": {"$ne": None}}, {"pk": 1})
    return all_pending(reader, (row["pk"] for row in rows.limit(MAX_ROWS)))
