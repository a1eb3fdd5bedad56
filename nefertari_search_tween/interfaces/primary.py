"""What is read of a primary database, how it compares values, and what it reports: changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional, Protocol, Union

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.interfaces.field_proof import FieldProof


class Key(NamedTuple):
    """One document: the name of its model and its primary key."""

    model: str
    pk: Any

    @classmethod
    def whole_model(cls, model: str) -> Key:
        """Return the key that represents all documents of a model."""
        return cls(model, None)


def keys_by_model(keys: Iterable[Key]) -> dict[str, list[Any]]:
    """Return the primary keys of *keys* by name of the model."""
    by_model: dict[str, list[Any]] = defaultdict(list)
    for key in keys:
        by_model[key.model].append(key.pk)
    return by_model


class KeyRange(NamedTuple):
    """The keys above *after*, up to *until*, in the database's order; None: no such end."""

    after: Optional[Any] = None
    until: Optional[Any] = None


ALL_KEYS = KeyRange()
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

    @property
    def content_changes(self) -> set[Key]:
        """Return the objects whose contents, as documents hold them, changed.

        Nothing embeds or references a new object that is not in `related` already.
        """
        return {key for key in (*self.updated, *self.related) if key.pk is not None}


class BulkChange(NamedTuple):
    """What one bulk statement changed; see :class:`FlushedChanges`."""

    model: Any
    keys: list[Key]
    related: set[Key]
    deleted: bool

    @property
    def content_changes(self) -> set[Key]:
        """Return the objects whose contents, as documents hold them, changed."""
        changed = self.related if self.deleted else {*self.related, *self.keys}
        return {key for key in changed if key.pk is not None}


class ChangeListener(Protocol):
    """What the capture of a primary reports to. Sessions are the primary's own."""

    def change_begins(self, session: Any) -> None:
        """A change is about to be made; *session* is None if there is none yet."""

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

    def split(self, pks: Iterable[Any], most: int) -> Iterator[list[Any]]:
        """Yield *pks* in lists that :meth:`read` takes at once: of at most *most* keys, and of
        objects that have about MAX_READ_BYTES together, or of one."""

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        """Return the bodies by primary key; a key that does not exist is left out.

        :param pks: a list of :meth:`split`, or few.
        """

    def scan(self, chunk: int, keys: KeyRange = ALL_KEYS) -> Iterator[list[tuple[Any, Body]]]:
        """Yield all objects with these *keys*, in the order of their keys.

        In lists as those of :meth:`split`, of at most *chunk*.
        """

    def read_objects(self, pks: Iterable[Any]) -> dict[Any, Body]:
        """Return the same as :meth:`read`, made by the primary's own objects where that is another
        way: what one of both does wrong is a difference."""

    def scan_objects(
        self, chunk: int, keys: KeyRange = ALL_KEYS
    ) -> Iterator[list[tuple[Any, Body]]]:
        """Yield the same as :meth:`scan` in the way of :meth:`read_objects`, and in another order
        where the primary has one."""

    def key_after(self, after: Optional[Any], count: int) -> Optional[Any]:
        """Return the *count*-th key above *after* (None: of all); None if there are fewer."""

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

    :ivar first_sort_counts: of a column that is named twice in ``_sort``.
    """

    first_sort_counts: bool

    def proof(self, name: str) -> FieldProof:
        """Return what is known of the field *name*. Called for each field of each read, must be
        fast."""

    def default_sort(self, picked: Optional[list[str]]) -> list[str]:
        """Return what it sorts by if the request does not say, as in ``_sort``.

        Called for every read: nefertari counts first, in the model's own order, whatever the
        request says.

        :param picked: names of the selected fields; None for whole objects.
        :raises Unanswerable: it has an order that ``_sort`` can't say, or that the database may
            reject.
        """

    def filter_value(self, name: str, value: Any) -> Any:
        """Return the value that the database compares the column *name* with, in its exact form;
        ``exceptions.NOTHING`` when no value of the column can equal it.

        :raises Unanswerable: the database would reject it, or read it in its own way.
        """

    def nulls_first(self, descending: bool) -> bool:
        """Return True if the database sorts missing values first."""

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        """Return the names of the fields that the primary selects for ``_fields``, in its order.

        :raises Unanswerable: only the primary can tell.
        """

    def unloaded(self, name: str) -> Any:
        """Return the value, as in documents, of a field that the primary's objects were not loaded
        with; for primaries that return objects for ``_fields``."""


class Hook(NamedTuple):
    """Code, or a rule of the database, that may answer each request in another way.

    :param reason: its kind, for the ``X-Search-Engine`` header.
    :param name: for the operator: the dotted name of a function or class, or a table.
    """

    reason: Reason
    name: str


class RequestHooks(Protocol):
    """What may make the primary's answers for one model depend on the request.

    Called on every read, must be fast: applications may add hooks at any time.
    """

    def rendering(self) -> Optional[str]:
        """Return the name of code that renders documents otherwise than the engine does, None if
        there is none; trusted or not, as of the last call of :meth:`first`."""

    def first(self) -> Optional[Hook]:
        """Return the first hook that is not trusted, None if all requests get the same."""

    def of_searches(self) -> Optional[Hook]:
        """Return the same, or a ``get_collection`` of the model's own: a search goes around it."""

    def unreadable(self) -> Optional[Hook]:
        """Return the first of those that the reader can't switch off: it would read a part."""


class NoRequestHooks:
    """The hooks of a mirror without a primary: there are none."""

    def rendering(self) -> Optional[str]:
        return None

    def first(self) -> Optional[Hook]:
        return None

    def of_searches(self) -> Optional[Hook]:
        return None

    def unreadable(self) -> Optional[Hook]:
        return None


class ChangeCapture(Protocol):
    """Reports the changes of a primary to a :class:`ChangeListener`."""

    def install(self) -> None: ...

    def remove(self) -> None: ...
