"""Counts what happens in this process, and reports it to the primary database."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import defaultdict
from typing import Callable

from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.concurrency.threads import ProcessThread
from nefertari_search_tween.interfaces.process_counts import Counts

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0


class ProcessCounts(PerProcess):
    """See the module.

    :param store: stores the counts under the name of this process.
    """

    def __init__(self, store: Callable[[str, Counts], None]) -> None:
        self._store = store
        self._thread = ProcessThread(self._run, "nefertari-search-counts")
        self._start_at_zero()
        self.watch_forks()

    def _start_at_zero(self) -> None:
        self._lock = threading.Lock()
        self._numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._reported: Counts = {}
        self._process = ""

    def after_fork_in_child(self) -> None:
        # The parent reports its own.
        self._start_at_zero()

    def add(self, model: str, name: str, number: int = 1) -> None:
        """Count *number* more of *name*. Called on every read, must be fast."""
        with self._lock:
            self._numbers[model, name] += number
        self._thread.start()

    def numbers(self) -> Counts:
        """Return the counts since the process began."""
        with self._lock:
            return dict(self._numbers)

    def _run(self) -> None:
        while not self._thread.stopping.wait(REPORT_SECONDS):
            self.report()
        self.report()

    def report(self) -> None:
        """Store the counts now, if they have changed."""
        numbers = self.numbers()
        if numbers == self._reported:
            return
        if not self._process:
            # With the time: the system gives process numbers again.
            since = time.strftime("%Y%m%d%H%M%S")
            self._process = f"{socket.gethostname()[:80]}-{os.getpid()}-{since}"
        try:
            self._store(self._process, numbers)
        except Exception as error:  # noqa: BLE001 - the database's own; it may be back soon
            log.info("counts of reads could not be stored: %s", error)
        else:
            self._reported = numbers

    def stop(self) -> None:
        """Report for the last time, and end."""
        self._thread.stop()
