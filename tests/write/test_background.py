"""``sync = background``: a thread of the process indexes what it commits, nobody waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import transaction

from tests.servers.base import wait_until
from tests.support.apps import forget_sessions, search_of, zoo
from tests.support.paths import TOP
from tests.write.test_sweeper import THREAD
from tests.write.test_sync import empty_tables, hit_keys, mirrored_ids, same, same_everywhere

SOON = 20
BACKGROUND = {"nefertari_search.sync": "background"}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("background")
    return f"sqlite:///{folder}/zoo.sqlite", f"embedded:{folder}/mirrors", "background"


@pytest.fixture
def app(arguments):
    app = zoo(*arguments, **BACKGROUND)
    transaction.abort()
    empty_tables()
    search = search_of(app)
    search.indexer.drain()
    yield app
    transaction.abort()
    search.indexer.recovery.stop()
    forget_sessions()


def settled(app):
    assert wait_until(lambda: search_of(app).outbox.pending_count() == 0, SOON, pause=0.01)


@pytest.fixture
def backend_waits(app, monkeypatch):
    """The backend takes no bulk until the event is set; gives it, and the sizes of those it got."""
    backend = search_of(app).backend
    bulk, sizes, go_on = backend.bulk, [], threading.Event()

    def late(actions, *arguments):
        batch = list(actions)
        if batch:
            sizes.append(len(batch))
            assert go_on.wait(SOON)
        return bulk(batch, *arguments)

    monkeypatch.setattr(backend, "bulk", late)
    yield go_on, sizes
    go_on.set()


def test_what_is_committed_is_indexed_by_the_thread(app):
    app.post_json("/keepers", {"code": "k", "name": "Ann"})
    app.post_json("/items", {"id": 1, "name": "Lion", "keeper_code": "k"})
    assert [each.name for each in threading.enumerate() if each.name == THREAD]
    settled(app)
    same_everywhere(app)
    app.delete("/items/1")
    settled(app)
    assert mirrored_ids(app, "Item") == []


def test_a_writer_does_not_wait_and_reads_its_write(app, backend_waits):
    go_on, _ = backend_waits
    began = time.monotonic()
    app.post_json("/items", {"id": 1, "name": "Lion"})
    answer = app.get("/items")
    assert time.monotonic() - began < SOON / 2
    assert answer.headers["X-Search-Engine"] == "primary; reason=stale"
    assert [each["name"] for each in answer.json["data"]] == ["Lion"]
    later = threading.Timer(0.3, go_on.set)
    later.start()
    assert hit_keys(app, "items", name="lion") == [1]
    later.join()
    assert [each["id"] for each in same(app, "/items")["data"]] == [1]


def test_what_comes_meanwhile_is_one_bulk(app, backend_waits):
    go_on, sizes = backend_waits
    app.post_json("/items", {"name": "first"})
    assert wait_until(lambda: sizes == [1], SOON, pause=0.01)
    for number in range(30):
        app.post_json("/items", {"name": f"Lion {number}"})
    assert sizes == [1]
    go_on.set()
    settled(app)
    assert sizes == [1, 30]
    same(app, "/items")


COMMITS = """
import os, signal, sys
import transaction
from nefertari_search_tween.indexing import recovery
from tests.support.apps import search_of, zoo

app = zoo(*sys.argv[1:4], **{"nefertari_search.sync": "background"})
from tests.apps.every_field.models import Keeper

def commit(code):
    with transaction.manager:
        Keeper(code=code, name="Ann").save()

if sys.argv[4] == "killed":
    recovery.GATHER_SECONDS = 60
    commit("k")
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "forks":
    commit("parent")
    child = os.fork()
    if child == 0:
        commit("child")
        recovery_thread = search_of(app).indexer.recovery
        recovery_thread.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
for number in range(5):
    commit(f"k{number}")
"""


def run(arguments, what):
    command = [sys.executable, "-W", "ignore", "-c", COMMITS, *arguments, what]
    return subprocess.run(command, cwd=TOP, timeout=120, capture_output=True, text=True)


def test_a_process_that_is_killed_leaves_its_rows_to_the_next(app, arguments):
    done = run(arguments, "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr
    search = search_of(app)
    assert search.outbox.pending_count("Keeper") == 1
    # At once: they are nobody's.
    assert search.outbox.claimable_models() == ["Keeper"]
    assert app.get("/keepers").headers["X-Search-Engine"] == "primary; reason=stale"
    search.indexer.drain()
    assert mirrored_ids(app, "Keeper") == ["k"]


@pytest.mark.parametrize("what", ["ends", "forks"])
def test_a_process_that_ends_or_forks_leaves_nothing(app, arguments, what):
    done = run(arguments, what)
    assert (done.returncode, done.stderr) == (0, "")
    assert search_of(app).outbox.pending_count() == 0
    assert len(mirrored_ids(app, "Keeper")) == (7 if what == "forks" else 5)
    same(app, "/keepers")


def test_a_failure_is_retried_by_the_same_thread(app, monkeypatch):
    backend = search_of(app).backend
    bulk = backend.bulk
    failures = []

    def failing(actions, *arguments):
        if len(failures) < 2:
            failures.append(os.getpid())
            raise RuntimeError("no room")
        return bulk(actions, *arguments)

    monkeypatch.setattr(backend, "bulk", failing)
    app.post_json("/items", {"id": 1, "name": "Lion"})
    settled(app)
    assert len(failures) == 2
    assert mirrored_ids(app, "Item") == ["1"]
