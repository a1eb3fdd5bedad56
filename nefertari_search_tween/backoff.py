"""Growing pauses between attempts."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from *first* up to *longest* seconds.

    :param jitter: the part of each pause that is random, from 0 to 1, so that those that failed
        together do not come back together.
    """

    def __init__(self, first: float, longest: float, jitter: float = 0.0) -> None:
        self.first = first
        self.longest = longest
        self.jitter = jitter
        self._seconds = first

    def next_seconds(self) -> float:
        """Return the seconds to pause now; the next pause is longer."""
        seconds = min(self._seconds, self.longest)
        self._seconds = seconds * 2
        return seconds * (1.0 - self.jitter * random.random())

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._seconds = self.first
