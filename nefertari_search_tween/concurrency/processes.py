"""Work that several processes do, forked from this one: Python runs on one core of a machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Callable

from nefertari_search_tween.exceptions import SearchError

# How soon a process ends whose parent was killed.
ORPHAN_SECONDS = 1.0


class ProcessFailed(SearchError):
    """A process of a pool was killed, or failed with what can't be passed on."""


class _Task:
    """What a process of a pool does with each argument."""

    work: Callable[[Any], Any]


@contextmanager
def forked(processes: int, work: Callable[[Any], Any]) -> Iterator[ProcessPoolExecutor]:
    """Provide a pool of *processes*, which do *work* with the arguments that :func:`run` is given.

    They have what this process had imported and made when the pool was; what belongs to one process
    alone they make again (forks.py). They end with the pool, and when this process is killed.

    :param work: of an argument, to a result; both are pickled. It may hold anything: it is not.
    :raises ProcessFailed: see there.
    """
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (work, os.getpid()))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ProcessFailed("one of the processes was killed") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run(argument: Any) -> Any:
    """Do the work of a pool with *argument*; called in its processes."""
    try:
        return _Task.work(argument)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 - whatever its constructor makes of it
            raise ProcessFailed(f"{type(error).__name__}: {error}") from None
        raise


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    _Task.work = staticmethod(work)
    # A terminal's interrupt goes to all of them: the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when *parent* has ended: it waits for work that nobody would send."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)
