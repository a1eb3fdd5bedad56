"""Pauses between attempts, and threads of which each process has its own."""

from __future__ import annotations

import os
import threading

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.concurrency.threads import ProcessThread, wait_until


def test_pauses_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_seconds() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_seconds() == 0.5


def test_jitter_shortens_a_pause_by_its_part_at_most() -> None:
    pauses = [Backoff(1.0, 1.0, jitter=0.5).next_seconds() for _ in range(200)]
    assert all(0.5 <= pause <= 1.0 for pause in pauses)
    assert len(set(pauses)) > 100


def test_the_child_of_a_fork_starts_a_thread_of_its_own() -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(os.getpid())
        thread.stopping.wait()

    thread = ProcessThread(run, "test")
    thread.start()
    thread.start()
    assert wait_until(lambda: runs == [os.getpid()], 10)
    child = os.fork()
    if not child:
        thread.start()
        started = wait_until(lambda: runs[1:] == [os.getpid()], 10)
        os._exit(0 if started and thread.running else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.stop(None)
    assert not thread.running
    thread.start()
    assert not thread.running
    assert len(runs) == 1


def test_waiting_ends_with_the_condition_or_the_time() -> None:
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    assert wait_until(event.is_set, 10, 0.01)
    assert not wait_until(lambda: False, 0.05, 0.01)
