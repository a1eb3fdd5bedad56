"""The one thread of a process that indexes what no request does.

It has two reasons to run. After a fault it tries again with growing pauses, until nothing waits.
And in a web process it looks every few seconds for rows that nobody works on: those of a process
that was killed between a commit and the end of indexing.
"""

from __future__ import annotations

import atexit
import random
import threading
import weakref
from typing import Any, Callable, Optional

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
# Between two looks for what was left behind, in the mean.
SWEEP_SECONDS = 4.0
STOP_SECONDS = 1.0

_RUNNING: weakref.WeakSet[RecoveryThread] = weakref.WeakSet()


class RecoveryThread:
    """See the module.

    :param drain: indexes all that nobody works on.
    :param claimable: true when there is such; cheap.
    :param waiting: true when anything is not settled.
    :param failed: is told of what these raise.
    :param recovered: is told when they work again.
    """

    def __init__(
        self,
        drain: Callable[[], Any],
        claimable: Callable[[], Any],
        waiting: Callable[[], Any],
        failed: Callable[[Exception], None],
        recovered: Callable[[], None],
    ) -> None:
        self._drain = drain
        self._claimable = claimable
        self._waiting = waiting
        self._failed = failed
        self._recovered = recovered
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._watching = False
        self._faulty = False
        # Calls of `retry`: one that comes while the thread drains is not done with.
        self._asked = 0

    @property
    def retrying(self) -> bool:
        """True from a fault until it is over."""
        return self._faulty and self._alive

    @property
    def _alive(self) -> bool:
        # A thread does not survive a fork: is_alive tells.
        return self._thread is not None and self._thread.is_alive()

    def start_sweeping(self) -> None:
        """Look for what was left behind, from now on. Cheap: every request calls it."""
        if not (self._watching and self._alive):
            with self._lock:
                self._watching = True
                self._start()

    def schedule_retry(self) -> None:
        """Something waits after a fault: index it later."""
        with self._lock:
            self._asked += 1
            self._faulty = True
            self._start()
        self._wake.set()

    def stop(self) -> None:
        """End the thread, for good; wait a moment for it."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(STOP_SECONDS)

    def _start(self) -> None:
        if self._alive or self._stop.is_set():
            return
        self._thread = threading.Thread(
            target=self._run, name="nefertari-search-indexer", daemon=True
        )
        self._thread.start()
        _RUNNING.add(self)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            if self._faulty:
                self._stop.wait(pause)
            elif self._wake.wait(SWEEP_SECONDS * random.uniform(0.5, 1.5)):
                self._wake.clear()
                continue
            if self._stop.is_set():
                return
            asked = self._asked
            try:
                if self._faulty or self._claimable():
                    self._drain()
                over = not self._watching and not self._waiting()
            except Exception as error:  # noqa: BLE001 - the rows are still in the outbox
                self._faulty = True
                self._failed(error)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            with self._lock:
                if self._asked != asked:
                    continue
                recovered, self._faulty = self._faulty, False
                if over:
                    self._thread = None
            if recovered:
                self._recovered()
            if over:
                return


def _stop_all() -> None:
    """A daemon thread that logs while the interpreter goes away can take it down."""
    for each in list(_RUNNING):
        each.stop()


atexit.register(_stop_all)
