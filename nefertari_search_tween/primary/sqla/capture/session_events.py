"""SQLAlchemy session and query events -> changes of documents.

Keys are collected, never contents: the state is read after the commit. An extra key costs one
read, a missing one loses an update, so every doubt adds a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from sqlalchemy import event, false
from sqlalchemy.orm import Query, Session, attributes
from sqlalchemy.orm.persistence import BulkDelete, BulkEvaluate

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import (
    BulkChange,
    ChangeListener,
    FlushedChanges,
    Key,
)
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.capture.row_locks import begun_on_sqlite, lock
from nefertari_search_tween.primary.sqla.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.plain_query import as_plain, plain_query
from nefertari_search_tween.primary.sqla.reader import KEYS_PER_QUERY

_BEFORE = "nefertari_search.before_flush"
_COMMITTED = "nefertari_search.committed"
# A bulk statement is restricted to up to so many keys: a longer list costs more than it saves.
MAX_KEYS = 10_000


class HasDependencies(Protocol):
    """Knows the dependencies between the mirrored models, which may change before the capture of a
    change."""

    dependencies: Dependencies


class SessionEvents:
    """Reports the changes of every SQLAlchemy session to a listener."""

    def __init__(self, primary: HasDependencies, listener: ChangeListener) -> None:
        self.primary = primary
        self.listener = listener
        self._listeners = [
            (Session, "before_flush", self._before_flush),
            (Session, "after_flush", self._after_flush),
            (Session, "after_commit", self._after_commit),
            (Session, "after_transaction_end", self._after_transaction_end),
            (Session, "after_bulk_update", self._after_bulk),
            (Session, "after_bulk_delete", self._after_bulk),
            (Query, "before_compile_update", self._before_bulk),
            (Query, "before_compile_delete", self._before_bulk),
        ]

    def install(self) -> None:
        for target, name, handler in self._listeners:
            event.listen(target, name, handler, retval=target is Query)

    def remove(self) -> None:
        for target, name, handler in self._listeners:
            event.remove(target, name, handler)

    @property
    def dependencies(self) -> Dependencies:
        return self.primary.dependencies

    # Flushes

    def _before_flush(self, session: Any, flush_context: Any, instances: Any) -> None:
        """Remember what only the state before the flush has: old owners, old referrers."""
        self.listener.change_begins(session)
        old: dict[Any, dict[str, Any]] = {}
        unknown: dict[Any, list[Any]] = {}
        for model, state in self._tracked(session.dirty):
            names = self.dependencies.foreign_keys(model)
            if not names:
                continue
            values = {}
            for name in names:
                value = state.committed_state.get(name, state.dict.get(name, attributes.NO_VALUE))
                if value in (attributes.NO_VALUE, attributes.NEVER_SET):
                    unknown.setdefault(model, []).append(state)
                    break
                values[name] = value
            else:
                old[state] = values
        for model, states in unknown.items():
            old.update(self._stored_foreign_keys(session, model, states))
        dependents = self._previous_owners(session)
        # What references a key that changes: the database may change its foreign keys.
        for model, pks in self._changed_keys(session).items():
            lock(session, model, pks)
            dependents |= self.dependencies.dependents(session, model, pks)
        deleted: dict[Any, list[Any]] = {}
        for model, state in self._tracked(session.deleted):
            deleted.setdefault(model, []).append(_pk(model, state))
        for model, pks in deleted.items():
            if self.dependencies.is_referenced(model):
                lock(session, model, pks)
            dependents |= self.dependencies.dependents_of_deleted(session, model, pks)
        before = session.info.setdefault(_BEFORE, ({}, set()))
        before[0].update(old)
        before[1].update(dependents)

    def _tracked(self, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield model and state of those of *items* whose changes affect documents."""
        for item in items:
            if type(item) in self.dependencies.tracked_models:
                yield type(item), attributes.instance_state(item)

    def _previous_owners(self, session: Any) -> set[Key]:
        """Return the owners, as the database has them, of objects that are about to move to others.

        Another transaction may have moved them since this one has read them.
        """
        moved: dict[Any, list[Any]] = {}
        for model, state in self._tracked(session.dirty):
            names = self.dependencies.foreign_keys(model)
            owners = {prop.key for prop in state.mapper.relationships if not prop.uselist}
            if names and state.committed_state.keys() & (owners | names.keys()):
                moved.setdefault(model, []).append(state)
        owner_keys: set[Key] = set()
        for model, states in moved.items():
            lock(session, model, [_pk(model, state) for state in states])
            for values in self._stored_foreign_keys(session, model, states).values():
                owner_keys |= self._owners(model, values)
        return owner_keys

    def _changed_keys(self, session: Any) -> dict[Any, list[Any]]:
        """Return the stored keys of objects that are about to get another one, by model."""
        keys: dict[Any, list[Any]] = {}
        for model, state in self._tracked(session.dirty):
            if model.pk_field() in state.committed_state:
                keys.setdefault(model, []).append(state.key[1][0])
        return keys

    def _stored_foreign_keys(
        self, session: Any, model: Any, states: list[Any]
    ) -> dict[Any, dict[str, Any]]:
        by_pk = {_pk(model, state): state for state in states}
        with session.no_autoflush:
            stored = self._foreign_keys_of(session, model, list(by_pk))
        return {by_pk[pk]: values for pk, values in stored.items()}

    def _foreign_keys_of(
        self, session: Any, model: Any, pks: list[Any]
    ) -> dict[Any, dict[str, Any]]:
        """Return the stored foreign keys of the objects *pks* by name, by primary key."""
        names = list(self.dependencies.foreign_keys(model))
        pk = schema.pk_attribute(model)
        query = plain_query(session, pk, *(getattr(model, name) for name in names))
        return {row[0]: dict(zip(names, row[1:])) for row in query.filter(pk.in_(pks))}

    def _after_flush(self, session: Any, flush_context: Any) -> None:
        old, related = session.info.pop(_BEFORE, ({}, set()))
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
                previous = _typed(model, state.key[1][0])
                if previous != key.pk:
                    deleted.append(Key(key.model, previous))
                    related |= self.dependencies.dependents(session, model, [key.pk])
            for name, edge in self.dependencies.foreign_keys(model).items():
                before = old.get(state, {}).get(name)
                after = state.dict.get(name)
                if is_delete or state.key is None or before != after:
                    owner = edge.owner
                    related.update(
                        Key(owner.__name__, _typed(owner, pk))
                        for pk in (before, after)
                        if pk is not None
                    )
            related.update(self._related_by_history(model, state))
        if created or updated or deleted or related:
            self.listener.flushed(session, FlushedChanges(created, updated, deleted, related))

    def _related_by_history(self, model: Any, state: Any) -> set[Key]:
        """Return the objects that a relationship gained or lost, and whose documents hold it."""
        keys = set()
        for prop in state.mapper.relationships:
            if prop.key not in state.committed_state:
                continue
            target = prop.mapper.class_
            if target not in self.dependencies.mirrored_models:
                continue
            history = state.get_history(prop.key, attributes.PASSIVE_NO_INITIALIZE)
            for item in (*(history.added or ()), *(history.deleted or ())):
                if item is not None and item is not attributes.NEVER_SET:
                    pk = _pk(target, attributes.instance_state(item))
                    if pk is not None:
                        keys.add(Key(target.__name__, pk))
        return keys

    # Bulk statements

    def _before_bulk(self, query: Any, context: Any) -> Any:
        """Remember what the statement will change, and return the query to make it of."""
        self.listener.change_begins(query.session)
        model, deleting = _bulk_model(context), isinstance(context, BulkDelete)
        if model not in self.dependencies.tracked_models:
            return query
        names = list(self.dependencies.foreign_keys(model))
        pk = schema.pk_attribute(model)
        columns = as_plain(query).with_entities(pk, *(getattr(model, name) for name in names))
        alone = begun_on_sqlite(query.session, model)
        rows = columns.all() if alone else columns.with_for_update(of=model).all()
        pks = [row[0] for row in rows]
        related = {key for row in rows for key in self._owners(model, dict(zip(names, row[1:])))}
        if deleting:
            related |= self.dependencies.dependents_of_deleted(query.session, model, pks)
        all_pks = None
        if not deleting and _changes_key(model, context):
            # Which new key an old one becomes is not known: what is new in the table after the
            # statement comes from it.
            all_pks = {row[0] for row in plain_query(query.session, pk)}
            related |= self.dependencies.dependents(query.session, model, pks)
        context.nefertari_search_before = (pks, related, all_pks)
        if alone or isinstance(context, BulkEvaluate) or len(pks) > MAX_KEYS:
            return query
        # Without the rows that others have inserted since: the statement would change them without
        # a record. (`evaluate` does not support IN.)
        return query.filter(pk.in_(pks) if pks else false())

    def _owners(self, model: Any, foreign_keys: dict[str, Any]) -> set[Key]:
        """Return the owners that an object with these foreign keys has."""
        edges = self.dependencies.foreign_keys(model)
        return {
            Key(edges[name].owner.__name__, value)
            for name, value in foreign_keys.items()
            if value is not None
        }

    def _after_bulk(self, context: Any) -> None:
        model, deleted = _bulk_model(context), isinstance(context, BulkDelete)
        before = getattr(context, "nefertari_search_before", None)
        if model not in self.dependencies.tracked_models or before is None:
            return
        pks, related, all_pks = before
        session = context.session
        if all_pks is not None:
            with session.no_autoflush:
                now = {row[0] for row in plain_query(session, schema.pk_attribute(model))}
            pks = [*pks, *(now - all_pks)]
            related |= self.dependencies.dependents(session, model, now - all_pks)
        names = list(self.dependencies.foreign_keys(model))
        if not deleted and names:
            with session.no_autoflush:
                for part in chunks(pks, KEYS_PER_QUERY):
                    for values in self._foreign_keys_of(session, model, part).values():
                        related |= self._owners(model, values)
        keys = [Key(model.__name__, pk) for pk in pks]
        if keys:
            self.listener.bulk_changed(session, BulkChange(model, keys, related, deleted))

    # Transactions

    def _after_commit(self, session: Any) -> None:
        # Also called when a savepoint is released: then the change is not committed yet.
        if session.transaction is None or not session.transaction.nested:
            session.info[_COMMITTED] = True

    def _after_transaction_end(self, session: Any, transaction: Any) -> None:
        # Not right after the commit: until here the session holds a connection, and indexing
        # needs one, too. Many threads that each wait for a second one would deadlock.
        if transaction.parent is None:
            session.info.pop(_BEFORE, None)
            self.listener.transaction_ended(session, session.info.pop(_COMMITTED, False))
        elif transaction.nested:
            self.listener.savepoint_rolled_back(session)


def _pk(model: Any, state: Any) -> Any:
    """Return the primary key of the object of *state*, without loading anything."""
    value = state.dict.get(model.pk_field())
    if value is None and state.key is not None:
        value = state.key[1][0]
    return _typed(model, value)


def _typed(model: Any, pk: Any) -> Any:
    """Return *pk* as the database stores it: the key 7 may come as "7" (in JSON, in a tunnelled
    query string), and the object has it so until it is loaded again."""
    if pk is None or isinstance(pk, int) == schema.has_integer_pk(model):
        return pk
    return schema.parse_key(model, str(pk))


def _changes_key(model: Any, context: Any) -> bool:
    """Return True if the UPDATE of *context* sets the primary key."""
    pk = schema.pk_attribute(model)
    values = context.values
    names = values.keys() if hasattr(values, "keys") else [name for name, _ in values]
    column = schema.mapper_of(model).primary_key[0]
    return any(
        name == pk.key if isinstance(name, str) else name is pk or name is column for name in names
    )


def _bulk_model(context: Any) -> Any:
    mapper = getattr(context, "mapper", None)
    return None if mapper is None else mapper.class_


def disable_engine_indexing(models: Any) -> Any:
    """Remove the listeners by which nefertari_sqla itself indexes models; return the class whose
    ``get_collection`` all models have.

    They index inside the transaction, object by object, and reload each one.
    """
    from nefertari_sqla import BaseMixin, documents, signals
    from pyramid_sqlalchemy import Session as ScopedSession

    hooks = (
        ("after_insert", signals.on_after_insert),
        ("after_update", signals.on_after_update),
        ("after_delete", signals.on_after_delete),
    )
    for model in models:
        for cls in model.__mro__:
            for name, handler in hooks:
                if hasattr(cls, "_sa_class_manager") and event.contains(cls, name, handler):
                    event.remove(cls, name, handler)
    if event.contains(ScopedSession, "after_bulk_update", signals.on_bulk_update):
        event.remove(ScopedSession, "after_bulk_update", signals.on_bulk_update)
    # Called by name in _delete_many; the before_compile_delete event does its work.
    documents.on_bulk_delete = _index_nothing
    return BaseMixin


def _index_nothing(model_cls: Any, objects: Any, request: Any) -> None:
    """Replace nefertari_sqla's on_bulk_delete: the session events have reported the delete."""
