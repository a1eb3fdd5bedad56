"""Runs reads of one model, or of several at once, on their mirrors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, Callable, Optional, Protocol

from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import (
    Reason,
    Unanswerable,
)
from nefertari_search_tween.interfaces.primary import Semantics
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.search.aggregations.execute import (
    AggregationResult,
    model_aggregation,
)
from nefertari_search_tween.search.aggregations.request import AggregationRequest
from nefertari_search_tween.search.box.passes import BoxPasses
from nefertari_search_tween.search.box.query import ALL_WORDS
from nefertari_search_tween.search.box.weights import choose_search_fields
from nefertari_search_tween.search.consistency import PendingChanges, ReadConsistency, ReadVersion
from nefertari_search_tween.search.features.extras import extras
from nefertari_search_tween.search.item_acl import acl_filters
from nefertari_search_tween.search.multi.aggregations import multi_aggregation
from nefertari_search_tween.search.multi.merge import Hit, first_hits, merged, with_sources
from nefertari_search_tween.search.multi.query import multi_query
from nefertari_search_tween.search.objects_by_key import objects_by_key
from nefertari_search_tween.search.query.search_read import Search, SearchQuery, model_query
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.transparent_read import restrict, transparent_query
from nefertari_search_tween.search.query.visibility import Visible, require_visible
from nefertari_search_tween.search.results import (
    TransparentResults,
    search_results,
    transparent_documents,
    transparent_rows,
)
from nefertari_search_tween.settings.settings import Settings

SCAN_CHUNK = 1000
# Parts of a search that do not affect its number of matches.
NOT_COUNTED = ("from", "sort", "_source", "highlight", "aggs", "aggregations")


class ReadPrimary(Protocol):
    """The part of a primary that reads need; see ``interfaces.primary_engine.Primary``."""

    query_class: type
    rows: Optional[Callable[[list[Any]], Any]]

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> Semantics: ...

    def has_written(self) -> bool: ...

    def write_watch(self) -> Callable[[], bool]: ...

    def limited(self, model: Any, seconds: float) -> AbstractContextManager[None]: ...

    def is_timeout(self, error: BaseException) -> bool: ...


class Searcher:
    """Answers reads of one application from its mirrors.

    :param mirrors: those of all models, complete.
    :param pending: the outbox.
    """

    def __init__(
        self,
        mirrors: MirrorRegistry,
        settings: Settings,
        primary: ReadPrimary,
        pending: PendingChanges,
        cache: ResponseCache = NO_CACHE,
    ) -> None:
        self.mirrors = mirrors
        self.backend = mirrors.backend
        self.settings = settings
        self.primary = primary
        self.pending = pending
        self.semantics = {
            mirror.name: primary.semantics(mirror.model, mirror.document_cls) for mirror in mirrors
        }
        self.cache = cache
        self.consistency = ReadConsistency(mirrors, settings, pending, cache.on)
        choose_search_fields(mirrors, settings)

    # Transparent reads

    def read_transparent(
        self,
        mirror: Mirror,
        params: dict[str, Any],
        primary: Callable[[], Any],
        keys: Optional[list[Any]] = None,
    ) -> Any:
        """Return what ``get_collection(**params)`` of the primary returns, from the mirror.

        :param primary: makes the primary's own result.
        :param keys: primary keys of the documents to select from; None for all.
        :returns: results, dicts (with ``_fields``) or a number (with ``_count``); and the
            milliseconds that the backend took.
        :raises Unanswerable: only the primary can answer.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        hook = mirror.hook()
        if hook is not None:
            raise Unanswerable(hook.reason)
        if mirror.hooks.rendering() is not None:
            # Trusted to be the same for all, not to depend on the documents' own objects alone.
            raise Unanswerable(Reason.CUSTOM_TO_DICT)
        if mirror.untracked:
            raise Unanswerable(Reason.UNTRACKED)
        query = transparent_query(
            mirror.document_cls,
            self.semantics[mirror.name],
            params,
            self.settings.max_result_window,
            keys,
        )
        visible = {mirror.alias: restrict(query.body, acl_filters(mirror))}
        if self.primary.has_written():
            raise Unanswerable(Reason.OPEN_TRANSACTION)
        read_version = self.consistency.require_current(mirror)
        if query.count_only:
            query.body["size"] = 0
        searches = [(mirror.alias, query.body)]
        if "size" in query.body:
            (response,) = self._search([mirror], searches, visible, read_version)
            hits = response["hits"]["hits"]
        else:
            with self.consistency.translate_errors(read_version.versions):
                (response,), (hits,) = self._all([mirror], searches, visible)
        if hits:
            mirror.answered_by(hits[0]["_index"])
        if response["aggregations"]["inexact"]["doc_count"]:
            raise Unanswerable(Reason.INEXACT_VALUES)
        total = response["hits"]["total"]["value"]
        if query.count_only:
            return total, response["took"]
        meta = {"total": total, "start": query.start, "fields": query.fields}
        if query.picked is not None and self.primary.rows is not None:
            result = self.primary.rows(transparent_rows(mirror.document_cls, hits, query))
            result._nefertari_meta = meta
        else:
            semantics = self.semantics[mirror.name]
            documents = transparent_documents(mirror.document_cls, hits, query, semantics.unloaded)
            result = TransparentResults(documents, meta, primary, self.primary.query_class)
        return result, response["took"]

    # Search reads

    def search(self, mirrors: Iterable[Mirror], request: SearchRequest) -> tuple[Any, int]:
        """Search one model or several; several models' ties are ordered by name of the model, and
        then by primary key.

        :returns: a list of data objects with metadata, a number (``_count``) or aggregations; and
            the milliseconds that the backend took.
        :raises BadQuery: invalid parameters.
        :raises JHTTPForbidden: aggregations of fields that the caller may not see.
        :raises SearchUnavailable: the mirrors can't answer now.
        """
        ordered = sorted(mirrors, key=lambda mirror: mirror.name)
        if request.aggregation is not None:
            return self._aggregate(ordered, request, request.aggregation)
        return self.run_query(self.build_query(ordered, request))

    def build_query(self, mirrors: Sequence[Mirror], request: SearchRequest) -> SearchQuery:
        """Return the query that :meth:`search` runs.

        Each of several models is searched by its own query, all in one request to the backend, and
        the hits are merged here. One search over all indices would have the same sort keys for all
        of them: it could not sort by a field only where it is visible, nor by one that is nested
        in some.

        :raises BadQuery: invalid parameters.
        """
        if request.position is not None and request.attempt == ALL_WORDS:
            request = replace(request, attempt=request.position.attempt)
        if len(mirrors) > 1:
            return multi_query(mirrors, request)
        return SearchQuery.of(request, [model_query(mirrors[0], request)])

    def run_query(self, query: SearchQuery) -> tuple[Any, int]:
        """Run *query*; see :meth:`search`."""
        passes = self._passes(query)
        query, (hits, total, took) = passes.first_with_hits(query)
        if query.count_only:
            return total, took
        meta = {"start": query.page.start, "fields": query.fields, "total": total, "took": took}
        meta.update(extras(query, passes, hits, total))
        return search_results(hits, meta, self.primary.query_class, query.highlights), took

    def _passes(self, query: SearchQuery) -> BoxPasses:
        """Return what searches for *query*, and for what it may mean."""
        read_version = self.consistency.wait_until_current(query.mirrors, query.current)
        if any(part.index != part.mirror.alias for part in query.parts):
            # The version is that of the mirrors' indices, not of any other.
            read_version = ReadVersion(read_version.versions)
        run = self._count if query.count_only else self._hits
        return BoxPasses(
            lambda each: run(each, read_version),
            lambda request: self.build_query(query.mirrors, request),
            lambda each, searches, *more: self._search(
                each.mirrors, searches, each.visible, read_version, *more, each.explain_rejections()
            ),
        )

    def _count(self, query: SearchQuery, read_version: ReadVersion) -> tuple[list[Hit], int, int]:
        """Return no hits, their total number, and milliseconds."""
        responses = self._search(
            query.mirrors,
            [
                (part.index, {**_without(part.body, *NOT_COUNTED), "size": 0})
                for part in query.parts
            ],
            query.visible,
            read_version,
            query.explain_rejections(),
        )
        return [], _total(responses), _took(responses)

    def _hits(self, query: SearchQuery, read_version: ReadVersion) -> tuple[list[Hit], int, int]:
        """Return the hits of the page, their total number, and milliseconds."""
        start, size = query.page
        explanation = query.explain_rejections()
        if size is None:
            searches = [(part.index, part.body) for part in query.parts]
            with self.consistency.translate_errors(read_version.versions), explanation:
                responses, hits_by_part = self._all(query.mirrors, searches, query.visible)
            hits = merged(hits_by_part, query.orders)[start:]
        elif len(query.parts) == 1:
            searches = [(query.parts[0].index, query.parts[0].body)]
            responses = self._search(
                query.mirrors, searches, query.visible, read_version, explanation
            )
            hits = responses[0]["hits"]["hits"]
        else:
            searches = first_hits(query)
            responses = self._search(
                query.mirrors, searches, query.visible, read_version, explanation
            )
            hits = merged([each["hits"]["hits"] for each in responses], query.orders)
            hits = hits[start : start + size]
            if any("_source" not in hit for hit in hits):
                with self.consistency.translate_errors(read_version.versions):
                    hits = with_sources(query, hits, self.backend)
        return hits, _total(responses), _took(responses)

    def _aggregate(
        self, mirrors: list[Mirror], request: SearchRequest, aggregation: AggregationRequest
    ) -> tuple[AggregationResult, int]:
        """Aggregate the matches; pages, sorts and fields of documents are ignored."""
        if request.box is not None:
            # The words that a document needs are those of the search without aggregations.
            plain = replace(request.without_page(), aggregation=None)
            counted = replace(self.build_query(mirrors, plain), count_only=True)
            request = replace(
                request, attempt=self._passes(counted).first_with_hits(counted)[0].request.attempt
            )
        if len(mirrors) > 1:
            prepared, parts, query = multi_aggregation(mirrors, request, aggregation)
        else:
            prepared, parts, query = model_aggregation(mirrors[0], request, aggregation)
        body = {"query": query, "size": 0, "track_total_hits": False, "aggs": prepared.body}
        read_version = self.consistency.wait_until_current(mirrors, request.current)
        (response,) = self._search(
            mirrors,
            [(",".join(mirror.alias for mirror in mirrors), body)],
            {part.mirror.alias: part.conditions for part in parts},
            read_version,
            prepared.refusals(),
            parts[0].explain_rejections(),
        )
        return prepared.result(response["aggregations"]), response["took"]

    def get_objects(self, mirror: Mirror, pks: Iterable[Any]) -> dict[str, Any]:
        """Return those objects with the keys *pks* that exist, from the primary, by key as text:
        the documents that the index has once it is current."""
        return objects_by_key(mirror, pks, self.primary.has_written())

    def get_documents(
        self, mirror: Mirror, ids: list[str], current: bool, index: str
    ) -> dict[str, Any]:
        """Return documents as stored in the index, by id; None for those that do not exist.

        :param current: see :class:`SearchRequest`.
        :param index: the index to read.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        read_version = self.consistency.wait_until_current([mirror], current)

        def fetch(missing: list[str]) -> dict[str, Any]:
            with self.consistency.translate_errors(read_version.versions):
                return self.backend.multi_get(index, missing)

        # The version is that of the mirror's index, not of any other.
        version = read_version.cache_version if index == mirror.alias else None
        return self.cache.documents(mirror, ids, version, fetch)

    # Requests to the backend

    def _search(
        self,
        mirrors: Sequence[Mirror],
        searches: list[Search],
        visible: Visible,
        read_version: ReadVersion,
        *explanations: AbstractContextManager[None],
    ) -> list[dict[str, Any]]:
        """Return the backend's responses to *searches*, or the cached ones.

        :param visible: the conditions on what they may show.
        :param explanations: translate a rejection, the last one first.
        :raises SearchRejected: they may show more.
        """
        require_visible(searches, visible)

        def send() -> list[dict[str, Any]]:
            with (
                self.consistency.translate_errors(read_version.versions),
                ExitStack() as inside,
            ):
                for explanation in explanations:
                    inside.enter_context(explanation)
                return self._send(mirrors, searches)

        responses: list[dict[str, Any]] = self.cache.get_or_search(
            mirrors, searches, read_version.cache_version, send
        )
        return responses

    def _send(self, mirrors: Sequence[Mirror], searches: list[Search]) -> list[dict[str, Any]]:
        """Return the backend's responses to *searches*, all of one request."""
        if len(searches) == 1:
            responses = [self.backend.search(*searches[0])]
        else:
            responses = self.backend.multi_search(searches)
        by_alias = {mirror.alias: mirror for mirror in mirrors}
        for (index, _), response in zip(searches, responses):
            names = index.split(",")
            # Of the indices of another application nothing is known.
            if by_alias.keys() >= set(names):
                searched = [by_alias[name] for name in names]
                self.consistency.require_shards(searched, response["_shards"]["total"])
        return responses

    def _all(
        self, mirrors: Sequence[Mirror], searches: list[Search], visible: Visible
    ) -> tuple[list[dict[str, Any]], list[list[Hit]]]:
        """Return all matches of *searches*: counted first, then scanned at one point in time.

        :param visible: the conditions on what they may show.
        :returns: the responses, with the numbers of hits; and the hits of each search.
        :raises SearchRejected: they may show more.
        :raises BackendTimeout: all of it took longer than a search may take.
        """
        require_visible(searches, visible)
        deadline = time.monotonic() + self.settings.search_timeout
        responses = self._send(
            mirrors,
            [
                (index, {**_without(body, "sort", "_source", "highlight"), "size": 0})
                for index, body in searches
            ],
        )
        hits_by_search = []
        for (index, body), response in zip(searches, responses):
            hits: list[Hit] = []
            if response["hits"]["total"]["value"]:
                page = {**_without(body, "aggs", "aggregations"), "track_total_hits": False}
                remaining = max(0.0, deadline - time.monotonic())
                for chunk in self.backend.scan(index, page, SCAN_CHUNK, remaining):
                    hits.extend(chunk)
                response["hits"]["total"]["value"] = len(hits)
            hits_by_search.append(hits)
        return responses, hits_by_search


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _total(responses: Iterable[dict[str, Any]]) -> int:
    return sum(response["hits"]["total"]["value"] for response in responses)


def _took(responses: Iterable[dict[str, Any]]) -> int:
    """Return the milliseconds that the backend took: the searches run in parallel."""
    return max(response["took"] for response in responses)
