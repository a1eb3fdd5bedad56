"""Reads beside a write whose process indexes it: nobody has been told of it, and nobody waits.

The writer is a request in a thread of its own, that stops between the steps of its indexing. What
readers get is kept in a cache, too: so one who has read in the middle would get the same after it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import pytest
import transaction

from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.write.test_interleaving import Killed, Outbox, Process, Reader
from tests.write.test_sync import empty_tables, hit_keys, same

pytestmark = pytest.mark.every_primary

# After a claim, after a read of the objects, after the write to the index.
POINTS = ("claimed", "read", "written")


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    from pyramid_sqlalchemy import Session

    if primary_url.startswith("sqlite"):
        primary_url += "?timeout=0.2"
    settings = {
        "nefertari_search.cache": "memory",
        "nefertari_search.search_timeout": "1",
    }
    app = zoo(primary_url, backend_url, module_prefix, **settings)
    search = search_of(app)
    # No other thread does what the writer has not done.
    search.indexer.recovery.stop()
    for mirror in search.mirrors:
        mirror.reader = Reader(mirror.reader)
    search.indexer.outbox = Outbox(search.outbox)
    yield app
    transaction.abort()
    Session.remove()


@pytest.fixture(autouse=True)
def _empty(app):
    transaction.abort()
    empty_tables()
    search_of(app).indexer.drain()
    yield
    transaction.abort()


@pytest.fixture
def writer(app):
    """A request that stores an item, stopped before it is sent."""
    process = Process("writer", lambda: app.post_json("/items", {"id": 1, "name": "Lion"}))
    yield process
    while not process.ended:
        process.advance()


def advance_to(writer, point):
    while writer.point != point:
        assert not writer.ended, writer.error
        writer.advance()


def finish(writer):
    while not writer.ended:
        writer.advance()
    assert writer.error is None, writer.error


def engine(app, path="/items"):
    return app.get(path).headers["X-Search-Engine"]


@pytest.mark.parametrize("point", POINTS)
def test_reads_are_the_mirrors_and_wait_for_nothing(app, writer, point):
    advance_to(writer, point)
    # The change is committed: its item is there.
    assert app.get("/items/1").json["name"] == "Lion"
    assert engine(app) == "mirror"
    # One that waited for the writer would wait until its time is over: a 503.
    keys = hit_keys(app, "items", name="lion")
    assert keys in ([], [1]) if point == "written" else keys == []
    finish(writer)
    assert hit_keys(app, "items", name="lion") == [1]


@pytest.mark.parametrize("point", POINTS)
def test_who_is_answered_reads_what_it_wrote_whatever_others_read_before(app, writer, point):
    for each in POINTS[: POINTS.index(point) + 1]:
        advance_to(writer, each)
        assert app.get("/items?_sort=id").headers["X-Search-Engine"] == "mirror"
        hit_keys(app, "items", name="lion")
    finish(writer)
    assert [each["id"] for each in same(app, "/items")["data"]] == [1]
    assert hit_keys(app, "items", name="lion") == [1]


def test_a_change_of_what_others_show_is_in_flight_there_too(app, writer):
    finish(writer)
    app.post_json("/visits", {"guest": "Bo", "item_id": 1})
    patch = Process("writer", lambda: app.patch_json("/items/1", {"name": "Bear"}))
    advance_to(patch, "read")
    answer = app.get("/visits")
    assert answer.headers["X-Search-Engine"] == "mirror"
    assert answer.json["data"][0]["item"]["name"] == "Lion"
    finish(patch)
    assert same(app, "/visits")["data"][0]["item"]["name"] == "Bear"


def test_what_a_write_selects_is_current_all_the_same(app, writer):
    """A read that selects what is changed next waits for everything."""
    finish(writer)
    patch = Process("writer", lambda: app.patch_json("/items/1", {"name": "Bear"}))
    advance_to(patch, "read")
    app.patch_json("/items?name=lion", {"count": 50}, status=503)
    finish(patch)
    app.patch_json("/items?name=lion", {"count": 50})
    assert same(app, "/items")["data"][0]["count"] != 50


def test_a_write_that_can_not_be_indexed_counts_when_its_writer_is_answered(app, writer):
    advance_to(writer, "read")
    writer.advance(RuntimeError("no room"))
    assert writer.ended and writer.error is None
    assert engine(app) == "primary; reason=stale"
    assert app.get("/items?q=lion", status=503).headers["Retry-After"]
    search_of(app).indexer.drain()
    assert engine(app) == "mirror"
    assert hit_keys(app, "items", name="lion") == [1]


def test_nor_is_one_left_in_flight_whose_request_is_ended_from_outside(app, writer):
    """As gevent's time-outs end one: the process goes on, and may answer."""
    advance_to(writer, "read")
    writer.advance(Killed())
    assert writer.ended
    assert engine(app) == "primary; reason=stale"
    search_of(app).indexer.drain()
    assert hit_keys(app, "items", name="lion") == [1]


def test_no_writer_is_answered_before_its_rows_count(app, writer, primary_url):
    """Or are in the index; even if the database fails at that moment."""
    if not primary_url.startswith("sqlite"):
        pytest.skip("SQLite's file can be locked by whoever reads")
    advance_to(writer, "read")
    path = search_of(app).outbox.engine.url.database
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        failing = threading.Thread(target=writer.advance, args=(RuntimeError("no room"),))
        failing.start()
        failing.join(1)
        assert not writer.ended
        assert engine(app) == "mirror"
        connection.execute("ROLLBACK")
    failing.join()
    assert writer.ended and writer.error is None
    assert engine(app) == "primary; reason=stale"
    search_of(app).indexer.drain()


def test_a_writer_that_died_is_read_from_the_primary_after_its_lease(app, writer, monkeypatch):
    monkeypatch.setattr(search_of(app).outbox, "lease_seconds", 1.0)
    advance_to(writer, "read")
    writer.kill()
    assert engine(app) == "mirror"
    assert wait_until(lambda: engine(app) == "primary; reason=stale", 10)
    search_of(app).indexer.drain()
    assert [each["id"] for each in same(app, "/items")["data"]] == [1]
