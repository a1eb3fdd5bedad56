"""Reports the hits and misses of this process's cache to the primary database, where commands
and workers, which are other processes, read them."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Callable

from nefertari_search_tween.caching.cache import CacheCounts
from nefertari_search_tween.forks import PerProcess
from nefertari_search_tween.threads import ProcessThread

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0


class StatsReporter(PerProcess):
    """See the module.

    :param counts: returns the counts so far.
    :param store: stores them under the name of this process.
    """

    def __init__(
        self, counts: Callable[[], CacheCounts], store: Callable[[str, CacheCounts], None]
    ) -> None:
        self._counts = counts
        self._store = store
        self._changed = threading.Event()
        self._thread = ProcessThread(self._run, "nefertari-search-cache-stats")
        self._name = ""
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        self._changed = threading.Event()
        self._name = ""

    def mark_changed(self) -> None:
        """Report at the next opportunity. Called on every read, must be fast."""
        self._changed.set()
        self._thread.start()

    def _run(self) -> None:
        while not self._thread.stopping.wait(REPORT_SECONDS):
            self.report()
        self.report()

    def report(self) -> None:
        """Store the counts now, if they have changed."""
        if not self._changed.is_set():
            return
        self._changed.clear()
        if not self._name:
            # With the time: the system gives process numbers again.
            since = time.strftime("%Y%m%d%H%M%S")
            self._name = f"{socket.gethostname()[:80]}-{os.getpid()}-{since}"
        try:
            self._store(self._name, self._counts())
        except Exception as error:  # noqa: BLE001 - the database's own; it may be back soon
            self._changed.set()
            log.info("the cache statistics could not be stored: %s", error)

    def stop(self) -> None:
        """Report for the last time, and end."""
        self._thread.stop()
