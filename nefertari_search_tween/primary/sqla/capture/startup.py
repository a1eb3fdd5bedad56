"""What an application writes while it is being configured, before it has its mirrors.

Ramses makes its system user then, others load what they need. These changes are recorded as all
are, in the transaction that makes them; the rows are pending until the application is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

from sqlalchemy import select

from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.interfaces.primary import BulkChange, FlushedChanges, Key, Reader
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.capture.session_events import SessionEvents
from nefertari_search_tween.primary.sqla.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.outbox import notifications
from nefertari_search_tween.primary.sqla.outbox.fan_out import FanOutPlan
from nefertari_search_tween.primary.sqla.outbox.tables import (
    OUTBOX,
    TABLES,
    create_missing,
)
from nefertari_search_tween.primary.startup import MAX_ROWS, all_pending


class StartupCapture(SessionEvents):
    """A capture that is its own listener: it writes rows that are not claimed.

    :param select_models: returns, of all models by name, those that will have mirrors.
    """

    def __init__(self, select_models: Callable[[dict[str, Any]], list[Any]]) -> None:
        self._select_models = select_models
        self._models: dict[str, Any] = {}
        self._fan_out_plan = FanOutPlan(Dependencies(()))
        self._tables_are_there = False
        self.recorded = False
        super().__init__(Dependencies(()), self)

    # Models may still come: they are listed again before each change.

    def _before_flush(self, session: Any, flush_context: Any, instances: Any) -> None:
        self._update_models(session)
        super()._before_flush(session, flush_context, instances)

    def _before_bulk(self, query: Any, context: Any, deleting: bool) -> Any:
        self._update_models(query.session)
        return super()._before_bulk(query, context, deleting)

    def _update_models(self, session: Any) -> None:
        models = schema.models()
        if models != self._models:
            self._models = models
            self.dependencies = Dependencies(self._select_models(models))
            self._fan_out_plan = FanOutPlan(self.dependencies)
        if not self._tables_are_there and self.dependencies.tracked_models:
            # Tables are created by setup_database, or else by a migration that knows ours or not.
            connection = session.connection()
            if connection.dialect.name != "sqlite":
                create_missing(connection.engine)
            else:
                # Its one writer may be this transaction.
                for table in TABLES:
                    table.create(connection, checkfirst=True)
            self._tables_are_there = True

    # As a listener

    def flushed(self, session: Any, changes: FlushedChanges) -> None:
        contents = {*changes.updated, *changes.related}
        embedding = self.dependencies.embedding(session, contents, self._models)
        self._record(session, {*changes.created, *changes.deleted, *contents, *embedding}, contents)

    def bulk_changed(self, session: Any, change: BulkChange) -> None:
        contents = change.related if change.deleted else {*change.related, *change.keys}
        embedding = self.dependencies.embedding(session, contents, self._models)
        self._record(session, {*change.keys, *contents, *embedding}, contents)

    def savepoint_rolled_back(self, session: Any) -> None:
        """Do nothing: the rows were rolled back with the savepoint."""

    def transaction_ended(self, session: Any, committed: bool) -> None:
        """Do nothing: the rows are pending."""

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Record *keys* in the application's transaction, for ``ES.index`` and similar calls."""
        from pyramid_sqlalchemy import Session
        from zope.sqlalchemy import mark_changed

        session = Session()
        self._update_models(session)
        self._record(session, set(keys), set())
        mark_changed(session)

    def _record(self, session: Any, keys: set[Key], contents: set[Key]) -> None:
        mirrored = {
            model.__name__ for model in self._models.values() if self.dependencies.mirrored(model)
        }
        now = milliseconds()
        rows = [
            {"model": key.model, "pk": str(key.pk), "fan_out": int(fan_out), "recorded_at": now}
            for fan_out, some in (
                (0, {key for key in keys if key.model in mirrored}),
                (
                    FanOut.EMBEDDING_BY_SESSION,
                    {key for key in contents if self._fan_out_plan.embedded(key.model)},
                ),
            )
            for key in sorted(some, key=str)
        ]
        if rows:
            connection = session.connection()
            connection.execute(OUTBOX.insert(), rows)
            notifications.notify_on_commit(connection)
            self.recorded = True


def all_recorded(engine: Any, model_name: str, reader: Reader) -> bool:
    """Return True if every object of a model is pending: then an empty index is good enough.

    :param reader: of the model.
    """

    def pending_keys() -> Iterator[str]:
        query = select([OUTBOX.c.pk]).where(OUTBOX.c.model == model_name).limit(MAX_ROWS)
        with engine.connect() as connection:
            rows = connection.execute(query.distinct()).fetchall()
        yield from (row.pk for row in rows if row.pk is not None)

    return all_pending(reader, pending_keys())
