"""nefertari_mongodb as primary: every way of writing reaches the mirror, with what shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from webtest import TestApp

from tests.servers.base import wait_until
from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of

pytestmark = pytest.mark.mongodb


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    yield app
    search_of(app).indexer.recovery.stop()


@pytest.fixture
def models(app: TestApp) -> Iterator[Any]:
    from tests.apps.every_field_mongo import models

    yield models
    for model in (models.Visit, models.Item, models.Keeper, models.Tag, models.Node):
        model.objects.delete()
    same(app)


def drain(app: TestApp) -> None:
    """Index what is pending, and wait for what the application's own thread has claimed of it."""
    search = search_of(app)
    search.indexer.drain()
    assert wait_until(lambda: not search.outbox.pending_count(), 20)


def mirrored(app: TestApp, path: str, **params: Any) -> Any:
    """The collection as the mirror gives it, without a question to the database."""
    before = on_mongodb.COMMANDS.count
    response = app.get(path, params)
    assert response.headers["X-Search-Engine"] == "mirror", response.headers["X-Search-Engine"]
    assert on_mongodb.COMMANDS.count == before, on_mongodb.COMMANDS.last
    return response.json


def same(app: TestApp) -> None:
    """Nothing waits, and every collection is the primary's."""
    assert search_of(app).outbox.pending_count() == 0
    for path in ("/items", "/keepers", "/tags", "/visits", "/nodes", "/marked"):
        ours = json.dumps(mirrored(app, path, _sort=key_of(path), _limit=1000))
        primary = app.get(path, {"_sort": key_of(path), "_limit": 1000, "_search": "false"})
        assert primary.headers["X-Search-Engine"] == "primary; reason=search-false"
        assert json.loads(ours) == primary.json, path


def key_of(path: str) -> str:
    return {"/keepers": "code", "/tags": "number"}.get(path, "id")


def names(app: TestApp, path: str, field: str = "name", **params: Any) -> list[Any]:
    return sorted(each[field] for each in mirrored(app, path, **params)["data"])


# One object


def test_a_created_object_is_read_and_found(app: TestApp, models: Any) -> None:
    app.post_json("/items", {"name": "Lion", "amount": 3})
    body = mirrored(app, "/items", name="Lion")
    assert [each["amount"] for each in body["data"]] == [3]
    assert app.get("/founds", {"q": "lion"}).json["total"] == 1
    same(app)


def test_an_updated_object_is_found_by_its_new_value_only(app: TestApp, models: Any) -> None:
    item = models.Item(name="Lion").save()
    app.patch_json(f"/items/{item.pk}", {"name": "Tiger"})
    assert names(app, "/items") == ["Tiger"]
    assert names(app, "/items", name="Lion") == []
    same(app)


def test_a_deleted_object_is_gone(app: TestApp, models: Any) -> None:
    item = models.Item(name="Lion").save()
    app.delete(f"/items/{item.pk}")
    assert names(app, "/items") == []
    same(app)


def test_an_object_that_comes_back_under_its_key_is_there(app: TestApp, models: Any) -> None:
    models.Tag(number=1, name="first").save()
    models.Tag.objects(number=1).first().delete()
    models.Tag(number=1, name="second").save()
    assert names(app, "/tags") == ["second"]


def test_a_refused_write_leaves_what_is_there(app: TestApp, models: Any) -> None:
    models.Tag(number=1, name="first").save()
    app.post_json("/tags", {"number": 1, "name": "second"}, status=409)
    app.post_json("/tags", {"number": "x"}, status=400)
    assert names(app, "/tags") == ["first"]
    same(app)


def test_a_model_marked_by_the_decorator_and_one_that_renders_itself(
    app: TestApp, models: Any
) -> None:
    marked = models.Marked(name="m").save()
    custom = models.Custom(first="Ada", last="King").save()
    assert names(app, "/marked") == ["m"]
    assert app.get("/customs", {"q": "king"}).json["data"][0]["full_name"] == "Ada King"
    marked.delete()
    custom.delete()


def test_attributes_and_methods_are_the_primarys(app: TestApp, models: Any) -> None:
    from bson import ObjectId

    models.Item(name="Lion").save()
    (document,) = models.Item.get_collection(_query_secondary=True)
    assert isinstance(document, models.Item) and isinstance(document.id, ObjectId)
    assert document.shout() == "Lion!"
    document.name = "Tiger"
    document.save()
    assert names(app, "/items") == ["Tiger"]


# Many at once


@pytest.mark.parametrize("count", [1, 25])
def test_query_sets_update_insert_and_delete(app: TestApp, models: Any, count: int) -> None:
    models.Item.objects.insert([models.Item(name=f"n{n}", amount=n) for n in range(count)])
    assert len(names(app, "/items", _limit=100)) == count
    assert models.Item.objects(amount__lt=20).update(set__owner="bob") == min(count, 20)
    assert mirrored(app, "/items", owner="bob")["total"] == min(count, 20)
    assert models.Item.objects(amount=0).update_one(inc__amount=100) == 1
    assert mirrored(app, "/items", amount=100)["total"] == 1
    assert models.Item.objects(amount=100).delete() == 1
    assert mirrored(app, "/items")["total"] == count - 1
    same(app)


def test_a_bulk_update_that_changes_what_it_selects_by(app: TestApp, models: Any) -> None:
    models.Item.objects.insert([models.Item(owner="bob", amount=n) for n in range(3)])
    models.Item.objects(owner="bob").update(set__owner="eve")
    assert mirrored(app, "/items", owner="eve")["total"] == 3
    assert mirrored(app, "/items", owner="bob")["total"] == 0


def test_upserts_and_modifications(app: TestApp, models: Any) -> None:
    assert models.Tag.objects(number=1).update_one(upsert=True, set__name="new") == 1
    assert names(app, "/tags") == ["new"]
    result = models.Tag.objects(name="other").update(
        upsert=True, full_result=True, set__number=2, set_on_insert__name="other"
    )
    assert result.upserted_id == 2
    assert names(app, "/tags") == ["new", "other"]
    assert models.Tag.objects(name="new").modify(set__name="newer").name == "new"
    assert models.Tag.objects(name="nobody").modify(set__name="x") is None
    assert names(app, "/tags") == ["newer", "other"]
    assert models.Tag.objects(number=2).modify(remove=True).name == "other"
    assert names(app, "/tags") == ["newer"]
    same(app)


def test_nefertaris_own_bulk_operations(app: TestApp, models: Any) -> None:
    for n in range(4):
        models.Item(name=f"n{n}", owner="bob").save()
    models.Item._update_many(models.Item.get_collection(owner="bob"), {"small": 7})
    assert mirrored(app, "/items", small=7)["total"] == 4
    app.patch_json("/items?name=n0", {"small": 8})
    assert names(app, "/items", small=8) == ["n0"]
    app.delete("/items?name=n1")
    models.Item._delete_many(models.Item.get_collection(name="n2"))
    same(app)
    assert names(app, "/items") == ["n0", "n3"]


def test_more_than_are_known_one_by_one(app: TestApp, models: Any, monkeypatch: Any) -> None:
    """Everything of the model is looked at, and of those that show it."""
    from nefertari_search_tween.primary.mongo.capture import write_wrappers

    monkeypatch.setattr(write_wrappers, "MAX_KEYS", 3)
    label = [models.Label(text=f"l{n}").save() for n in range(5)]
    models.Item.objects.insert([models.Item(name="n", label=each) for each in label])
    models.Item.objects.update(set__owner="bob")
    models.Label.objects.update(set__text="new")
    drain(app)
    assert mirrored(app, "/items", owner="bob")["total"] == 5
    assert {each["label"]["text"] for each in mirrored(app, "/items")["data"]} == {"new"}
    models.Item.objects.delete()
    drain(app)
    same(app)


def test_a_collection_that_is_dropped(app: TestApp, models: Any) -> None:
    models.Tag(number=1, name="t").save()
    models.Tag.drop_collection()
    drain(app)
    assert names(app, "/tags") == []
    same(app)


# Relationships


def test_both_sides_of_a_backreference(app: TestApp, models: Any) -> None:
    first = models.Keeper(code="a", name="Ann").save()
    second = models.Keeper(code="b", name="Bob").save()
    item = models.Item(name="Lion", keeper=first).save()
    assert mirrored(app, "/items")["data"][0]["keeper"]["name"] == "Ann"
    assert [each["items"] for each in mirrored(app, "/keepers", code="a")["data"]] == [
        [str(item.pk)]
    ]
    models.Item.get_item(id=item.pk).update({"keeper": second})
    assert mirrored(app, "/keepers", code="a")["data"][0]["items"] == []
    assert mirrored(app, "/keepers", code="b")["data"][0]["items"] == [str(item.pk)]
    same(app)
    # From the other side, over HTTP.
    app.patch_json("/keepers/b", {"items": []})
    same(app)


def test_a_change_shows_two_levels_up(app: TestApp, models: Any) -> None:
    keeper = models.Keeper(code="a", name="Ann").save()
    item = models.Item(name="Lion", keeper=keeper).save()
    models.Visit(guest="g", item=item).save()
    app.patch_json("/keepers/a", {"name": "Anna"})
    nested = mirrored(app, "/visits")["data"][0]["item"]
    assert nested["keeper"]["name"] == "Anna"
    models.Keeper.objects(code="a").update(set__name="Annabel")
    assert mirrored(app, "/visits")["data"][0]["item"]["keeper"]["name"] == "Annabel"
    same(app)


def test_an_object_without_a_mirror_shows_where_it_is_nested(app: TestApp, models: Any) -> None:
    label = models.Label(text="old").save()
    item = models.Item(name="Lion", label=label).save()
    models.Visit(guest="g", item=item).save()
    label.update({"text": "new"})
    assert mirrored(app, "/items")["data"][0]["label"]["text"] == "new"
    assert mirrored(app, "/visits")["data"][0]["item"]["label"]["text"] == "new"
    same(app)


def test_reverse_delete_rules_reach_the_mirrors(app: TestApp, models: Any) -> None:
    tag = models.Tag(number=1, name="t").save()
    keeper = models.Keeper(code="a", name="Ann").save()
    item = models.Item(name="Lion", keeper=keeper, tags=[tag]).save()
    models.Visit(guest="g", item=item).save()
    tag.delete()  # PULL
    assert mirrored(app, "/items")["data"][0]["tags"] == []
    models.Keeper.objects(code="a").delete()  # NULLIFY
    assert mirrored(app, "/items")["data"][0]["keeper"] is None
    models.Item.get_item(id=item.pk).delete()  # CASCADE
    assert names(app, "/visits", "guest") == []
    same(app)


def test_a_reference_to_nothing_is_known_to_be_missing(app: TestApp, models: Any) -> None:
    """The primary can't render it; nor do we, and it is there when what it refers to is."""
    tag = models.Tag(number=5, name="t").save()
    models.Item(name="Lion", tags=[tag]).save()
    tag_again = models.Tag(number=5, name="again")
    # Behind the rule's back.
    models.Tag.objects(number=5).modify(remove=True)
    response = app.get("/items", {"name": "Lion"}, expect_errors=True)
    assert response.headers["X-Search-Engine"] == "primary; reason=inexact-values"
    assert response.status_int >= 400
    assert "which does not exist" in search_of(app).outbox.dead_letters()[0].error
    tag_again.save()
    assert mirrored(app, "/items")["data"][0]["tags"] == [5]
    assert search_of(app).outbox.dead_letters() == []
    same(app)


# Events


def test_events_are_fired_with_and_without_a_request(app: TestApp, models: Any) -> None:
    from nefertari_search_tween.indexing import events

    notifications: list[tuple[str, str]] = []
    registry = app.app.registry

    def listen(event: Any) -> None:
        notifications.append((type(event).__name__, event.model.__name__))

    registry.registerHandler(listen, (events.ChangeEvent,))
    try:
        models.Tag(number=1, name="a").save()
        app.patch_json("/tags/1", {"name": "b"})
        models.Tag.objects(number=1).update(set__name="c")
        models.Tag.get_item(number=1).delete()
        models.Tag.objects.delete()
    finally:
        registry.unregisterHandler(listen, (events.ChangeEvent,))
    assert [each for each in notifications if each[1] == "Tag"] == [
        ("ItemCreated", "Tag"),
        ("ItemUpdated", "Tag"),
        ("BulkUpdated", "Tag"),
        ("ItemDeleted", "Tag"),
    ]
