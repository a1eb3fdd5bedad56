"""The protocol that every backend implements, and the values that cross it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Protocol, TypeVar

# Per bulk: a request well under http.max_content_length (100 MB), and a short transaction.
MAX_BULK_BYTES = 10 * 1024 * 1024
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
    """The result of one action.

    :param status: the HTTP status of this item.
    :param error: its error object, None when it was applied.
    """

    action: BulkAction
    status: int
    error: Optional[Any]

    @property
    def indexed(self) -> bool:
        """True when nothing remains to be done: applied, superseded, or already deleted."""
        return self.error is None or self.status == 409

    @property
    def conflict(self) -> Optional[int]:
        """The version in the index if it is newer than the action's; else None."""
        if self.status != 409:
            return None
        current = _CURRENT.search(str(self.error))
        # Every server reports it; without a report it is certain only that it is newer.
        return int(current[1]) if current else self.action.version + 1

    @property
    def target_missing(self) -> bool:
        return self.status == 404 and self.error is not None

    @property
    def overloaded(self) -> bool:
        return self.status in (429, 503)


class SequenceVersion(NamedTuple):
    """The state of a document that was read; every write of the document changes it.

    Elasticsearch's sequence number and primary term; other backends have their own pair.
    """

    seq_no: int
    primary_term: int


@dataclass(frozen=True)
class ConditionalWrite:
    """One write of a bulk that depends on the document's state.

    All writes of one index are either of this class or of :class:`BulkAction`.

    :param index: the name of an alias that must exist.
    :param body: the document as JSON text, or None to delete it.
    :param expected: the version that the write replaces; None: no document of this id must exist.
    """

    index: str
    id: str
    body: Optional[bytes]
    expected: Optional[SequenceVersion]

    def __post_init__(self) -> None:
        if self.body is None and self.expected is None:
            raise ValueError("a delete needs the version that it deletes")


@dataclass(frozen=True)
class WriteResult:
    """The result of one conditional write.

    :param version: the new one; None if the write was not applied.
    """

    write: ConditionalWrite
    status: int
    error: Optional[Any]
    version: Optional[SequenceVersion] = None

    @property
    def conflict(self) -> bool:
        """True when the document's version is not the expected one: nothing was written."""
        return self.status in (404, 409) and self.version is None and not self.target_missing

    @property
    def target_missing(self) -> bool:
        return self.status == 404 and "index_not_found" in str(self.error)


class StoredDocument(NamedTuple):
    """A document after its last write, whether searches see it already or not."""

    source: dict[str, Any]
    version: SequenceVersion


class IndexEntry(NamedTuple):
    """What is known of an index by its name.

    :param meta: ``_meta`` of its mapping.
    :param shards: how many parts a search of it has, as its response says.
    """

    aliases: set[str]
    meta: dict[str, Any]
    shards: int


class SearchActivity(NamedTuple):
    """What the searches of an index do.

    :param running: how many there are, scans included.
    :param ended: how many there were; it only grows.
    """

    running: int
    ended: int


def sequence_version(hit: dict[str, Any]) -> SequenceVersion:
    """Return the version of a hit of a search with ``seq_no_primary_term``."""
    return SequenceVersion(hit["_seq_no"], hit["_primary_term"])


class Backend(Protocol):
    """What mirrors need of a search engine.

    Every method raises :class:`BackendUnavailable` or :class:`BackendTimeout` if there is no
    response, :class:`IndexMissing` if the named index does not exist and
    :class:`BackendRejected` if the backend rejects the request.
    """

    #: The directory of an embedded backend, else empty.
    directory: str
    name: str
    #: Chunks in one bulk of a rebuild.
    backfill_chunks: int

    def require_supported(self, timeout: Optional[float] = None) -> None:
        """Return if this class works with the server that answers.

        Called whenever an index is about to be trusted, so it must be fast once that is known.

        :param timeout: seconds to wait for the server; None: the time-out of searches.
        :raises UnsupportedServer: it is another product, or too old.
        """

    def location(self) -> Any:
        """Return what the indices are in: after it has changed, they are others by the same names.

        Called on every read, must be fast.
        """

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        """Create the index *name*; it must not exist."""

    def delete_index(self, name: str) -> None:
        """Delete the index *name*, if it exists."""

    def indices(self, pattern: str) -> dict[str, set[str]]:
        """Return the names of the indices that match *pattern*, each with its aliases."""

    def entries(self, pattern: str) -> dict[str, IndexEntry]:
        """Return the same indices, each with what is known of it, as of one moment.

        :param pattern: several are joined by commas; an alias matches the indices behind it.
        """

    def latest_version(self, index: str) -> int:
        """Return a version that documents of *index* have, not lower than that of the document
        written last, deleted ones aside; 0 if there are none."""

    def search_activity(self, index: str) -> Optional[SearchActivity]:
        """Return what searches of *index* do; None if its deletion does not disturb them."""

    def swap_alias(self, alias: str, index: str) -> set[str]:
        """Point *alias* at *index* alone, atomically; return the indices it left."""

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        """Return the mapping of the one index behind *name*, None if it does not exist."""

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        """Add to the mapping of *index* (its ``_meta`` is replaced)."""

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        """Change dynamic settings of *index*."""

    def unknown_analyzers(self, names: Iterable[str], settings: dict[str, Any]) -> dict[str, str]:
        """Return those of the analyzers *names* that are unavailable, each with the reason.

        :param settings: of the index; they may define analyzers (``index.analysis``). A
            definition that can't be checked by itself is not reported: creating the index
            checks it.
        """

    def bulk(
        self, actions: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[BulkItemResult]:
        """Apply *actions* in chunks; yield one result for each, in order.

        :param timeout: seconds that one chunk may take; None: the time-out of writes.
        """

    def write(
        self, writes: Iterable[ConditionalWrite], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[WriteResult]:
        """Apply *writes* in chunks; yield one result for each, in order.

        Each is applied only if its document has the expected version, whatever becomes of the
        others. An applied write survives a crash of the backend.

        :param timeout: seconds that one chunk may take; None: the time-out of writes.
        """

    def get_realtime(self, index: str, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        """Return the documents *ids* as of the last write, without a refresh; None if missing."""

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        """Run one search; return the response in the shape of Elasticsearch's.

        :param index: a name, or several joined by commas if only aggregations are requested
            (size 0). A condition on ``_index`` selects among them, by names or aliases.
        """

    def multi_search(
        self, searches: Sequence[tuple[str, dict[str, Any]]], timeout: Optional[float] = None
    ) -> list[dict[str, Any]]:
        """Run several searches, each an index and a body, in one request.

        Return their responses in that order; if one search fails, all fail.

        :param timeout: seconds for all of them.
        """

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        """Return the sources of the documents *ids*, None for a missing one."""

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield all hits of *body* in its sort order, chunk by chunk, at one point in time.

        :param timeout: seconds for all of them; None: no end, which commands need.
        """

    def refresh(self, index: str) -> None:
        """Make all previous writes visible to searches."""

    def ping(self) -> bool:
        """Return True if the backend responds."""


Write = TypeVar("Write", BulkAction, ConditionalWrite)


def chunks(writes: Iterable[Write], count: int) -> Iterator[list[Write]]:
    """Split a bulk by number of writes and by bytes; a larger write is alone in its chunk.

    :param count: writes in one chunk, at most.
    """
    chunk: list[Write] = []
    size = 0
    for write in writes:
        length = len(write.body) if write.body is not None else 0
        if chunk and (len(chunk) >= count or size + length > MAX_BULK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(write)
        size += length
    if chunk:
        yield chunk


def sort_value(value: Any, descending: bool, boolean: bool = False) -> Any:
    """Return a value of a hit's ``sort``, None for a missing one that was sorted last.

    Servers return the end of the type for a missing number. A number that has this very value
    sorts last, too, so it need not be distinguished.

    :param boolean: of a boolean field, whose values are 1 and 0.
    """
    if boolean:
        # OpenSearch returns the end of a shorter type here.
        return value if value in (0, 1) else None
    if isinstance(value, int):
        # A float may well be larger: the end of its type is infinity.
        return None if value == (INT64_MIN if descending else INT64_MAX) else value
    return None if value == ("-Infinity" if descending else "Infinity") else value
