"""Scans beside writers: what they read is older than what is written meanwhile, and stays so."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.index_lifecycle import create_empty
from tests.support.apps import index_everything, search_of, zoo
from tests.write.test_interleaving import Process, Reader


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, primary_url: str) -> Iterator[TestApp]:
    app = zoo(
        primary_url,
        f"embedded:{tmp_path_factory.mktemp('scans')}",
        f"test-{uuid.uuid4().hex[:12]}",
        **{"nefertari_search.sync": "worker"},
    )
    mirror = search_of(app).mirrors.get("Tag")
    mirror.reader = Reader(mirror.reader)
    yield app
    transaction.abort()


@pytest.fixture
def tag(app: TestApp) -> int:
    """The key of a stored tag, which waits to be indexed."""
    from tests.apps.every_field.models import Tag

    with transaction.manager:
        for each in Tag.get_collection(_query_secondary=False):
            each.delete()
    index_everything(app)
    with transaction.manager:
        stored = Tag(name="red").save()
        return int(stored.id)


def delete(pk: int) -> None:
    from tests.apps.every_field.models import Tag

    with transaction.manager:
        Tag.get_item(id=pk).delete()


def mirrored(app: TestApp) -> list[Any]:
    mirror = search_of(app).mirrors.get("Tag")
    mirror.backend.refresh(mirror.alias)
    hits = mirror.backend.search(mirror.alias, {"size": 10})["hits"]["hits"]
    return [hit["_source"]["id"] for hit in hits]


def run_to(process: Process, point: str) -> None:
    while process.point != point:
        assert not process.ended, process.error
        process.advance()


def end(process: Process) -> None:
    while not process.ended:
        process.advance()
    assert process.error is None, process.error


def test_a_missing_document_that_is_deleted_after_it_was_read(app: TestApp, tag: int) -> None:
    """index_missing takes its version before it reads: the delete's is newer, and wins."""
    search = search_of(app)
    mirror = search.mirrors.get("Tag")

    def work() -> None:
        index_missing(search.mirrors, mirror, 10, search.outbox, search.rebuild_locks)

    scan = Process("index_missing", work)
    run_to(scan, "scanned")
    delete(tag)
    search.indexer.drain()
    end(scan)
    assert mirrored(app) == []


def test_an_index_made_again_while_an_indexer_has_old_state(app: TestApp, tag: int) -> None:
    """What an indexer that is in flight will write, another claim reads again after it."""
    search = search_of(app)
    mirror = search.mirrors.get("Tag")
    late = Process("late", lambda: search.indexer.process_next_claim(mirror))
    run_to(late, "read")
    delete(tag)
    search.indexer.drain()
    for index in search.mirrors.indices_of(mirror):
        search.backend.delete_index(index)
    create_empty(search.mirrors, mirror)
    search.outbox.enqueue_model("Tag")
    end(late)
    search.indexer.drain()
    assert search.outbox.pending_count("Tag") == 0
    assert mirrored(app) == []


def test_a_row_of_a_whole_model_makes_its_index_what_the_database_is(
    app: TestApp, tag: int
) -> None:
    """As after a TRUNCATE: nothing says which objects there were, or are."""
    search = search_of(app)
    search.indexer.drain()
    assert mirrored(app) == [tag]
    engine = search.outbox.engine
    engine.execute("DELETE FROM zoo_tags")
    engine.execute("INSERT INTO zoo_tags (id, name) VALUES (?, 'blue')", tag + 1)
    search.outbox.enqueue([Key("Tag", tag + 1), Key.whole_model("Tag")])
    search.indexer.drain()
    assert mirrored(app) == [tag + 1]
    assert search.outbox.pending_count() == 0
