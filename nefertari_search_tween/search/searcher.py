"""Runs reads of one model on its mirror."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Callable, Optional, Protocol

from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.documents.format import STUBS
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import (
    BackendRejected,
    BadQuery,
    Reason,
    TooManyClauses,
    Unanswerable,
)
from nefertari_search_tween.interfaces.primary import Semantics
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.search.consistency import PendingChanges, ReadConsistency, ReadVersion
from nefertari_search_tween.search.context import QueryText, collection_request
from nefertari_search_tween.search.item_acl import access_of, has_item_acl
from nefertari_search_tween.search.privacy import Caller, named_by_caller
from nefertari_search_tween.search.query.search_read import SearchQuery, search_query
from nefertari_search_tween.search.query.transparent_read import transparent_query
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
HTTP_BAD_REQUEST = 400


class ReadPrimary(Protocol):
    """The part of a primary that reads need; see ``interfaces.primary_engine.Primary``."""

    query_class: type
    rows: Optional[Callable[[list[Any]], Any]]

    def semantics(self, model: Any, document_cls: type[BaseDocument]) -> Semantics: ...

    def uncommitted_session(self) -> Any: ...


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

    def restrictions(self, mirror: Mirror) -> list[dict[str, Any]]:
        """Return conditions that hold for all objects that the current request may select from its
        collection."""
        if not has_item_acl(mirror.document_cls):
            return []
        access = access_of(collection_request(mirror.model))
        return [] if access is None else [access.query()]

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
        query = transparent_query(
            mirror.document_cls,
            self.semantics[mirror.name],
            params,
            self.settings.max_result_window,
            keys,
        )
        _restrict(query.body, self.restrictions(mirror))
        if self.primary.uncommitted_session() is not None:
            raise Unanswerable(Reason.OPEN_TRANSACTION)
        read_version = self.consistency.require_current(mirror)
        if query.count_only:
            query.body["size"] = 0
        if "size" in query.body:
            response = self._search(mirror, mirror.alias, query.body, read_version)
            hits = response["hits"]["hits"]
        else:
            with self.consistency.translate_errors(mirror, read_version.version):
                response, hits = self._all(mirror.alias, query.body)
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

    def search(
        self,
        mirror: Mirror,
        params: dict[str, Any],
        request: Any = None,
        exact_filters: Any = (),
        current: bool = False,
    ) -> Any:
        """Search as nefertari does: a list of data objects with metadata, or a number (``_count``).

        :param params: nefertari's parameters, texts in Lucene syntax.
        :param request: its caller's rights apply; None for no restriction (scripts).
        :param current: see every committed change, whatever the consistency setting, because the
            results will be modified.
        :returns: the result, and the milliseconds that the backend took.
        :raises BadQuery: invalid parameters.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        query = self.build_query(mirror, params, request, exact_filters)
        return self.run_query(mirror, query, current)

    def build_query(
        self, mirror: Mirror, params: dict[str, Any], request: Any = None, exact_filters: Any = ()
    ) -> SearchQuery:
        """Return the query that :meth:`search` runs.

        :raises BadQuery: invalid parameters.
        """
        filters = [*exact_filters, *self.restrictions(mirror)]
        own = frozenset(params) - named_by_caller(request) if request is not None else frozenset()
        return search_query(
            mirror.document_cls, params, filters, Caller.of(request), self.settings, own
        )

    def run_query(self, mirror: Mirror, query: SearchQuery, current: bool = False) -> Any:
        """Run *query*; see :meth:`search`."""
        read_version = self.consistency.wait_until_current(mirror, current)
        if query.count_only:
            body = _without(query.body, *NOT_COUNTED)
            body["size"] = 0
            response = self._search(
                mirror, query.index or mirror.alias, body, read_version, explain_rejections(query)
            )
            return response["hits"]["total"]["value"], response["took"]
        response, hits = self._hits(mirror, query, read_version)
        total, took = response["hits"]["total"]["value"], response["took"]
        query_class = self.primary.query_class
        return search_results(hits, query.start, query.fields, total, took, query_class), took

    def get_documents(
        self, mirror: Mirror, ids: list[str], current: bool = False, index: str = ""
    ) -> dict[str, Any]:
        """Return documents as stored in the index, by id; None for those that do not exist.

        :param current: see :meth:`search`.
        :param index: the index to read; '' for the mirror's.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        read_version = self.consistency.wait_until_current(mirror, current)

        def fetch(missing: list[str]) -> dict[str, Any]:
            with self.consistency.translate_errors(mirror, read_version.version):
                return self.backend.multi_get(index or mirror.alias, missing)

        # The version is that of the mirror's index, not of any other.
        own = not index or index == mirror.alias
        return self.cache.documents(mirror, ids, read_version.cache_version if own else None, fetch)

    def view_filters(self, mirror: Mirror, params: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Split what a view passes to ``get_collection`` in a search read.

        :returns: the parameters that the caller typed, and exact filters for those that the view
            added.
        :raises Unanswerable: a filter of the view can't be exact.
        """
        typed: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for name, value in params.items():
            values = value if isinstance(value, list) else [value]
            reserved = name.startswith("_") or name == "q"
            if reserved or all(isinstance(each, QueryText) for each in values):
                typed[name] = value
            else:
                own[name] = value
        filters = []
        if own:
            exact = transparent_query(
                mirror.document_cls,
                self.semantics[mirror.name],
                own,
                self.settings.max_result_window,
            )
            filters.append(exact.body.get("query", {"match_all": {}}))
        return typed, filters

    def ask(
        self,
        mirror: Mirror,
        query: SearchQuery,
        body: dict[str, Any],
        explanation: AbstractContextManager[None],
        current: bool = False,
    ) -> Any:
        """Return the backend's response to *body*, which was built from *query*.

        :param explanation: translates a rejection of *body*.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        read_version = self.consistency.wait_until_current(mirror, current)
        return self._search(
            mirror, mirror.alias, body, read_version, explanation, explain_rejections(query)
        )

    def _search(
        self,
        mirror: Mirror,
        index: str,
        body: dict[str, Any],
        read_version: ReadVersion,
        *explanations: AbstractContextManager[None],
    ) -> Any:
        """Return the backend's response to *body*, or the cached one.

        :param explanations: translate a rejection of *body*, the last one first.
        """

        def search() -> Any:
            with (
                self.consistency.translate_errors(mirror, read_version.version),
                ExitStack() as inside,
            ):
                for explanation in explanations:
                    inside.enter_context(explanation)
                return self.backend.search(index, body)

        # The version is that of the mirror's index, not of any other.
        version = read_version.cache_version if index == mirror.alias else None
        return self.cache.get_or_search([mirror], body, version, search)

    def _hits(
        self, mirror: Mirror, query: SearchQuery, read_version: ReadVersion
    ) -> tuple[dict[str, Any], Any]:
        index = query.index or mirror.alias
        if query.limited:
            response = self._search(
                mirror, index, query.body, read_version, explain_rejections(query)
            )
            return response, response["hits"]["hits"]
        with (
            self.consistency.translate_errors(mirror, read_version.version),
            explain_rejections(query),
        ):
            response, hits = self._all(index, query.body)
        return response, hits[query.start :]

    def _all(self, index: str, body: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Return all matches: counted first, then scanned at one point in time."""
        totals = _without(body, "sort", "_source", "highlight")
        response = self.backend.search(index, {**totals, "size": 0})
        if not response["hits"]["total"]["value"]:
            return response, []
        page = _without(body, "aggs", "aggregations")
        page["track_total_hits"] = False
        hits: list[Any] = []
        for chunk in self.backend.scan(index, page, SCAN_CHUNK):
            hits.extend(chunk)
        response["hits"]["total"]["value"] = len(hits)
        return response, hits


@contextmanager
def explain_rejections(query: SearchQuery) -> Iterator[None]:
    """Translate rejections of the caller's input into errors that the caller can fix."""
    try:
        yield
    except TooManyClauses as error:
        raise BadQuery(
            query.searched[0] if query.searched else "q",
            "more words, each in every field that it is looked for in, than the search server "
            "takes: give fewer words, or name fields (_search_fields)",
        ) from error
    except BackendRejected as error:
        if error.status != HTTP_BAD_REQUEST or not query.expressions:
            raise
        raise BadQuery(
            query.expressions[0], "the search server can't run this regular expression"
        ) from error


def _restrict(body: dict[str, Any], restrictions: list[dict[str, Any]]) -> None:
    """Narrow a transparent read, so that inexact documents still invalidate it."""
    if not restrictions:
        return
    either = [{"bool": {"filter": restrictions}}, STUBS]
    visible = {"bool": {"should": either, "minimum_should_match": 1}}
    queries = [body["query"]] if "query" in body else []
    body["query"] = {"bool": {"filter": [*queries, visible]}}


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}
