"""A circuit breaker: not every request waits for a backend that does not answer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.concurrency.threads import ProcessThread
from nefertari_search_tween.exceptions import Reason, SearchUnavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 4.0
#: what callers get while a mirror can't answer
MEANWHILE = (
    "single objects, and collections that views read with get_collection, come from the primary, "
    "and searches (q, _search=true, views that read with get_collection_es) get a 503"
)


class CircuitBreaker:
    """Open while the backend is down, so that no caller waits for it.

    A thread probes it after growing pauses, and closes the breaker when it answers.

    :param probe: returns True if the backend answers.
    """

    def __init__(self, probe: Callable[[], bool]) -> None:
        self._probe = probe
        self._prober = ProcessThread(self._probe_until_response, "nefertari-search-probe")
        self.open = False
        self._denied = False

    def check(self) -> None:
        """Return if the breaker is closed.

        :raises SearchUnavailable: the backend is down.
        """
        if not self.open:
            return
        # The process may be a fork of the one that opened it, without the thread.
        self._prober.start()
        raise SearchUnavailable(Reason.UNAVAILABLE, "The search server does not answer.")

    def record_failure(self, error: Exception) -> None:
        """Open the breaker: the backend did not answer, as *error* says."""
        if not self.open:
            log.warning("the search server does not answer; %s: %s", MEANWHILE, error)
        self.open = True
        self._prober.start()

    def record_response(self) -> None:
        """Close the breaker: the backend answered."""
        if self.open:
            log.warning("the search server answers again")
        self.open = False

    def record_denied(self, error: Exception) -> None:
        """Close the breaker: the backend answered, but denied access.

        Logged once, until a request succeeds.
        """
        self.open = False
        if not self._denied:
            log.error("%s", error)
        self._denied = True

    def record_success(self) -> None:
        """Close the breaker: the backend did what it was asked to."""
        self.record_response()
        self._denied = False

    def _probe_until_response(self) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        while self.open and not self._prober.stopping.wait(backoff.next_seconds()):
            if self._probe():
                self.record_response()
