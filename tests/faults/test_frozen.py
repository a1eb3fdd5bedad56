"""An indexer that is frozen (SIGSTOP) between its read and its write overwrites nothing newer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import transaction

from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS
from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.support.paths import TOP
from tests.write.test_sync import delete_indices, empty_tables, mirrored_ids, same

FROZEN = """
import os, signal, sys
from tests.support.apps import search_of, zoo

database, url, prefix, item = sys.argv[1:]
app = zoo(database, url, prefix)
search = search_of(app)
reader, backend = search.mirrors.get("Item").reader, search.backend
read, bulk = reader.read, backend.bulk

def read_and_freeze(pks):
    bodies = read(pks)
    print("read", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return bodies

def tell(*arguments):
    for outcome in bulk(*arguments):
        print("written", outcome.status, flush=True)
        yield outcome

reader.read, backend.bulk = read_and_freeze, tell
app.patch_json(f"/items/{item}", {"name": "frozen"})
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def zoo_arguments(tmp_path_factory, backend_url):
    folder = tmp_path_factory.mktemp("frozen")
    return f"sqlite:///{folder}/zoo.sqlite", backend_url, f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def app(zoo_arguments):
    from pyramid_sqlalchemy import Session

    app = zoo(*zoo_arguments)
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


class Frozen:
    """A process that has changed the item, has read it, and is frozen."""

    def __init__(self, zoo_arguments, item):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", FROZEN, *zoo_arguments, str(item)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=TOP,
        )
        assert self.process.stdout.readline() == "read\n"
        assert wait_until(self.stopped, 10, pause=0.01)

    def stopped(self):
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def thaw(self):
        """Let it go on to its end; gives what it printed."""
        os.kill(self.process.pid, signal.SIGCONT)
        printed, _ = self.process.communicate(timeout=60)
        return printed.split("\n")


@pytest.fixture
def item(app):
    transaction.abort()
    empty_tables()
    return app.post_json("/items", {"name": "Lion"}).json["id"]


@pytest.mark.thorough
def test_ten_newer_updates_stand(app, zoo_arguments, item):
    frozen = Frozen(zoo_arguments, item)
    for number in range(10):
        app.patch_json(f"/items/{item}", {"name": f"update {number}"})
    assert "written 409" in frozen.thaw()

    assert search_of(app).outbox.pending_count() == 0
    assert [each["name"] for each in same(app, "/items")["data"]] == ["update 9"]


@pytest.mark.slow
def test_a_deleted_document_stays_deleted(app, zoo_arguments, item):
    frozen = Frozen(zoo_arguments, item)
    app.delete(f"/items/{item}")
    assert mirrored_ids(app, "Item") == []
    assert "written 409" in frozen.thaw()

    assert mirrored_ids(app, "Item") == []
    assert same(app, "/items")["data"] == []


@pytest.mark.thorough
def test_nothing_newer_means_that_the_write_counts(app, zoo_arguments, item):
    frozen = Frozen(zoo_arguments, item)
    # Its change is committed, and not indexed; nobody has been told of it.
    answer = app.get("/items?_sort=id")
    assert answer.headers["X-Search-Engine"] == "mirror"
    assert [each["name"] for each in answer.json["data"]] == ["Lion"]
    assert "written 200" in frozen.thaw()
    assert [each["name"] for each in same(app, "/items")["data"]] == ["frozen"]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_lease_that_ran_out_is_taken_over_and_its_owner_writes_nothing(app, zoo_arguments, item):
    frozen = Frozen(zoo_arguments, item)
    search = search_of(app)

    def taken_over():
        # By us, or by the thread that looks for what was left behind.
        search.indexer.drain()
        return not search.outbox.pending_count()

    assert not taken_over()

    def names_of_items():
        return [each["name"] for each in app.get("/items?_sort=id").json["data"]]

    # From then on its change counts, wherever it is read from.
    assert names_of_items() == ["Lion"]
    assert wait_until(lambda: names_of_items() == ["frozen"], LEASE_SECONDS + 5, 0.5)
    assert wait_until(taken_over, LEASE_SECONDS + 10, 0.5)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["frozen"]
    printed = frozen.thaw()
    assert "done" in printed
    assert not any(line.startswith("written") for line in printed)
