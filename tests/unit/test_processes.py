"""Work in forked processes: results and errors come back, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from nefertari_search_tween.concurrency.processes import ProcessFailed, forked, run
from nefertari_search_tween.concurrency.threads import in_order
from nefertari_search_tween.exceptions import BackendRejected, BackendTimeout
from tests.support.paths import TOP

# Each worker says who it is, and waits for what never comes.
ABANDONED = """
import os, sys, time
from nefertari_search_tween.concurrency.processes import forked, run

def work(argument):
    # One system call: the two may write at the same time.
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)

with forked(2, work) as pool:
    for number in range(2):
        pool.submit(run, number)
    time.sleep(600)
"""


def results(processes, work, arguments):
    with forked(processes, work) as pool:
        return list(in_order(pool, processes + 1, (partial(run, each) for each in arguments)))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_results_come_in_the_order_of_the_arguments():
    def work(number):
        # The first one is the slowest.
        time.sleep(0.2 if number == 0 else 0)
        return number, os.getpid()

    done = results(3, work, range(9))
    assert [number for number, _ in done] == list(range(9))
    assert os.getpid() not in {pid for _, pid in done}
    assert len({pid for _, pid in done}) > 1


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (BackendTimeout("too slow"), BackendTimeout, "too slow"),
        # Its constructor takes other arguments than it has.
        (BackendRejected(400, {"error": "no"}), ProcessFailed, "BackendRejected: 400: .*no"),
    ],
)
def test_an_error_comes_back(error, expected, message):
    def work(number):
        raise error

    with pytest.raises(expected, match=message):
        results(2, work, range(5))


def test_a_process_that_is_killed_is_noticed():
    def work(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(ProcessFailed, match="killed"):
        results(2, work, range(9))


def test_processes_end_when_their_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", ABANDONED], stdout=subprocess.PIPE, text=True, cwd=TOP
    )
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(is_running, children))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(is_running, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
