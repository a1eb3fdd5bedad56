"""What reading and writing need of a primary database engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Protocol, Union

if TYPE_CHECKING:
    from nefertari_search_tween.interfaces.cache_stats import CacheStatsStore
    from nefertari_search_tween.interfaces.rebuild_lock import RebuildLocks


class Key(NamedTuple):
    """One document: the name of its model and its primary key."""

    model: str
    pk: Any

    @classmethod
    def whole_model(cls, model: str) -> Key:
        """Return the key that represents all documents of a model."""
        return cls(model, None)


#: a document's JSON text, or the error that prevents it
Body = Union[bytes, Exception]


class FlushedChanges(NamedTuple):
    """What one flush changed.

    :param related: other documents whose relationship fields changed with it.
    """

    created: list[Key]
    updated: list[Key]
    deleted: list[Key]
    related: set[Key]


class BulkChange(NamedTuple):
    """What one bulk statement changed; see :class:`FlushedChanges`."""

    model: Any
    keys: list[Key]
    related: set[Key]
    deleted: bool


class ChangeListener(Protocol):
    """What the capture of a primary reports to. Sessions are the primary's own."""

    def flushed(self, session: Any, changes: FlushedChanges) -> None: ...

    def bulk_changed(self, session: Any, change: BulkChange) -> None: ...

    def savepoint_rolled_back(self, session: Any) -> None:
        """A savepoint of the transaction ended, perhaps by a rollback."""

    def transaction_ended(self, session: Any, committed: bool) -> None:
        """The transaction is over, and its connection is free again."""


class Reader(Protocol):
    """Reads the current state of one model's objects as document bodies.

    Every call reads in a separate transaction, begun after the call.
    """

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        """Return the bodies by primary key; a key that does not exist is left out."""

    def scan(self, chunk: int, after: Optional[Any] = None) -> Iterator[list[tuple[Any, Body]]]:
        """Yield all objects in primary key order, starting after the key *after*."""

    def count(self) -> int:
        """Return the number of objects."""

    def existing(self, pks: Iterable[Any]) -> set[Any]:
        """Return those of *pks* that objects have."""

    def key(self, text: str) -> Any:
        """Return the primary key that documents hold as *text*.

        :raises ValueError: no object of the model can have such a key.
        """


class Semantics(Protocol):
    """How the primary's database compares the values of one model.

    :ivar default_sort: what it sorts by if the request does not say, as in ``_sort``.
    :ivar first_sort_counts: of a column that is named twice in ``_sort``.
    """

    default_sort: list[str]
    first_sort_counts: bool

    def filter_value(self, name: str, value: Any) -> Any:
        """Return the value that the database compares the column *name* with, in its exact form;
        ``exceptions.NOTHING`` when no value of the column can equal it.

        :raises Unanswerable: the database would reject it, or read it in its own way.
        """

    def sortable(self, name: str) -> bool:
        """Return True if the database sorts the column by value (text: by code point)."""

    def nulls_first(self, descending: bool) -> bool:
        """Return True if the database sorts missing values first."""

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        """Return the names of the fields that the primary selects for ``_fields``, in its order.

        :raises Unanswerable: only the primary can tell.
        """

    def unloaded(self, name: str) -> Any:
        """Return the value, as in documents, of a field that the primary's objects were not loaded
        with; for primaries that return objects for ``_fields``."""


class ChangeCapture(Protocol):
    """Reports the changes of a primary to a :class:`ChangeListener`."""

    def install(self) -> None: ...

    def remove(self) -> None: ...


class Primary(Protocol):
    """A database engine of nefertari as the primary of one application.

    Made when all models are known. What one method returns and another takes (dependencies, the
    outbox) is of the primary's own class.

    :ivar models: all models by name.
    :ivar query_class: class of what ``get_collection`` returns.
    :ivar rows: turns dictionaries into what it returns for ``_fields``; None if these are objects,
        too.
    """

    models: dict[str, Any]
    query_class: type
    rows: Optional[Callable[[list[Any]], Any]]

    def unmirrorable(self, model: Any) -> Optional[str]:
        """Return why *model* can't be mirrored, None if it can."""

    def mirror_definition(self, model: Any) -> dict[str, Any]:
        """Return what a mirror model of *model* is generated from: the arguments of
        ``mirror.generator.generate`` besides the model."""

    def related(self, model: Any) -> Iterable[Any]:
        """Return the models that *model* has relationships to."""

    def readers(self, document_cls: Callable[[Any], type[Any]]) -> Callable[[Any], Reader]:
        """Return a function that returns the reader of a model.

        :param document_cls: returns the mirror model of a model.
        """

    def semantics(self, model: Any, document_cls: type[Any]) -> Semantics:
        """Return how the database compares values of *model*."""

    def dependencies(self, models: Iterable[Any]) -> Any:
        """Return the relationships between the mirrored *models*.

        They have ``tracked_models`` (the models whose changes affect documents) and
        ``untracked()`` (what documents hold that may change without a notice, a line for each).
        """

    def outbox(self, dependencies: Any, inline: bool) -> Any:
        """Return the :class:`~nefertari_search_tween.interfaces.outbox.Outbox`; what it needs in
        the database is created if it is missing.

        :param inline: this process indexes what it records; else workers do.
        :raises ConfigurationError: it can't be created.
        """

    def rebuild_locks(self, dependencies: Any) -> RebuildLocks:
        """Return the locks of rebuilds; called after :meth:`outbox`."""

    def cache_stats(self) -> CacheStatsStore:
        """Return where caches store their statistics, created if it is missing; called after
        :meth:`outbox`."""

    def embedding(self, dependencies: Any) -> Callable[[Any, Iterable[Key]], set[Key]]:
        """Return a function (session, keys) -> documents that hold the contents of these, which the
        capture does not report."""

    def capture(
        self, dependencies: Any, listener: ChangeListener, outbox: Any
    ) -> ChangeCapture: ...

    def disable_engine_indexing(self) -> Any:
        """Disable the engine's own indexing, and return the class whose ``get_collection`` all
        models have."""

    def uncommitted_session(self, outbox: Any) -> Any:
        """Return the running session (or unit of work) of this thread if it has uncommitted
        changes, else None."""

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        """Return a query for the objects of *model* whose stored ACL *allows* them to be seen.

        :param allows: decides by the entries of one ACL.
        """

    def all_pending(self, outbox: Any, model_name: str, reader: Reader) -> bool:
        """Return True if every object of a model is pending: then an empty index is good enough."""

    def notifications(self, outbox: Any) -> Any:
        """Return a :class:`~nefertari_search_tween.interfaces.outbox.NotificationListener` for
        workers; None: they poll."""
