"""The time that one search may take, kept by all of its parts: statements and loops alike."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Optional, TypeVar

from nefertari_search_tween.exceptions import BackendTimeout

T = TypeVar("T")

# Steps between two looks at the clock. A step is what takes Python a few microseconds at most, so
# looks are some ten milliseconds apart, and cost nothing beside what lies between them.
STEPS_PER_LOOK = 2_000


class Deadline:
    """The end of a search; every loop of this backend that a caller's input can make long asks it.

    :param seconds: from now; None: never.
    """

    def __init__(self, seconds: Optional[float] = None) -> None:
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds
        self._steps = 0

    def is_over(self) -> bool:
        """Look at the clock; SQLite's progress handler, too."""
        return self._at is not None and time.monotonic() > self._at

    def check(self) -> None:
        """Look at the clock.

        :raises BackendTimeout: the time is over.
        """
        if self.is_over():
            raise self.error()

    def error(self) -> BackendTimeout:
        """Return the error of a search that took too long, or that a fork interrupted."""
        if not self.is_over():
            return BackendTimeout("the search was interrupted")
        return BackendTimeout(f"the search took longer than {self.seconds:g} seconds")

    def step(self, count: int = 1) -> None:
        """Count *count* steps, and look at the clock when it is due.

        :raises BackendTimeout: the time is over.
        """
        self._steps += count
        if self._steps >= STEPS_PER_LOOK:
            self._steps = 0
            self.check()

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield *items*, each of which is a step."""
        for item in items:
            self.step()
            yield item
