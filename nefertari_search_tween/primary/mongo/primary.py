"""nefertari_mongodb as the primary of an application."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.interfaces.primary import ChangeListener, Key, RequestHooks
from nefertari_search_tween.mirror.serializer import Serializers
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.capture.write_wrappers import (
    WriteWrappers,
    disable_engine_indexing,
)
from nefertari_search_tween.primary.mongo.collections import narrowed
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox import identity
from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
from nefertari_search_tween.primary.mongo.outbox.rebuild_lock import MongoRebuildLocks
from nefertari_search_tween.primary.mongo.outbox.tables import Collections
from nefertari_search_tween.primary.mongo.process_counts import MongoProcessCounts
from nefertari_search_tween.primary.mongo.reader import MongoReader
from nefertari_search_tween.primary.mongo.request_hooks import MongoRequestHooks
from nefertari_search_tween.primary.mongo.semantics import MongoSemantics

#: the field of nefertari-guards
ACL = "_acl"


class MongoPrimary:
    """See :class:`~nefertari_search_tween.interfaces.primary_engine.Primary`."""

    #: With ``_fields`` it returns objects, whose other attributes are empty.
    rows: Optional[Callable[[list[Any]], Any]] = None
    list_models = staticmethod(schema.models)
    unmirrorable = staticmethod(schema.unmirrorable)
    unusable = staticmethod(schema.unusable)
    mirror_definition = staticmethod(schema.mirror_definition)
    related = staticmethod(schema.related)
    semantics = staticmethod(MongoSemantics)

    def __init__(self) -> None:
        from mongoengine import QuerySet

        self.query_class: type = QuerySet
        self.models = schema.models()
        self.dependencies = Dependencies(())
        self._capture: Optional[WriteWrappers] = None

    def reader(
        self, model: Any, document_cls: Callable[[Any], type[BaseDocument]], hooks: RequestHooks
    ) -> MongoReader:
        return MongoReader(model, Serializers(document_cls))

    def request_hooks(self, model: Any, trusted: Collection[str]) -> MongoRequestHooks:
        return MongoRequestHooks(model, trusted)

    def connect(self, models: Iterable[Any], inline: bool) -> None:
        from mongoengine.connection import ConnectionFailure, get_db

        try:
            collections = Collections(get_db())
        except ConnectionFailure as error:
            raise ConfigurationError(f"nefertari_mongodb is not connected: {error}") from error
        self.dependencies = Dependencies(models)
        self.outbox = MongoOutbox(collections, self.dependencies, inline)
        self.rebuild_locks = MongoRebuildLocks(collections, self.dependencies.mirrored)

    def create_missing(self) -> None:
        from pymongo.errors import PyMongoError

        try:
            self.outbox.collections.create_indexes()
        except PyMongoError as error:
            raise ConfigurationError(
                f"the collections of the outbox can't be made (docs/mongodb.rst): {error}"
            ) from error

    def create_missing_in(self, session: Any) -> None:
        self.create_missing()

    def identity(self) -> Identity:
        return identity.identity(self.outbox.collections)

    def renew_identity(self) -> Identity:
        identity.renew(self.outbox.collections)
        return self.identity()

    def process_counts(self) -> MongoProcessCounts:
        return MongoProcessCounts(self.outbox.collections.counts)

    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]:
        # The write wrappers have found the documents that embed a change, after the write.
        return set()

    def capture(self, listener: ChangeListener) -> WriteWrappers:
        self._capture = WriteWrappers(self, listener)
        return self._capture

    def recording(self) -> AbstractContextManager[Any]:
        assert self._capture is not None
        return self._capture.running()

    def disable_engine_indexing(self) -> Any:
        return disable_engine_indexing(self.models.values())

    def uncommitted_session(self) -> Any:
        unit = None if self._capture is None else self._capture.unit
        return unit if unit is not None and self.outbox.has_recorded(unit) else None

    def has_written(self) -> bool:
        return self.uncommitted_session() is not None

    def write_watch(self) -> Callable[[], bool]:
        assert self._capture is not None
        writes = self._capture.writes
        number = writes.number
        return lambda: writes.number != number

    def limited(self, model: Any, seconds: float) -> AbstractContextManager[None]:
        import pymongo

        # The driver's own: max_time_ms of each command, and what remains of the time for the next.
        return pymongo.timeout(seconds)

    def is_timeout(self, error: BaseException) -> bool:
        from pymongo.errors import PyMongoError

        return isinstance(error, PyMongoError) and error.timeout

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        rows = model.objects.only(model.pk_field(), ACL).no_dereference()
        keys = [getattr(each, model.pk_field()) for each in rows if allows(getattr(each, ACL))]
        return narrowed(model.objects, keys)
