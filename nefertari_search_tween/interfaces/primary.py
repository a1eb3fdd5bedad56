"""What reading and writing need of a primary database engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Protocol, Union

if TYPE_CHECKING:
    from nefertari_search_tween.documents.mirror_document import BaseDocument
    from nefertari_search_tween.interfaces.cache_stats import CacheStatsStore


class Key(NamedTuple):
    """One document: the name of its model and its primary key."""

    model: str
    pk: Any


#: a document's JSON text, or the error that says why there is none
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
    """What the hooks of a primary report to. Sessions are the primary's own."""

    def flushed(self, session: Any, changes: FlushedChanges) -> None: ...

    def bulk_changed(self, session: Any, change: BulkChange) -> None: ...

    def savepoint_rolled_back(self, session: Any) -> None:
        """A savepoint of the transaction ended, perhaps by a rollback."""

    def transaction_ended(self, session: Any, committed: bool) -> None:
        """The transaction is over, and its connection is free again."""


class Reader(Protocol):
    """Reads the current state of one model's objects as document bodies.

    Every call reads in a transaction of its own, begun after the call.
    """

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        """Bodies by primary key; a key that does not exist is left out."""

    def scan(self, chunk: int, after: Optional[Any] = None) -> Iterator[list[tuple[Any, Body]]]:
        """All objects in primary key order, starting behind the key *after*."""

    def count(self) -> int:
        """Number of objects."""

    def existing(self, pks: Iterable[Any]) -> set[Any]:
        """Those of *pks* that there are objects of."""

    def key(self, text: str) -> Any:
        """The primary key that is written *text* in documents.

        :raises ValueError: no object of the model can have such a key.
        """


class Semantics(Protocol):
    """How the primary's database compares the values of one model.

    :ivar default_sort: its order without ``_sort``, in the same form.
    :ivar first_sort_counts: of a column that ``_sort`` names twice, the first one counts.
    """

    default_sort: list[str]
    first_sort_counts: bool

    def filter_value(self, name: str, value: Any) -> Any:
        """Return the value that the database compares the column *name* with, in its exact form;
        ``exceptions.NOTHING`` if no value of the column can equal it.

        :raises Unanswerable: the database would reject it, or interpret it in its own way.
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
        """Return what documents of the primary's objects contain for a field that is not selected;
        for primaries that return objects then."""


class ChangeCapture(Protocol):
    """Reports the changes of a primary to a :class:`ChangeListener`."""

    def install(self) -> None: ...

    def remove(self) -> None: ...


class Primary(Protocol):
    """A database engine of nefertari as the primary of one application.

    Made when all models are known. What one method gives and another takes (relations, the
    outbox) is the primary's own kind of it.

    :ivar models: all models by name.
    :ivar query_class: class of what ``get_collection`` gives.
    :ivar rows: makes what it gives for ``_fields`` of dictionaries; None where that are objects,
        too.
    """

    models: dict[str, Any]
    query_class: type
    rows: Optional[Callable[[list[Any]], Any]]

    def unmirrorable(self, model: Any) -> Optional[str]:
        """Why no mirror of *model* can be made, None when one can."""

    def mirror_definition(self, model: Any) -> dict[str, Any]:
        """What a mirror of *model* is generated from: arguments of ``mirror.generator.generate``
        besides the model."""

    def related(self, model: Any) -> Iterable[Any]:
        """Models that *model* has relationships to."""

    def readers(self, document_cls: Callable[[Any], type[BaseDocument]]) -> Callable[[Any], Reader]:
        """Gives readers, by model.

        :param document_cls: gives the mirror model of a model.
        """

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> Semantics:
        """How the database compares values of *model*."""

    def dependencies(self, chosen: Iterable[Any]) -> Any:
        """The relationships between the mirrored models *chosen*.

        It has ``watched`` (models whose changes documents show) and ``unfollowed()``.
        """

    def outbox(self, relations: Any, owned: bool) -> Any:
        """The outbox; what it needs in the database is made when it is missing.

        :param owned: see :class:`~nefertari_search_tween.interfaces.outbox.Outbox`.
        :raises ConfigurationError: it can't be made.
        """

    def rebuild_locks(self, relations: Any) -> Any:
        """Where builds are written down; asked after :meth:`outbox`."""

    def cache_stats(self) -> CacheStatsStore:
        """Where caches write down what they found; made when it is missing. Asked after
        :meth:`outbox`."""

    def embedding(self, relations: Any) -> Callable[[Any, Iterable[Key]], set[Key]]:
        """(session, keys) -> documents that hold the contents of these, where the hooks do not
        report them."""

    def capture(self, relations: Any, listener: ChangeListener, outbox: Any) -> ChangeCapture: ...

    def disable_engine_indexing(self) -> Any:
        """Take off the engine's own indexing; gives the class whose ``get_collection`` all models
        have."""

    def uncommitted_session(self, outbox: Any) -> Any:
        """The running session (or unit of work) of this thread, if it has changed something that is
        not committed; else None."""

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        """A query for the objects of *model* whose stored ACL *allows* them to be seen.

        :param allows: decides by the entries of one ACL.
        """

    def all_pending(self, outbox: Any, model_name: str, reader: Reader) -> bool:
        """True when every object of a model waits in the outbox: an empty index is as good as
        any."""

    def notifications(self, outbox: Any) -> Any:
        """Where workers hear of what was recorded (``indexing.alarm.News``); None: they look."""
