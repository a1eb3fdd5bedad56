"""What fails at the moment: logged once, and tried again after growing pauses."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Optional

from nefertari_search_tween.backoff import Backoff

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
# Workers that failed together must not come back together.
JITTER = 0.5


@dataclass
class Failure:
    """What fails.

    :param error: the latest one.
    :param attempts: how many failed in a row.
    :param retry_at: time of the next attempt, on :func:`time.monotonic`.
    """

    error: Exception
    attempts: int = 0
    retry_at: float = 0.0
    backoff: Backoff = field(
        default_factory=lambda: Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, JITTER)
    )


class FailureTracker:
    """The failures by name: of a model, or what else the owner names."""

    def __init__(self) -> None:
        self._failures: dict[str, Failure] = {}

    def of(self, name: str) -> Optional[Failure]:
        """Return the failure of *name*, None if it works."""
        return self._failures.get(name)

    def record_failure(self, name: str, error: Exception, with_stack: bool = False) -> None:
        """Record that *name* failed (again), and when to try it next.

        :param with_stack: log the error with its stack, because it is unexpected.
        """
        failure = self._failures.get(name)
        if failure is None:
            failure = self._failures[name] = Failure(error)
            # Errors of databases have the whole statement in further lines.
            summary = (str(error) or repr(error)).splitlines()[0]
            log.warning(
                "%s: indexing failed, pending changes will be retried: %s",
                name,
                summary,
                exc_info=error if with_stack else None,
            )
        failure.error = error
        failure.attempts += 1
        failure.retry_at = time.monotonic() + failure.backoff.next_seconds()

    def record_success(self, name: str) -> None:
        """Record that *name* works."""
        if self._failures.pop(name, None) is not None:
            log.warning("%s: indexing works again", name)

    def seconds_until_retry(self, name: str) -> float:
        """Return the seconds until the next attempt; 0 if there is nothing to wait for."""
        failure = self._failures.get(name)
        return 0.0 if failure is None else max(0.0, failure.retry_at - time.monotonic())
