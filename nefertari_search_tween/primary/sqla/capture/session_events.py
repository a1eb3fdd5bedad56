"""SQLAlchemy session events -> what a flush created, updated and deleted, and how its transaction
ended. The documents that it affects are found by its statements (connection_events.py)."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from sqlalchemy import event
from sqlalchemy.orm import Session

from nefertari_search_tween.interfaces.primary import ChangeListener, FlushedChanges, Key
from nefertari_search_tween.primary.sqla.capture.connection_events import FLUSH, ConnectionEvents
from nefertari_search_tween.primary.sqla.capture.rows import AffectedDocuments
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import stored_key
from nefertari_search_tween.primary.sqla.outbox.transaction import WRITTEN
from nefertari_search_tween.primary.sqla.plain_query import connection_of

_COMMITTED = "nefertari_search.committed"


class HasDependencies(Protocol):
    """Knows the dependencies between the mirrored models, which may change before the capture of a
    change."""

    dependencies: Dependencies


class Flush(NamedTuple):
    """A flush that is being executed.

    :param context: SQLAlchemy's.
    """

    context: Any
    affected: AffectedDocuments


class SessionEvents:
    """Reports the changes of every SQLAlchemy session on the models' database to a listener, and
    those of connections without a session."""

    def __init__(self, primary: Any, listener: ChangeListener) -> None:
        self.primary = primary
        self.listener = listener
        self.connections = ConnectionEvents(primary, listener)
        self._listeners = [
            (Session, "before_flush", self._before_flush),
            (Session, "after_flush", self._after_flush),
            (Session, "after_commit", self._after_commit),
            (Session, "after_transaction_end", self._after_transaction_end),
        ]

    def install(self) -> None:
        self.connections.install()
        for target, name, handler in self._listeners:
            event.listen(target, name, handler)

    def remove(self) -> None:
        self.connections.remove()
        for target, name, handler in self._listeners:
            event.remove(target, name, handler)

    @property
    def dependencies(self) -> Dependencies:
        return self.primary.dependencies

    def _before_flush(self, session: Any, flush_context: Any, instances: Any) -> None:
        if self.connections.database.has(_engine_of(session, self.dependencies.mapper)):
            self.listener.change_begins(session)
            session.info[FLUSH] = Flush(flush_context, AffectedDocuments(self.dependencies))

    def _after_flush(self, session: Any, flush_context: Any) -> None:
        flush = session.info.pop(FLUSH, None)
        if flush is None:
            return
        affected = flush.affected
        if affected:
            affected.look_up(connection_of(session, self.dependencies.mapper))
        created, updated, deleted = [], [], []
        for state, (is_delete, list_only) in list(flush_context.states.items()):
            model = state.mapper.class_
            if list_only or model not in self.dependencies.tracked_models:
                continue
            key = Key(model.__name__, _pk(model, state))
            if is_delete:
                deleted.append(key)
            elif state.key is None:
                created.append(key)
            else:
                updated.append(key)
                previous = stored_key(model, state.key[1][0])
                if previous != key.pk:
                    deleted.append(Key(key.model, previous))
        related = {*affected.rows, *affected.owners} - {*created, *updated, *deleted}
        models = self.dependencies.models
        related |= {
            key for key in created if self.dependencies.is_listed_by_contents(models[key.model])
        }
        if created or updated or deleted or related:
            self.listener.flushed(session, FlushedChanges(created, updated, deleted, related))

    # Transactions

    def _after_commit(self, session: Any) -> None:
        # Also called when a savepoint is released: then the change is not committed yet.
        if session.transaction is None or not session.transaction.nested:
            session.info[_COMMITTED] = True

    def _after_transaction_end(self, session: Any, transaction: Any) -> None:
        # Not right after the commit: until here the session holds a connection, and indexing
        # needs one, too. Many threads that each wait for a second one would deadlock.
        if transaction.parent is None:
            session.info.pop(FLUSH, None)
            session.info.pop(WRITTEN, None)
            self.listener.transaction_ended(session, session.info.pop(_COMMITTED, False))


def _pk(model: Any, state: Any) -> Any:
    """Return the primary key of the object of *state*, without loading anything."""
    value = state.dict.get(state.mapper.get_property_by_column(state.mapper.primary_key[0]).key)
    if value is None and state.key is not None:
        value = state.key[1][0]
    return stored_key(model, value)


def _engine_of(session: Any, mapper: Any) -> Any:
    """Return the engine that a flush of the models of *mapper* uses."""
    if mapper is None:
        from pyramid_sqlalchemy import BaseObject

        return (session.bind or BaseObject.metadata.bind).engine
    return session.get_bind(mapper).engine
