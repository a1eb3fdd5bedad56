"""nefertari_sqla as the primary of an application; see :class:`Primary`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.interfaces.primary import ChangeListener, Key, Reader
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.cache_stats import SqlaFigures
from nefertari_search_tween.primary.sqla.capture.session_events import (
    SessionHooks,
    remove_engine_hooks,
)
from nefertari_search_tween.primary.sqla.capture.startup import all_recorded
from nefertari_search_tween.primary.sqla.capture.triggers import install as triggers
from nefertari_search_tween.primary.sqla.dependencies import Relations
from nefertari_search_tween.primary.sqla.item_acl import visible_only
from nefertari_search_tween.primary.sqla.outbox import tables
from nefertari_search_tween.primary.sqla.outbox.fan_out import Spreader
from nefertari_search_tween.primary.sqla.outbox.notifications import listener as listener_of
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from nefertari_search_tween.primary.sqla.outbox.rebuild_lock import SqlaRebuilds
from nefertari_search_tween.primary.sqla.reader import Sources, SqlaReader
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

    def description(self, model: Any) -> dict[str, Any]:
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

        sources = Sources(document_cls, engine.JSONEncoder)
        return lambda model: SqlaReader(model, sources, _bind_of(model))

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> SqlaSemantics:
        return SqlaSemantics(model, document_cls, _bind_of(model))

    def relations(self, chosen: Iterable[Any]) -> Relations:
        return Relations(chosen)

    def outbox(self, relations: Relations, owned: bool) -> SqlaOutbox:
        # This application's own, also when another one is made later in this process.
        engine = self._engine = _engine()
        tables.create_missing(engine)
        outbox = SqlaOutbox(_mirrored(relations), Spreader(relations), lambda: engine, owned=owned)
        outbox.triggers = triggers.present(engine)
        return outbox

    def rebuilds(self, relations: Relations) -> SqlaRebuilds:
        engine = self._engine
        return SqlaRebuilds(_mirrored(relations), lambda: engine)

    def cache_figures(self) -> SqlaFigures:
        tables.create_missing(self._engine, [tables.CACHES])
        return SqlaFigures(self._engine)

    def embedding(self, relations: Relations) -> Callable[[Any, Iterable[Key]], set[Key]]:
        return lambda session, keys: relations.embedding(session, keys, self.models)

    def hooks(
        self, relations: Relations, listener: ChangeListener, outbox: SqlaOutbox
    ) -> SessionHooks:
        return SessionHooks(relations, listener)

    def take_over(self) -> Any:
        """Take off what nefertari_sqla hooks to indexed models; gives the class whose
        ``get_collection`` all models have."""
        from nefertari_sqla import BaseMixin

        remove_engine_hooks(self.models.values())
        return BaseMixin

    def changing(self, outbox: SqlaOutbox) -> Any:
        from pyramid_sqlalchemy import Session

        if not Session.registry.has():
            return None
        session = Session()
        changed = session.new or session.dirty or session.deleted or outbox.uncommitted(session)
        return session if changed else None

    def visible_only(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        return visible_only(model, allows)

    def all_recorded(self, outbox: SqlaOutbox, model_name: str, reader: Reader) -> bool:
        return all_recorded(outbox.engine(), model_name, reader)

    def news(self, outbox: SqlaOutbox) -> Any:
        return listener_of(outbox.engine)


def _mirrored(relations: Relations) -> dict[str, Any]:
    return {model.__name__: model for model in relations.mirrored_models}


def _engine() -> Any:
    """The SQLAlchemy engine of the application, which the outbox is in."""
    from pyramid_sqlalchemy import BaseObject

    return BaseObject.metadata.bind


def _bind_of(model: Any) -> Any:
    """Gives the SQLAlchemy engine that the table of *model* is in."""

    def bind() -> Any:
        from pyramid_sqlalchemy import Session

        return Session().get_bind(model.__mapper__)

    return bind
