"""A claim that knows a new index before a newer claim does."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
import transaction

from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.rebuild import rebuild as rebuilding
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.mirror import write_alias
from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.write.test_interleaving import Process, Reader
from tests.write.test_sync import delete_indices, empty_tables, mirrored_ids, same_everywhere

pytestmark = pytest.mark.slow


@pytest.fixture
def app(tmp_path):
    from pyramid_sqlalchemy import Session

    app = zoo(
        f"sqlite:///{tmp_path}/zoo.sqlite",
        f"embedded:{tmp_path}/mirrors",
        f"test-{uuid.uuid4().hex[:12]}",
    )
    search_of(app).indexer.recovery.stop()
    yield app
    transaction.abort()
    empty_tables()
    Session.remove()
    delete_indices(app)


@pytest.mark.parametrize("deleted", [True, False])
def test_the_older_of_two_claims_finds_the_new_index_and_the_newer_does_not(app, deleted):
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    item = app.post_json("/items", {"name": "old"}).json["id"]
    search.outbox.inline = False
    app.patch_json(f"/items/{item}", {"name": "older"})
    mirror.reader, reader = Reader(mirror.reader), mirror.reader
    older = Process("older", lambda: search.indexer.process_next_claim(mirror))
    while older.point != "read":
        older.advance()
    mirror.reader = reader

    if deleted:
        app.delete(f"/items/{item}")
    else:
        app.patch_json(f"/items/{item}", {"name": "newest"})
    (live,) = search.mirrors.indices_of(mirror)
    # Another process, that has looked just before the new index is made.
    newer = Indexer(search.mirrors, search.outbox, 500, 5.0)
    newer._targets["Item"] = (time.monotonic(), [write_alias(live)])
    assert newer.process_next_claim(mirror) == 1

    building = Process(
        "rebuild",
        lambda: rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], 500),
    )
    building._go.release()
    assert wait_until(lambda: len(search.mirrors.indices_of(mirror)) == 2, 10, pause=0.01)
    search.indexer._targets.clear()
    while not older.ended:
        older.advance()
    assert older.error is None
    building._wait()
    assert building.ended and building.error is None

    search.outbox.inline = True
    assert search.outbox.pending_count() == 0
    assert mirrored_ids(app, "Item") == ([] if deleted else [str(item)])
    same_everywhere(app)


class Counting:
    """A reader; while it counts for the first time, somebody else commits an object.

    :param commit: does so.
    """

    def __init__(self, reader, commit):
        self.reader = reader
        self.commit = commit

    def __getattr__(self, name):
        return getattr(self.reader, name)

    def count(self):
        count = self.reader.count()
        commit, self.commit = self.commit, lambda: None
        commit()
        return count


def test_a_change_that_is_settled_just_before_the_first_index_is_made(app):
    search = search_of(app)
    delete_indices(app)
    mirror = search.mirrors.get("Item")
    reader = mirror.reader

    def commit():
        app.post_json("/items", {"name": "early bird"})
        # Nobody knew of an index, so it is done with.
        assert search.outbox.pending_count() == 0

    mirror.reader = Counting(reader, commit)
    mirror.invalidate()
    search.prepare()
    mirror.reader = reader

    assert len(mirrored_ids(app, "Item")) == 1
    same_everywhere(app)


def test_a_rebuild_waits_for_older_claims_and_for_nothing_else(app, monkeypatch):
    monkeypatch.setattr(rebuilding, "SETTLE_SECONDS", 0.0)
    search = search_of(app)
    mirror = search.mirrors.get("Item")

    def build():
        rebuilding.rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], 500)

    began = time.monotonic()
    build()
    assert time.monotonic() - began < search.outbox.lease_seconds
    search.outbox.enqueue([Key("Item", 1)])
    claim = search.outbox.claim("Item", 500)
    building = threading.Thread(target=build)
    building.start()
    assert wait_until(lambda: len(search.mirrors.indices_of(mirror)) == 2, 10, pause=0.01)
    building.join(1.5)
    assert building.is_alive()
    # A newer one is not waited for: it finds the new index.
    search.outbox.enqueue([Key("Item", 2)])
    assert search.outbox.claim("Item", 500) is not None
    search.outbox.settle(claim, {})
    building.join(10)
    assert not building.is_alive()
    assert len(search.mirrors.indices_of(mirror)) == 1
