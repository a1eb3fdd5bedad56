"""What does not work right now, told once, and tried again after growing pauses with jitter."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import Optional

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


@dataclass
class Failure:
    """One of them.

    :param error: the last one.
    :param count: how many times in a row.
    :param until: on :func:`time.monotonic`: the next try.
    """

    error: Exception
    attempts: int = 0
    retry_at: float = 0.0


class FailureTracker:
    """Names of what is in trouble: a model, or whatever the owner calls it."""

    def __init__(self) -> None:
        self._known: dict[str, Failure] = {}

    def of(self, name: str) -> Optional[Failure]:
        """The trouble of *name*, None when it has none."""
        return self._known.get(name)

    def record_failure(self, name: str, error: Exception, with_stack: bool = False) -> None:
        """It failed (again).

        :param with_stack: the error is one that nobody expected.
        """
        trouble = self._known.get(name)
        if trouble is None:
            trouble = self._known[name] = Failure(error)
            # Errors of databases have the whole statement in further lines.
            first = (str(error) or repr(error)).splitlines()[0]
            log.warning(
                "%s: what was changed waits and is tried again: %s",
                name,
                first,
                exc_info=error if with_stack else None,
            )
        trouble.error = error
        longest = min(FIRST_PAUSE_SECONDS * 2**trouble.attempts, LONGEST_PAUSE_SECONDS)
        trouble.attempts += 1
        # Workers that failed together must not come back together.
        trouble.retry_at = time.monotonic() + longest * random.uniform(0.5, 1.0)

    def record_success(self, name: str) -> None:
        """It works."""
        if self._known.pop(name, None) is not None:
            log.warning("%s: indexing works again", name)

    def seconds_until_retry(self, name: str) -> float:
        """Seconds until the next try; 0: now."""
        trouble = self._known.get(name)
        return 0.0 if trouble is None else max(0.0, trouble.retry_at - time.monotonic())
