"""Answers a routed request's own collection read, and notes on the request who did."""

from __future__ import annotations

from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import (
    Reason,
    SearchError,
    SearchRejected,
    SearchTimeout,
    SearchUnavailable,
    Unanswerable,
)
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.execute import answer_aggregation, asked_of
from nefertari_search_tween.search.routing import ReadContext, answering
from nefertari_search_tween.search.searcher import Searcher


def answer_transparent(
    searcher: Searcher, read: ReadContext, params: dict[str, Any], primary: Callable[[], Any]
) -> Any:
    """A transparent read: the mirror's answer, or the primary's, in the same request.

    :raises SearchUnavailable: the mirror can't answer and ``fallback`` is off.
    """
    mirror = _mirror(read)

    def query() -> Any:
        # The view goes on with a database query: from here on the primary answers.
        read.record_primary(Reason.USED_AS_QUERY)
        return primary()

    read.start()
    try:
        result, took = searcher.transparent(mirror, params, query)
    except Unanswerable as error:
        reason = error.reason
    except (SearchUnavailable, SearchTimeout) as error:
        reason = error.reason
        if not searcher.settings.fallback_to_primary:
            read.record_failure(reason)
            raise
    except SearchRejected:
        # A defect of ours is logged as an error; the caller gets the right answer.
        reason = Reason.QUERY_REJECTED
        if not searcher.settings.fallback_to_primary:
            read.record_failure(reason)
            raise
    else:
        read.record_mirror(took)
        return result
    finally:
        read.stop()
    read.record_primary(reason)
    return primary()


def answer_search(
    searcher: Searcher,
    read: ReadContext,
    params: dict[str, Any],
    exact_filters: Optional[Any] = None,
) -> Any:
    """A search read of a routed request.

    :raises SearchError: the mirror can't answer.
    """
    mirror = _mirror(read)
    try:
        asked, params = asked_of(read, params)
    except SearchError:
        read.record_failure(Reason.BAD_REQUEST)
        raise
    if asked is not None:
        return answer_aggregation(searcher, read, params, asked, exact_filters or ())
    with answering(read):
        result, took = searcher.search(mirror, params, read.request, exact_filters or ())
    read.record_mirror(took)
    return result


def _mirror(read: ReadContext) -> Mirror:
    if read.mirror is None:
        raise SearchUnavailable(Reason.NOT_MIRRORED, f"{read.model.__name__} has no mirror.")
    return read.mirror
