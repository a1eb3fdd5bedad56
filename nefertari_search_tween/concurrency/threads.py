"""Threads for work in the background, and waiting for what happens there."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Callable, Optional, TypeVar

from nefertari_search_tween.concurrency.forks import PerProcess

STOP_SECONDS = 1.0
POLL_SECONDS = 0.05
Result = TypeVar("Result")

_STARTED: weakref.WeakSet[ProcessThread] = weakref.WeakSet()


class ThreadCounter(threading.local):
    """A number that each thread has by itself."""

    number = 0

    def add(self) -> None:
        self.number += 1


class ProcessThread(PerProcess):
    """A daemon thread that each process starts when it needs it, and that is stopped at exit.

    :param target: what it runs; returns soon after *stopping* is set.
    :ivar stopping: set when the thread has to end, for good.
    :ivar woken: set by the owner to end a wait of the target, and when the thread has to end.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        self.stopping = threading.Event()
        self.woken = threading.Event()
        self._target = target
        self._name = name
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        # The next start makes another thread, unless it was stopped for good.
        self.stopping, self.woken = copied(self.stopping), copied(self.woken)
        self._lock = threading.Lock()
        self._thread = None

    @property
    def running(self) -> bool:
        """True in the process that runs it: a thread does not survive a fork."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs or was stopped. Fast enough for every request."""
        if self.running:
            return
        with self._lock:
            if not self.running and not self.stopping.is_set():
                self._thread = threading.Thread(target=self._target, name=self._name, daemon=True)
                self._thread.start()
                _STARTED.add(self)

    def release(self) -> None:
        """Let the next :meth:`start` make another thread: the target is about to return."""
        self._thread = None

    def stop(self, seconds: Optional[float] = STOP_SECONDS) -> None:
        """End the thread, for good.

        :param seconds: how long to wait for it; None: until it has ended.
        """
        self.stopping.set()
        self.woken.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(seconds)


def copied(event: threading.Event) -> threading.Event:
    """Return an event in the state of *event*, whose lock a thread of the parent may hold."""
    copy = threading.Event()
    if event.is_set():
        copy.set()
    return copy


@atexit.register
def _stop_all() -> None:
    """A daemon thread that logs while the interpreter goes away can take it down."""
    for thread in list(_STARTED):
        thread.stop()


def wait_until(
    condition: Callable[[], bool], seconds: float, poll_seconds: float = POLL_SECONDS
) -> bool:
    """Poll *condition* until it holds; return False if it does not within *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True


def in_order(pool: Executor, most: int, calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Run *calls* in *pool*, and yield their results in the order of the calls.

    The next call is made (what it needs is read) while up to *most* are running, so memory holds
    what *most* + 1 of them need. An exception of a call is raised in its place.
    """
    running: deque[Future[Any]] = deque()
    for call in calls:
        if len(running) >= most:
            yield running.popleft().result()
        running.append(pool.submit(call))
    while running:
        yield running.popleft().result()
