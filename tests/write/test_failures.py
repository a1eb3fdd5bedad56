"""What fails for a while, on the embedded backend: it is tried again, and nothing else waits.

Servers that do not answer, and processes that are killed: test_worker.py and tests/faults.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import uuid

import pytest
import transaction

from nefertari_search_tween.indexing import failures
from nefertari_search_tween.indexing.wakeup import Wakeup
from nefertari_search_tween.indexing.worker import Worker
from nefertari_search_tween.interfaces.primary import Key
from tests.servers.base import wait_until
from tests.support.apps import forget_sessions, search_of, zoo
from tests.write.test_sweeper import SOON, threads
from tests.write.test_sync import mirrored_ids, same_everywhere

pytestmark = pytest.mark.slow


@pytest.fixture
def app(tmp_path):
    # No request is made: there is no thread that sweeps.
    app = zoo(
        f"sqlite:///{tmp_path}/zoo.sqlite",
        f"embedded:{tmp_path}/mirrors",
        f"test-{uuid.uuid4().hex[:12]}",
    )
    yield app
    search_of(app).indexer.recovery.stop()
    forget_sessions()


@pytest.fixture
def worker(app):
    """A worker, and rows of two models that it has not seen yet."""
    search = search_of(app)
    search.outbox.inline = False
    store_both()
    wakeup = Wakeup()
    yield Worker(search.indexer, wakeup)
    wakeup.close()


def store_both():
    from tests.apps.every_field.models import Keeper, Tag

    with transaction.manager:
        Keeper(code="k", name="Ann").save()
        Tag(id=1, name="new").save()


@contextlib.contextmanager
def without_room(search):
    """The index's file takes no document meanwhile, as on a full disk."""
    with contextlib.closing(sqlite3.connect(search.backend.store.path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'i%_docs'"
        tables = [name for (name,) in connection.execute(query)]
        assert tables
        for table in tables:
            connection.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        connection.commit()
        yield
        for table in tables:
            connection.execute(f"DROP TRIGGER full_{table}")
        connection.commit()


@contextlib.contextmanager
def without_tags(search):
    """The table of one model can't be read meanwhile."""
    engine = search.outbox.engine
    engine.execute("ALTER TABLE zoo_tags RENAME TO zoo_tags_away")
    yield
    engine.execute("ALTER TABLE zoo_tags_away RENAME TO zoo_tags")


def messages(caplog, name):
    return [record.getMessage() for record in caplog.records if record.name.endswith(name)]


def test_a_model_that_fails_is_tried_later_and_the_others_go_on(app, worker, caplog, monkeypatch):
    monkeypatch.setattr(failures, "FIRST_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(failures, "MAX_PAUSE_SECONDS", 600.0)
    search = search_of(app)
    with without_tags(search):
        assert worker.run_once()
        assert mirrored_ids(app, "Keeper") == ["k"]
        assert search.outbox.pending_count() == search.outbox.pending_count("Tag") == 1
        first = worker.failures.seconds_until_retry("Tag")
        assert 0 < first <= 60 * (1 + failures.JITTER)
        assert worker.failures.seconds_until_retry("Keeper") == 0
        # Until then it is left alone.
        assert not worker.run_once()
        assert worker.failures.of("Tag").attempts == 1
        over(worker.failures)
        assert not worker.run_once()
        assert worker.failures.of("Tag").attempts == 2
        assert "zoo_tags" in str(worker.failures.of("Tag").error)
    over(worker.failures)
    assert worker.run_once()
    assert mirrored_ids(app, "Tag") == ["1"]
    assert worker.failures.of("Tag") is None
    assert search.outbox.pending_count() == 0
    failed, works = messages(caplog, "indexing.failures")
    assert failed.startswith("Tag: indexing failed, pending changes will be retried: ")
    assert "\n" not in failed
    assert works == "Tag: indexing works again"


def over(failing):
    """Let the pause be over."""
    failing.of("Tag").retry_at = time.monotonic() - 1
    assert failing.seconds_until_retry("Tag") == 0


def test_a_drain_gives_up_a_model_that_fails_and_says_what_remains(app, worker):
    search = search_of(app)
    with without_tags(search):
        assert worker.drain() == {"Tag": 1}
    assert mirrored_ids(app, "Keeper") == ["k"]
    assert worker.failures.of("Tag").attempts == 3


def test_a_backend_that_fails_stops_a_drain_and_nothing_is_lost(app, worker):
    search = search_of(app)
    with without_room(search):
        # It answers, so the models are tried one by one, and each fails.
        assert worker.drain() == {"Keeper": 1, "Tag": 1}
    assert mirrored_ids(app, "Keeper") == mirrored_ids(app, "Tag") == []
    assert wait_until(lambda: worker.run_once() and search.outbox.pending_count() == 0, SOON)
    assert mirrored_ids(app, "Keeper") == ["k"]
    assert mirrored_ids(app, "Tag") == ["1"]


def test_what_a_script_commits_while_indexing_fails_is_indexed_later(app, caplog):
    search = search_of(app)
    with without_room(search):
        store_both()
        assert search.outbox.pending_count() == 2
        assert search.indexer.recovery.retrying
        (thread,) = threads()
        # It comes to nothing meanwhile, and does not give up.
        time.sleep(1)
        assert search.outbox.pending_count() == 2
        assert thread.is_alive()
    assert wait_until(lambda: search.outbox.pending_count() == 0, SOON)
    assert mirrored_ids(app, "Keeper") == ["k"]
    assert mirrored_ids(app, "Tag") == ["1"]
    # In a script, nothing is left to be watched then.
    assert wait_until(lambda: not thread.is_alive(), SOON)
    assert not search.indexer.recovery.retrying
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [each for each in warnings if each.startswith("indexing")] == [
        "indexing failed, pending changes will be retried: no room",
        "indexing works again, nothing is pending",
    ]
    same_everywhere(app)


def test_an_object_that_can_not_be_rendered_is_a_dead_letter_until_it_can(app):
    search = search_of(app)
    engine = search.outbox.engine
    engine.execute("INSERT INTO zoo_items (id, name) VALUES (1, 'Lion'), (2, 'Bear')")
    engine.execute("UPDATE zoo_items SET thing = ? WHERE id = 2", b"no pickle")
    lion, bear = Key("Item", 1), Key("Item", 2)
    search.outbox.enqueue([lion, bear])
    assert search.indexer.drain() == 2
    assert search.indexer.rejected == {"Item": 1}
    assert search.outbox.pending_count() == 0
    (letter,) = search.outbox.dead_letters()
    assert letter.key == bear
    assert "Unpickling" in letter.error
    # What is left of it in the index keeps the mirror from being taken for complete.
    assert mirrored_ids(app, "Item") == ["1", "2"]
    answer = app.get("/items?_sort=id", expect_errors=True)
    assert answer.headers["X-Search-Engine"] == "primary; reason=inexact-values"
    assert [each["id"] for each in app.get("/items?q=Lion OR Bear").json["data"]] == [1]

    # Tried again, it is one still; others have none.
    search.outbox.retry([lion, bear])
    assert search.indexer.drain() == 2
    assert search.indexer.rejected == {"Item": 2}
    assert [each.key for each in search.outbox.dead_letters()] == [bear]
    engine.execute("UPDATE zoo_items SET thing = NULL")
    search.outbox.retry([bear])
    assert search.indexer.drain() == 1
    assert search.outbox.dead_letters() == []
    assert [each["id"] for each in app.get("/items?q=Lion OR Bear&_sort=id").json["data"]] == [1, 2]
    same_everywhere(app)
