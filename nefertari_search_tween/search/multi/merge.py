"""Merges the hits of several models into one order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

from nefertari_search_tween.backends.base import Backend, sort_value
from nefertari_search_tween.search.multi.query import BOOLEAN
from nefertari_search_tween.search.query.search_read import Search, SearchQuery
from nefertari_search_tween.search.query.sorting import SortOrder
from nefertari_search_tween.search.query.visibility import require_visible

# Up to this many hits of each model are fetched with their documents; for a deeper page, only
# their sort keys at first.
WHOLE = 100

Hit = dict[str, Any]


def first_hits(query: SearchQuery) -> list[Search]:
    """Return the searches for so many first hits of each model as the page of *query* may need."""
    start, size = query.page
    # An empty page needs no hits, wherever it starts.
    depth = start + size if size else 0
    changes: dict[str, Any] = {"from": 0, "size": depth}
    if depth > WHOLE:
        changes["_source"] = False
    searches = [(part.index, {**part.body, **changes}) for part in query.parts]
    if depth > WHOLE:
        # They are made of the documents.
        for _, body in searches:
            body.pop("highlight", None)
    if not depth:
        for _, body in searches:
            del body["sort"]
    return searches


def with_sources(query: SearchQuery, page: list[Hit], backend: Backend) -> list[Hit]:
    """Return the hits of a page with their documents, without those deleted meanwhile."""
    ids_by_part: dict[int, list[str]] = {}
    for hit in page:
        ids_by_part.setdefault(hit["part"], []).append(hit["_id"])
    searches = [
        (
            query.parts[part].index,
            {
                # A document that has changed since may be none that the caller may see.
                "query": {
                    "bool": {"filter": [{"ids": {"values": ids}}, query.parts[part].body["query"]]}
                },
                "size": len(ids),
                "_source": query.parts[part].body["_source"],
                "track_total_hits": False,
                **_highlight_of(query.parts[part].body),
            },
        )
        for part, ids in ids_by_part.items()
    ]
    require_visible(searches, query.visible)
    documents: dict[tuple[int, str], Hit] = {}
    for part, response in zip(ids_by_part, backend.multi_search(searches)):
        for hit in response["hits"]["hits"]:
            # The score of a search by key is none.
            documents[part, hit["_id"]] = {
                name: each for name, each in hit.items() if name in ("_source", "highlight")
            }
    return [
        {**hit, **documents[hit["part"], hit["_id"]]}
        for hit in page
        if (hit["part"], hit["_id"]) in documents
    ]


def _highlight_of(body: dict[str, Any]) -> dict[str, Any]:
    return {"highlight": body["highlight"]} if "highlight" in body else {}


def merged(hits_by_model: Sequence[list[Hit]], orders: Sequence[SortOrder]) -> list[Hit]:
    """Return all hits in one order; of several models, each gets a key ``part``, the index of its
    model.

    Only the models' first remaining hits are compared, so a page does not depend on the number of
    hits that were fetched, and pages never overlap. Of equal hits, the first model's comes first.
    """
    if len(hits_by_model) == 1:
        return hits_by_model[0]
    streams = [
        [{**hit, "part": part, "key": _values(hit, orders)} for hit in hits]
        for part, hits in enumerate(hits_by_model)
    ]

    def compare(one: Hit, other: Hit) -> int:
        for mine, its, order in zip(one["key"], other["key"], orders):
            if mine == its:
                continue
            # Missing values come last, in both orders.
            if mine is None or its is None:
                return 1 if mine is None else -1
            return -1 if (mine < its) != order.descending else 1
        return 0

    return list(heapq.merge(*streams, key=cmp_to_key(compare)))


def _values(hit: Hit, orders: Sequence[SortOrder]) -> list[Any]:
    return [
        sort_value(value, order.descending, order.kind == BOOLEAN)
        for value, order in zip(hit["sort"], orders)
    ]
