"""The tween marks requests from outside; they are routed when Pyramid has matched them.

It runs between the exception views and Pyramid's router, and never replaces a view's response; from
an error it takes the texts that are not for the caller.
:class:`~nefertari_search_tween.search.routing.Router` decides as soon as the route is known:
matching it here, too, would do the work twice.
"""

from __future__ import annotations

from typing import Any, Callable

from pyramid.httpexceptions import HTTPException

from nefertari_search_tween.concurrency.forks import renew_if_forked
from nefertari_search_tween.exceptions import Reason, SearchUnavailable
from nefertari_search_tween.search.context import FLAG, READ, SERVED, mark_typed
from nefertari_search_tween.search.gate.errors import remove_internal_texts
from nefertari_search_tween.search.routing import Router

MARK = "nefertari_search.tween"


def make_tween(
    handler: Callable[[Any], Any], router: Router, on_request: Callable[[], None]
) -> Callable[[Any], Any]:
    """Return the tween's inner function.

    :param router: decides for the requests that pass through the tween.
    :param on_request: called for each request, before it is handled.
    """

    def search_tween(request: Any) -> Any:
        renew_if_forked()
        on_request()
        request.__dict__[SERVED] = True
        # Subrequests have no mark, unless they use tweens.
        request.__dict__[MARK] = router
        try:
            return handler(request)
        except Exception as error:
            # Not where the primary is asked: its rows are read as late as by the renderer.
            read = request.__dict__.get(READ)
            if read is not None and read.is_primary_timeout(error):
                read.record_failure(Reason.PRIMARY_TIMEOUT)
                raise SearchUnavailable(
                    Reason.PRIMARY_TIMEOUT, "The database took too long to answer."
                ) from error
            if isinstance(error, HTTPException):
                remove_internal_texts(error, request)
            raise
        finally:
            _end_limits(request)

    return search_tween


def route(event: Any) -> None:
    """Route the request of a ``BeforeTraversal`` event: no code has read its query string yet.

    What its caller typed is marked in every request, also in those that are not routed: the views
    of all may search.
    """
    request = event.request
    request.__dict__[SERVED] = True
    if request.matched_route is not None:
        if MARK in request.__dict__:
            request.__dict__[MARK].route(request)
        elif _has_flag(request):
            # A subrequest that goes around the tweens, perhaps a copy of one that did not.
            request.registry.nefertari_search.router.route(request)
            request.add_finished_callback(_end_limits)
    mark_typed(request)


def _has_flag(request: Any) -> bool:
    try:
        return FLAG in request.GET
    except UnicodeDecodeError:
        # Whoever reads it gets the same error.
        return False


def _end_limits(request: Any) -> None:
    if READ in request.__dict__:
        request.__dict__[READ].limits.close()
