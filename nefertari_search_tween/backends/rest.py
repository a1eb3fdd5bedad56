"""The REST API of Elasticsearch and OpenSearch: bodies of requests, meanings of responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Callable, Generic, NamedTuple, Optional, TypeVar
from urllib.parse import quote

from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    IndexEntry,
    SearchActivity,
    SequenceVersion,
    StoredDocument,
    Write,
    WriteResult,
    sequence_version,
)
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
    TooManyClauses,
    innermost_error,
)

POINT_IN_TIME_KEEP_ALIVE = "5m"
#: Characters of a text that servers highlight by default: a longer one would be an error.
MAX_HIGHLIGHTED = 1_000_000
# A server reads no request longer than this by default, and hangs up in the middle of it.
MAX_BYTES = 100 * 1024 * 1024
_HEADER_BYTES = 4096
_text = json.encoder.encode_basestring_ascii
# The errors of a query that is too large, in the servers' several releases.
_TOO_MANY = ("too_many_clauses", "too_many_nested_clauses", "maxClauseCount")


class Request(NamedTuple):
    """One request to a server."""

    method: str
    path: str
    body: Any
    timeout: float
    params: dict[str, str]
    headers: dict[str, str]


def quoted(name: str) -> str:
    """Return names of indices as a part of a path; ``*`` and ``,`` keep their meaning."""
    return quote(name, safe="*,")


def failure(status: int, details: Any, message: str) -> BackendError:
    """Return the error for a response of *status*.

    :param details: its body.
    :param message: the client's description of it.
    """
    if status == 404 and "index_not_found" in str(details):
        return IndexMissing(message)
    if "too_many_buckets" in str(details):
        # OpenSearch responds with 503; it is the request that is too large.
        return BackendRejected(400, details)
    if status in (429, 502, 503):
        return BackendUnavailable(message)
    if status == 504:
        return BackendTimeout(message)
    if any(each in str(details) for each in _TOO_MANY):
        return TooManyClauses(status, details)
    return BackendRejected(status, details)


def is_block(status: int, details: Any) -> bool:
    """Return True for the response to a request against which an index or the cluster has a block.

    (With 503 the cluster is not ready yet: it is down.)
    """
    error = innermost_error(details)
    kind = error.get("type") if isinstance(error, dict) else None
    return status in (403, 429) and kind == "cluster_block_exception"


def index_entries(response: dict[str, Any]) -> dict[str, IndexEntry]:
    """Return what a server says of indices, by name."""
    return {
        name: IndexEntry(
            set(entry.get("aliases", ())),
            entry.get("mappings", {}).get("_meta", {}),
            int(entry["settings"]["index"]["number_of_shards"]),
        )
        for name, entry in response.items()
    }


def search_activity(response: Any) -> SearchActivity:
    """Return what the statistics of an index say of its searches."""
    counts = response["_all"]["total"]["search"]
    running = sum(counts[name] for name in ("query_current", "fetch_current", "open_contexts"))
    return SearchActivity(running, counts["query_total"])


def limited(body: dict[str, Any], seconds: float, highlight_limit: str) -> dict[str, Any]:
    """Return *body* so that the search ends on the server, too, once its caller gave up, and
    highlights only so much of a text as servers do by default.

    :param highlight_limit: the server's name of that option.
    """
    result = {"timeout": f"{int(seconds * 1000)}ms", **body}
    if "highlight" in body:
        result["highlight"] = {highlight_limit: MAX_HIGHLIGHTED, **body["highlight"]}
    return result


def require_complete(response: Any) -> dict[str, Any]:
    """Return the response to a search, unless it lost a shard or ran out of time."""
    if not isinstance(response, dict) or "_shards" not in response:
        raise _foreign("a search", response)
    if response.get("timed_out"):
        raise BackendTimeout("the search timed out on the server")
    failed = response["_shards"].get("failed", 0)
    if failed:
        raise BackendUnavailable(f"{failed} shards failed: {response['_shards'].get('failures')}")
    return dict(response)


def multi_search_body(searches: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    """Return the newline-delimited JSON of several searches in one request."""
    lines = []
    for index, body in searches:
        lines += [json.dumps({"index": index}), json.dumps(body)]
    return "\n".join([*lines, ""]).encode()


def responses(response: Any, count: int) -> list[dict[str, Any]]:
    """Return the responses to *count* searches of one request; each may be an error."""
    parts = response.get("responses") if isinstance(response, dict) else None
    if not isinstance(parts, list) or len(parts) != count:
        raise _foreign("a multi-search", response)
    return parts


def sources(response: Any) -> dict[str, Optional[dict[str, Any]]]:
    """Return what a multi-get found: id -> source, None if the document does not exist."""
    return {document["_id"]: document.get("_source") for document in _documents(response)}


def stored_documents(response: Any) -> dict[str, Optional[StoredDocument]]:
    """Return what a multi-get found: id -> document, None if it does not exist."""
    return {
        document["_id"]: StoredDocument(document["_source"], sequence_version(document))
        if document.get("_source") is not None
        else None
        for document in _documents(response)
    }


def _documents(response: Any) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = response["docs"]
    for document in documents:
        error = document.get("error")
        if error is not None:
            kind = error.get("type", "")
            # A missing index is reported in each document, under status 200.
            raise failure(404 if kind == "index_not_found_exception" else 500, error, str(error))
    return documents


def _foreign(request: str, response: Any) -> BackendUnavailable:
    return BackendUnavailable(f"not a search server's response to {request}: {str(response)[:200]}")


# Scans


def pages(
    search: Callable[[dict[str, Any]], Any],
    pit: dict[str, Any],
    body: dict[str, Any],
    chunk_size: int,
) -> Iterator[list[dict[str, Any]]]:
    """Yield all hits of *body* in its sort order, in lists of at most *chunk_size*.

    A page resumes after the sort values of the last hit before it. OpenSearch has no tie-breaker
    for documents of equal sort values, so the hits with the last values of a page are left to
    the next page, which holds all documents that have them.

    :param search: runs one search.
    :param pit: the point in time; kept up to date here.
    """
    # A page of one document would be nothing but last values.
    size = smallest = max(chunk_size, 2)
    after: Optional[list[Any]] = None
    while True:
        page = {**body, "size": size, "pit": pit}
        if after is not None:
            page["search_after"] = after
        response = require_complete(search(page))
        pit["id"] = response.get("pit_id", pit["id"])
        hits = response["hits"]["hits"]
        whole = len(hits)
        if whole == size:
            last = hits[-1]["sort"]
            while whole and hits[whole - 1]["sort"] == last:
                whole -= 1
        for start in range(0, whole, chunk_size):
            yield hits[start : min(start + chunk_size, whole)]
        if len(hits) < size:
            return
        if whole:
            after, size = hits[whole - 1]["sort"], smallest
        else:
            size *= 2


# Bulks

Result = TypeVar("Result", BulkItemResult, WriteResult)


@dataclass(frozen=True)
class BulkForm(Generic[Write, Result]):
    """How writes of one kind are sent in a bulk, and their results read.

    :param path: with a filter: of the response, the rest would be most.
    :param operation: write -> the operation unless it is a delete, and its metadata as JSON.
    :param decode: write and its item of the response -> its result.
    :param result: write, status and error -> the result of a write that was not applied.
    """

    path: str
    operation: Callable[[Write], tuple[str, str]]
    decode: Callable[[Write, dict[str, Any]], Result]
    result: Callable[[Write, int, Any], Result]

    def body(self, chunk: list[Write]) -> bytes:
        """Return the newline-delimited JSON of one bulk request."""
        lines: list[bytes] = []
        for write in chunk:
            kind, metadata = self.operation(write)
            if write.body is None:
                # A delete can't ask for require_alias. In an index deleted this very moment it
                # would create one, unless the name is none for an index: upper-case letters.
                lines.append(f'{{"delete":{{{metadata}}}}}'.encode())
            else:
                lines.append(f'{{"{kind}":{{{metadata},"require_alias":true}}}}'.encode())
                # Line ends are no part of any value in JSON, and would end the document here.
                lines.append(write.body.replace(b"\n", b" "))
        return b"\n".join([*lines, b""])

    def results(self, chunk: list[Write], response: Any) -> Iterator[Result]:
        """Yield the result of each write, in order."""
        if not isinstance(response, dict) or "items" not in response:
            raise _foreign("a bulk", response)
        for write, item in zip(chunk, response["items"]):
            ((_, part),) = item.items()
            yield self.decode(write, part)


def too_long_error(body: Optional[bytes]) -> Optional[dict[str, Any]]:
    """Return the error of a document that no server takes, None for any other.

    Such a document is alone in its chunk (see ``chunks`` in base.py).
    """
    if body is None or len(body) + _HEADER_BYTES <= MAX_BYTES:
        return None
    reason = f"the document has {len(body)} bytes, the server takes at most {MAX_BYTES}"
    return {"type": "content_too_long", "reason": reason}


def _versioned_operation(action: BulkAction) -> tuple[str, str]:
    return "index", (
        f'"_index":{_text(action.index)},"_id":{_text(action.id)},'
        f'"version":{action.version:d},"version_type":"external_gte"'
    )


def _versioned_result(action: BulkAction, item: dict[str, Any]) -> BulkItemResult:
    error, status = item.get("error"), item["status"]
    if error is not None and error.get("type") == "invalid_index_name_exception":
        # A delete by an alias that is gone: the server failed to make an index of that name.
        status = 404
    return BulkItemResult(action, status, error)


def _conditional_operation(write: ConditionalWrite) -> tuple[str, str]:
    metadata = f'"_index":{_text(write.index)},"_id":{_text(write.id)}'
    if write.expected is None:
        return "create", metadata
    seq_no, primary_term = write.expected
    return "index", f'{metadata},"if_seq_no":{seq_no:d},"if_primary_term":{primary_term:d}'


def _conditional_result(write: ConditionalWrite, item: dict[str, Any]) -> WriteResult:
    error, status = item.get("error"), item["status"]
    applied = error is None and 200 <= status < 300
    version = SequenceVersion(item["_seq_no"], item["_primary_term"]) if applied else None
    return WriteResult(write, status, error, version)


_BULK_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error"
VERSIONED = BulkForm(_BULK_PATH, _versioned_operation, _versioned_result, BulkItemResult)
CONDITIONAL = BulkForm(
    f"{_BULK_PATH},items.*._seq_no,items.*._primary_term",
    _conditional_operation,
    _conditional_result,
    WriteResult,
)
