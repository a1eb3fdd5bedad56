"""After each kind of change the mirror shows what the primary has, and searches find it.

Every test stores, changes, and compares whole collections as they are read over HTTP: through
the mirror, and with ``_search=false`` from the primary.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import re
import threading
import time
import uuid
from urllib.parse import quote, urlencode

import pytest
import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from pyramid.config import Configurator
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import CircularDependencyError, IntegrityError, OperationalError

from nefertari_search_tween.events import (
    BulkDeleted,
    BulkUpdated,
    ChangeEvent,
    ItemCreated,
    ItemDeleted,
    ItemUpdated,
)
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla.outbox import tables
from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.support.tiers import examples

CHUNK = 40
SEEN = []
PRIMARY_KEYS = {
    "keepers": "code",
    "tags": "id",
    "items": "id",
    "visits": "id",
    "nodes": "id",
    "marked": "id",
    "pens": "id",
    "rounds": "id",
    "meals": "id",
}
# How a bulk statement treats the objects of its session.
SYNCHRONISE = [False, "fetch", "evaluate"]
# Lists of related keys without an order of their own: those of meals have one.
KEY_LISTS = re.compile(rb'"(items|tags|children|rounds)": \[([\d, ]*)\]')


def normalised(body):
    """A response body with the keys in its relationship lists put in order, else as it is."""

    def ordered(match):
        keys = sorted(int(key) for key in match[2].split(b",") if key.strip())
        return b'"%s": %s' % (match[1], str(keys).encode())

    return KEY_LISTS.sub(ordered, body)


@contextlib.contextmanager
def statements():
    """What this thread asks of the application's tables meanwhile (not of the outbox)."""
    queries = []
    thread = threading.get_ident()

    def note_statement(connection, cursor, statement, *_):
        # Of the package itself: its tables, and whether PostgreSQL hides rows.
        own = "nefertari_search_" in statement or "pg_class" in statement
        if threading.get_ident() == thread and not own:
            queries.append(statement)

    event.listen(Engine, "before_cursor_execute", note_statement)
    try:
        yield queries
    finally:
        event.remove(Engine, "before_cursor_execute", note_statement)


def same(app, path):
    """Read *path* through the mirror and from the primary: equal to the byte. Gives the JSON.

    The mirror's answer must be the mirror's own: one that was made with the database's help
    would be equal whatever the index holds.
    """
    collection, _, query = path.lstrip("/").partition("?")
    if "_sort" not in query:
        query = f"{query}&_sort={PRIMARY_KEYS[collection]}".lstrip("&")
    if "_limit" not in query:
        query += "&_limit=1000"
    with statements() as queries:
        mirror = app.get(f"/{collection}?{query}")
    assert mirror.headers["X-Search-Engine"] == "mirror"
    assert queries == []
    primary = app.get(f"/{collection}?{query}&_search=false")
    assert primary.headers["X-Search-Engine"] == "primary; reason=search-false"
    assert normalised(mirror.body) == normalised(primary.body)
    return mirror.json


def same_everywhere(app):
    """All mirrored collections agree with the primary; gives their JSON by name."""
    return {name: same(app, f"/{name}") for name in PRIMARY_KEYS}


def data(app, path):
    """The objects of *path*, after both sides were compared."""
    return same(app, path)["data"]


def hit_keys(app, collection, **params):
    """Primary keys of what a search read finds."""
    query = urlencode({"_search": "true", "_limit": 1000, **params})
    response = app.get(f"/{collection}?{query}")
    assert response.headers["X-Search-Engine"] == "mirror"
    return sorted(each[PRIMARY_KEYS[collection]] for each in response.json["data"])


def mirrored_ids(app, model_name):
    """Keys of all documents in the index, without the help of the code that searches."""
    search = search_of(app)
    mirror = search.mirrors.get(model_name)
    mirror.backend.refresh(mirror.alias)
    hits = mirror.backend.search(mirror.alias, {"size": 1000})["hits"]["hits"]
    return sorted(hit["_source"]["_pk"] for hit in hits)


def delete_indices(app):
    search = search_of(app)
    for mirror in search.mirrors:
        for index in search.mirrors.indices_of(mirror):
            search.backend.delete_index(index)


def note(event):
    SEEN.append(event)


@pytest.fixture(scope="module")
def app(tmp_path_factory, backend_url):
    from pyramid_sqlalchemy import Session

    Session.remove()  # one left by another module is bound to that module's database
    database = tmp_path_factory.mktemp("sync") / "zoo.sqlite"
    app = zoo(
        f"sqlite:///{database}",
        backend_url,
        f"test-{uuid.uuid4().hex[:12]}",
        **{"elasticsearch.chunk_size": str(CHUNK)},
    )
    config = Configurator(registry=app.app.registry)
    config.add_subscriber(note, ChangeEvent)
    config.commit()
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


def empty_tables():
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field import models

    with transaction.manager:
        Session.query(models.Node).update({"parent_id": None}, synchronize_session=False)
        for model in (
            models.Visit,
            models.Label,
            models.Item,
            models.Tag,
            models.Keeper,
            models.Node,
            models.Marked,
            models.Custom,
            models.Plain,
            models.Meal,
            models.Pen,
            models.Round,
        ):
            Session.query(model).delete(synchronize_session=False)


@pytest.fixture(autouse=True)
def _empty(app):
    transaction.abort()
    empty_tables()


@pytest.fixture
def models(app):
    from tests.apps.every_field import models

    return models


@pytest.fixture
def session(app):
    from pyramid_sqlalchemy import Session

    return Session


@pytest.fixture
def events(app):
    """What a subscriber of the application sees, in order."""
    SEEN.clear()
    return SEEN


# Over HTTP


def test_a_created_object_is_read_and_found(app):
    app.post_json("/items", {"name": "Lion", "count": 3})

    assert [each["name"] for each in data(app, "/items")] == ["Lion"]
    assert len(hit_keys(app, "items", name="lion")) == 1


def test_an_updated_object_is_found_by_its_new_value_only(app):
    item = app.post_json("/items", {"name": "Lion"}).json
    app.patch_json(f"/items/{item['id']}", {"name": "Tiger"})

    assert [each["name"] for each in data(app, "/items")] == ["Tiger"]
    assert hit_keys(app, "items", name="tiger") == [item["id"]]
    assert hit_keys(app, "items", name="lion") == []


def test_a_deleted_object_is_gone(app):
    item = app.post_json("/items", {"name": "Lion"}).json
    app.delete(f"/items/{item['id']}")

    assert data(app, "/items") == []
    assert hit_keys(app, "items", name="lion") == []
    assert mirrored_ids(app, "Item") == []


def test_a_deleted_object_that_comes_back_under_its_key_is_there(app):
    app.post_json("/keepers", {"code": "ann", "name": "First"})
    app.delete("/keepers/ann")
    app.post_json("/keepers", {"code": "ann", "name": "Second"})

    assert [each["name"] for each in data(app, "/keepers")] == ["Second"]
    assert hit_keys(app, "keepers", name="second") == ["ann"]


def test_a_refused_request_leaves_nothing(app):
    app.post_json("/items", {"name": "Lion", "kind": "no such kind"}, status=400)

    assert data(app, "/items") == []
    assert mirrored_ids(app, "Item") == []


def test_every_field_class_is_mirrored(app, models, session):
    with transaction.manager:
        session.add(
            models.Item(
                big=2**62,
                flag=True,
                day=datetime.date(1066, 10, 14),
                moment=datetime.datetime(2024, 2, 29, 23, 59, 59, 999999),
                kind="red",
                ratio=0.1,
                count=-3,
                span=datetime.timedelta(days=2, seconds=3, microseconds=4),
                blob=b"\x00\xff'\"",
                price=decimal.Decimal("12345678.1234"),
                thing={"a": [1, None]},
                small=7,
                word="w",
                prose="p" * 40000,
                clock=datetime.time(23, 59, 59, 5),
                name="ünï😀",
                story="line\nline",
                options={"x": {"y": [1]}},
                words=["a", "b"],
                owner="bob",
            )
        )
        session.add(models.Item())

    assert len(data(app, "/items")) == 2


def test_a_model_marked_by_the_decorator_is_in_sync_too(app):
    row = app.post_json("/marked", {"name": "One"}).json
    app.patch_json(f"/marked/{row['id']}", {"name": "Two"})

    assert [each["name"] for each in data(app, "/marked")] == ["Two"]
    assert hit_keys(app, "marked", name="two") == [row["id"]]


def test_a_model_that_renders_itself_is_found_by_what_it_renders(app):
    app.post_json("/customs", {"first": "Ada", "last": "Lovelace"})

    response = app.get("/customs?q=lovelace&_search=true")
    assert [each["full_name"] for each in response.json["data"]] == ["Ada Lovelace"]


def test_many_objects_are_updated_by_one_patch_of_their_collection(app):
    for name in ("Lion", "Lion", "Tiger"):
        app.post_json("/items", {"name": name, "word": "old"})
    app.patch_json("/items?name=lion", {"word": "new"})

    words = [(each["name"], each["word"]) for each in data(app, "/items")]
    assert words == [("Lion", "new"), ("Lion", "new"), ("Tiger", "old")]
    assert len(hit_keys(app, "items", word="new")) == 2


def test_many_objects_are_deleted_by_one_delete_of_their_collection(app):
    for name in ("Lion", "Lion", "Tiger"):
        app.post_json("/items", {"name": name})
    app.delete("/items?name=lion&__confirmation=true")

    assert [each["name"] for each in data(app, "/items")] == ["Tiger"]
    assert mirrored_ids(app, "Item") == [str(data(app, "/items")[0]["id"])]


# Without a request


def test_objects_of_a_script_are_mirrored_at_its_commit(app, models, session):
    with transaction.manager:
        session.add(models.Item(name="Lion"))
    with transaction.manager:
        session.query(models.Item).one().name = "Tiger"

    assert [each["name"] for each in data(app, "/items")] == ["Tiger"]
    assert len(hit_keys(app, "items", name="tiger")) == 1

    with transaction.manager:
        session.delete(session.query(models.Item).one())

    assert data(app, "/items") == []
    assert mirrored_ids(app, "Item") == []


def test_nothing_is_indexed_before_the_commit(app, models, session):
    with transaction.manager:
        session.add(models.Item(name="Lion"))
        session.flush()
        assert mirrored_ids(app, "Item") == []

    assert len(mirrored_ids(app, "Item")) == 1


def test_a_session_that_no_one_registered_is_seen_too(app, models, session):
    from sqlalchemy.orm import sessionmaker

    own = sessionmaker(bind=session().get_bind())()
    own.add(models.Keeper(code="ann", name="Ann"))
    own.commit()
    own.close()

    assert [each["name"] for each in data(app, "/keepers")] == ["Ann"]


# Rollbacks


class Undo(Exception):
    """Makes a transaction roll back."""


@pytest.mark.parametrize("flushed", [True, False], ids=["flushed", "not flushed"])
def test_a_rollback_leaves_nothing(app, models, session, flushed):
    app.post_json("/keepers", {"code": "ann", "name": "Ann"})
    with contextlib.suppress(Undo), transaction.manager:
        session.add(models.Keeper(code="eve", name="Eve"))
        session.query(models.Keeper).get("ann").name = "Changed"
        if flushed:
            session.flush()
        raise Undo

    assert [each["name"] for each in data(app, "/keepers")] == ["Ann"]
    assert mirrored_ids(app, "Keeper") == ["ann"]
    assert search_of(app).outbox.pending_count() == 0


def test_a_rolled_back_bulk_statement_leaves_nothing(app, models, session):
    app.post_json("/keepers", {"code": "ann", "name": "Ann"})
    with contextlib.suppress(Undo), transaction.manager:
        session.query(models.Keeper).delete(synchronize_session=False)
        raise Undo

    assert mirrored_ids(app, "Keeper") == ["ann"]
    assert [each["name"] for each in data(app, "/keepers")] == ["Ann"]


def test_the_transaction_after_a_rollback_brings_its_own_changes_only(app, models, session):
    with contextlib.suppress(Undo), transaction.manager:
        session.add(models.Keeper(code="eve"))
        session.flush()
        raise Undo
    with transaction.manager:
        session.add(models.Keeper(code="ann"))

    assert mirrored_ids(app, "Keeper") == ["ann"]
    same(app, "/keepers")


def test_what_a_savepoint_undid_is_not_mirrored(app, models, session):
    with transaction.manager:
        session.add(models.Keeper(code="kept"))
        session.flush()
        savepoint = session.begin_nested()
        session.add(models.Keeper(code="undone"))
        session.flush()
        savepoint.rollback()

    assert [each["code"] for each in data(app, "/keepers")] == ["kept"]
    assert mirrored_ids(app, "Keeper") == ["kept"]


def test_a_savepoint_that_was_released_goes_with_the_outer_rollback(app, models, session):
    with contextlib.suppress(Undo), transaction.manager:
        session.add(models.Keeper(code="outer"))
        session.flush()
        savepoint = session.begin_nested()
        session.add(models.Keeper(code="inner"))
        savepoint.commit()
        assert mirrored_ids(app, "Keeper") == []
        raise Undo

    assert mirrored_ids(app, "Keeper") == []
    assert search_of(app).outbox.pending_count() == 0


def test_a_savepoint_that_was_released_comes_with_the_outer_commit(app, models, session):
    with transaction.manager:
        session.add(models.Keeper(code="outer"))
        session.flush()
        savepoint = session.begin_nested()
        session.add(models.Keeper(code="inner"))
        savepoint.commit()

    assert mirrored_ids(app, "Keeper") == ["inner", "outer"]
    same(app, "/keepers")


def test_changes_before_and_after_a_savepoint_that_was_undone_are_mirrored(app, models, session):
    app.post_json("/keepers", {"code": "ann", "name": "1"})
    with transaction.manager:
        session.query(models.Keeper).get("ann").name = "2"
        session.flush()
        savepoint = session.begin_nested()
        session.query(models.Keeper).get("ann").name = "3"
        session.flush()
        savepoint.rollback()
        session.add(models.Keeper(code="late"))

    assert [each["name"] for each in data(app, "/keepers")] == ["2", None]


# Nested documents


@pytest.fixture
def family(app, models, session):
    """Keepers k1 and k2; items 1 (of k1, with a label) and 2 (of nobody); a visit to item 1."""
    with transaction.manager:
        session.add_all([models.Keeper(code="k1", name="Ann"), models.Keeper(code="k2", name="Bo")])
        session.flush()
        session.add_all(
            [
                models.Item(id=1, name="Lion", keeper_code="k1"),
                models.Item(id=2, name="Tiger"),
                models.Tag(id=1, name="big"),
                models.Tag(id=2, name="loud"),
            ]
        )
        session.flush()
        session.add(models.Label(id=1, text="roars", item_id=1))
        session.add(models.Visit(id=1, guest="Guest", item_id=1))


def items_of(app, code):
    return next(sorted(each["items"]) for each in data(app, "/keepers") if each["code"] == code)


@pytest.mark.usefixtures("family")
def test_a_change_shows_two_levels_up(app):
    app.patch_json("/keepers/k1", {"name": "Zoë"})

    assert data(app, "/items?id=1")[0]["keeper"]["name"] == "Zoë"
    assert data(app, "/visits")[0]["item"]["keeper"]["name"] == "Zoë"
    assert hit_keys(app, "visits", q="item.keeper.name:zoë") == [1]
    assert hit_keys(app, "visits", q="item.keeper.name:ann") == []


@pytest.mark.usefixtures("family")
def test_a_change_in_the_middle_shows_one_level_up(app):
    app.patch_json("/items/1", {"name": "Puma"})

    assert data(app, "/visits")[0]["item"]["name"] == "Puma"
    assert hit_keys(app, "visits", q="item.name:puma") == [1]


@pytest.mark.usefixtures("family")
def test_an_object_without_a_mirror_shows_where_it_is_nested(app, models, session):
    with transaction.manager:
        session.query(models.Label).get(1).text = "purrs"

    assert data(app, "/items?id=1")[0]["label"]["text"] == "purrs"
    assert hit_keys(app, "items", q="label.text:purrs") == [1]
    assert hit_keys(app, "items", q="label.text:roars") == []
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_what_a_worker_indexes_shows_where_it_is_nested(app, models, session):
    search = search_of(app)
    with transaction.manager:
        session.add_all(models.Item(id=number, name="other") for number in range(3, 23))
    search.outbox.inline = False
    try:
        with transaction.manager:
            session.query(models.Keeper).get("k1").name = "Zoë"
            session.query(models.Label).get(1).text = "purrs"
        # The keeper, the item and the visit, some twice; not what has nothing to do with them.
        assert 3 <= search.indexer.drain() <= 6
    finally:
        search.outbox.inline = True
    assert search.outbox.pending_count() == 0
    (item,) = data(app, "/items?id=1")
    assert (item["keeper"]["name"], item["label"]["text"]) == ("Zoë", "purrs")
    assert data(app, "/visits")[0]["item"]["keeper"]["name"] == "Zoë"
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_nested_object_that_was_deleted_is_gone_above(app, models, session):
    with transaction.manager:
        session.delete(session.query(models.Label).get(1))

    assert data(app, "/items?id=1")[0]["label"] is None
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_one_to_one_object_can_be_replaced(app, models, session):
    with transaction.manager:
        session.query(models.Item).get(1).label = models.Label(text="growls")

    assert data(app, "/items?id=1")[0]["label"]["text"] == "growls"
    assert hit_keys(app, "items", q="label.text:roars") == []
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_one_to_one_object_can_move_by_its_foreign_key(app, models, session):
    with transaction.manager:
        session.query(models.Label).get(1).item_id = 2

    labels = [each["label"] and each["label"]["text"] for each in data(app, "/items")]
    assert labels == [None, "roars"]
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_two_levels_change_in_one_transaction(app, models, session):
    with transaction.manager:
        session.query(models.Keeper).get("k1").name = "Zoë"
        session.flush()
        session.query(models.Item).get(1).name = "Puma"
        session.query(models.Visit).get(1).guest = "Other"

    same_everywhere(app)


# Foreign keys that move


@pytest.mark.usefixtures("family")
def test_a_foreign_key_that_moved_shows_on_both_owners(app):
    app.patch_json("/items/1", {"keeper_code": "k2"})

    assert items_of(app, "k1") == []
    assert items_of(app, "k2") == [1]
    assert hit_keys(app, "keepers", items=1) == ["k2"]
    assert hit_keys(app, "items", keeper_code="k2") == [1]
    assert [each["id"] for each in data(app, "/items?keeper_code=k2")] == [1]
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_an_owner_that_was_assigned_shows_on_both(app, models, session):
    with transaction.manager:
        session.query(models.Item).get(1).keeper = session.query(models.Keeper).get("k2")

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_an_owner_that_was_assigned_over_http_shows_on_both(app):
    app.patch_json("/items/1", {"keeper": "k2"})

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_an_object_that_was_appended_to_an_owner_shows_on_both(app, models, session):
    with transaction.manager:
        keeper = session.query(models.Keeper).get("k2")
        keeper.items.append(session.query(models.Item).get(1))

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    assert data(app, "/visits")[0]["item"]["keeper"]["name"] == "Bo"
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_an_object_that_was_removed_from_its_owner_shows_it(app, models, session):
    with transaction.manager:
        keeper = session.query(models.Keeper).get("k1")
        keeper.items.remove(session.query(models.Item).get(1))

    assert items_of(app, "k1") == []
    assert data(app, "/items?id=1")[0]["keeper"] is None
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_list_of_objects_that_was_assigned_over_http_shows(app):
    app.patch_json("/keepers/k2", {"items": [1, 2]})

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1, 2])
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_an_expired_object_whose_old_key_was_never_loaded_shows_on_both(app, models, session):
    with transaction.manager:
        item = session.query(models.Item).get(1)
        session.expire(item)
        item.keeper_code = "k2"

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_deferred_key_that_was_never_loaded_shows_on_both(app, models, session):
    from sqlalchemy.orm import load_only

    with transaction.manager:
        item = session.query(models.Item).options(load_only("id")).get(1)
        item.keeper_code = None

    assert items_of(app, "k1") == []
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_key_that_moved_twice_in_one_transaction_shows_on_all_three(app, models, session):
    with transaction.manager:
        session.add(models.Keeper(code="k3"))
        item = session.query(models.Item).get(1)
        item.keeper_code = "k2"
        session.flush()
        item.keeper_code = "k3"

    assert [items_of(app, code) for code in ("k1", "k2", "k3")] == [[], [], [1]]
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_detached_object_that_is_merged_shows(app, models, session):
    with transaction.manager:
        session.merge(models.Item(id=1, name="Merged", keeper_code="k2"))

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_visit_that_moves_nests_the_other_item(app):
    app.patch_json("/visits/1", {"item_id": 2})

    assert data(app, "/visits")[0]["item"]["name"] == "Tiger"
    assert hit_keys(app, "visits", q="item.name:lion") == []


# Many to many


def tags_of(app, pk):
    return sorted(data(app, f"/items?id={pk}")[0]["tags"])


@pytest.mark.usefixtures("family")
def test_both_sides_show_what_was_added_on_one(app, models, session):
    with transaction.manager:
        tag = session.query(models.Tag).get(1)
        tag.items.append(session.query(models.Item).get(1))
    with transaction.manager:
        item = session.query(models.Item).get(1)
        item.tags.append(session.query(models.Tag).get(2))

    assert tags_of(app, 1) == [1, 2]
    assert [each["items"] for each in data(app, "/tags")] == [[1], [1]]
    assert hit_keys(app, "tags", items=1) == [1, 2]
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_both_sides_show_what_was_removed_on_one(app, models, session):
    with transaction.manager:
        for tag in session.query(models.Tag):
            tag.items = session.query(models.Item).all()
    with transaction.manager:
        session.query(models.Tag).get(1).items = []
    with transaction.manager:
        item = session.query(models.Item).get(2)
        item.tags.remove(session.query(models.Tag).get(2))

    assert (tags_of(app, 1), tags_of(app, 2)) == ([2], [])
    assert hit_keys(app, "items", tags=1) == []
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_tags_that_were_assigned_over_http_show_on_both_sides(app):
    app.patch_json("/items/1", {"tags": [1, 2]})
    app.patch_json("/tags/2", {"items": [2]})

    assert (tags_of(app, 1), tags_of(app, 2)) == ([1], [2])
    same_everywhere(app)


@pytest.mark.parametrize("way", ["http", "session", "bulk"])
@pytest.mark.usefixtures("family")
def test_a_deleted_tag_leaves_its_items(app, models, session, way):
    app.patch_json("/items/1", {"tags": [1, 2]})
    if way == "http":
        app.delete("/tags/1")
    else:
        with transaction.manager:
            tag = session.query(models.Tag).filter_by(id=1)
            tag.delete(synchronize_session=False) if way == "bulk" else session.delete(tag.one())

    assert tags_of(app, 1) == [2]
    same_everywhere(app)


# Lists in an order of their own


@pytest.fixture
def ordered(app, models, session):
    """A pen that nests three meals and a round that lists their keys, by rank."""
    with transaction.manager:
        meals = [models.Meal(id=key, rank=key) for key in (1, 2, 3)]
        session.add(models.Pen(id=1, name="pen", meals=meals))
        session.add(models.Round(id=1, name="round", meals=meals))
    assert orders(app) == ([3, 2, 1], [1, 2, 3])


def orders(app):
    """The keys of the meals that the pen nests, and of those that the round lists."""
    (pen,), (round_,) = data(app, "/pens"), data(app, "/rounds")
    return [meal["id"] for meal in pen["meals"]], round_["meals"]


@pytest.mark.every_backend
@pytest.mark.usefixtures("ordered")
@pytest.mark.parametrize("way", ["object", *SYNCHRONISE])
def test_a_list_follows_the_column_that_orders_it(app, models, session, way):
    """Where only keys are listed, none of them changes."""
    with transaction.manager:
        if way == "object":
            session.query(models.Meal).get(1).rank = 5
        else:
            session.query(models.Meal).filter(models.Meal.id == 1).update(
                {"rank": 5}, synchronize_session=way
            )
    assert orders(app) == ([1, 3, 2], [2, 3, 1])
    with transaction.manager:
        session.query(models.Meal).get(3).rank = None
    assert orders(app) == ([1, 2, 3], [3, 2, 1])


@pytest.mark.every_backend
@pytest.mark.usefixtures("ordered")
def test_equal_ranks_are_ordered_by_the_next_column(app, models, session):
    with transaction.manager:
        session.query(models.Meal).update({"rank": 1}, synchronize_session=False)
    assert orders(app) == ([1, 2, 3], [3, 2, 1])
    with transaction.manager:
        session.delete(session.query(models.Meal).get(2))
        pen = session.query(models.Pen).get(1)
        pen.meals.append(models.Meal(id=4, rank=2))
    assert orders(app) == ([4, 1, 3], [3, 1])


# A model that refers to itself


def test_parents_and_children_show_each_other(app, models, session):
    with transaction.manager:
        session.add_all([models.Node(id=1, name="root"), models.Node(id=2, name="other")])
        session.flush()
        session.add(models.Node(id=3, name="leaf", parent_id=1))
    assert [sorted(each["children"]) for each in data(app, "/nodes")] == [[3], [], []]

    app.patch_json("/nodes/3", {"parent_id": 2})
    assert [sorted(each["children"]) for each in data(app, "/nodes")] == [[], [3], []]

    with transaction.manager:
        root = session.query(models.Node).get(1)
        root.children = [session.query(models.Node).get(2)]
    assert [each["parent"] for each in data(app, "/nodes")] == [None, 1, 2]

    app.delete("/nodes/2")
    assert [(each["children"], each["parent"]) for each in data(app, "/nodes")] == [
        ([], None),
        ([], None),
    ]


# What the database does by itself


@pytest.mark.parametrize("way", ["http", "session", "bulk"])
@pytest.mark.usefixtures("family")
def test_on_delete_set_null_reaches_the_mirrors(app, models, session, way):
    if way == "http":
        app.delete("/keepers/k1")
    else:
        with transaction.manager:
            keeper = session.query(models.Keeper).filter_by(code="k1")
            keeper.delete(synchronize_session=False) if way == "bulk" else session.delete(
                keeper.one()
            )

    assert [each["keeper_code"] for each in data(app, "/items")] == [None, None]
    assert data(app, "/visits")[0]["item"]["keeper"] is None
    assert hit_keys(app, "visits", q="item.keeper.name:ann") == []
    same_everywhere(app)


@pytest.mark.parametrize("way", ["http", "session", "bulk"])
@pytest.mark.usefixtures("family")
def test_on_delete_cascade_reaches_the_mirrors(app, models, session, way):
    app.patch_json("/items/1", {"tags": [1]})
    if way == "http":
        app.delete("/items/1")
    else:
        with transaction.manager:
            item = session.query(models.Item).filter_by(id=1)
            item.delete(synchronize_session=False) if way == "bulk" else session.delete(item.one())

    assert data(app, "/visits") == []
    assert mirrored_ids(app, "Visit") == []
    assert data(app, "/tags?id=1")[0]["items"] == []
    assert items_of(app, "k1") == []
    same_everywhere(app)


def test_a_document_that_is_rewritten_fifty_times_shows_the_last(app, models, session):
    search = search_of(app)
    with transaction.manager:
        session.add(models.Keeper(code="k", items=[models.Item(id=1, name="0")]))
    before = search.outbox.sync_state("Item").version
    for number in range(1, 51):
        with transaction.manager:
            session.query(models.Item).get(1).name = f"name {number}"

    assert [each["name"] for each in data(app, "/items")] == ["name 50"]
    assert hit_keys(app, "items", name="50") == [1]
    assert hit_keys(app, "items", name="49") == []
    state = search.outbox.sync_state("Item")
    assert not state.pending and state.version >= before + 50
    assert search.outbox.pending_count() == 0
    assert search.outbox.dead_letters() == []


# Bulk statements


@pytest.mark.parametrize("synchronise", SYNCHRONISE)
@pytest.mark.usefixtures("family")
def test_a_bulk_update_is_mirrored(app, models, session, synchronise):
    with transaction.manager:
        session.query(models.Item).filter(models.Item.id < 3).update(
            {"name": "Cat"}, synchronize_session=synchronise
        )

    assert [each["name"] for each in data(app, "/items")] == ["Cat", "Cat"]
    assert hit_keys(app, "items", name="cat") == [1, 2]
    assert hit_keys(app, "visits", q="item.name:cat") == [1]
    same_everywhere(app)


@pytest.mark.parametrize("synchronise", SYNCHRONISE)
@pytest.mark.usefixtures("family")
def test_a_bulk_update_that_changes_what_it_selects_by_is_mirrored(
    app, models, session, synchronise
):
    with transaction.manager:
        session.query(models.Item).filter(models.Item.name == "Lion").update(
            {"name": "Cat", "keeper_code": "k2"}, synchronize_session=synchronise
        )

    assert (items_of(app, "k1"), items_of(app, "k2")) == ([], [1])
    assert data(app, "/visits")[0]["item"]["keeper"]["name"] == "Bo"
    same_everywhere(app)


@pytest.mark.parametrize("synchronise", SYNCHRONISE)
@pytest.mark.usefixtures("family")
def test_a_bulk_delete_is_mirrored(app, models, session, synchronise):
    with transaction.manager:
        session.query(models.Visit).filter(models.Visit.guest == "Guest").delete(
            synchronize_session=synchronise
        )

    assert data(app, "/visits") == []
    assert mirrored_ids(app, "Visit") == []
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_bulk_update_of_an_object_without_a_mirror_shows_above(app, models, session):
    with transaction.manager:
        session.query(models.Label).update({"text": "hums"}, synchronize_session=False)

    assert data(app, "/items?id=1")[0]["label"]["text"] == "hums"
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_a_bulk_update_sees_what_was_not_flushed_before_it(app, models, session):
    with transaction.manager:
        session.add(models.Item(id=3, name="Puma"))
        session.query(models.Item).update({"word": "w"}, synchronize_session=False)

    assert hit_keys(app, "items", word="w") == [1, 2, 3]
    same_everywhere(app)


@pytest.mark.usefixtures("family")
def test_nefertaris_own_bulk_operations_are_mirrored(app, models, session):
    with transaction.manager:
        query = models.Item.get_collection(name="Lion")
        assert models.Item._update_many(query, {"name": "Cat"}) == 1
    assert hit_keys(app, "items", name="cat") == [1]
    same_everywhere(app)

    with transaction.manager:
        items = models.Item.get_collection(_sort="id").all()
        assert models.Item._update_many(items, {"word": "w"}) == 2
    assert hit_keys(app, "items", word="w") == [1, 2]
    same_everywhere(app)

    with transaction.manager:
        assert models.Item._delete_many(models.Item.get_collection(name="Cat")) == 1
    assert mirrored_ids(app, "Item") == ["2"]
    same_everywhere(app)

    with transaction.manager:
        assert models.Item._delete_many(models.Item.get_collection().all()) == 1
    assert mirrored_ids(app, "Item") == []
    same_everywhere(app)


def test_a_transaction_of_many_chunks_is_mirrored_whole(app, models, session):
    count = CHUNK * 4 + 7
    with transaction.manager:
        session.add_all([models.Item(name=f"Bird {number}") for number in range(count)])
    assert same(app, "/items")["total"] == count

    with transaction.manager:
        session.query(models.Item).update({"word": "w"}, synchronize_session=False)
    assert len(hit_keys(app, "items", word="w")) == count
    same(app, "/items")

    with transaction.manager:
        session.query(models.Item).delete(synchronize_session=False)
    assert mirrored_ids(app, "Item") == []


def test_a_nested_object_of_many_shows_in_all(app, models, session):
    count = CHUNK * 2 + 1
    with transaction.manager:
        session.add(models.Keeper(code="k", name="Ann"))
        session.flush()
        session.add_all([models.Item(name="Bird", keeper_code="k") for _ in range(count)])
    app.patch_json("/keepers/k", {"name": "Zoë"})

    assert len(hit_keys(app, "items", q="keeper.name:zoë")) == count
    same(app, "/items")


# At the same time


def in_threads(count, work):
    """Run ``work(number)`` in threads at once; the first failure is raised here."""
    failures = []
    start = threading.Barrier(count)

    def run(number):
        from pyramid_sqlalchemy import Session

        try:
            start.wait(10)
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            failures.append(error)
        finally:
            transaction.abort()
            Session.remove()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


def again_while_refused(work):
    """SQLite refuses a writer while another writes, and two may insert one key: try again."""

    def attempt():
        try:
            with transaction.manager:
                work()
        except (OperationalError, IntegrityError) as error:
            if "locked" not in str(error) and "UNIQUE" not in str(error):
                raise
            return False
        return True

    assert wait_until(attempt, 60, pause=0.005)


def settled(app):
    assert wait_until(lambda: not search_of(app).outbox.pending_count(), 30, pause=0.02)


@pytest.mark.slow
def test_threads_that_write_the_same_objects_leave_the_last_state(app, models, session):
    with transaction.manager:
        session.add(models.Keeper(code="k", name="-"))
        session.flush()
        session.add_all([models.Item(id=pk, count=0, keeper_code="k") for pk in range(1, 6)])

    def work(number):
        for turn in range(15):

            def change(turn=turn):
                item = session.query(models.Item).get(1 + (number + turn) % 5)
                item.count = models.Item.count + 1
                session.query(models.Keeper).get("k").name = f"{number} {turn}"

            again_while_refused(change)

    in_threads(4, work)
    settled(app)

    items = data(app, "/items")
    assert sum(each["count"] for each in items) == 60
    same_everywhere(app)


def test_threads_that_create_and_delete_the_same_key_leave_the_last_state(app, models, session):
    def work(number):
        for _ in range(15):

            def change():
                keeper = session.query(models.Keeper).get("k")
                if keeper is None:
                    session.add(models.Keeper(code="k", name=str(number)))
                else:
                    session.delete(keeper)

            again_while_refused(change)

    in_threads(4, work)
    settled(app)

    assert mirrored_ids(app, "Keeper") == [each["code"] for each in data(app, "/keepers")]


# Keys


ODD_KEYS = {
    "unicode": "ключ-ñ-😀",
    "slash": "a/b//c",
    "space": " a  b ",
    "comma": "a,b,,c",
    "question": "a?b&c=d#e%20",
    "quotes": "'\"\\`",
    "underscore": "_all",
    "dots": "..",
    "upper and lower": "ABC",
    "number": "0012",
    "syntax": "a OR b* (c) [1 TO 2] ~^:!",
    "newline": "a\nb\tc",
    "512 bytes": "k" * 512,
    "600 characters": "k" * 600,
    "200 of three bytes": "名" * 200,
}


@pytest.mark.parametrize("code", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_any_primary_key_is_mirrored(app, models, session, code):
    app.post_json("/keepers", {"code": code, "name": "Odd"})
    app.post_json("/keepers", {"code": "plain", "name": "Plain"})
    app.post_json("/items", {"id": 1, "name": "Lion", "keeper_code": code})
    assert {each["code"]: each["items"] for each in data(app, "/keepers")} == {
        code: [1],
        "plain": [],
    }
    assert hit_keys(app, "keepers", name="odd") == [code]
    assert [each["keeper"]["code"] for each in data(app, "/items")] == [code]

    with transaction.manager:
        session.query(models.Keeper).get(code).name = "Changed"
    assert hit_keys(app, "keepers", name="changed") == [code]
    same_everywhere(app)

    with transaction.manager:
        session.delete(session.query(models.Keeper).get(code))
    assert mirrored_ids(app, "Keeper") == ["plain"]
    same_everywhere(app)


def test_keys_that_differ_in_case_only_are_two(app):
    app.post_json("/keepers", {"code": "ann"})
    app.post_json("/keepers", {"code": "ANN"})
    app.delete("/keepers/ann")

    assert mirrored_ids(app, "Keeper") == ["ANN"]
    same(app, "/keepers")


def test_a_key_with_a_slash_is_read_by_filter(app):
    app.post_json("/keepers", {"code": "a/b"})
    app.post_json("/keepers", {"code": "a"})

    assert [each["code"] for each in data(app, f"/keepers?code={quote('a/b', safe='')}")] == ["a/b"]


def test_a_key_that_was_given_as_a_text_is_a_number(app):
    """As JSON may have it, and a tunnelled query string always has."""
    app.post_json("/nodes", {"id": "10", "name": "root"})
    app.post_json("/nodes", {"id": "11", "name": "other"})
    app.post_json("/nodes", {"id": "12", "name": "leaf", "parent_id": "10"})
    assert [each["children"] for each in data(app, "/nodes")] == [[12], [], []]

    app.patch_json("/nodes/12", {"parent_id": "11"})
    assert [each["children"] for each in data(app, "/nodes")] == [[], [12], []]
    assert mirrored_ids(app, "Node") == ["10", "11", "12"]


def test_an_object_that_changes_right_after_its_key_was_given_as_a_text(app, models, session):
    with transaction.manager:
        node = models.Node(id="10", name="root")
        session.add(node)
        session.flush()
        node.name = "renamed"

    assert [each["name"] for each in data(app, "/nodes")] == ["renamed"]


def test_a_primary_key_that_changed_moves_the_document(app, models, session):
    app.post_json("/keepers", {"code": "old", "name": "Ann"})
    with transaction.manager:
        session.query(models.Keeper).get("old").code = "new"

    assert mirrored_ids(app, "Keeper") == ["new"]
    same(app, "/keepers")


def test_a_primary_key_that_a_bulk_update_changed_moves_the_document(app, models, session):
    app.post_json("/keepers", {"code": "old", "name": "Ann"})
    with transaction.manager:
        session.query(models.Keeper).update({"code": "new"}, synchronize_session=False)

    assert mirrored_ids(app, "Keeper") == ["new"]
    same(app, "/keepers")


def test_a_key_that_changed_is_followed_by_who_mentions_it(app, models, session):
    """The database moves the foreign keys: no session sees that."""
    app.post_json("/keepers", {"code": "old", "name": "Ann"})
    item = app.post_json("/items", {"name": "Lion", "keeper_code": "old"}).json["id"]
    app.post_json("/visits", {"guest": "Bo", "item_id": item})
    with transaction.manager:
        session.query(models.Keeper).get("old").code = "new"

    assert data(app, "/items")[0]["keeper"]["code"] == "new"
    assert data(app, "/visits")[0]["item"]["keeper"]["code"] == "new"
    same_everywhere(app)

    with transaction.manager:
        session.query(models.Keeper).update({"code": "newer"}, synchronize_session=False)
    assert data(app, "/items")[0]["keeper"]["code"] == "newer"
    assert data(app, "/visits")[0]["item"]["keeper"]["code"] == "newer"
    same_everywhere(app)


def test_a_listed_key_that_changed_is_followed_by_the_lists(app, models, session):
    parent = app.post_json("/nodes", {"name": "parent"}).json["id"]
    child = app.post_json("/nodes", {"name": "child", "parent_id": parent}).json["id"]
    leaf = app.post_json("/nodes", {"name": "leaf", "parent_id": child}).json["id"]
    with transaction.manager:
        session.query(models.Node).filter(models.Node.id == child).update(
            {"id": 9000}, synchronize_session=False
        )

    nodes = {node["id"]: node for node in data(app, "/nodes")}
    assert nodes[parent]["children"] == [9000]
    assert nodes[leaf]["parent"] == 9000
    same_everywhere(app)


def test_what_is_changed_again_after_an_undone_savepoint_is_recorded_again(app, models, session):
    """Its row went with the savepoint; a process that dies now must not take it along."""
    item = app.post_json("/items", {"name": "Lion"}).json["id"]
    search = search_of(app)
    search.outbox.inline = False
    try:
        with transaction.manager:
            row = session.query(models.Item).get(item)
            session.execute("UPDATE zoo_plain SET name = 'begin'")
            savepoint = session.begin_nested()
            row.name = "Tiger"
            session.flush()
            savepoint.rollback()
            session.query(models.Item).get(item).name = "Bear"
            session.flush()
    finally:
        search.outbox.inline = True
    assert search.outbox.pending_count("Item") == 1
    search.indexer.drain()
    assert [each["name"] for each in data(app, "/items")] == ["Bear"]


def test_a_zoo_has_nothing_that_can_not_be_followed(app):
    assert search_of(app).dependencies.untracked() == {}


# Events


def by_kind(events, kind):
    return [each for each in events if type(each) is kind]


def test_an_application_sees_what_is_created_updated_and_deleted(app, models, events):
    app.post_json("/keepers", {"code": "k1"})
    app.patch_json("/keepers/k1", {"name": "Ann"})
    app.delete("/keepers/k1")

    assert [type(each) for each in events] == [ItemCreated, ItemUpdated, ItemDeleted]
    for each in events:
        assert each.model is models.Keeper
        assert each.pk == "k1"
        assert Key("Keeper", "k1") in each.document_keys
        assert each.registry is app.app.registry


def test_events_are_fired_without_a_request(app, models, session, events):
    with transaction.manager:
        session.add(models.Keeper(code="k1"))
        assert events == []
        session.flush()
        (created,) = events
        assert (type(created), created.model, created.pk) == (ItemCreated, models.Keeper, "k1")
        assert created.session is session()


@pytest.mark.usefixtures("family")
def test_an_event_names_every_document_that_shows_the_change(app, models, events):
    app.patch_json("/keepers/k1", {"name": "Zoë"})

    (updated,) = by_kind(events, ItemUpdated)
    assert updated.document_keys == {Key("Keeper", "k1"), Key("Item", 1), Key("Visit", 1)}


@pytest.mark.usefixtures("family")
def test_an_event_of_an_object_without_a_mirror_names_those_that_nest_it(
    app, models, session, events
):
    with transaction.manager:
        session.query(models.Label).get(1).text = "purrs"

    (updated,) = events
    assert (updated.model, updated.pk) == (models.Label, 1)
    assert Key("Item", 1) in updated.document_keys
    assert all(key.model != "Label" for key in updated.document_keys)


@pytest.mark.usefixtures("family")
def test_bulk_statements_fire_one_event_each(app, models, session, events):
    with transaction.manager:
        session.query(models.Item).update({"word": "w"}, synchronize_session=False)
        session.query(models.Visit).delete(synchronize_session=False)

    assert [type(each) for each in events] == [BulkUpdated, BulkDeleted]
    updated, deleted = events
    assert updated.model is models.Item
    assert sorted(updated.pks) == [1, 2]
    assert {Key("Item", 1), Key("Item", 2), Key("Visit", 1)} <= updated.document_keys
    assert (deleted.model, deleted.pks) == (models.Visit, (1,))


def test_an_object_that_was_not_changed_fires_nothing(app, models, session, events):
    app.post_json("/keepers", {"code": "k1", "name": "Ann"})
    events.clear()
    with transaction.manager:
        session.query(models.Keeper).get("k1")

    assert events == []


def test_an_unwatched_model_fires_nothing(app, events):
    app.post_json("/plains", {"name": "x"})

    assert events == []


# nefertari's own machinery


def test_the_engines_own_hooks_are_off(app, models, session):
    from nefertari_sqla import signals

    for name in ("Keeper", "Tag", "Item", "Visit", "Node", "Custom"):
        model = getattr(models, name)
        for moment in ("after_insert", "after_update", "after_delete"):
            assert not event.contains(model, moment, getattr(signals, f"on_{moment}"))
            assert list(getattr(model.__mapper__.dispatch, moment)) == []
    assert not event.contains(session, "after_bulk_update", signals.on_bulk_update)
    bulk_listeners = {each.__module__ for each in session().dispatch.after_bulk_update}
    assert "nefertari_sqla.signals" not in bulk_listeners
    engine = search_of(app).outbox.engine
    for listeners, module in (
        (session().dispatch.after_flush, "session_events"),
        (engine.dispatch.before_execute, "connection_events"),
    ):
        name = f"nefertari_search_tween.primary.sqla.capture.{module}"
        assert name in {each.__module__ for each in listeners}


def test_the_model_and_its_mirror_know_each_other(app, models):
    for name in ("Keeper", "Tag", "Item", "Visit", "Node", "Custom", "Marked"):
        model = getattr(models, name)
        assert model.secondary.primary is model
        assert model.secondary.__name__ == name
    assert not hasattr(models.Plain, "secondary")


def test_python_asks_the_mirror_or_the_primary_by_an_argument(app, models, session):
    from sqlalchemy.orm import Query

    from nefertari_search_tween.search.results import TransparentResults

    app.post_json("/items", {"name": "Lion", "count": 3})
    with transaction.manager:
        plain = models.Item.get_collection(name="Lion")
        primary = models.Item.get_collection(name="Lion", _query_secondary=False)
        mirror = models.Item.get_collection(name="Lion", _query_secondary=True)

        assert isinstance(plain, Query)
        assert isinstance(primary, Query)
        assert type(mirror) is TransparentResults
        assert [each.to_dict() for each in mirror] == [each.to_dict() for each in primary]
        assert mirror._nefertari_meta == primary._nefertari_meta
        assert models.Item.get_collection(_query_secondary=True, _count=True) == 1


def test_python_that_asks_the_mirror_inside_its_own_changes_sees_them(app, models, session):
    with transaction.manager:
        session.add(models.Item(name="Lion"))
        result = models.Item.get_collection(name="Lion", _query_secondary=True)
        assert [each.name for each in result] == ["Lion"]


def test_the_mirror_model_has_a_collection_of_its_own(app, models):
    app.post_json("/items", {"name": "Lion"})

    with transaction.manager:
        result = models.Item.secondary.get_collection(name="Lion")
        assert [each.name for each in result] == ["Lion"]
        assert isinstance(result[0], models.Item.secondary)


# Any of it, in any order


class Changes(RuleBasedStateMachine):
    """Random changes of a small zoo; at the end all collections agree."""

    app = None
    pick = st.integers(0, 5)
    texts = st.sampled_from(["", "a", "A", "b c", "é", "0"])
    outcomes = st.sampled_from(["commit", "commit", "commit", "rollback", "savepoint"])

    @initialize()
    def start(self):
        empty_tables()

    def change(self, work, outcome="commit"):
        from pyramid_sqlalchemy import Session

        transaction.abort()
        # Two nodes that are each other's parent are SQLAlchemy's to refuse.
        with contextlib.suppress(Undo, CircularDependencyError), transaction.manager:
            if outcome == "savepoint":
                Session.execute("UPDATE zoo_plain SET name = 'begin'")
                savepoint = Session.begin_nested()
                work(Session)
                Session.flush()
                savepoint.rollback()
                return
            work(Session)
            if outcome == "rollback":
                Session.flush()
                raise Undo

    @staticmethod
    def any_of(session, model, number):
        """One of the objects of *model*, None when there are none."""
        rows = session.query(model).order_by(getattr(model, model.pk_field())).all()
        return rows[number % len(rows)] if rows else None

    @rule(name=texts, number=pick, outcome=outcomes)
    def create(self, name, number, outcome):
        from tests.apps.every_field import models

        def work(session):
            keeper = self.any_of(session, models.Keeper, number)
            item = models.Item(name=name, count=number, keeper=keeper)
            session.add(item)
            session.add(models.Tag(name=name, items=[item] if number % 2 else []))
            session.flush()
            if number % 3 == 0:
                session.add(models.Visit(guest=name, item_id=item.id))
                session.add(models.Label(text=name, item_id=item.id))
            session.add(models.Node(name=name, parent=self.any_of(session, models.Node, number)))
            code = f"k{number}"
            if session.query(models.Keeper).get(code) is None:
                session.add(models.Keeper(code=code, name=name))
            session.add(models.Marked(name=name))

        self.change(work, outcome)

    @rule(name=texts, number=pick, kind=st.sampled_from(list(PRIMARY_KEYS)), outcome=outcomes)
    def update(self, name, number, kind, outcome):
        from tests.apps.every_field import models

        model, field = {
            "keepers": (models.Keeper, "name"),
            "tags": (models.Tag, "name"),
            "items": (models.Item, "name"),
            "visits": (models.Visit, "guest"),
            "nodes": (models.Node, "name"),
            "marked": (models.Marked, "name"),
            "pens": (models.Pen, "name"),
            "rounds": (models.Round, "name"),
            "meals": (models.Meal, "q"),
        }[kind]

        def work(session):
            row = self.any_of(session, model, number)
            if row is not None:
                setattr(row, field, name)
            label = self.any_of(session, models.Label, number)
            if label is not None and kind == "items":
                label.text = name

        self.change(work, outcome)

    @rule(number=pick, kind=st.sampled_from(list(PRIMARY_KEYS)), outcome=outcomes)
    def delete(self, number, kind, outcome):
        from tests.apps.every_field import models

        model = {
            "keepers": models.Keeper,
            "tags": models.Tag,
            "items": models.Item,
            "visits": models.Visit,
            "nodes": models.Node,
            "marked": models.Marked,
            "pens": models.Pen,
            "rounds": models.Round,
            "meals": models.Meal,
        }[kind]

        def work(session):
            row = self.any_of(session, model, number)
            if row is not None:
                session.delete(row)

        self.change(work, outcome)

    @rule(first=pick, second=pick, how=st.integers(0, 7), outcome=outcomes)
    def relate(self, first, second, how, outcome):
        from tests.apps.every_field import models

        def work(session):
            item = self.any_of(session, models.Item, first)
            keeper = self.any_of(session, models.Keeper, second)
            tag = self.any_of(session, models.Tag, second)
            node = self.any_of(session, models.Node, first)
            other = self.any_of(session, models.Node, second)
            if how == 0 and item and keeper:
                item.keeper = keeper
            elif how == 1 and item:
                session.expire(item)
                item.keeper_code = keeper and keeper.code
            elif how == 2 and keeper:
                keeper.items = session.query(models.Item).limit(first).all()
            elif how == 3 and item:
                item.tags = [tag] if tag else []
            elif how == 4 and tag:
                tag.items = session.query(models.Item).offset(first).limit(2).all()
            elif how == 5 and node and node is not other:
                node.parent_id = other.id
            elif how == 6 and node:
                node.children = [other] if other is not node else []
            elif how == 7 and item:
                item.label = models.Label(text=str(second))

        self.change(work, outcome)

    @rule(first=pick, second=pick, rank=st.sampled_from([None, 0, 1, 2]), outcome=outcomes)
    def reorder(self, first, second, rank, outcome):
        from tests.apps.every_field import models

        def work(session):
            meal, other = (self.any_of(session, models.Meal, each) for each in (first, second))
            pen = self.any_of(session, models.Pen, second)
            round_ = self.any_of(session, models.Round, second)
            if meal is other or pen is None or round_ is None:
                meal = models.Meal(rank=rank)
                session.add(models.Pen(name="", meals=[meal]))
                session.add(models.Round(name="", meals=[meal]))
            elif rank is None:
                pen.meals = [meal, other]
                round_.meals = [other]
            elif first > second:
                session.query(models.Meal).filter(models.Meal.id > other.id).update(
                    {"rank": rank}, synchronize_session=False
                )
            else:
                meal.rank = rank

        self.change(work, outcome)

    @rule(name=texts, number=pick, synchronise=st.sampled_from(SYNCHRONISE), outcome=outcomes)
    def bulk_update(self, name, number, synchronise, outcome):
        from tests.apps.every_field import models

        def work(session):
            keeper = self.any_of(session, models.Keeper, number)
            session.query(models.Item).filter(models.Item.count >= number).update(
                {"name": name, "keeper_code": keeper and keeper.code},
                synchronize_session=synchronise,
            )

        self.change(work, outcome)

    @rule(number=pick, kind=st.integers(0, 3), outcome=outcomes)
    def bulk_delete(self, number, kind, outcome):
        from tests.apps.every_field import models

        model = (models.Item, models.Keeper, models.Tag, models.Visit)[kind]

        def work(session):
            row = self.any_of(session, model, number)
            if row is not None:
                pk = getattr(model, model.pk_field())
                session.query(model).filter(pk == getattr(row, model.pk_field())).delete(
                    synchronize_session=False
                )

        self.change(work, outcome)

    def teardown(self):
        transaction.abort()
        same_everywhere(self.app)
        assert search_of(self.app).outbox.pending_count() == 0


@pytest.mark.slow
def test_random_changes_leave_mirror_and_primary_equal(app):
    from hypothesis.stateful import run_state_machine_as_test

    Changes.app = app
    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=examples(45),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def claimed_by_another(search, pk, token):
    """A pending row of another process, which no worker of this one takes, the sweeper included."""
    now = int(time.time() * 1000)
    row = {"model": "Tag", "pk": str(pk), "fan_out": 0, "recorded_at": now}
    claim = {"claim_token": token, "lease_expires_at": now + 60_000}
    search.outbox.engine.execute(tables.OUTBOX.insert().values(**row, **claim))


def test_a_search_read_waits_for_what_was_before_it_alone(app, models):
    """Where writes never pause, something always waits."""
    search = search_of(app)
    with transaction.manager:
        models.Tag(id=1, name="before").save()
    claimed_by_another(search, 1, "first")

    def go_on():
        # At no moment is there nothing that waits.
        claimed_by_another(search, 2, "second")
        search.outbox.release("first")
        search.indexer.drain()

    later = threading.Timer(0.3, go_on)
    later.start()
    try:
        assert hit_keys(app, "tags", name="before") == [1]
        assert search.outbox.pending_count("Tag") == 1
    finally:
        later.join()
        search.outbox.release("second")
        search.indexer.drain()


def test_a_released_claim_frees_rows_of_models_without_a_mirror_too(app, models, monkeypatch):
    """Or documents that embed their objects would stay stale until the lease expires."""
    from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

    search = search_of(app)
    search.indexer.recovery.stop()
    with transaction.manager:
        item = models.Item(name="lion").save()
        models.Label(text="old", item_id=item.id).save()
    search.indexer.drain()
    tokens = []
    monkeypatch.setattr(search.capture.listener, "index", tokens.append)
    with transaction.manager:
        models.Label.get_item(text="old").update({"text": "new"})

    (token,) = tokens
    with search.outbox.engine.connect() as connection:
        rows = connection.execute(OUTBOX.select()).fetchall()
        assert "Label" in {row.model for row in rows}
        assert {row.claim_token for row in rows} == {token}
        search.outbox.release(token)
        rows = connection.execute(OUTBOX.select()).fetchall()
        assert {row.claim_token for row in rows} == {None}
    search.indexer.drain()
    same_everywhere(app)
