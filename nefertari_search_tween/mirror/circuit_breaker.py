"""A circuit breaker: a backend that does not answer is not asked again by every request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Optional

from nefertari_search_tween.exceptions import Reason, SearchUnavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0


class CircuitBreaker:
    """Open while the backend is down: no caller waits for a server that is known to be silent.

    A thread asks it with growing pauses, and closes the breaker when it answers.

    :param probe: True when the backend answers.
    """

    def __init__(self, probe: Callable[[], bool]) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._prober: Optional[threading.Thread] = None
        self.open = False
        self._denied = False

    def check(self) -> None:
        """Let the caller through, or not.

        :raises SearchUnavailable: the backend is down.
        """
        if not self.open:
            return
        # A thread does not survive a fork.
        self._start_prober()
        raise SearchUnavailable(Reason.UNAVAILABLE, "The search server does not answer.")

    def record_failure(self) -> None:
        """The backend does not answer."""
        if not self.open:
            log.warning("the search server does not answer; collections are read from the primary")
        self.open = True
        self._start_prober()

    def record_response(self) -> None:
        """The backend answers."""
        if self.open:
            log.warning("the search server answers again")
        self.open = False

    def record_denied(self, error: Exception) -> None:
        """The backend answers, but not to this application; said once, until it does."""
        self.open = False
        if not self._denied:
            log.error("%s", error)
        self._denied = True

    def record_success(self) -> None:
        """The backend did what it was asked."""
        self.record_response()
        self._denied = False

    def _start_prober(self) -> None:
        with self._lock:
            if self._prober is None or not self._prober.is_alive():
                self._prober = threading.Thread(
                    target=self._ask_until_it_answers, name="nefertari-search-probe", daemon=True
                )
                self._prober.start()

    def _ask_until_it_answers(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self.open:
            threading.Event().wait(pause)
            if self._probe():
                self.record_response()
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
