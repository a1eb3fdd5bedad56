"""The one thread of a process that indexes what no request does.

It has three reasons to run. After a fault it tries again after growing pauses, until nothing is
pending. In a web process it checks every few seconds for claimable rows: those of a process that
was killed between a commit and the end of indexing. And with background sync it indexes what the
process has committed: all that came together meanwhile by one bulk request.
"""

from __future__ import annotations

import random
import threading
from typing import Any, Callable

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.concurrency.threads import ProcessThread

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 5.0
# Mean time between two checks for claimable rows.
SWEEP_SECONDS = 4.0
# How long what is committed in the background waits for more to come.
GATHER_SECONDS = 0.005


class RecoveryThread(PerProcess):
    """See the module.

    :param drain: indexes all claimable rows.
    :param has_claimable_rows: returns true if there are any; called often, must be fast.
    :param has_pending_rows: returns true if any row is not settled.
    :param on_failure: called with what these raise.
    :param on_recovery: called when they work again.
    """

    def __init__(
        self,
        drain: Callable[[], Any],
        has_claimable_rows: Callable[[], Any],
        has_pending_rows: Callable[[], Any],
        on_failure: Callable[[Exception], None],
        on_recovery: Callable[[], None],
    ) -> None:
        self._drain = drain
        self._has_claimable_rows = has_claimable_rows
        self._has_pending_rows = has_pending_rows
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._thread = ProcessThread(self._run, "nefertari-search-indexer")
        self._lock = threading.Lock()
        self._sweeping = False
        self._faulty = False
        # Something was committed that this thread has to index.
        self._due = False
        # Calls of `schedule_retry`: one during a drain needs another drain.
        self._retries = 0
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        # The parent's thread retries what the parent failed at.
        self._lock = threading.Lock()
        self._sweeping = self._faulty = self._due = False

    @property
    def retrying(self) -> bool:
        """True from a fault until it is over."""
        return self._faulty and self._thread.running

    def start_sweeping(self) -> None:
        """Check for claimable rows from now on. Called on every request, must be fast."""
        if not (self._sweeping and self._thread.running):
            with self._lock:
                self._sweeping = True
                self._thread.start()

    def wake(self) -> None:
        """Index what was just committed. Called after every commit with background sync."""
        with self._lock:
            self._due = True
            self._thread.start()
        self._thread.woken.set()

    def schedule_retry(self) -> None:
        """Index what is pending after a fault, later."""
        with self._lock:
            self._retries += 1
            self._faulty = True
            self._thread.start()
        self._thread.woken.set()

    def stop(self) -> None:
        """End the thread, for good; wait a moment for it, and for what it has to index.

        What it is not done with by then is in the outbox: for any other process, or the next one.
        """
        self._thread.stop()

    def _run(self) -> None:
        thread = self._thread
        backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        while self._due or not thread.stopping.is_set():
            if self._faulty:
                thread.stopping.wait(backoff.next_seconds())
            elif thread.woken.wait(SWEEP_SECONDS * random.uniform(0.5, 1.5)):
                thread.woken.clear()
                if not self._due:
                    continue
                thread.stopping.wait(GATHER_SECONDS)
            if thread.stopping.is_set() and (self._faulty or not self._due):
                return
            due, self._due = self._due, False
            retries = self._retries
            try:
                if self._faulty or due or self._has_claimable_rows():
                    self._drain()
                finished = not self._sweeping and not self._has_pending_rows()
            except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
                self._faulty = True
                self._on_failure(error)
                continue
            backoff.reset()
            with self._lock:
                if self._retries != retries or self._due:
                    continue
                recovered, self._faulty = self._faulty, False
                if finished:
                    thread.release()
            if recovered:
                self._on_recovery()
            if finished:
                return
