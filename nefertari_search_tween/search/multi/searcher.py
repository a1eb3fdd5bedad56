"""Runs searches of several models at once, and merges their hits."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cmp_to_key
from typing import Any, Optional

from nefertari_search_tween.backends.base import sort_value
from nefertari_search_tween.exceptions import IndexMissing, SearchUnavailable
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.multi.query import (
    BOOLEAN,
    Filters,
    MultiQuery,
    SortOrder,
    multi_query,
)
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query.search_read import SearchQuery
from nefertari_search_tween.search.results import search_results
from nefertari_search_tween.search.searcher import SCAN_CHUNK, Searcher, explain_rejections

# Up to this many hits of each model are fetched with their documents; for a deeper page, only
# their sort keys at first.
WHOLE = 100

Hit = dict[str, Any]


def unfiltered(mirror: Mirror) -> Sequence[Any]:
    """Return no conditions: all documents of a model."""
    return ()


class MultiSearcher(Searcher):
    """Searches one mirror of an application, or several at once.

    Each mirror is searched by its own query, all in one request to the backend, and the hits are
    merged here. One search over all indices would have the same sort keys for all of them: it
    could not sort by a field only where it is visible, nor by one that is nested in some.
    """

    def search_multi(
        self,
        mirrors: Iterable[Mirror],
        params: dict[str, Any],
        request: Any = None,
        filters: Filters = unfiltered,
        current: bool = False,
    ) -> tuple[Any, int]:
        """Search several models, see :meth:`search`; ties are ordered by name of the model, and
        then by primary key.

        :param filters: returns exact filters for the documents of one model.
        """
        ordered = sorted(mirrors, key=lambda mirror: mirror.name)

        def all_filters(mirror: Mirror) -> Sequence[Any]:
            return [*filters(mirror), *self.restrictions(mirror)]

        query = multi_query(ordered, params, all_filters, Caller.of(request), self.settings)
        with self.ready(ordered, current) as version, explain_rejections(query.any):
            if query.any.count_only:
                responses = self._search_parts(
                    [(*each, {"size": 0}) for each in query.parts], version
                )
                return _total(responses), _took(responses)
            hits, total, took = self._merged_hits(query, version)
        start, query_class = query.any.start, self.primary.query_class
        return search_results(hits, start, query.fields, total, took, query_class), took

    @contextmanager
    def ready(self, mirrors: Sequence[Mirror], current: bool) -> Iterator[Optional[str]]:
        """Inside, all *mirrors* can be searched and are current.

        Yields their version for the cache; None if it is not known.

        :raises SearchUnavailable: one of them can't answer now.
        """
        versions = []
        for mirror in mirrors:
            read_version = self.consistency.wait_until_current(mirror, current)
            versions.append(read_version.cache_version)
            with self.consistency.translate_errors(mirror, read_version.version):
                pass
        cache_versions = [version for version in versions if version is not None]
        try:
            with self.consistency.translate_errors(mirrors[0], None):
                yield " ".join(cache_versions) if len(cache_versions) == len(versions) else None
        except SearchUnavailable as error:
            if isinstance(error.__cause__, IndexMissing):
                for mirror in mirrors:
                    mirror.invalidate()
            raise

    def _search_parts(
        self,
        parts: Sequence[tuple[Mirror, SearchQuery, dict[str, Any]]],
        version: Optional[str],
    ) -> list[dict[str, Any]]:
        """Run the searches of *parts*, each with its own changes."""
        searches = [(mirror.alias, _part(query.body, changes)) for mirror, query, changes in parts]
        responses: list[dict[str, Any]] = self.cache.get_or_search(
            [mirror for mirror, _, _ in parts],
            searches,
            version,
            lambda: self.backend.multi_search(searches),
        )
        return responses

    def _merged_hits(self, query: MultiQuery, version: Optional[str]) -> tuple[list[Hit], int, int]:
        """Return the hits of the page, their total number, and milliseconds."""
        start = query.any.start
        if not query.any.limited:
            responses = self._search_parts([(*each, {"size": 0}) for each in query.parts], version)
            merged = _merged([self._scanned(query, *each) for each in query.parts], query.orders)
            return merged[start:], len(merged), _took(responses)
        size: int = query.any.body["size"]
        # An empty page needs no hits, wherever it starts.
        depth = start + size if size else 0
        whole = depth <= WHOLE
        changes = {"from": 0, "size": depth, "_source": query.source if whole else False}
        responses = self._search_parts([(*each, changes) for each in query.parts], version)
        merged = _merged([response["hits"]["hits"] for response in responses], query.orders)
        page = merged[start : start + size]
        if not whole:
            page = self._with_sources(query, page)
        return page, _total(responses), _took(responses)

    def _scanned(self, query: MultiQuery, mirror: Mirror, part: SearchQuery) -> list[Hit]:
        """Return all hits of one model."""
        body = _part(part.body, {"_source": query.source, "track_total_hits": False})
        chunks = self.backend.scan(mirror.alias, body, SCAN_CHUNK)
        return [hit for chunk in chunks for hit in chunk]

    def _with_sources(self, query: MultiQuery, page: list[Hit]) -> list[Hit]:
        """Return the hits of a page with their documents, without those deleted meanwhile."""
        ids_by_part: dict[int, list[str]] = {}
        for hit in page:
            ids_by_part.setdefault(hit["part"], []).append(hit["_id"])
        searches = [
            (
                query.parts[part][0].alias,
                {
                    "query": {"ids": {"values": ids}},
                    "size": len(ids),
                    "_source": query.source,
                    "track_total_hits": False,
                },
            )
            for part, ids in ids_by_part.items()
        ]
        sources: dict[tuple[int, str], Any] = {}
        for part, response in zip(ids_by_part, self.backend.multi_search(searches)):
            for hit in response["hits"]["hits"]:
                sources[part, hit["_id"]] = hit["_source"]
        return [
            {**hit, "_source": sources[hit["part"], hit["_id"]]}
            for hit in page
            if (hit["part"], hit["_id"]) in sources
        ]


def _merged(hits_by_model: Sequence[list[Hit]], orders: Sequence[SortOrder]) -> list[Hit]:
    """Return all hits in one order; each gets a key ``part``, the index of its model.

    Only the models' first remaining hits are compared, so a page does not depend on the number of
    hits that were fetched, and pages never overlap. Of equal hits, the first model's comes first.
    """
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


def _part(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return *body* with *changes*; without a sort if no hits are requested."""
    changed = {**body, **changes}
    if changed.get("size") == 0:
        del changed["sort"]
    return changed


def _total(responses: Iterable[dict[str, Any]]) -> int:
    return sum(response["hits"]["total"]["value"] for response in responses)


def _took(responses: Iterable[dict[str, Any]]) -> int:
    """Return the milliseconds that the backend took: the searches run in parallel."""
    return max(response["took"] for response in responses)
