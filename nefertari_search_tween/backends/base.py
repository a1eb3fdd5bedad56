"""The protocol that every backend implements, and the values that cross it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Protocol, TypeVar

# Bytes of one bulk: a request well under http.max_content_length (100 MB), a short transaction.
BULK_BYTES = 10 * 1024 * 1024
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
_CURRENT = re.compile(r"current version \[(\d+)\]")


@dataclass(frozen=True)
class BulkAction:
    """One write of a bulk.

    :param index: the name of an alias that must exist (nothing is created by a write).
    :param id: the document's id.
    :param version: external version; an older one never overwrites a newer (``external_gte``).
    :param body: the document as JSON text, or None to delete it.
    """

    index: str
    id: str
    version: int
    body: Optional[bytes]


@dataclass(frozen=True)
class BulkItemResult:
    """What became of one action.

    :param status: the HTTP status that the backend gave to this item.
    :param error: its error object, None when it was applied.
    """

    action: BulkAction
    status: int
    error: Optional[Any]

    @property
    def indexed(self) -> bool:
        """True when nothing is left to do: applied, superseded, or already gone."""
        return self.error is None or self.status == 409

    @property
    def conflict(self) -> Optional[int]:
        """The version that the index holds, when it is newer than the action's; else None."""
        if self.status != 409:
            return None
        found = _CURRENT.search(str(self.error))
        # Every server says it; one that did not would still be known to hold a newer one.
        return int(found[1]) if found else self.action.version + 1

    @property
    def target_missing(self) -> bool:
        return self.status == 404 and self.error is not None

    @property
    def overloaded(self) -> bool:
        return self.status in (429, 503)


class SequenceVersion(NamedTuple):
    """Which state of a document was read: another one after every write of it.

    Elasticsearch's sequence number and primary term; other backends have their own pair.
    """

    seq_no: int
    primary_term: int


@dataclass(frozen=True)
class ConditionalWrite:
    """One write of a bulk that depends on the document's state.

    Documents are written either by these or by :class:`Action`: one index has one kind.

    :param index: the name of an alias that must exist.
    :param body: the document as JSON text, or None to delete it.
    :param expected: the stamp of the state that the write replaces; None: there must be no
        document of this id.
    """

    index: str
    id: str
    body: Optional[bytes]
    expected: Optional[SequenceVersion]

    def __post_init__(self) -> None:
        if self.body is None and self.expected is None:
            raise ValueError("a delete says which state it deletes")


@dataclass(frozen=True)
class WriteResult:
    """What became of one conditional write.

    :param stamp: of the new state; None when it was not applied.
    """

    write: ConditionalWrite
    status: int
    error: Optional[Any]
    version: Optional[SequenceVersion]

    @property
    def conflict(self) -> bool:
        """True when the document's state is not the expected one: nothing was written."""
        return self.status in (404, 409) and self.version is None and not self.target_missing

    @property
    def target_missing(self) -> bool:
        return self.status == 404 and "index_not_found" in str(self.error)


class StoredDocument(NamedTuple):
    """A document as it is now, seen or not yet seen by searches."""

    source: dict[str, Any]
    version: SequenceVersion


def stamp_of(hit: dict[str, Any]) -> SequenceVersion:
    """The stamp of a hit of a search with ``seq_no_primary_term``."""
    return SequenceVersion(hit["_seq_no"], hit["_primary_term"])


class Backend(Protocol):
    """What mirrors need of a search engine.

    Every method raises :class:`BackendUnavailable` or :class:`BackendTimeout` when there is
    no answer, :class:`IndexMissing` when the named index does not exist and
    :class:`BackendRejected` when the backend refuses the request.
    """

    name: str

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        """Create the index *name*; it must not exist."""

    def delete_index(self, name: str) -> None:
        """Delete the index *name*; a missing one is no error."""

    def indices(self, pattern: str) -> dict[str, set[str]]:
        """Names of the indices that match *pattern*, each with its aliases."""

    def swap_alias(self, alias: str, index: str) -> set[str]:
        """Point *alias* at *index* alone, atomically; gives the indices that it left."""

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        """The mapping of the one index behind *name*, None when there is none."""

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        """Add to the mapping of *index* (its ``_meta`` is replaced)."""

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        """Change dynamic settings of *index*."""

    def unknown_analyzers(self, names: Iterable[str], settings: dict[str, Any]) -> dict[str, str]:
        """Which of the analyzers *names* a text field can't have here, each with the reason.

        :param settings: of the index; they may define analyzers (``index.analysis``). A
            definition that can't be tried out by itself counts as known: the creation of an
            index tells.
        """

    def bulk(
        self, actions: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[BulkItemResult]:
        """Apply *actions* in chunks; gives one outcome for each, in order.

        :param timeout: seconds that one chunk may take; None: as long as writes may.
        """

    def write(
        self, writes: Iterable[ConditionalWrite], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[WriteResult]:
        """Apply *writes* in chunks, each alone and only if its document is as expected; gives
        one result for each, in order. What was applied survives a crash of the backend.

        :param timeout: seconds that one chunk may take; None: as long as writes may.
        """

    def get_realtime(self, index: str, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        """The documents *ids* as of the last write, without a refresh; None: there is none."""

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        """Run one search; gives the response as Elasticsearch shapes it.

        :param index: or several, joined by commas: for their aggregations alone (size 0). A
            condition on ``_index`` tells them apart, by their names or aliases.
        """

    def multi_search(
        self, searches: Sequence[tuple[str, dict[str, Any]]], timeout: Optional[float] = None
    ) -> list[dict[str, Any]]:
        """Run several searches, each an index and a body, in one request; gives their
        responses in that order. One that fails fails all.

        :param timeout: seconds for all of them.
        """

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        """The sources of the documents *ids*, None where there is none."""

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int
    ) -> Iterator[list[dict[str, Any]]]:
        """All hits of *body* in its sort order, chunk by chunk, at one point in time."""

    def refresh(self, index: str) -> None:
        """Make all writes so far visible to searches."""

    def ping(self) -> bool:
        """True when the backend answers."""


Piece = TypeVar("Piece", BulkAction, ConditionalWrite)


def chunks(actions: Iterable[Piece], count: int) -> Iterator[list[Piece]]:
    """Split a bulk by number of actions and by bytes; a larger action is alone in its chunk.

    :param count: actions in one chunk, at most.
    """
    chunk: list[Piece] = []
    size = 0
    for action in actions:
        length = len(action.body) if action.body is not None else 0
        if chunk and (len(chunk) >= count or size + length > BULK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(action)
        size += length
    if chunk:
        yield chunk


def sort_value(value: Any, descending: bool, boolean: bool = False) -> Any:
    """A value of a hit's ``sort``, None for a missing one that was sorted last.

    Servers give the end of the type in place of a missing number: what sorts by it comes last,
    too, so it is not told apart from a number that is there.

    :param boolean: of a field that is true or false: 1 or 0.
    """
    if boolean:
        # OpenSearch gives the end of a shorter type here.
        return value if value in (0, 1) else None
    if isinstance(value, int):
        # A float may well be larger: the end of its type is infinity.
        return None if value == (INT64_MIN if descending else INT64_MAX) else value
    return None if value == ("-Infinity" if descending else "Infinity") else value
