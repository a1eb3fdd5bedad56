"""nefertari_mongodb as the primary of an application; see :class:`Primary`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary import ChangeListener, Key, Reader
from nefertari_search_tween.mirror.serializer import Serializers
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.cache_stats import MongoCacheStats
from nefertari_search_tween.primary.mongo.capture.startup import all_recorded
from nefertari_search_tween.primary.mongo.capture.write_wrappers import (
    WriteWrappers,
    disable_engine_indexing,
)
from nefertari_search_tween.primary.mongo.collections import narrowed
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
from nefertari_search_tween.primary.mongo.outbox.rebuild_lock import MongoRebuildLocks
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.mongo.reader import MongoReader
from nefertari_search_tween.primary.mongo.semantics import MongoSemantics

#: the field of nefertari-guards
ACL = "_acl"


class MongoPrimary:
    """See :class:`~nefertari_search_tween.interfaces.primary.Primary`."""

    #: With ``_fields`` it returns objects, whose other attributes are empty.
    rows: Optional[Callable[[list[Any]], Any]] = None

    def __init__(self) -> None:
        from mongoengine import QuerySet

        self.query_class: type = QuerySet
        self.models = schema.models()
        self._capture: Optional[WriteWrappers] = None

    def unmirrorable(self, model: Any) -> Optional[str]:
        return schema.unmirrorable(model)

    def mirror_definition(self, model: Any) -> dict[str, Any]:
        return {
            "fields": schema.field_specs(model),
            "base": schema.base_class(),
            "custom": schema.custom_to_dict(model),
            "left_out": schema.engine_members(model),
        }

    def related(self, model: Any) -> Iterable[Any]:
        return (reference.target for reference in schema.references(model))

    def readers(
        self, document_cls: Callable[[Any], type[BaseDocument]]
    ) -> Callable[[Any], MongoReader]:
        from nefertari import engine

        serializers = Serializers(document_cls, engine.JSONEncoder)
        return lambda model: MongoReader(model, serializers)

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> MongoSemantics:
        return MongoSemantics(model, document_cls)

    def dependencies(self, models: Iterable[Any]) -> Dependencies:
        return Dependencies(models)

    def outbox(self, dependencies: Dependencies, inline: bool) -> MongoOutbox:
        """:raises ConfigurationError: the database can't be reached, or its user may not."""
        from mongoengine.connection import ConnectionFailure, get_db
        from pymongo.errors import PyMongoError

        try:
            self._collections = Collections(get_db())
            self._collections.create_indexes()
        except ConnectionFailure as error:
            raise ConfigurationError(f"nefertari_mongodb is not connected: {error}") from error
        except PyMongoError as error:
            raise ConfigurationError(
                f"the collections of the outbox can't be made (docs/mongodb.rst): {error}"
            ) from error
        return MongoOutbox(self._collections, dependencies, inline)

    def rebuild_locks(self, dependencies: Dependencies) -> MongoRebuildLocks:
        return MongoRebuildLocks(
            self._collections, {model.__name__: model for model in dependencies.mirrored}
        )

    def cache_stats(self) -> MongoCacheStats:
        return MongoCacheStats(self._collections.cache_stats)

    def embedding(self, dependencies: Dependencies) -> Callable[[Any, Iterable[Key]], set[Key]]:
        # The write wrappers have found the documents that embed a change, after the write.
        return lambda unit, keys: set()

    def capture(
        self, dependencies: Dependencies, listener: ChangeListener, outbox: MongoOutbox
    ) -> WriteWrappers:
        self._capture = WriteWrappers(dependencies, listener, outbox)
        return self._capture

    def disable_engine_indexing(self) -> Any:
        """See :class:`~nefertari_search_tween.interfaces.primary.Primary`."""
        from nefertari_mongodb import BaseMixin

        disable_engine_indexing(self.models.values())
        return BaseMixin

    def uncommitted_session(self, outbox: MongoOutbox) -> Any:
        unit = None if self._capture is None else self._capture.unit
        return unit if unit is not None and outbox.has_recorded(unit) else None

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        rows = model.objects.only(model.pk_field(), ACL).no_dereference()
        keys = [getattr(each, model.pk_field()) for each in rows if allows(getattr(each, ACL))]
        return narrowed(model.objects, keys)

    def all_pending(self, outbox: MongoOutbox, model_name: str, reader: Reader) -> bool:
        return all_recorded(outbox, model_name, reader)

    def notifications(self, outbox: MongoOutbox) -> Any:
        # Change streams need a replica set: workers poll.
        return None
