"""What reading and writing need of a primary database engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional, Protocol, Union


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

    def rolled_back_in_part(self, session: Any) -> None:
        """A savepoint of the transaction ended, perhaps by a rollback."""

    def ended(self, session: Any, committed: bool) -> None:
        """The transaction is over, and its connection is free again."""


class Reader(Protocol):
    """Reads the current state of one model's objects as document bodies.

    Every call reads in a transaction of its own, begun after the call.
    """

    def read(self, pks: Iterable[Any]) -> dict[Any, Body]:
        """Bodies by primary key; a key that does not exist is left out."""

    def existing(self, texts: Iterable[str]) -> set[str]:
        """Of keys, given as ``str(pk)``, those that exist."""

    def scan(self, chunk: int, after: Optional[Any] = None) -> Iterator[list[tuple[Any, Body]]]:
        """All objects in primary key order, starting behind the key *after*."""

    def count(self) -> int:
        """Number of objects."""
