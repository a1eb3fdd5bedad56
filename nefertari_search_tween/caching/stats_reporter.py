"""Tells the primary database what the caches of this process found: commands and workers, which
are other processes, show it."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
import weakref
from typing import Callable, Optional

from nefertari_search_tween.caching.cache import CacheCounts

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0

_RUNNING: weakref.WeakSet[StatsReporter] = weakref.WeakSet()


class StatsReporter:
    """See the module.

    :param figures: gives what was found so far.
    :param put: writes it down under the name of this process.
    """

    def __init__(
        self, figures: Callable[[], CacheCounts], put: Callable[[str, CacheCounts], None]
    ) -> None:
        self._figures = figures
        self._put = put
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._process = 0
        self._name = ""

    def changed(self) -> None:
        """There is something to report. Cheap: every read calls it."""
        self._changed.set()
        # A thread does not survive a fork.
        if self._process != os.getpid() and not self._stopped.is_set():
            with self._lock:
                if self._process != os.getpid():
                    self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        # Numbers of processes are given again.
        since = time.strftime("%Y%m%d%H%M%S")
        self._name = f"{socket.gethostname()[:80]}-{self._process}-{since}"
        self._thread = threading.Thread(
            target=self._run, name="nefertari-search-cache-figures", daemon=True
        )
        _RUNNING.add(self)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(REPORT_SECONDS):
            if self._changed.is_set():
                self.report()

    def report(self) -> None:
        """Write down what there is to report."""
        self._changed.clear()
        try:
            self._put(self._name, self._figures())
        except Exception as error:  # noqa: BLE001 - the database's own; it may be back soon
            self._changed.set()
            log.info("the figures of the cache could not be written down: %s", error)

    def stop(self) -> None:
        """Report for the last time."""
        self._stopped.set()
        if self._process == os.getpid() and self._changed.is_set():
            self.report()


@atexit.register
def _stop_all() -> None:
    for reporter in list(_RUNNING):
        reporter.stop()
