"""Whatever way of SQLAlchemy's a row is written, its documents follow.

A flush is one way: these are the others. They fire no events of the session, or not all of them.
"""

from __future__ import annotations

import contextlib
import logging
import uuid

import pytest
import transaction
from sqlalchemy import bindparam, create_engine, literal, select
from sqlalchemy.orm import sessionmaker
from zope.sqlalchemy import mark_changed

from nefertari_search_tween.events import BulkDeleted, BulkUpdated
from tests.support.apps import index_everything, search_of, zoo
from tests.support.tiers import mostly_long
from tests.write.test_sync import by_kind, data, delete_indices, empty_tables, same_everywhere
from tests.write.test_sync import note as note_event

pytestmark = pytest.mark.every_primary


@pytest.fixture(scope="module")
def app(tmp_path_factory, primary_url):
    from pyramid.config import Configurator
    from pyramid_sqlalchemy import Session

    from nefertari_search_tween.events import ChangeEvent

    Session.remove()
    folder = tmp_path_factory.mktemp("paths")
    app = zoo(primary_url, f"embedded:{folder}/mirrors", f"test-{uuid.uuid4().hex[:12]}")
    config = Configurator(registry=app.app.registry)
    config.add_subscriber(note_event, ChangeEvent)
    config.commit()
    search_of(app).indexer.recovery.stop()
    app.get("/keepers?_sort=code")
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


@pytest.fixture(autouse=True)
def _empty(app):
    transaction.abort()
    empty_tables()
    index_everything(app)


@pytest.fixture
def models(app):
    from tests.apps.every_field import models

    return models


@pytest.fixture
def session(app):
    from pyramid_sqlalchemy import Session

    return Session


@pytest.fixture
def tables(models):
    from pyramid_sqlalchemy import metadata

    return metadata.tables


@pytest.fixture
def events(app):
    from tests.write.test_sync import SEEN

    SEEN.clear()
    return SEEN


@pytest.fixture
def family(models, session):
    """Two keepers; items 1 (of the first) and 2; two tags, the first of item 1; a visit to it."""
    with transaction.manager:
        session.add_all(models.Keeper(code=code, name=code) for code in ("k1", "k2"))
        session.flush()
        tag = models.Tag(id=1, name="big")
        session.add(models.Item(id=1, name="Lion", keeper_code="k1", tags=[tag]))
        session.add_all([models.Item(id=2, name="Tiger"), models.Tag(id=2, name="loud")])
        session.flush()
        session.add(models.Visit(id=1, guest="Guest", item_id=1))


def lists(app):
    """The keys that keepers and tags list."""
    bodies = same_everywhere(app)
    assert search_of(app).outbox.pending_count() == 0
    return [
        {key: sorted(each["items"]) for key, each in ((e[pk], e) for e in bodies[name]["data"])}
        for name, pk in (("keepers", "code"), ("tags", "id"))
    ]


@contextlib.contextmanager
def committed(session):
    """Commit what the transaction manager does not know to be a change."""
    with transaction.manager:
        yield session()
        mark_changed(session())


# Bulk methods of a session


def test_mappings_are_inserted_with_and_without_keys(app, models, session):
    with committed(session):
        session().bulk_insert_mappings(models.Keeper, [{"code": "a"}, {"code": "b"}])
        rows = [{"name": f"Bird {number}", "keeper_code": "ab"[number % 2]} for number in range(8)]
        session().bulk_insert_mappings(models.Item, rows)
    keepers, _ = lists(app)
    assert [len(keepers[code]) for code in "ab"] == [4, 4]
    with committed(session):
        session().bulk_insert_mappings(
            models.Item, [{"name": "Owl", "keeper_code": "a"}], return_defaults=True
        )
    assert len(lists(app)[0]["a"]) == 5


@pytest.mark.parametrize("keys", [True, False])
def test_objects_are_saved_in_bulk(app, models, session, keys):
    with committed(session):
        session().bulk_save_objects([models.Keeper(code="a")])
        items = [models.Item(name="Owl", keeper_code="a") for _ in range(3)]
        session().bulk_save_objects(items, return_defaults=keys)
    assert len(lists(app)[0]["a"]) == 3


@pytest.mark.usefixtures("family")
def test_mappings_are_updated(app, models, session):
    with committed(session):
        session().bulk_update_mappings(
            models.Item, [{"id": 1, "keeper_code": "k2"}, {"id": 2, "keeper_code": "k1"}]
        )
    assert lists(app)[0] == {"k1": [2], "k2": [1]}
    with committed(session):
        session().bulk_update_mappings(models.Keeper, [{"code": "k2", "name": "Zoë"}])
    same_everywhere(app)
    assert data(app, "/visits")[0]["item"]["keeper"]["name"] == "Zoë"


# Statements

CORE = {
    "update": lambda t: t["zoo_items"].update().values(keeper_code="k2"),
    "update some": lambda t: (
        t["zoo_items"]
        .update()
        .where(t["zoo_items"].c.keeper_code == "k1")
        .values(name="Cat", keeper_code=None)
    ),
    "update by an expression": lambda t: (
        t["zoo_items"]
        .update()
        .values(
            keeper_code=select([t["zoo_keepers"].c.code]).where(t["zoo_keepers"].c.name == "k2")
        )
    ),
    "change a key": lambda t: (
        t["zoo_keepers"].update().where(t["zoo_keepers"].c.code == "k1").values(code="k9")
    ),
    "change keys by an expression": lambda t: (
        t["zoo_keepers"].update().values(code=t["zoo_keepers"].c.code + "x")
    ),
    "delete": lambda t: t["zoo_items"].delete().where(t["zoo_items"].c.name == "Lion"),
    "delete an owner": lambda t: t["zoo_keepers"].delete(),
    "insert": lambda t: t["zoo_items"].insert().values(name="Owl", keeper_code="k1"),
    "insert with a key": lambda t: t["zoo_items"].insert().values(id=9, keeper_code="k1"),
    "insert several": lambda t: (
        t["zoo_items"]
        .insert()
        .values([{"id": 8, "keeper_code": "k1"}, {"id": 9, "keeper_code": "k2"}])
    ),
    "insert what is selected": lambda t: (
        t["zoo_items"]
        .insert()
        .from_select(["name", "keeper_code"], select([literal("Owl"), t["zoo_keepers"].c.code]))
    ),
    "link": lambda t: t["zoo_item_tags"].insert().values(item_id=2, tag_id=2),
    "link again": lambda t: t["zoo_item_tags"].update().values(item_id=2, tag_id=2),
    "unlink": lambda t: t["zoo_item_tags"].delete(),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", mostly_long(CORE, 4, pytest.mark.thorough))
@pytest.mark.parametrize("way", ["session", "connection", "engine", "begun", "compiled"])
@pytest.mark.usefixtures("family")
def test_a_statement_is_followed(app, session, tables, form, way):
    lists(app)
    engine = search_of(app).outbox.engine
    statement = CORE[form](tables)
    if way == "engine":
        engine.execute(statement)
    elif way == "begun":
        with engine.begin() as connection:
            connection.execute(statement)
    elif way == "compiled":
        with engine.begin() as connection:
            connection.execute(statement.compile(engine))
    else:
        with committed(session):
            executor = session() if way == "session" else session().connection()
            executor.execute(statement)
    index_everything(app)
    lists(app)


@pytest.mark.usefixtures("family")
def test_a_statement_with_many_sets_of_parameters_is_followed(app, session, tables):
    items = tables["zoo_items"]
    update = items.update().where(items.c.name == bindparam("old"))
    with committed(session):
        session().execute(
            update.values(keeper_code=bindparam("code")),
            [{"old": "Lion", "code": "k2"}, {"old": "Tiger", "code": "k1"}],
        )
        links = [{"item_id": 2, "tag_id": tag} for tag in (1, 2)]
        session().execute(tables["zoo_item_tags"].insert(), links)
    assert lists(app) == [{"k1": [2], "k2": [1]}, {1: [1, 2], 2: [2]}]


@pytest.mark.usefixtures("family")
def test_a_statement_without_a_session_is_undone_with_its_transaction(app, tables):
    engine = search_of(app).outbox.engine
    with engine.connect() as connection:
        begun = connection.begin()
        connection.execute(tables["zoo_keepers"].update().values(name="x"))
        begun.rollback()
    assert search_of(app).outbox.pending_count() == 0
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        engine.execute(tables["zoo_keepers"].insert().values(code="k1"))
    lists(app)


@pytest.mark.usefixtures("family")
def test_events_of_statements_are_those_of_bulk_statements(app, session, tables, models, events):
    with committed(session):
        session().execute(tables["zoo_items"].update().values(name="x"))
        session().execute(tables["zoo_visits"].delete())
    (updated,), (deleted,) = by_kind(events, BulkUpdated), by_kind(events, BulkDeleted)
    assert (updated.model, sorted(updated.pks)) == (models.Item, [1, 2])
    assert (deleted.model, deleted.pks) == (models.Visit, (1,))


# What the session does not know


@pytest.mark.usefixtures("family")
def test_a_savepoint_of_the_connection_that_is_undone(app, models, session):
    search = search_of(app)
    search.outbox.inline = False
    try:
        with transaction.manager:
            tag = session.query(models.Tag).get(1)
            savepoint = session().connection().begin_nested()
            tag.name = "first"
            session.flush()
            savepoint.rollback()
            tag.name = "second"
            session.flush()
    finally:
        search.outbox.inline = True
    search.indexer.drain()
    assert sorted(each["name"] for each in data(app, "/tags")) == ["loud", "second"]


@pytest.mark.usefixtures("family")
def test_a_transaction_that_wrote_by_sql_text_sees_its_own_changes(app, models, session):
    search = search_of(app)
    with transaction.manager:
        session.execute("SELECT 1")
        assert search.primary.uncommitted_session() is None
        session.execute("UPDATE zoo_plain SET name = 'x'")
        assert search.primary.uncommitted_session() is None
        session.execute("UPDATE zoo_tags SET name = 'x'")
        assert search.primary.uncommitted_session() is session()
        result = models.Tag.get_collection(_query_secondary=True, name="x")
        assert [each.name for each in result] == ["x", "x"]
        transaction.abort()
    assert search.primary.uncommitted_session() is None


def test_a_statement_as_text_is_reported_once(app, session, caplog):
    statement = f"DELETE FROM zoo_tags WHERE name = '{uuid.uuid4().hex}'"
    with caplog.at_level(logging.WARNING), transaction.manager:
        session.execute(statement)
        session.execute(statement)
        session.execute("SELECT name FROM zoo_tags")
        session.execute("UPDATE zoo_plain SET name = 'x'")
    (record,) = [each for each in caplog.records if "given as text" in each.message]
    assert statement in record.message and "triggers" in record.message


# Other databases


@pytest.fixture
def other_url(primary_url, tmp_path, request):
    """Another database of the same kind: nefertari_sqla's types can't change the kind (a column of
    lists that SQLite had is none on PostgreSQL any more)."""
    if not primary_url.startswith("postgresql"):
        yield f"sqlite:///{tmp_path}/other.sqlite"
        return
    server, name = request.getfixturevalue("postgres_server"), f"other_{uuid.uuid4().hex[:12]}"
    yield server.create_database(name)
    server.drop_database(name)


def test_sessions_on_another_database_are_left_alone(app, models, events, other_url):
    other = create_engine(other_url)
    for model in (models.Keeper, models.Item):
        model.__table__.create(other)
    session = sessionmaker(bind=other)()
    keeper = models.Keeper(code="k", items=[models.Item(id=1, name="Lion")])
    session.add(keeper)
    session.commit()
    session.query(models.Item).update({"name": "x"}, synchronize_session=False)
    session.execute(models.Item.__table__.update().values(name="y"))
    session.delete(keeper)
    session.commit()
    session.close()
    other.dispose()
    assert events == []
    assert search_of(app).outbox.pending_count() == 0


def test_so_is_another_engine_of_the_same_database_not(app, models, primary_url):
    session = sessionmaker(bind=create_engine(primary_url))()
    session.add(models.Keeper(code="k"))
    session.commit()
    session.close()
    assert [each["code"] for each in data(app, "/keepers")] == ["k"]
