"""nefertari_sqla as the primary of an application; see :class:`Primary`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.interfaces.primary import ChangeListener, Key, Reader
from nefertari_search_tween.mirror.serializer import Serializers
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.cache_stats import SqlaCacheStats
from nefertari_search_tween.primary.sqla.capture.session_events import (
    SessionEvents,
    disable_engine_indexing,
)
from nefertari_search_tween.primary.sqla.capture.startup import all_recorded
from nefertari_search_tween.primary.sqla.capture.triggers import install as triggers
from nefertari_search_tween.primary.sqla.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.item_acl import restrict_by_acl
from nefertari_search_tween.primary.sqla.outbox import tables
from nefertari_search_tween.primary.sqla.outbox.fan_out import FanOutPlan
from nefertari_search_tween.primary.sqla.outbox.notifications import listener as listener_of
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from nefertari_search_tween.primary.sqla.outbox.rebuild_lock import SqlaRebuildLocks
from nefertari_search_tween.primary.sqla.reader import SqlaReader
from nefertari_search_tween.primary.sqla.semantics import SqlaSemantics


class SqlaPrimary:
    """See :class:`~nefertari_search_tween.interfaces.primary.Primary`."""

    def __init__(self) -> None:
        from nefertari_sqla.utils import FieldsQuerySet
        from sqlalchemy.orm import Query

        self.rows: Optional[Callable[[list[Any]], Any]] = FieldsQuerySet
        self.query_class: type = Query
        self.models = schema.models()

    def unmirrorable(self, model: Any) -> Optional[str]:
        return schema.unmirrorable(model)

    def mirror_definition(self, model: Any) -> dict[str, Any]:
        return {
            "fields": schema.field_specs(model),
            "base": schema.base_class(),
            "custom": schema.custom_to_dict(model),
        }

    def related(self, model: Any) -> Iterable[Any]:
        return (each.mapper.class_ for each in schema.mapper_of(model).relationships)

    def readers(
        self, document_cls: Callable[[Any], type[BaseDocument]]
    ) -> Callable[[Any], SqlaReader]:
        from nefertari import engine

        serializers = Serializers(document_cls, engine.JSONEncoder)
        return lambda model: SqlaReader(model, serializers, _bind_of(model))

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> SqlaSemantics:
        return SqlaSemantics(model, document_cls, _bind_of(model))

    def dependencies(self, models: Iterable[Any]) -> Dependencies:
        return Dependencies(models)

    def outbox(self, dependencies: Dependencies, inline: bool) -> SqlaOutbox:
        # Of this application, also when another one is made later in this process.
        engine = self._engine = _engine()
        tables.create_missing(engine)
        outbox = SqlaOutbox(
            _mirrored(dependencies), FanOutPlan(dependencies), lambda: engine, inline=inline
        )
        outbox.triggers = triggers.present(engine)
        return outbox

    def rebuild_locks(self, dependencies: Dependencies) -> SqlaRebuildLocks:
        engine = self._engine
        return SqlaRebuildLocks(_mirrored(dependencies), lambda: engine)

    def cache_stats(self) -> SqlaCacheStats:
        tables.create_missing(self._engine, [tables.CACHE_STATS])
        return SqlaCacheStats(self._engine)

    def embedding(self, dependencies: Dependencies) -> Callable[[Any, Iterable[Key]], set[Key]]:
        return lambda session, keys: dependencies.embedding(session, keys, self.models)

    def capture(
        self, dependencies: Dependencies, listener: ChangeListener, outbox: SqlaOutbox
    ) -> SessionEvents:
        return SessionEvents(dependencies, listener)

    def disable_engine_indexing(self) -> Any:
        """See :class:`~nefertari_search_tween.interfaces.primary.Primary`."""
        from nefertari_sqla import BaseMixin

        disable_engine_indexing(self.models.values())
        return BaseMixin

    def uncommitted_session(self, outbox: SqlaOutbox) -> Any:
        from pyramid_sqlalchemy import Session

        if not Session.registry.has():
            return None
        session = Session()
        changed = session.new or session.dirty or session.deleted or outbox.has_recorded(session)
        return session if changed else None

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        return restrict_by_acl(model, allows)

    def all_pending(self, outbox: SqlaOutbox, model_name: str, reader: Reader) -> bool:
        return all_recorded(outbox.engine(), model_name, reader)

    def notifications(self, outbox: SqlaOutbox) -> Any:
        return listener_of(outbox.engine)


def _mirrored(dependencies: Dependencies) -> dict[str, Any]:
    return {model.__name__: model for model in dependencies.mirrored_models}


def _engine() -> Any:
    """Return the SQLAlchemy engine of the application, which the outbox is in."""
    from pyramid_sqlalchemy import BaseObject

    return BaseObject.metadata.bind


def _bind_of(model: Any) -> Any:
    """Return a function that returns the SQLAlchemy engine of the table of *model*."""

    def bind() -> Any:
        from pyramid_sqlalchemy import Session

        return Session().get_bind(model.__mapper__)

    return bind
