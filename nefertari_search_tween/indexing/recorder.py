"""What the primary's capture reports becomes events; the end of a transaction starts indexing."""

from __future__ import annotations

from typing import Any, Callable

from nefertari_search_tween.indexing.events import (
    BulkDeleted,
    BulkUpdated,
    ItemCreated,
    ItemDeleted,
    ItemEvent,
    ItemUpdated,
)
from nefertari_search_tween.interfaces.primary import BulkChange, FlushedChanges, Key
from nefertari_search_tween.interfaces.primary_engine import Primary
from nefertari_search_tween.mirror.registry import MirrorRegistry


class ChangeRecorder:
    """The listener of the primary's capture; see :class:`ChangeListener`.

    :param primary: connected to its outbox.
    :param index: called with the token of the rows after a commit; must not raise.
    :param index_soon: called after a commit whose rows anyone may claim; must not raise.
    """

    def __init__(
        self,
        registry: Any,
        mirrors: MirrorRegistry,
        primary: Primary,
        index: Callable[[str], None],
        index_soon: Callable[[], None],
    ) -> None:
        self.registry = registry
        self.mirrors = mirrors
        self.primary = primary
        self.outbox = primary.outbox
        self.index = index
        self.index_soon = index_soon

    def change_begins(self, session: Any) -> None:
        """Do nothing: the models are complete."""

    def flushed(self, session: Any, changes: FlushedChanges) -> None:
        # First: on SQLite the transaction has the file's lock from here on, if it had not, and what
        # it looks up is complete.
        self.outbox.record_content_changes(session, changes.content_changes)
        # Documents that embed a changed object, and those that embed an object whose list of keys
        # changed.
        dependents = changes.related | self.primary.embedding(session, changes.content_changes)
        kinds: tuple[tuple[type[ItemEvent], list[Key]], ...] = (
            (ItemCreated, changes.created),
            (ItemUpdated, changes.updated),
            (ItemDeleted, changes.deleted),
        )
        for kind, keys in kinds:
            for key in keys:
                affected = self._mirrored({key, *dependents})
                dependents = set()
                model = self.primary.dependencies.models[key.model]
                self.registry.notify(kind(model, affected, session, self.registry, key.pk))
        if dependents:
            # Only rows that are no objects of a session's: links, or what the database changes.
            model = self.primary.dependencies.models[min(dependents, key=str).model]
            self.registry.notify(
                BulkUpdated(model, self._mirrored(dependents), session, self.registry, ())
            )

    def bulk_changed(self, session: Any, change: BulkChange) -> None:
        self.outbox.record_content_changes(session, change.content_changes)
        embedding = self.primary.embedding(session, change.content_changes)
        keys = self._mirrored({*change.keys, *change.related, *embedding})
        kind = BulkDeleted if change.deleted else BulkUpdated
        pks = tuple(key.pk for key in change.keys)
        self.registry.notify(kind(change.model, keys, session, self.registry, pks))

    def savepoint_rolled_back(self, session: Any) -> None:
        self.outbox.savepoint_rolled_back(session)

    def transaction_ended(self, session: Any, committed: bool) -> None:
        recorded = committed and self.outbox.has_recorded(session)
        token = self.outbox.committed(session) if committed else None
        self.outbox.rolled_back(session)
        if token is not None:
            self.index(token)
        elif recorded:
            self.index_soon()

    def _mirrored(self, keys: set[Key]) -> frozenset[Key]:
        return frozenset(key for key in keys if key.model in self.mirrors)
