"""nefertari_sqla as the primary of an application."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable, Optional

from pyramid_sqlalchemy import Session
from sqlalchemy.pool import QueuePool

from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.interfaces.primary import ChangeListener, Key, RequestHooks
from nefertari_search_tween.mirror.serializer import Serializers
from nefertari_search_tween.primary.sqla import schema, time_limit
from nefertari_search_tween.primary.sqla.capture.connection_events import ConnectionEvents
from nefertari_search_tween.primary.sqla.capture.engine_indexing import disable_engine_indexing
from nefertari_search_tween.primary.sqla.capture.own_writes import (
    connections_of,
    may_have_changed_rows,
)
from nefertari_search_tween.primary.sqla.capture.session_events import SessionEvents
from nefertari_search_tween.primary.sqla.capture.triggers import install as triggers
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.item_acl import restrict_by_acl
from nefertari_search_tween.primary.sqla.outbox import identity, tables
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from nefertari_search_tween.primary.sqla.outbox.rebuild_lock import SqlaRebuildLocks
from nefertari_search_tween.primary.sqla.outbox.transaction import WRITTEN
from nefertari_search_tween.primary.sqla.plain_query import connection_of
from nefertari_search_tween.primary.sqla.process_counts import SqlaProcessCounts
from nefertari_search_tween.primary.sqla.reader import SqlaReader
from nefertari_search_tween.primary.sqla.request_hooks import SqlaRequestHooks
from nefertari_search_tween.primary.sqla.semantics import SqlaSemantics

# Pools of the parent of a fork.
_INHERITED: list[Any] = []


class SqlaPrimary(PerProcess):
    """See :class:`~nefertari_search_tween.interfaces.primary_engine.Primary`."""

    list_models = staticmethod(schema.models)
    unmirrorable = staticmethod(schema.unmirrorable)
    unusable = staticmethod(schema.unusable)
    mirror_definition = staticmethod(schema.mirror_definition)
    related = staticmethod(schema.related)
    restrict_by_acl = staticmethod(restrict_by_acl)
    is_timeout = staticmethod(time_limit.is_timeout)

    def __init__(self) -> None:
        from nefertari_sqla.utils import FieldsQuerySet
        from sqlalchemy.orm import Query

        self.rows: Optional[Callable[[list[Any]], Any]] = FieldsQuerySet
        self.query_class: type = Query
        self.models = schema.models()
        self.dependencies = Dependencies(())
        self._capture: Optional[SessionEvents] = None

    def reader(
        self, model: Any, document_cls: Callable[[Any], type[BaseDocument]], hooks: RequestHooks
    ) -> SqlaReader:
        return SqlaReader(model, Serializers(document_cls), _bind_of(model), hooks)

    def request_hooks(self, model: Any, trusted: Collection[str]) -> SqlaRequestHooks:
        return SqlaRequestHooks(model, _bind_of(model), trusted)

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> SqlaSemantics:
        return SqlaSemantics(model, document_cls, _bind_of(model))

    def connect(self, models: Iterable[Any], inline: bool) -> None:
        from pyramid_sqlalchemy import BaseObject

        # Of this application, also when another one is made later in this process.
        engine = BaseObject.metadata.bind
        # Sessions may have another one, with its own pool: nefertari_sqla makes it in
        # setup_database, pyramid_sqlalchemy when it is included.
        self._engines = [engine, *(_bind_of(model)() for model in self.models.values())]
        self.watch_forks()
        self.dependencies = Dependencies(models)
        self.outbox = SqlaOutbox(self.dependencies, engine, inline)
        self.rebuild_locks = SqlaRebuildLocks(self.dependencies.mirrored, engine)

    def after_fork_in_child(self) -> None:
        # Start-up leaves connections in the pool, ours and the application's; the child's are new
        # ones. A pool in memory is the database itself.
        for engine in {id(each): each for each in self._engines}.values():
            if isinstance(engine.pool, QueuePool):
                # To close them here would end those of the parent.
                _INHERITED.append(engine.pool)
                engine.pool = engine.pool.recreate()

    def create_missing(self) -> None:
        self.outbox.create_missing()
        self.outbox.triggers = triggers.present(self.outbox.engine)

    def create_missing_in(self, session: Any) -> None:
        # Tables are created by setup_database, or else by a migration that knows ours or not.
        connection = connection_of(session, None)
        if connection.dialect.name != "sqlite":
            tables.create_missing(connection.engine)
            return
        # Its one writer may be this transaction.
        for table in tables.TABLES:
            table.create(connection, checkfirst=True)

    def identity(self) -> Identity:
        return identity.identity(self.outbox.engine)

    def renew_identity(self) -> Identity:
        identity.renew(self.outbox.engine)
        return self.identity()

    def process_counts(self) -> SqlaProcessCounts:
        return SqlaProcessCounts(self.outbox.engine)

    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]:
        return self.dependencies.embedding(session, keys)

    def capture(self, listener: ChangeListener) -> SessionEvents:
        self._capture = SessionEvents(self, listener)
        return self._capture

    @contextmanager
    def recording(self) -> Iterator[Any]:
        from zope.sqlalchemy import mark_changed

        session = Session()
        yield session
        mark_changed(session)

    def disable_engine_indexing(self) -> Any:
        return disable_engine_indexing(self.models.values())

    def limited(self, model: Any, seconds: float) -> AbstractContextManager[None]:
        return time_limit.limited(_bind_of(model)(), seconds)

    def uncommitted_session(self) -> Any:
        if not Session.registry.has():
            return None
        session = Session()
        written = session.info.get(WRITTEN) or self.outbox.has_recorded(session)
        return session if session.new or session.dirty or session.deleted or written else None

    def has_written(self) -> bool:
        if not Session.registry.has():
            return False
        session = Session()
        return self.uncommitted_session() is not None or any(
            may_have_changed_rows(session, connection)
            for connection in connections_of(session)
            if self._connections.database.has(connection.engine)
        )

    def write_watch(self) -> Callable[[], bool]:
        writes = self._connections.writes
        number = writes.number
        return lambda: writes.number != number or self.has_written()

    @property
    def _connections(self) -> ConnectionEvents:
        assert self._capture is not None
        return self._capture.connections

    def follows_texts(self) -> bool:
        """Return True if what SQL text changes is recorded by triggers."""
        outbox = getattr(self, "outbox", None)
        return outbox is not None and bool(outbox.triggers)


def _bind_of(model: Any) -> Any:
    """Return a function that returns the SQLAlchemy engine of the table of *model*."""

    def bind() -> Any:
        return Session().get_bind(model.__mapper__)

    return bind
