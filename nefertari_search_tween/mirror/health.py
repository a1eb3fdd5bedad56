"""A circuit breaker: a backend that does not answer is not asked again by every request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nefertari_search_tween.exceptions import SearchUnavailable

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 4.0


class Breaker:
    """Opens when the backend fails, for a pause that doubles; then one caller tries again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._closed_from = 0.0

    def check(self) -> None:
        """Let the caller through, or not.

        :raises SearchUnavailable: the backend failed a moment ago.
        """
        if not self._pause:
            return
        with self._lock:
            now = self._clock()
            if now < self._closed_from:
                raise SearchUnavailable("down", "The search server does not answer.")
            # This caller tries; the others wait for what it finds.
            self._closed_from = now + self._pause

    @property
    def open(self) -> bool:
        """True while callers are kept away."""
        return bool(self._pause) and self._clock() < self._closed_from

    def failed(self) -> None:
        """The backend does not answer."""
        with self._lock:
            self._pause = min(
                self._pause * 2 if self._pause else FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
            )
            self._closed_from = self._clock() + self._pause

    def answered(self) -> None:
        """The backend answers."""
        if self._pause:
            with self._lock:
                self._pause = 0.0
