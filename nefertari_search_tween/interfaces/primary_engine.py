"""A database engine of nefertari as the primary of one application."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, Callable, Optional, Protocol

from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import (
    ChangeCapture,
    ChangeListener,
    Key,
    Reader,
    RequestHooks,
    Semantics,
)
from nefertari_search_tween.interfaces.process_counts import ProcessCountStore
from nefertari_search_tween.interfaces.rebuild_lock import RebuildLocks


class Dependencies(Protocol):
    """The relationships between the mirrored models.

    :ivar tracked_models: the models whose changes affect documents.
    """

    tracked_models: set[Any]

    @property
    def models(self) -> dict[str, Any]:
        """The tracked models by name."""

    def untracked(self) -> dict[str, list[str]]:
        """Return what documents hold that may change without a notice, by name of their model.

        It may be stale in a mirror until the object itself changes, or a rebuild. A model without
        such members is left out; one that nests objects of a model with some has those, too.

        :returns: lines ``MODEL.MEMBER reason``, the reason in words.
        """


class Primary(Protocol):
    """See the module. Made when all models are known.

    :ivar models: all models by name.
    :ivar query_class: class of what ``get_collection`` returns.
    :ivar rows: turns dictionaries into what it returns for ``_fields``; None if these are objects,
        too.
    """

    models: dict[str, Any]
    query_class: type
    rows: Optional[Callable[[list[Any]], Any]]

    def list_models(self) -> dict[str, Any]:
        """Return all models that are defined by now, by name."""

    def unmirrorable(self, model: Any) -> Optional[str]:
        """Return why *model* can't be mirrored, None if it can."""

    def unusable(self, model: Any) -> Optional[str]:
        """Return what is wrong with the names of *model*, mirrored or only nested, for documents;
        None if nothing is."""

    def mirror_definition(self, model: Any) -> dict[str, Any]:
        """Return what a mirror model of *model* is generated from: the arguments of
        ``mirror.generator.generate`` besides the model."""

    def related(self, model: Any) -> Iterable[Any]:
        """Return the models that *model* has relationships to."""

    def reader(
        self, model: Any, document_cls: Callable[[Any], type[Any]], hooks: RequestHooks
    ) -> Reader:
        """Return the reader of *model*.

        :param document_cls: returns the mirror model of a model.
        :param hooks: of the model.
        """

    def request_hooks(self, model: Any, trusted: Collection[str]) -> RequestHooks:
        """Return what may make answers for *model* depend on the request.

        :param trusted: names of hooks that are the same for all requests.
        """

    def semantics(self, model: Any, document_cls: type[Any]) -> Semantics:
        """Return how the database compares values of *model*."""

    def connect(self, models: Iterable[Any], inline: bool) -> None:
        """Make dependencies, outbox and locks for the mirrored *models*.

        :param inline: this process indexes what it records; else workers do.
        :raises ConfigurationError: the database is not connected.
        """

    def create_missing(self) -> None:
        """Create what the outbox and the locks need in the database.

        :raises ConfigurationError: it can't be created.
        """

    def create_missing_in(self, session: Any) -> None:
        """Do the same while the transaction of *session* may hold the database's only lock."""

    @property
    def dependencies(self) -> Dependencies: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def rebuild_locks(self) -> RebuildLocks:
        """The locks of rebuilds."""

    def identity(self) -> Identity:
        """Return the identity of the database; its identifier is made at the first call."""

    def renew_identity(self) -> Identity:
        """Give the database another identifier, and return its identity."""

    def process_counts(self) -> ProcessCountStore:
        """Return where processes store what they count."""

    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]:
        """Return the documents that hold the contents of *keys*, which the capture does not
        report."""

    def capture(self, listener: ChangeListener) -> ChangeCapture: ...

    def recording(self) -> AbstractContextManager[Any]:
        """Provide what records in the outbox, for a caller that changes nothing itself."""

    def disable_engine_indexing(self) -> Any:
        """Disable the engine's own indexing, and return the class whose ``get_collection`` all
        models have."""

    def uncommitted_session(self) -> Any:
        """Return the running session (or unit of work) of this thread if it has uncommitted
        changes, else None."""

    def has_written(self) -> bool:
        """Return True if the transaction of this thread may have changed what the primary returns,
        by whatever way: by objects, by statements, by the driver itself."""

    def write_watch(self) -> Callable[[], bool]:
        """Return a function that returns True once this thread has written, committed or not."""

    def limited(self, model: Any, seconds: float) -> AbstractContextManager[None]:
        """Limit the time that the database takes for reads of *model* in this thread.

        :param seconds: for all that is asked while the context is entered.
        """

    def is_timeout(self, error: BaseException) -> bool:
        """Return True if *error* is that of a read that such a limit has ended."""

    def restrict_by_acl(self, model: Any, allows: Callable[[Any], bool]) -> Any:
        """Return a query for the objects of *model* whose stored ACL *allows* them to be seen.

        :param allows: decides by the entries of one ACL.
        """
