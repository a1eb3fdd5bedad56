"""Objects by their keys through the drop-in: from the primary, in the form of the index.

``ES.get_item`` decides what a caller may do with one object, so it is never stale and needs no
search server; ``ES.get_by_ids`` needs none either, if there is none.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from nefertari.json_httpexceptions import JHTTPNotFound
from sqlalchemy import text
from webtest import TestApp
from zope.sqlalchemy import mark_changed

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.compat.elasticsearch import ES
from nefertari_search_tween.exceptions import SearchUnavailable
from tests.apps.every_field.content import fill_zoo
from tests.read.privacy.test_request_hooks import tenant, tenant_filter
from tests.servers import free_port
from tests.support import apps
from tests.support.apps import index_everything, search_of

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

MODELS = ("Item", "Keeper", "Tag", "Visit", "Node", "Pen", "Round", "Meal", "Custom", "Marked")


@pytest.fixture(scope="module")
def database(primary_url: str, backend_url: str, module_prefix: str) -> str:
    """A filled one, whose mirrors are current."""
    apps.zoo(primary_url, backend_url, module_prefix)
    fill_zoo(60)
    return primary_url


@pytest.fixture
def app(database: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.zoo(database, backend_url, module_prefix)
    index_everything(app)
    yield app
    apps.forget_sessions()


def without_server(database: str, prefix: str, **settings: Any) -> TestApp:
    """The application of *database* where no search server answers."""
    return apps.zoo(database, f"http://127.0.0.1:{free_port()}", prefix, **settings)


def keys_of(name: str) -> list[Any]:
    from nefertari import engine

    model = engine.get_document_cls(name)
    with transaction.manager:
        items = model.get_collection(_limit=12, _sort=model.pk_field(), _query_secondary=False)
        return [getattr(item, model.pk_field()) for item in items]


def plain(document: Any) -> Any:
    """*document* with all that it contains, and the names of its classes."""
    if isinstance(document, list):
        return [plain(each) for each in document]
    if hasattr(document, "_data"):
        attributes = {name: plain(each) for name, each in vars(document).items() if name != "_data"}
        return type(document).__name__, document._data, attributes
    return document


def ids(name: str, *keys: Any) -> list[dict[str, Any]]:
    return [{"_type": name, "_id": key} for key in keys]


# What comes


@pytest.mark.parametrize("name", MODELS)
def test_an_object_is_what_the_mirror_has(app: TestApp, name: str) -> None:
    """Nested documents, hidden fields, values of every type."""
    keys = keys_of(name)
    assert keys
    mirrored = ES(name).get_by_ids(ids(name, *keys))
    assert len(mirrored) == len(keys)
    for key, document in zip(keys, mirrored):
        item = ES(name).get_item(id=key)
        assert plain(item) == plain(document)
        assert plain(ES(name).get_item(id=str(key))) == plain(document)


@pytest.mark.parametrize("name", MODELS)
def test_several_without_a_server_are_what_the_mirror_has(
    app: TestApp, database: str, module_prefix: str, name: str
) -> None:
    keys = keys_of(name)
    requested = [*ids(name, *keys), *ids(name, "nothing")]
    whole = plain(ES(name).get_by_ids(requested))
    a_part = plain(ES(name).get_by_ids(requested, _fields="_pk,name"))
    the_rest = plain(ES(name).get_by_ids(requested, _fields="-name"))
    meta = ES(name).get_by_ids(requested)._nefertari_meta

    without_server(database, module_prefix)
    assert plain(ES(name).get_by_ids(requested)) == whole
    assert plain(ES(name).get_by_ids(requested, _fields="_pk,name")) == a_part
    assert plain(ES(name).get_by_ids(requested, _fields="-name")) == the_rest
    assert ES(name).get_by_ids(requested)._nefertari_meta == meta
    assert [plain(ES(name).get_item(id=key)) for key in keys] == whole


def test_objects_of_several_models_without_a_server(
    app: TestApp, database: str, module_prefix: str
) -> None:
    (item, *_), (keeper, *_) = keys_of("Item"), keys_of("Keeper")
    requested = [*ids("Keeper", keeper), *ids("Item", item), *ids("Keeper", keeper)]
    expected = plain(ES("Item").get_by_ids(requested))
    without_server(database, module_prefix)
    assert plain(ES("Item,Keeper").get_by_ids(requested)) == expected
    with pytest.raises(JHTTPNotFound):
        ES("Item,Keeper").get_item(id=item)


NO_KEYS = ["nothing", "01", " 1", "1 ", "1.0", 10**30, -1, "", "\0", "é" * 300, True, None, [1]]


def test_what_no_object_has_is_missing(app: TestApp, database: str, module_prefix: str) -> None:
    for _ in range(2):
        for key, name in itertools.product(NO_KEYS, ("Item", "Keeper")):
            with pytest.raises(JHTTPNotFound, match="resource not found"):
                ES(name).get_item(id=key)
            nothing = ES(name).get_item(id=key, _raise_on_empty=False)
            assert nothing.to_dict() == {"_type": name}, key
            assert ES(name).get_by_ids(ids(name, key)) == [], key
            with pytest.raises(JHTTPNotFound, match=r"^ES: '.*resource not found$"):
                ES(name).get_by_ids(ids(name, key), _raise_on_empty=True)
        without_server(database, module_prefix)


# When


def spoil(app: TestApp, pk: Any, body: Any) -> None:
    """Write the document *pk* as nobody else would: *body* (None: delete it)."""
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    (target,) = search.indexer.write_targets(mirror)
    version = search.outbox.next_version("Item")
    encoded = None if body is None else json.dumps(body).encode()
    (result,) = mirror.backend.bulk([BulkAction(target, str(pk), version, encoded)], 1)
    assert result.indexed
    mirror.backend.refresh(mirror.alias)


@pytest.mark.parametrize("consistency", ["read_your_writes", "eventual"])
def test_one_object_is_never_stale(
    database: str, backend_url: str, module_prefix: str, consistency: str
) -> None:
    """Whatever its document says; not even if there is none."""
    app = apps.zoo(
        database, backend_url, module_prefix, **{"nefertari_search.consistency": consistency}
    )
    pk, other = keys_of("Item")[:2]
    right = plain(ES("Item").get_item(id=pk))
    spoil(app, pk, {**ES("Item").get_item(id=pk)._data, "name": "revoked"})
    spoil(app, other, None)
    try:
        assert [each.name for each in ES("Item").get_by_ids(ids("Item", pk, other))] == ["revoked"]
        assert plain(ES("Item").get_item(id=pk)) == right
        assert ES("Item").get_item(id=other).id == other
    finally:
        ES("Item").index([{"_pk": pk}, {"_pk": other}])
    assert len(ES("Item").get_by_ids(ids("Item", pk, other))) == 2


def test_one_object_waits_for_no_worker(
    database: str, backend_url: str, module_prefix: str
) -> None:
    """Nobody indexes: searches are refused after a while, objects are there at once."""
    settings = {"nefertari_search.sync": "worker", "nefertari_search.search_timeout": "0.3"}
    app = apps.zoo(database, backend_url, module_prefix, **settings)
    with transaction.manager:
        from tests.apps.every_field.models import Item

        item = Item(name="new").save()
        pk = item.id
    try:
        with pytest.raises(SearchUnavailable) as caught:
            ES("Item").get_collection(name="new")
        assert caught.value.reason == "stale"
        assert ES("Item").get_item(id=pk).name == "new"
        assert [each.name for each in ES("Item").get_by_ids(ids("Item", pk))] == ["new"]
    finally:
        with transaction.manager:
            Item.get_item(id=pk).delete()
        index_everything(app)
    with pytest.raises(JHTTPNotFound):
        ES("Item").get_item(id=pk)


@pytest.mark.parametrize("sync", ["inline", "worker"])
def test_a_search_says_that_the_server_is_down_and_not_that_changes_wait_for_it(
    app: TestApp, database: str, module_prefix: str, sync: str
) -> None:
    from tests.apps.every_field.models import Item

    down = without_server(database, module_prefix, **{"nefertari_search.sync": sync})
    with transaction.manager:
        pk = Item(name="new").save().id
    assert search_of(down).outbox.pending_count("Item") == 1
    try:
        with pytest.raises(SearchUnavailable, match="does not answer") as caught:
            ES("Item").get_collection(name="new")
        assert caught.value.reason == "unavailable"
        assert ES("Item").get_item(id=pk).name == "new"
    finally:
        with transaction.manager:
            Item.get_item(id=pk).delete()


def test_a_transaction_sees_what_it_has_changed(app: TestApp) -> None:
    """As its own queries do; others do not, and after a rollback it does not either."""
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    pk = keys_of("Item")[0]
    before = plain(ES("Item").get_item(id=pk))
    with transaction.manager:
        Item.get_item(id=pk).name = "mine"
        Session().flush()
        assert ES("Item").get_item(id=pk).name == "mine"
        new = Item(name="unborn").save()
        assert ES("Item").get_item(id=new.id).name == "unborn"
        unborn = new.id
        transaction.doom()
        transaction.abort()
    assert plain(ES("Item").get_item(id=pk)) == before
    with pytest.raises(JHTTPNotFound):
        ES("Item").get_item(id=unborn)


# What may not come


@pytest.mark.parametrize("kind", ["before_compile", "query_cls"])
def test_the_filters_of_an_application_hold(
    app: TestApp, database: str, module_prefix: str, kind: str
) -> None:
    """Of a tenant on all queries: a search is refused, an object is there for its owner alone."""
    from tests.apps.every_field.models import Item

    pk = keys_of("Item")[0]
    with transaction.manager:
        item = Item.get_item(id=pk)
        # A keeper's items, which it nests, are filtered, too.
        item.owner, item.keeper = "alice", None
    whole = ES("Item").get_item(id=pk)
    for _ in range(2):
        with tenant_filter(kind):
            with tenant("alice"):
                assert ES("Item").get_item(id=pk)._data == whole._data
                assert len(ES("Item").get_by_ids(ids("Item", pk))) == 1
            with tenant("bob"):
                with pytest.raises(JHTTPNotFound):
                    ES("Item").get_item(id=pk)
                assert ES("Item").get_by_ids(ids("Item", pk)) == []
                with pytest.raises(SearchUnavailable):
                    ES("Item").get_collection(id=str(pk))
        without_server(database, module_prefix)


def test_the_primary_is_not_asked_for_what_is_in_another_applications_index(
    app: TestApp, database: str, module_prefix: str
) -> None:
    pk = keys_of("Item")[0]
    assert ES("Item", index_name=module_prefix).get_item(id=pk).id == pk
    without_server(database, module_prefix)
    other = ES("Item", index_name="another")
    for read in (lambda: other.get_item(id=pk), lambda: other.get_by_ids(ids("Item", pk))):
        with pytest.raises(SearchUnavailable):
            read()


def test_no_fallback_if_the_setting_says_so(
    app: TestApp, database: str, module_prefix: str
) -> None:
    """It is for what many are asked for: one object by its key does not come from a mirror."""
    pk = keys_of("Item")[0]
    without_server(database, module_prefix, **{"nefertari_search.fallback_to_primary": "false"})
    assert ES("Item").get_item(id=pk).id == pk
    with pytest.raises(SearchUnavailable, match="does not answer"):
        ES("Item").get_by_ids(ids("Item", pk))


def test_conditions_are_searches(app: TestApp, database: str, module_prefix: str) -> None:
    pk = keys_of("Item")[0]
    name = ES("Item").get_item(id=pk).kind
    assert ES("Item").get_item(id=pk, kind=name or "NOT *").id == pk
    without_server(database, module_prefix)
    # What the old client took for itself is none.
    assert ES("Item").get_item(id=pk, realtime=False).id == pk
    with pytest.raises(SearchUnavailable, match="does not answer"):
        ES("Item").get_item(id=pk, kind="red")


def test_an_object_that_can_not_be_read_is_no_missing_one(app: TestApp) -> None:
    from pyramid_sqlalchemy import Session

    pk = keys_of("Item")[-1]
    update = "UPDATE zoo_items SET thing = :thing WHERE id = :id"
    with transaction.manager:
        thing = (
            Session()
            .execute(text("SELECT thing FROM zoo_items WHERE id = :id"), {"id": pk})
            .scalar()
        )
        mark_changed(Session())
        Session().execute(text(update), {"thing": b"\x80broken", "id": pk})
    try:
        with pytest.raises(Exception, match=r"(?i)pickle|opcode|load key"):
            ES("Item").get_item(id=pk)
    finally:
        with transaction.manager:
            mark_changed(Session())
            Session().execute(text(update), {"thing": thing, "id": pk})
    assert ES("Item").get_item(id=pk).id == pk
