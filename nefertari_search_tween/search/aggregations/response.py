"""What the backend answers -> what callers see: their own names, and no more than they may see."""

from __future__ import annotations

from typing import Any, Optional

from nefertari_search_tween.documents.format import INTERNAL
from nefertari_search_tween.search.aggregations.bucket_paths import Part
from nefertari_search_tween.search.aggregations.context import FieldLookup


def unwrap(
    found: dict[str, Any], parts: dict[str, Part], visible: FieldLookup, restricted: bool
) -> dict[str, Any]:
    """Results by name, without what they were wrapped in.

    :param found: results, or a bucket with results in it.
    :param visible: the fields that documents may show, where *restricted*.
    """
    result = {}
    for name, value in found.items():
        part = parts.get(name)
        if part is not None:
            for _ in range(part.wraps):
                value = value[name]
            value = _one(value, part, visible, restricted)
        result[name] = value
    return result


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
        shown: Any = {
            key: unwrap(bucket, part.inner, visible, restricted) for key, bucket in buckets.items()
        }
    else:
        shown = [unwrap(bucket, part.inner, visible, restricted) for bucket in buckets]
    return {**value, "buckets": shown}


def _hit(
    hit: dict[str, Any], sorts: int, prefix: str, visible: FieldLookup, restricted: bool
) -> dict[str, Any]:
    """A document of a ``top_hits``, as a hit of nefertari's search servers was."""
    shown = {"_score": hit["_score"]}
    if sorts:
        shown["sort"] = hit["sort"][:sorts]
    source = hit.get("_source")
    if source is None:
        return {"_id": hit["_id"], **shown}
    if restricted:
        # Of several models, each by its own rules.
        visible = getattr(visible, "of_index", lambda index: visible)(hit["_index"])
    seen = _source(source, prefix, visible if restricted else None)
    return {
        "_id": source.get("_pk", hit["_id"]),
        "_type": source.get("_type"),
        **shown,
        "_source": seen,
    }


def _source(source: dict[str, Any], prefix: str, visible: Optional[FieldLookup]) -> dict[str, Any]:
    """*source* without what is internal, or not for the caller; *visible* None: all is."""
    result: dict[str, Any] = {}
    for name, value in source.items():
        if name in INTERNAL:
            continue
        full = prefix + name
        if visible is None or visible.get(full) is None:
            documents = [value] if isinstance(value, dict) else value
            held = isinstance(documents, list) and documents and isinstance(documents[0], dict)
            if held:
                inner = [_source(each, f"{full}.", visible) for each in documents]
                # Of a relationship that the caller may not see, nothing is left.
                if visible is None or any(inner):
                    result[name] = inner[0] if isinstance(value, dict) else inner
                continue
            if visible is not None and visible.get(f"{full}._pk") is None:
                continue
        result[name] = value
    return result
