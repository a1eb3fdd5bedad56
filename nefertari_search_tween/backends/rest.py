"""What Elasticsearch and OpenSearch have in common: bodies of requests, and what answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    SequenceVersion,
    StoredDocument,
    WriteResult,
    stamp_of,
)
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
    TooManyClauses,
)

POINT_IN_TIME_KEEP_ALIVE = "5m"
# A server reads no request longer than this by default, and hangs up in the middle of it.
MAX_BYTES = 100 * 1024 * 1024
_HEADER_BYTES = 4096
# Of the answer to a bulk, what is looked at: the rest would be most of it.
BULK_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error"
_text = json.encoder.encode_basestring_ascii
# How servers say that a query is too large, in their several releases.
_TOO_MANY = ("too_many_clauses", "too_many_nested_clauses", "maxClauseCount")


def failure(status: int, details: Any, message: str) -> BackendError:
    """The error that an answer of *status* stands for.

    :param details: its body.
    :param message: what the client says of it.
    """
    if status == 404 and "index_not_found" in str(details):
        return IndexMissing(message)
    if "too_many_buckets" in str(details):
        # OpenSearch answers 503; it is the request that is too large.
        return BackendRejected(400, details)
    if status in (429, 502, 503):
        return BackendUnavailable(message)
    if status == 504:
        return BackendTimeout(message)
    if any(each in str(details) for each in _TOO_MANY):
        return TooManyClauses(status, details)
    return BackendRejected(status, details)


def complete(answer: Any) -> dict[str, Any]:
    """A search that lost a shard or ran out of time is no answer."""
    if not isinstance(answer, dict) or "_shards" not in answer:
        raise BackendUnavailable(f"something else answered a search: {str(answer)[:200]}")
    if answer.get("timed_out"):
        raise BackendTimeout("the search timed out on the server")
    failed = answer["_shards"].get("failed", 0)
    if failed:
        raise BackendUnavailable(f"{failed} shards failed: {answer['_shards'].get('failures')}")
    return dict(answer)


def searches_body(searches: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    """The newline-delimited JSON of several searches in one request."""
    lines = []
    for index, body in searches:
        lines += [json.dumps({"index": index}), json.dumps(body)]
    return "\n".join([*lines, ""]).encode()


def responses(answer: Any, count: int) -> list[dict[str, Any]]:
    """The answers to *count* searches that were one request; one may be an error."""
    found = answer.get("responses") if isinstance(answer, dict) else None
    if not isinstance(found, list) or len(found) != count:
        raise BackendUnavailable(f"something else answered the searches: {str(answer)[:200]}")
    return found


def sources(answer: Any) -> dict[str, Optional[dict[str, Any]]]:
    """The answer of a multi-get: id -> source, None where there is none."""
    for document in answer["docs"]:
        error = document.get("error")
        if error is not None:
            kind = error.get("type", "")
            # It names a missing index in each document, under status 200.
            raise failure(404 if kind == "index_not_found_exception" else 500, error, str(error))
    return {document["_id"]: document.get("_source") for document in answer["docs"]}


# Scans


def pages(
    ask: Callable[[dict[str, Any]], Any], pit: dict[str, Any], body: dict[str, Any], chunk_size: int
) -> Iterator[list[dict[str, Any]]]:
    """All hits of *body* in its sort order, in lists of at most *chunk_size*.

    A list goes on after the sort values of the last hit before it. OpenSearch has nothing that
    tells documents of equal sort values apart, so the last values of a page are left to the
    next one: it holds all documents that have them.

    :param ask: runs one search.
    :param pit: the point in time; kept up to date here.
    """
    # A page of one document would be nothing but last values.
    size = smallest = max(chunk_size, 2)
    after: Optional[list[Any]] = None
    while True:
        page = {**body, "size": size, "pit": pit}
        if after is not None:
            page["search_after"] = after
        answer = complete(ask(page))
        pit["id"] = answer.get("pit_id", pit["id"])
        hits = answer["hits"]["hits"]
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


def too_long(body: Optional[bytes]) -> Optional[dict[str, Any]]:
    """The error of a document that no server takes, None for any other.

    Such a document is alone in its chunk (see ``chunks`` in base.py).
    """
    if body is None or len(body) + _HEADER_BYTES <= MAX_BYTES:
        return None
    reason = f"the document has {len(body)} bytes, the server takes at most {MAX_BYTES}"
    return {"type": "content_too_long", "reason": reason}


def bulk_body(chunk: list[BulkAction]) -> bytes:
    """The newline-delimited JSON of one bulk request."""
    lines: list[bytes] = []
    for action in chunk:
        header = (
            f'"_index":{_text(action.index)},"_id":{_text(action.id)},'
            f'"version":{action.version:d},"version_type":"external_gte"'
        )
        if action.body is None:
            # A delete can't ask for require_alias. In an index that went away this very moment
            # it would create one, unless the name is none for an index: upper-case letters.
            lines.append(f'{{"delete":{{{header}}}}}'.encode())
        else:
            lines.append(f'{{"index":{{{header},"require_alias":true}}}}'.encode())
            # Line ends are no part of any value in JSON, and would end the document here.
            lines.append(action.body.replace(b"\n", b" "))
    return b"\n".join([*lines, b""])


def outcomes(chunk: list[BulkAction], answer: Any) -> Iterator[BulkItemResult]:
    """What the answer of a bulk request says of each action."""
    if not isinstance(answer, dict) or "items" not in answer:
        raise BackendUnavailable(f"something else answered a bulk: {str(answer)[:200]}")
    for action, item in zip(chunk, answer["items"]):
        ((_, result),) = item.items()
        error = result.get("error")
        status = result["status"]
        if error is not None and error.get("type") == "invalid_index_name_exception":
            # A delete by an alias that is gone: the server failed to make an index of that name.
            status = 404
        yield BulkItemResult(action, status, error)


# Conditional writes

WRITE_PATH = (
    "/_bulk?filter_path=errors,items.*.status,items.*.error,items.*._seq_no,items.*._primary_term"
)


def write_body(chunk: list[ConditionalWrite]) -> bytes:
    """The newline-delimited JSON of one bulk request of conditional writes."""
    lines: list[bytes] = []
    for write in chunk:
        header = f'"_index":{_text(write.index)},"_id":{_text(write.id)}'
        if write.expected is not None:
            version = write.expected
            header += f',"if_seq_no":{version.seq_no:d},"if_primary_term":{version.primary_term:d}'
        if write.body is None:
            lines.append(f'{{"delete":{{{header}}}}}'.encode())
        else:
            kind = "create" if write.expected is None else "index"
            lines.append(f'{{"{kind}":{{{header},"require_alias":true}}}}'.encode())
            lines.append(write.body.replace(b"\n", b" "))
    return b"\n".join([*lines, b""])


def written(chunk: list[ConditionalWrite], answer: Any) -> Iterator[WriteResult]:
    """What the answer of such a request says of each write."""
    if not isinstance(answer, dict) or "items" not in answer:
        raise BackendUnavailable(f"something else answered a bulk: {str(answer)[:200]}")
    for write, item in zip(chunk, answer["items"]):
        ((_, result),) = item.items()
        error, status = result.get("error"), result["status"]
        applied = error is None and 200 <= status < 300
        stamp = SequenceVersion(result["_seq_no"], result["_primary_term"]) if applied else None
        yield WriteResult(write, status, error, stamp)


def stored(answer: Any) -> dict[str, Optional[StoredDocument]]:
    """The answer of a multi-get: id -> document, None where there is none."""
    found = sources(answer)
    stamps = {each["_id"]: each for each in answer["docs"]}
    return {
        key: None if source is None else StoredDocument(source, stamp_of(stamps[key]))
        for key, source in found.items()
    }
