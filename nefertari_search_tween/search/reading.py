"""Runs reads against the mirror, and says clearly when it can't."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    BadQuery,
    IndexMissing,
    SearchError,
    SearchRefused,
    SearchTimeout,
    SearchUnavailable,
    TooManyClauses,
    Unanswerable,
)
from nefertari_search_tween.mirror.mapping import EVERYTHING, INEXACT
from nefertari_search_tween.mirror.registry import Mirror, Mirrors
from nefertari_search_tween.search.access import access_of, has_item_acl
from nefertari_search_tween.search.exact import Semantics, exact_query
from nefertari_search_tween.search.params import SearchQuery, search_query
from nefertari_search_tween.search.privacy import Caller, named_by_caller
from nefertari_search_tween.search.results import (
    ExactResults,
    SearchResults,
    exact_documents,
    exact_rows,
    search_documents,
)
from nefertari_search_tween.search.routing import QueryText, collection_request
from nefertari_search_tween.settings import Settings

log = logging.getLogger(__name__)

# How long a search read waits where one has waited for as long as a search may take, in vain:
# threads of the web server must not all stand there.
IMPATIENT_SECONDS = 1.0
# How often it looks whether what it waits for has been indexed.
CATCH_UP_STEP_SECONDS = 0.02
SCAN_CHUNK = 1000
# Of a search, what its number of matches does not depend on.
NOT_COUNTED = ("from", "sort", "_source", "highlight", "aggs", "aggregations")
HTTP_BAD_REQUEST = 400

#: whether changes wait, and the number of the last claim; of one moment
State = tuple[bool, int]


class Searcher:
    """Answers reads of one application from its mirrors.

    :param semantics: how the primary compares values, by name of the model.
    :param state: model name -> whether committed changes of it wait to be indexed, and the
        number of its last claim.
    :param mark: gives the end of what waits now.
    :param passed: whether nothing waits any more of what waited at a mark.
    :param dirty: True when the caller's running transaction changed something.
    :param query_class: class of the primary's queries.
    :param rows: makes the primary's type of result for ``_fields`` of dictionaries; None where it
        gives objects then, too.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        settings: Settings,
        semantics: dict[str, Semantics],
        state: Callable[[str], State],
        mark: Callable[[], Any],
        passed: Callable[[Any], bool],
        dirty: Callable[[], bool],
        query_class: type,
        rows: Optional[Callable[[list[Any]], Any]],
    ) -> None:
        self.mirrors = mirrors
        self.backend = mirrors.backend
        self.settings = settings
        self.semantics = semantics
        self.state = state
        self.mark = mark
        self.passed = passed
        self.dirty = dirty
        self.query_class = query_class
        self.rows = rows
        # Until when reads are impatient.
        self._impatient = 0.0

    @property
    def _own_writes(self) -> bool:
        return self.settings.consistency == "read_your_writes"

    def restrictions(self, mirror: Mirror) -> list[dict[str, Any]]:
        """What holds for the objects that the running request may select from its collection."""
        if not has_item_acl(mirror.document_cls):
            return []
        access = access_of(collection_request(mirror.model))
        return [] if access is None else [access.query()]

    # Transparent reads

    def exact(
        self,
        mirror: Mirror,
        params: dict[str, Any],
        primary: Callable[[], Any],
        keys: Optional[list[Any]] = None,
    ) -> Any:
        """What ``get_collection(**params)`` of the primary gives, from the mirror.

        :param primary: makes the primary's own result.
        :param keys: primary keys of the documents that count; None: all.
        :returns: results, dicts (with ``_fields``) or a number (with ``_count``); and the
            milliseconds that the backend took.
        :raises Unanswerable: only the primary can say.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        query = exact_query(
            mirror.document_cls,
            self.semantics[mirror.name],
            params,
            self.settings.max_result_window,
            keys,
        )
        _among_visible(query.body, self.restrictions(mirror))
        if self.dirty():
            raise Unanswerable("transaction")
        number = None
        if self._own_writes:
            waiting, number = self.state(mirror.name)
            if waiting:
                raise SearchUnavailable("behind", f"The mirror of {mirror.name} is behind.")
        if query.count_only:
            query.body["size"] = 0
        with self._available(mirror, number):
            if "size" in query.body:
                answer = self.backend.search(mirror.alias, query.body)
                hits = answer["hits"]["hits"]
            else:
                answer, hits = self._all(mirror.alias, query.body)
            if hits:
                mirror.answered_by(hits[0]["_index"])
        if answer["aggregations"]["inexact"]["doc_count"]:
            raise Unanswerable("inexact-values")
        total = answer["hits"]["total"]["value"]
        if query.count_only:
            return total, answer["took"]
        meta = {"total": total, "start": query.start, "fields": query.fields}
        if query.picked is not None and self.rows is not None:
            result = self.rows(exact_rows(mirror.document_cls, hits, query))
            result._nefertari_meta = meta
        else:
            semantics = self.semantics[mirror.name]
            documents = exact_documents(mirror.document_cls, hits, query, semantics.unloaded)
            result = ExactResults(documents, meta, primary, self.query_class)
        return result, answer["took"]

    # Search reads

    def search(
        self,
        mirror: Mirror,
        params: dict[str, Any],
        request: Any = None,
        exact_filters: Any = (),
        current: bool = False,
    ) -> Any:
        """nefertari's search: a list of data objects with metadata, or a number (``_count``).

        :param params: nefertari's parameters, texts in Lucene syntax.
        :param request: whose caller's rights count; None: no restriction (scripts).
        :param current: what is found will be changed: see every committed change, whatever the
            consistency setting.
        :returns: the result, and the milliseconds that the backend took.
        :raises BadQuery: parameters that can't be understood.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        query = self.query(mirror, params, request, exact_filters)
        return self.run(mirror, query, current)

    def query(
        self, mirror: Mirror, params: dict[str, Any], request: Any = None, exact_filters: Any = ()
    ) -> SearchQuery:
        """What :meth:`search` runs.

        :raises BadQuery: parameters that can't be understood.
        """
        filters = [*exact_filters, *self.restrictions(mirror)]
        own = frozenset(params) - named_by_caller(request) if request is not None else frozenset()
        return search_query(
            mirror.document_cls, params, filters, Caller.of(request), self.settings, own
        )

    def run(self, mirror: Mirror, query: SearchQuery, current: bool = False) -> Any:
        """Run *query*; see :meth:`search`."""
        number = self._catch_up(mirror) if current or self._own_writes else None
        with self._available(mirror, number), refusals(query):
            if query.count_only:
                body = _without(query.body, *NOT_COUNTED)
                body["size"] = 0
                answer = self.backend.search(query.index or mirror.alias, body)
                return answer["hits"]["total"]["value"], answer["took"]
            answer, hits = self._hits(mirror, query)
        result = SearchResults(search_documents(hits), query_class=self.query_class)
        result._nefertari_meta = {
            "start": query.start,
            "fields": query.fields,
            "total": answer["hits"]["total"]["value"],
            "took": answer["took"],
        }
        return result, answer["took"]

    def documents(
        self, mirror: Mirror, ids: list[str], current: bool = False, index: str = ""
    ) -> dict[str, Any]:
        """Documents as the index holds them, by id; None for those that are not there.

        :param current: see :meth:`search`.
        :param index: where to look, '' for the index of the mirror.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        number = self._catch_up(mirror) if current or self._own_writes else None
        with self._available(mirror, number):
            return self.backend.multi_get(index or mirror.alias, ids)

    def view_filters(self, mirror: Mirror, params: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Split what a view gave to ``get_collection`` in a search read.

        :returns: the parameters that the caller typed, and exact filters for those that the
            view put there itself.
        :raises Unanswerable: such a filter can't be exact.
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
            exact = exact_query(
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
        meaning: AbstractContextManager[None],
        current: bool = False,
    ) -> Any:
        """The backend's own answer to *body*, which was made of *query*.

        :param meaning: says what a refusal of *body* means.
        :raises SearchUnavailable: the mirror can't answer now.
        """
        number = self._catch_up(mirror) if current or self._own_writes else None
        with self._available(mirror, number), meaning, refusals(query):
            return self.backend.search(mirror.alias, body)

    # How

    def _hits(self, mirror: Mirror, query: SearchQuery) -> tuple[dict[str, Any], Any]:
        index = query.index or mirror.alias
        if query.limited:
            answer = self.backend.search(index, query.body)
            return answer, answer["hits"]["hits"]
        answer, hits = self._all(index, query.body)
        return answer, hits[query.start :]

    def _all(self, index: str, body: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """All matches, however many: counted first, then scanned at one point in time."""
        totals = _without(body, "sort", "_source", "highlight")
        answer = self.backend.search(index, {**totals, "size": 0})
        if not answer["hits"]["total"]["value"]:
            return answer, []
        page = _without(body, "aggs", "aggregations")
        page["track_total_hits"] = False
        hits: list[Any] = []
        for chunk in self.backend.scan(index, page, SCAN_CHUNK):
            hits.extend(chunk)
        answer["hits"]["total"]["value"] = len(hits)
        return answer, hits

    @contextmanager
    def _available(self, mirror: Mirror, number: Optional[int]) -> Iterator[None]:
        """The backend's failures become ours.

        :param number: what was indexed by this claim, and before, is visible inside.
        """
        breaker = self.mirrors.breaker
        breaker.check()
        try:
            mirror.require()
            if number is not None:
                mirror.make_visible(number)
            yield
        except IndexMissing as error:
            mirror.forget()
            breaker.answered()
            raise SearchUnavailable(
                "not-built", f"The search index of {mirror.name} is gone."
            ) from error
        except BackendTimeout as error:
            # One slow query says nothing about the server; a server that is silent, too, does.
            if not self.backend.alive():
                breaker.failed()
            raise SearchTimeout(
                f"The search took longer than {self.settings.timeout:g} seconds."
            ) from error
        except BackendUnavailable as error:
            breaker.failed()
            raise SearchUnavailable("down", "The search server does not answer.") from error
        except BackendDenied as error:
            # What it says of users and rights is for the log, not for the caller.
            breaker.denied(error)
            raise SearchUnavailable(
                "denied", "The search server does not allow this application to search."
            ) from error
        except BackendRejected as error:
            breaker.answered()
            log.error("the backend refused a query of ours: %s", error)
            raise SearchRefused("The search server refused the query.") from error
        except BackendError as error:
            raise SearchUnavailable("down", str(error)) from error
        except SearchError:
            raise
        else:
            breaker.allowed()

    def _catch_up(self, mirror: Mirror) -> int:
        """Wait for changes that are being indexed, as long as a search may take; gives the number
        of the last claim.

        What comes after the call is not waited for: where writes never pause, something always
        waits.

        :raises SearchUnavailable: they still are not.
        """
        waiting, number = self.state(mirror.name)
        if not waiting:
            return number
        mark = self.mark()
        now = time.monotonic()
        patience = self.settings.timeout
        if now < self._impatient:
            patience = min(patience, IMPATIENT_SECONDS)
        deadline = now + patience
        while True:
            if self.passed(mark):
                self._impatient = 0.0
                # Of rows that nobody had claimed before, nobody knows the numbers: all is made
                # visible. Claims up to this number were among what waited, so they are, too.
                with self._available(mirror, None):
                    self.backend.refresh(mirror.alias)
                return number
            if time.monotonic() >= deadline or self.mirrors.breaker.open:
                self._impatient = time.monotonic() + self.settings.timeout
                raise SearchUnavailable(
                    "behind", f"Changes of {mirror.name} are not searchable yet."
                )
            threading.Event().wait(CATCH_UP_STEP_SECONDS)


@contextmanager
def refusals(query: SearchQuery) -> Iterator[None]:
    """What the backend refuses of a caller's words is the caller's to mend."""
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


def _among_visible(body: dict[str, Any], restrictions: list[dict[str, Any]]) -> None:
    """Narrow a transparent read, such that documents that can't be trusted still void it."""
    if not restrictions:
        return
    unknown = {"term": {INEXACT: EVERYTHING}}
    either = [{"bool": {"filter": restrictions}}, unknown]
    visible = {"bool": {"should": either, "minimum_should_match": 1}}
    asked = [body["query"]] if "query" in body else []
    body["query"] = {"bool": {"filter": [*asked, visible]}}


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}
