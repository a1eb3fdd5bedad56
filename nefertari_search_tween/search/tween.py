"""The tween: marks requests that came from outside; the routing itself follows the match.

It stands between the exception views and the router, and never answers in a view's place: it
opens the door for :class:`~nefertari_search_tween.search.routing.Router`, which decides as soon
as Pyramid knows the route (matching it here, too, would do the work twice).
"""

from __future__ import annotations

from typing import Any, Callable

from nefertari_search_tween.search.routing import Router

MARK = "nefertari_search.tween"


def make_tween(
    handler: Callable[[Any], Any], router: Router, on_request: Callable[[], None]
) -> Callable[[Any], Any]:
    """The tween's inner function.

    :param router: decides for the requests that pass.
    :param on_request: called for each request, before it is handled.
    """

    def search_tween(request: Any) -> Any:
        on_request()
        # Subrequests do not pass here unless they use tweens: those have no mark.
        request.__dict__[MARK] = router
        return handler(request)

    return search_tween


def route(event: Any) -> None:
    """Subscriber of ``BeforeTraversal``: the route is known, nothing has read the query yet."""
    request = event.request
    router = request.__dict__.get(MARK)
    if router is not None and request.matched_route is not None:
        router.route(request)
