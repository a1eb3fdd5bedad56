"""The backend's response -> the caller's: under the names of the request, without hidden fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from nefertari_search_tween.documents.format import INTERNAL
from nefertari_search_tween.search.aggregations.bucket_paths import Part
from nefertari_search_tween.search.aggregations.context import FieldLookup


def unwrap(
    results: dict[str, Any], parts: dict[str, Part], visible: FieldLookup, restricted: bool
) -> dict[str, Any]:
    """Return results by name, without their wrappers.

    :param results: of a request, or a bucket that contains results.
    :param visible: the fields that documents may contain if *restricted*.
    """
    unwrapped = {}
    for name, value in results.items():
        part = parts.get(name)
        if part is not None:
            for _ in range(part.wraps):
                value = value[name]
            value = _one(value, part, visible, restricted)
        unwrapped[name] = value
    return unwrapped


def _one(value: dict[str, Any], part: Part, visible: FieldLookup, restricted: bool) -> Any:
    if part.kind == "top_hits":
        prefix = "" if part.path is None else f"{part.path}."
        hits = [_hit(hit, part.sorts, prefix, visible, restricted) for hit in value["hits"]["hits"]]
        return {**value, "hits": {**value["hits"], "hits": hits}}
    if not part.inner:
        return value
    buckets = value.get("buckets")
    if buckets is None:
        return unwrap(value, part.inner, visible, restricted)
    if isinstance(buckets, dict):
        unwrapped: Any = {
            key: unwrap(bucket, part.inner, visible, restricted) for key, bucket in buckets.items()
        }
    else:
        unwrapped = [unwrap(bucket, part.inner, visible, restricted) for bucket in buckets]
    return {**value, "buckets": unwrapped}


def limit_documents(results: dict[str, Any], parts: dict[str, Part], maximum: int) -> None:
    """Remove the documents beyond the first *maximum* from *results*, those of all buckets
    together, and report no more in totals."""
    remaining = maximum
    for holder, name in _document_lists(results, parts):
        holder[name] = holder[name][:remaining]
        remaining -= len(holder[name])
        total = holder.get("total")
        if total is not None:
            holder["total"] = {**total, "value": min(total["value"], maximum)}


def _document_lists(
    results: dict[str, Any], parts: dict[str, Part]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield where lists of documents are: a dict that may be changed, and their name in it.

    ``top_metrics`` shows fields of single documents, so these count, too.
    """
    for name, part in parts.items():
        value = results.get(name)
        if value is None:
            continue
        if part.kind == "top_hits":
            yield value["hits"], "hits"
        elif part.kind == "top_metrics":
            results[name] = value = dict(value)
            yield value, "top"
        elif part.inner:
            buckets = value.get("buckets", [value])
            for each in buckets.values() if isinstance(buckets, dict) else buckets:
                yield from _document_lists(each, part.inner)


def _hit(
    hit: dict[str, Any], sorts: int, prefix: str, visible: FieldLookup, restricted: bool
) -> dict[str, Any]:
    """Return a document of a ``top_hits`` in the format of nefertari's search servers."""
    fields = {"_score": hit["_score"]}
    if sorts:
        fields["sort"] = hit["sort"][:sorts]
    source = hit.get("_source")
    if source is None:
        return {"_id": hit["_id"], **fields}
    document = _source(source, prefix, visible.of_index(hit["_index"]) if restricted else None)
    return {
        "_id": source.get("_pk", hit["_id"]),
        "_type": source.get("_type"),
        **fields,
        "_source": document,
    }


def _source(source: dict[str, Any], prefix: str, visible: Optional[FieldLookup]) -> dict[str, Any]:
    """Return *source* without internal fields and those that are not *visible* (None: all are)."""
    result: dict[str, Any] = {}
    for name, value in source.items():
        if name in INTERNAL:
            continue
        full = prefix + name
        if visible is None or visible.get(full) is None:
            documents = [value] if isinstance(value, dict) else value
            is_nested = isinstance(documents, list) and documents and isinstance(documents[0], dict)
            if is_nested:
                inner = [_source(each, f"{full}.", visible) for each in documents]
                # Nothing remains of a relationship that the caller may not see.
                if visible is None or any(inner):
                    result[name] = inner[0] if isinstance(value, dict) else inner
                continue
            if visible is not None and visible.get(f"{full}._pk") is None:
                continue
        result[name] = value
    return result
