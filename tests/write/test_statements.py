"""What a commit with inline sync asks of the database and of the backend, beside its own."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.support.apps import search_of, zoo
from tests.write.test_sync import empty_tables, same_everywhere

pytestmark = pytest.mark.every_primary

# Statements on this package's tables, and transactions more than without it. Rows and, on SQLite,
# versions are written in the application's transaction; on others there is one more for the claim.
# The end of the claim is the last.
PLAIN = {"sqlite": (3 + 3, 1), "postgresql": (1 + 1 + 3, 2)}
RELATED = {"sqlite": (4 + 3, 1), "postgresql": (2 + 1 + 3, 2)}


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    from pyramid_sqlalchemy import Session

    app = zoo(primary_url, backend_url, module_prefix)
    search_of(app).indexer.recovery.stop()
    empty_tables()
    for number in range(4):
        app.post_json("/keepers", {"code": f"k{number}", "name": "Ann"})
    yield app
    transaction.abort()
    Session.remove()


def counted(work):
    """Statements on the package's tables, and commits, of this thread during *work*."""
    counts, texts = Counter(), []
    thread = threading.get_ident()

    def note_statement(connection, cursor, statement, *_):
        own = "nefertari_search_" in statement or "synchronous_commit" in statement
        if threading.get_ident() == thread and own:
            texts.append(statement)

    def note_commit(connection):
        if threading.get_ident() == thread:
            counts["commits"] += 1

    listeners = (("before_cursor_execute", note_statement), ("commit", note_commit))
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        work()
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)
    return texts, counts["commits"]


def of_the_package(app, post):
    """Statements, and how many more commits than without it; and the statements' texts."""
    search = search_of(app)
    # What is made once, at the first of its kind.
    post(0)
    texts, commits = counted(lambda: post(1))
    search.capture.remove()
    try:
        none, own_commits = counted(lambda: post(2))
    finally:
        search.capture.install()
    assert none == []
    for name in ("Item", "Keeper"):
        search.outbox.enqueue_model(name)
    search.indexer.drain()
    return (len(texts), commits - own_commits), "\n".join(texts)


def kind_of(app):
    return search_of(app).outbox.engine.dialect.name


def test_a_plain_object(app):
    extra, texts = of_the_package(app, lambda n: app.post_json("/items", {"name": f"Lion {n}"}))
    assert extra == PLAIN[kind_of(app)], texts


def test_one_with_a_related_object(app):
    def post(number):
        app.post_json("/items", {"name": f"Lion {number}", "keeper_code": f"k{number}"})

    extra, texts = of_the_package(app, post)
    assert extra == RELATED[kind_of(app)], texts


def test_all_documents_of_a_commit_are_one_bulk_and_are_settled_at_once(app, monkeypatch):
    search = search_of(app)
    calls = []
    bulk, settle = search.backend.bulk, search.outbox.settle

    def note_bulk(actions, *arguments):
        batch = list(actions)
        if batch:
            calls.append(("bulk", {action.index.split("-")[2] for action in batch}))
        return bulk(batch, *arguments)

    def note_settle(claim, rejected):
        calls.append(("settle", {key.model.lower() for key in claim.keys}))
        settle(claim, rejected)

    monkeypatch.setattr(search.backend, "bulk", note_bulk)
    monkeypatch.setattr(search.outbox, "settle", note_settle)
    app.post_json("/items", {"name": "Bear", "keeper_code": "k3"})
    assert calls == [("bulk", {"item", "keeper"}), ("settle", {"item", "keeper"})]
    monkeypatch.undo()
    same_everywhere(app)
