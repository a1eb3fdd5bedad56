"""Writes of MongoEngine's documents and query sets -> changes of documents.

Around each write: its keys are recorded in the outbox before it (see outbox.py), and reported to
the listener after it. Keys are collected, never contents. An extra key costs one read, a missing
one loses an update, so every doubt adds a key.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Callable, Optional, Protocol

from pymongo.errors import PyMongoError

from nefertari_search_tween.concurrency.threads import ThreadCounter
from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.interfaces.primary import (
    BulkChange,
    ChangeListener,
    FlushedChanges,
    Key,
)
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import current, narrowed
from nefertari_search_tween.primary.mongo.dependencies import Dependencies
from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
from nefertari_search_tween.primary.mongo.outbox.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

# A bulk write is restricted to up to so many keys; above that the whole model is indexed.
MAX_KEYS = 10_000


class HasOutbox(Protocol):
    """Has what the mirrored models need, which may change before the capture of a change."""

    dependencies: Dependencies
    outbox: MongoOutbox


class WriteWrappers:
    """Reports the writes of every model to a listener."""

    def __init__(self, primary: HasOutbox, listener: ChangeListener) -> None:
        self.primary = primary
        self.listener = listener
        self._local = threading.local()
        self.writes = ThreadCounter()
        self._replaced: list[tuple[type, str, Any]] = []

    def install(self) -> None:
        from mongoengine import Document, signals
        from mongoengine.queryset.base import BaseQuerySet
        from nefertari_mongodb import BaseDocument, BaseMixin

        for cls, name, wrapper in (
            (Document, "save", self._saving),
            (BaseQuerySet, "insert", self._inserting),
            (BaseQuerySet, "update", self._updating),
            (BaseQuerySet, "modify", self._modifying),
            (BaseQuerySet, "delete", self._deleting),
            # With the writes that they cause: backreferences, the objects one by one.
            (BaseDocument, "save", self._together),
            (BaseMixin, "_update_many", self._together),
            (BaseMixin, "_delete_many", self._together),
            (Document, "drop_collection", self._dropping),
        ):
            self._replace(cls, name, wrapper)
        signals.pre_save_post_validation.connect(self._about_to_save)

    def _replace(self, cls: Any, name: str, wrapper: Callable[..., Any]) -> None:
        member = vars(cls)[name]
        self._replaced.append((cls, name, member))
        is_class_method = isinstance(member, classmethod)
        original = member.__func__ if is_class_method else member

        @wraps(original)
        def replacement(subject: Any, *args: Any, **kwargs: Any) -> Any:
            self.writes.add()
            self.listener.change_begins(self.unit)
            return wrapper(original, subject, *args, **kwargs)

        setattr(cls, name, classmethod(replacement) if is_class_method else replacement)

    def remove(self) -> None:
        from mongoengine import signals

        signals.pre_save_post_validation.disconnect(self._about_to_save)
        while self._replaced:
            cls, name, member = self._replaced.pop()
            setattr(cls, name, member)

    @property
    def dependencies(self) -> Dependencies:
        return self.primary.dependencies

    @property
    def outbox(self) -> MongoOutbox:
        return self.primary.outbox

    # Units

    @property
    def unit(self) -> Optional[UnitOfWork]:
        """The running unit of this thread."""
        return getattr(self._local, "unit", None)

    @contextmanager
    def running(self) -> Iterator[UnitOfWork]:
        """Provide the running unit of this thread, or a new one, which ends with this."""
        unit = self.unit
        if unit is None:
            unit = self._local.unit = UnitOfWork()
        unit.depth += 1
        try:
            yield unit
        finally:
            unit.depth -= 1
            if unit.depth == 0:
                self._local.unit = None
                self._unit_ended(unit)

    def _unit_ended(self, unit: UnitOfWork) -> None:
        # Also after an error: what was written before it is not rolled back.
        with _delay_logged():
            self.listener.transaction_ended(unit, True)

    def _together(self, original: Any, subject: Any, *args: Any, **kwargs: Any) -> Any:
        with self.running():
            return original(subject, *args, **kwargs)

    # Single objects

    def _saving(self, original: Any, document: Any, *args: Any, **kwargs: Any) -> Any:
        if type(document) not in self.dependencies.tracked_models:
            return original(document, *args, **kwargs)
        with self.running() as unit:
            saving = _Saving(document)
            self._stack.append(saving)
            try:
                result = original(document, *args, **kwargs)
            finally:
                self._stack.pop()
            if saving.key is not None:
                self._changed(unit, saving.key, saving.created, saving.fan_out)
            return result

    @property
    def _stack(self) -> list[_Saving]:
        stack: list[_Saving] = self._local.__dict__.setdefault("stack", [])
        return stack

    def _about_to_save(self, sender: Any, document: Any, created: bool, **kwargs: Any) -> None:
        """Record the intent: the document is valid, and is written next."""
        unit = self.unit
        saving = self._stack[-1] if self._stack else None
        if unit is None or saving is None or saving.document is not document:
            return
        model = type(document)
        generated = _give_key(document)
        key_changed = model.pk_field() in document._get_changed_fields()
        saving.created = created or key_changed
        # A key from the caller may be referenced before its object exists.
        saving.fan_out = (
            FanOut.REFERENCING if saving.created and not generated else FanOut.EMBEDDING
        )
        saving.key = Key(model.__name__, document.pk)
        self.outbox.record_intent(unit, [saving.key], saving.fan_out)

    def _changed(self, unit: UnitOfWork, key: Key, created: bool, fan_out: int) -> None:
        dependents = self._dependents([key], fan_out == FanOut.EMBEDDING)
        changes = FlushedChanges([key] if created else [], [] if created else [key], [], dependents)
        self._report(unit, self.listener.flushed, changes)

    def _dependents(self, keys: list[Key], nested_only: bool = False) -> set[Key]:
        """Return the documents that depend on *keys*, as stored now."""
        dependents: set[Key] = set()
        with _delay_logged():
            dependents = self.dependencies.dependents(keys, nested_only)
        return dependents

    def _report(self, unit: UnitOfWork, to: Callable[[Any, Any], None], change: Any) -> None:
        with _delay_logged():
            to(unit, change)

    # Query sets

    def _inserting(
        self, original: Any, queryset: Any, doc_or_docs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        model = queryset._document
        if model not in self.dependencies.tracked_models:
            return original(queryset, doc_or_docs, *args, **kwargs)
        documents = doc_or_docs if isinstance(doc_or_docs, (list, tuple)) else [doc_or_docs]
        with self.running() as unit:
            generated = [_give_key(each) for each in documents]
            keys = [Key(model.__name__, each.pk) for each in documents if each.pk is not None]
            self.outbox.record_intent(
                unit, keys, FanOut.EMBEDDING if all(generated) else FanOut.REFERENCING
            )
            result = original(queryset, doc_or_docs, *args, **kwargs)
            dependents = set() if all(generated) else self._dependents(keys)
            self._report(unit, self.listener.flushed, FlushedChanges(keys, [], [], dependents))
            return result

    def _updating(self, original: Any, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        model = queryset._document
        if model not in self.dependencies.tracked_models or queryset._none or queryset._empty:
            return original(queryset, *args, **kwargs)
        upsert = bool(kwargs.get("upsert") or (args and args[0]))
        with self.running() as unit:
            keys = self._matching(queryset)
            changed = keys if keys is not None and (keys or not upsert) else None
            intended = self._intend(unit, model, changed, FanOut.EMBEDDING)
            if changed is not None and not upsert and not _single(queryset._query):
                # Without what others have inserted since: its change would have no record.
                queryset = narrowed(queryset, (key.pk for key in changed))
            full = kwargs.pop("full_result", False)
            result = original(queryset, *args, full_result=True, **kwargs)
            if result == 0:
                # Nothing can match: MongoEngine did not ask the database.
                return result
            if changed is None and upsert and keys is not None:
                created = result.upserted_id
                changed = [] if created is None else [Key(model.__name__, created)]
                self._narrow_intents(unit, intended, changed)
            self._bulk(unit, model, changed, intended, deleted=False)
            return result if full else result.raw_result["n"]

    def _modifying(self, original: Any, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        model = queryset._document
        if model not in self.dependencies.tracked_models or queryset._none or queryset._empty:
            return original(queryset, *args, **kwargs)
        with self.running() as unit:
            # Which object it changes is known after that.
            single = _single(queryset._query)
            changed = None if single is None else [Key(model.__name__, single)]
            removes = bool(kwargs.get("remove"))
            intended = self._intend(
                unit, model, changed, FanOut.REFERENCING if removes else FanOut.EMBEDDING
            )
            result = original(queryset, *args, **kwargs)
            if changed is None and (result is not None or not kwargs.get("upsert")):
                changed = [] if result is None else [Key(model.__name__, result.pk)]
                self._narrow_intents(unit, intended, changed)
            self._bulk(unit, model, changed, intended, deleted=removes)
            return result

    def _deleting(
        self,
        original: Any,
        queryset: Any,
        write_concern: Any = None,
        _from_doc_delete: bool = False,
        cascade_refs: Any = None,
    ) -> Any:
        model = queryset._document
        rest = (write_concern, _from_doc_delete, cascade_refs)
        if model not in self.dependencies.tracked_models or queryset._none or queryset._empty:
            return original(queryset, *rest)
        with self.running() as unit:
            if not _from_doc_delete and (queryset._skip or queryset._limit or _signalled(model)):
                # MongoEngine deletes them one by one, and calls this again with each.
                return original(queryset, *rest)
            deleted_keys = self._matching(queryset)
            intended = self._intend(unit, model, deleted_keys, FanOut.REFERENCING)
            if deleted_keys is not None and _single(queryset._query) is None:
                queryset = narrowed(queryset, (key.pk for key in deleted_keys))
            result = original(queryset, *rest)
            if _from_doc_delete and deleted_keys is not None:
                changes = FlushedChanges([], [], deleted_keys, self._dependents(deleted_keys))
                self._report(unit, self.listener.flushed, changes)
            else:
                self._bulk(unit, model, deleted_keys, intended, deleted=True)
            return result

    def _dropping(self, original: Any, model: Any) -> Any:
        if model not in self.dependencies.tracked_models:
            return original(model)
        with self.running() as unit:
            self._intend(unit, model, None, FanOut.REFERENCING)
            return original(model)

    def _matching(self, queryset: Any) -> Optional[list[Key]]:
        """Return the keys of the objects that *queryset* would change; None: too many."""
        name = queryset._document.__name__
        single = _single(queryset._query)
        if single is not None:
            return [Key(name, single)]
        rows = current(queryset._collection).find(queryset._query, {"_id": 1})
        keys = [Key(name, row["_id"]) for row in rows.limit(MAX_KEYS + 1)]
        return None if len(keys) > MAX_KEYS else keys

    def _intend(
        self, unit: UnitOfWork, model: Any, keys_or_all: Optional[list[Key]], fan_out: int
    ) -> list[Key]:
        """Record the intent to change *keys_or_all*, or any object of *model* if it is None."""
        keys = [Key.whole_model(model.__name__)] if keys_or_all is None else keys_or_all
        self.outbox.record_intent(unit, keys, fan_out)
        return keys

    def _narrow_intents(self, unit: UnitOfWork, intended: list[Key], keys: list[Key]) -> None:
        with _delay_logged():
            # In this order: until the exact keys are recorded, the others represent them.
            self.outbox.record_intent(unit, keys, FanOut.REFERENCING)
            for key in intended:
                self.outbox.cancel_intent(unit, key)

    def _bulk(
        self,
        unit: UnitOfWork,
        model: Any,
        keys: Optional[list[Key]],
        intended: list[Key],
        deleted: bool,
    ) -> None:
        if keys is None:
            # Every object of the model, and every document of the models that depend on it.
            owners = self.dependencies.referencing_models(model)
            related = {Key.whole_model(owner.__name__) for owner in owners}
            change = BulkChange(model, intended, related, False)
            self._report(unit, self.listener.bulk_changed, change)
        elif keys:
            dependents = self._dependents(keys, nested_only=not deleted)
            change = BulkChange(model, keys, dependents, deleted)
            self._report(unit, self.listener.bulk_changed, change)


class _Saving:
    """A document that is being saved.

    :ivar key: set when it is about to be written.
    """

    def __init__(self, document: Any) -> None:
        self.document = document
        self.key: Optional[Key] = None
        self.created = False
        self.fan_out = FanOut.REFERENCING


def _give_key(document: Any) -> bool:
    """Give *document* the key that the driver would, and return True if it did not have one."""
    from bson import ObjectId

    if document.pk is None and schema.has_made_keys(type(document)):
        created = document._created
        document.pk = ObjectId()
        # MongoEngine takes a document that is given a key for one that is stored.
        document._created = created
        return True
    return False


def _single(query: Any) -> Any:
    """Return the key if *query* has no other condition than one key, else None."""
    if set(query) != {"_id"} or isinstance(query["_id"], dict):
        return None
    return query["_id"]


def _signalled(model: Any) -> bool:
    from mongoengine import signals

    return bool(
        signals.pre_delete.has_receivers_for(model) or signals.post_delete.has_receivers_for(model)
    )


@contextmanager
def _delay_logged() -> Iterator[None]:
    """Log an error after a write: its intent is indexed when the lease expires."""
    try:
        yield
    except PyMongoError as error:
        log.warning("a write was made, and will be indexed later: %s", error)


def disable_engine_indexing(models: Any) -> Any:
    """Disconnect the signals by which nefertari_mongodb itself indexes models; return the class
    whose ``get_collection`` all models have."""
    from mongoengine import signals
    from nefertari_mongodb import BaseMixin, documents
    from nefertari_mongodb import signals as engine_signals

    for model in models:
        for cls in model.__mro__:
            signals.post_save.disconnect(engine_signals.on_post_save, sender=cls)
            signals.post_delete.disconnect(engine_signals.on_post_delete, sender=cls)
    documents.on_bulk_update = _index_nothing
    return BaseMixin


def _index_nothing(model_cls: Any, objects: Any, request: Any) -> None:
    """Replace nefertari_mongodb's on_bulk_update: the wrapped query set has reported it."""
