"""Answers the collection read of a routed request, and records on its context who answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import (
    Reason,
    SearchRejected,
    SearchTimeout,
    SearchUnavailable,
    Unanswerable,
)
from nefertari_search_tween.search.aggregations.execute import asked_of
from nefertari_search_tween.search.context import ReadContext
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.results import RoutedResults, TransparentResults
from nefertari_search_tween.search.searcher import Searcher


def run_search(read: Optional[ReadContext], search: Callable[[], tuple[Any, int]]) -> Any:
    """Return the result of *search*, and record on *read* who answered.

    :param read: the read that the search answers; None outside of routed requests.
    :param search: returns the result, and the milliseconds that the backend took.
    :raises SearchError: the mirrors can't answer.
    :raises JHTTPForbidden: it names fields that the caller may not see.
    """
    if read is None:
        return search()[0]
    with read.tracked():
        result, took = search()
    read.record_mirror(took)
    return result


def answer_transparent(
    searcher: Searcher, read: ReadContext, params: dict[str, Any], primary: Callable[[], Any]
) -> Any:
    """Answer a transparent read from the mirror, or from the primary in the same request.

    :raises SearchUnavailable: the mirror can't answer and ``fallback_to_primary`` is off.
    """
    mirror = read.require_mirror()

    def query() -> Any:
        # The view continues with a database query: from here on the primary answers.
        read.record_primary(Reason.OPEN_TRANSACTION if has_written() else Reason.USED_AS_QUERY)
        return primary()

    try:
        with read.timed():
            result, took = searcher.read_transparent(mirror, params, query)
    except Unanswerable as error:
        reason = error.reason
    except (SearchUnavailable, SearchTimeout, SearchRejected) as error:
        # A rejected query is a defect of this package, logged as an error; the caller gets the
        # primary's answer.
        reason = getattr(error, "reason", Reason.QUERY_REJECTED)
        if not searcher.settings.fallback_to_primary:
            read.record_failure(reason)
            raise
    else:
        read.record_mirror(took)
        has_written = searcher.primary.write_watch()
        if isinstance(result, TransparentResults):
            return RoutedResults(result, has_written)
        return result
    read.record_primary(reason)
    return primary()


def answer_search(
    searcher: Searcher,
    read: ReadContext,
    params: dict[str, Any],
    exact_filters: Sequence[Query] = (),
) -> Any:
    """Answer a search read of a routed request, or its aggregations if it requests any.

    :raises SearchError: the mirror can't answer.
    """
    mirror = read.require_mirror()

    def search() -> tuple[Any, int]:
        aggregation, rest = asked_of(read, params)
        filters = {mirror.name: exact_filters}
        request = SearchRequest(rest, searcher.settings, read.request, filters, aggregation)
        return searcher.search([mirror], request)

    return run_search(read, search)
