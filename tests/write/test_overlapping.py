"""Transactions that overlap: what one can't see of the other while both run is mirrored, too.

On PostgreSQL (NEFERTARI_SEARCH_TEST_PRIMARY=postgresql): SQLite has one writer at a time.
"""

from __future__ import annotations

import threading
import uuid

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.orm import sessionmaker

from tests.support.apps import search_of, zoo
from tests.write.test_sync import delete_indices, empty_tables, same_everywhere

pytestmark = pytest.mark.every_primary

WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def app(tmp_path_factory, primary_url):
    from pyramid_sqlalchemy import Session

    if not primary_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer at a time")
    folder = tmp_path_factory.mktemp("overlapping")
    app = zoo(primary_url, f"embedded:{folder}/mirrors", f"test-{uuid.uuid4().hex[:12]}")
    # The database's collation is asked for once.
    app.get("/keepers?_sort=code")
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


@pytest.fixture(autouse=True)
def _empty(app):
    transaction.abort()
    empty_tables()


@pytest.fixture
def models(app):
    from tests.apps.every_field import models

    return models


@pytest.fixture
def sessions(app):
    """Makes sessions of their own."""
    open_sessions = []

    def make():
        open_sessions.append(sessionmaker(bind=search_of(app).outbox.engine)())
        return open_sessions[-1]

    yield make
    for each in open_sessions:
        each.close()


def commit(session, *objects):
    session.add_all(objects)
    session.commit()


def waits_for(work):
    """Start *work* in a thread; gives a function that waits for its end, and raises its error."""
    errors = []

    def run():
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by the caller
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def ended():
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
        if errors:
            raise errors[0]

    return ended


def test_a_document_made_meanwhile_shows_the_new_contents(app, models, sessions):
    commit(sessions(), models.Keeper(code="k", name="old"))
    first, second = sessions(), sessions()
    first.query(models.Keeper).get("k").name = "new"
    first.flush()
    item = models.Item(name="Lion", keeper_code="k")
    commit(second, item)
    commit(second, models.Visit(guest="Bo", item_id=item.id))
    first.commit()

    bodies = same_everywhere(app)
    assert bodies["items"]["data"][0]["keeper"]["name"] == "new"
    assert bodies["visits"]["data"][0]["item"]["keeper"]["name"] == "new"


def test_so_does_one_that_a_worker_indexes(app, models, sessions):
    search = search_of(app)
    search.outbox.inline = False
    try:
        commit(sessions(), models.Keeper(code="k", name="old"))
        first, second = sessions(), sessions()
        first.query(models.Keeper).get("k").name = "new"
        first.flush()
        commit(second, models.Item(name="Lion", keeper_code="k"))
        search.indexer.drain()
        first.commit()
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=stale"
        search.indexer.drain()
    finally:
        search.outbox.inline = True
    assert same_everywhere(app)["items"]["data"][0]["keeper"]["name"] == "new"


def test_what_has_no_mirror_but_is_nested_is_followed_too(app, models, sessions):
    session = sessions()
    commit(session, models.Item(id=1, name="Lion"), models.Item(id=2, name="Bear"))
    commit(session, models.Label(id=1, text="old", item_id=1))
    first, second = sessions(), sessions()
    first.query(models.Label).get(1).text = "new"
    first.flush()
    commit(second, models.Visit(guest="Bo", item_id=1))
    first.commit()

    assert same_everywhere(app)["items"]["data"][0]["label"]["text"] == "new"
    assert search_of(app).outbox.pending_count() == 0


@pytest.mark.parametrize("many", [False, True])
def test_an_object_that_is_deleted_while_another_one_begins_to_refer_to_it(
    app, models, sessions, many
):
    """The database sets the new one's foreign key to NULL, after it has waited for it."""
    commit(sessions(), models.Keeper(code="k", name="Ann"))
    first, second = sessions(), sessions()
    second.add(models.Item(name="Lion", keeper_code="k"))
    second.flush()

    def delete():
        if many:
            first.query(models.Keeper).delete(synchronize_session=False)
        else:
            first.delete(first.query(models.Keeper).get("k"))
        first.commit()

    deleted = waits_for(delete)
    threading.Event().wait(0.5)
    second.commit()
    deleted()

    assert same_everywhere(app)["items"]["data"][0]["keeper"] is None


def test_an_object_that_two_move(app, models, sessions):
    keepers = [models.Keeper(code=code, name=code) for code in "abc"]
    commit(sessions(), *keepers, models.Item(id=1, name="Lion", keeper_code="a"))
    first, second = sessions(), sessions()
    item = first.query(models.Item).get(1)
    assert item.keeper_code == "a"
    second.query(models.Item).get(1).keeper_code = "b"
    second.commit()
    item.keeper_code = "c"
    first.commit()

    items_by_keeper = {
        each["code"]: each["items"] for each in same_everywhere(app)["keepers"]["data"]
    }
    assert items_by_keeper == {"a": [], "b": [], "c": [1]}


@pytest.mark.parametrize("synchronise", [False, "fetch"])
def test_a_row_that_a_bulk_update_would_have_met(app, models, sessions, synchronise):
    """It comes between the look at what will be changed and the change."""
    commit(sessions(), models.Item(id=1, name="old", count=5))
    first, second = sessions(), sessions()
    engine = search_of(app).outbox.engine
    thread = threading.get_ident()
    come = []

    def come_between(connection, cursor, statement, *_):
        ours = threading.get_ident() == thread and not come
        if ours and statement.startswith("UPDATE zoo_items"):
            come.append(statement)
            waits_for(lambda: commit(second, models.Item(id=2, name="old", count=5)))()

    event.listen(engine, "before_cursor_execute", come_between)
    try:
        first.query(models.Item).filter(models.Item.count == 5).update(
            {"name": "new"}, synchronize_session=synchronise
        )
        first.commit()
    finally:
        event.remove(engine, "before_cursor_execute", come_between)

    assert come
    rows = same_everywhere(app)["items"]["data"]
    assert [each["name"] for each in rows] == ["new", "old"]
