"""The drop-in for ``nefertari.elasticsearch``, row by row of the table in docs/migrating.rst.

The first line of a test's docstring is the row that it is for.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest
import transaction
from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPNotFound
from nefertari.utils import DataProxy, dictset
from pyramid.config import Configurator
from webtest import TestApp

import nefertari_search_tween.compat.elasticsearch as drop_in
from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.exceptions import (
    BadQuery,
    SearchRejected,
    SearchTimeout,
    SearchUnavailable,
)
from nefertari_search_tween.interfaces.primary import Key
from tests.support.apps import search_of, zoo

ITEMS = [
    {"id": 1, "name": "Lion", "kind": "red", "count": 3, "prose": "king of the plains"},
    {"id": 2, "name": "Tiger", "kind": "green", "count": 1, "prose": "king of the woods"},
    {"id": 3, "name": "Sea Lion", "kind": "red", "count": 2, "prose": "a swimmer"},
    {"id": 4, "name": "Bear", "kind": "blue", "count": 5, "prose": "lion of the north"},
    {"id": 5, "name": "Owl", "kind": "blue", "count": 4, "prose": "sees at night"},
]


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{"elasticsearch.enable_refresh_query": "true"},
    )
    for keeper in ("ann", "bob"):
        app.post_json("/keepers", {"code": keeper, "name": keeper.title()})
    for item in ITEMS:
        app.post_json("/items", {**item, "keeper_code": "ann" if item["id"] < 3 else "bob"})
    yield app
    transaction.abort()


@pytest.fixture
def es(app) -> drop_in.ES:
    return drop_in.ES("Item")


def ids(documents) -> list[int]:
    return [document.id for document in documents]


def ids_of(app: TestApp, request: str, **options) -> list[int]:
    return [each["id"] for each in app.get(request, **options).json["data"]]


# build_search_params


def test_build_search_params(es, app):
    """``build_search_params``"""
    mirror = search_of(app).mirrors.get("Item")
    params = es.build_search_params(
        {"name": "lion", "_limit": 2, "_page": 1, "_sort": "-count,name", "_fields": "name"}
    )
    assert params.pop("body")["query"]
    assert params == {
        "index": mirror.alias,
        "from_": 2,
        "size": 2,
        "sort": "count:desc,name:asc",
        "fields": "name",
    }
    match_all = es.build_search_params({})
    assert set(match_all) == {"index", "body", "from_", "size"}
    assert match_all["size"] is None
    # A view without a value must not return all documents.
    assert len(es.get_collection()) > 0
    assert ids(es.get_collection(name={})) == []


class Narrowed(drop_in.ES):
    """As nefertari-guards does: a parameter of its own, and a condition around the query."""

    def build_search_params(self, params):
        kind = params.pop("_kind", None)
        body = super().build_search_params(params)
        if kind is not None:
            must = [{"term": {"kind.keyword": kind}}, body["body"]["query"]]
            body["body"] = {"query": {"bool": {"must": must}}}
        return body


def test_a_subclass_that_changes_the_body_has_its_way(app):
    """``build_search_params``"""
    narrowed = Narrowed("Item")
    assert sorted(ids(narrowed.get_collection())) == [1, 2, 3, 4, 5]
    assert sorted(ids(narrowed.get_collection(_kind="red"))) == [1, 3]
    assert ids(narrowed.get_collection(_kind="blue", name="bear OR lion")) == [4]
    documents = narrowed.get_collection(_kind="red", _limit=1, _sort="-name")
    assert (ids(documents), documents._nefertari_meta["total"]) == ([3], 2)
    assert narrowed.get_collection(_kind="red", _count=True) == 2
    assert narrowed.do_count(narrowed.build_search_params({"_kind": "blue"})) == 2


KINDS = {"kinds": {"terms": {"field": "kind"}}}


def kinds(es, **params):
    buckets = es.aggregate(_aggregations_params=KINDS, **params)
    return {each["key"]: each["doc_count"] for each in buckets["kinds"]["buckets"]}


def test_aggregations_are_of_what_a_subclass_finds(app):
    """``build_search_params``"""
    narrowed = Narrowed("Item")
    assert kinds(narrowed) == {"red": 2, "green": 1, "blue": 2}
    assert kinds(narrowed, _kind="red") == {"red": 2}
    assert kinds(narrowed, _kind="blue", name="owl OR lion") == {"blue": 1}
    # Not even a global aggregation counts more.
    global_kinds = {"all": {"global": {}, "aggs": KINDS}}
    buckets = narrowed.aggregate(_aggregations_params=global_kinds, _kind="red")
    assert [each["key"] for each in buckets["all"]["kinds"]["buckets"]] == ["red"]


def test_several_models_at_once_are_narrowed_by_a_subclass(app):
    """``build_search_params``"""
    narrowed = Narrowed("Item,Keeper")
    assert len(narrowed.get_collection()) == 7
    assert sorted(ids(narrowed.get_collection(_kind="red"))) == [1, 3]
    assert narrowed.get_collection(_kind="red", _count=True) == 2
    assert ids(narrowed.get_collection(_kind="red", name="sea", _limit=5)) == [3]


def test_aggregate(es):
    """``aggregate``"""
    assert kinds(es) == {"red": 2, "green": 1, "blue": 2}
    assert kinds(es, name="lion") == {"red": 2}
    assert kinds(es, q="king", _limit=1, _sort="-id") == {"red": 1, "green": 1}
    assert kinds(es, body={"query": {"range": {"count": {"gte": 4}}}}) == {"blue": 2}
    with pytest.raises(JHTTPBadRequest, match="Missing _aggregations_params"):
        es.aggregate(name="lion")


class Changed(drop_in.ES):
    """Changes one part after the other."""

    change: dict = {}

    def build_search_params(self, params):
        body = super().build_search_params(params)
        body.update(self.change)
        return dict(body)


@pytest.mark.parametrize(
    ("change", "params", "expected"),
    [
        ({"sort": "count:desc"}, {"_sort": "name"}, [4, 5, 1, 3, 2]),
        ({"sort": "name:asc"}, {}, [4, 1, 5, 3, 2]),
        ({"sort": [{"count": "asc"}]}, {}, [2, 3, 1, 5, 4]),
        ({"sort": None}, {"_sort": "-id"}, [1, 2, 3, 4, 5]),
        ({"size": 2}, {"_sort": "id"}, [1, 2]),
        ({"size": 2, "from_": 1}, {"_sort": "id"}, [2, 3]),
        ({"from_": 3}, {"_sort": "id"}, [4, 5]),
        ({"size": 4}, {"_sort": "id", "_limit": 1}, [1, 2, 3, 4]),
        ({"body": {"query": {"term": {"kind.keyword": "blue"}}}}, {"_sort": "id"}, [4, 5]),
        ({"body": {}}, {"_sort": "-id", "name": "lion"}, [5, 4, 3, 2, 1]),
    ],
    ids=str,
)
def test_every_part_that_a_subclass_changes_counts(app, monkeypatch, change, params, expected):
    """``build_search_params``"""
    monkeypatch.setattr(Changed, "change", change)
    assert ids(Changed("Item").get_collection(**params)) == expected


def test_fields_that_a_subclass_changes_are_those_that_are_shown(app, monkeypatch):
    """``build_search_params``"""
    monkeypatch.setattr(Changed, "change", {"fields": "name"})
    (document,) = Changed("Item").get_collection(name="owl", _fields="count")
    assert set(document.to_dict()) == {"name", "_type", "_score"}
    monkeypatch.setattr(Changed, "change", {"fields": "nope"})
    with pytest.raises(BadQuery, match="_fields"):
        Changed("Item").get_collection()


# body


def test_body_comes_from_python_only(es, app):
    """``body``"""
    body = {"query": {"range": {"count": {"gte": 4}}}}
    assert sorted(ids(es.get_collection(body=body))) == [4, 5]
    assert ids(es.get_collection(body=body, _sort="-count", _limit=1)) == [4]
    assert es.get_collection(body=body, _count=True) == 2
    assert ids(es.get_collection(body={**body, "sort": [{"count": "desc"}], "size": 1})) == [4]
    assert body == {"query": {"range": {"count": {"gte": 4}}}}
    # It still replaces the filters beside it.
    assert sorted(ids(es.get_collection(body=body, name="lion"))) == [4, 5]
    assert "'body'" in app.get("/founds?body=x", status=400).json["message"]
    for name in ("body.query.match_all.boost", "body.query"):
        message = app.get(f"/founds?{name}=1", status=400).json["message"]
        assert f"'{name}'" in message
    # Requests that write turn dotted names into dicts.
    message = app.patch_json("/items?body.query.match_all.boost=1", {"count": 9}, status=400)
    assert "'body.query.match_all.boost'" in message.json["message"]
    assert ids_of(app, "/items?count=9") == []


def test_body_of_several_models_is_a_query(es):
    """``body``"""
    both = drop_in.ES("Item,Keeper")
    body = {"query": {"range": {"count": {"gte": 4}}}}
    hits = both.get_collection(body=body)
    assert {(each._type, each.id) for each in hits} == {("Item", 4), ("Item", 5)}
    with pytest.raises(BadQuery, match="not 'sort'"):
        both.get_collection(body={**body, "sort": [{"count": "desc"}]})


# Errors


def test_engine_errors_become_json_errors_of_the_same_status(es):
    """engine errors"""
    with pytest.raises(JHTTPBadRequest) as caught:
        es.get_collection(body={"query": {"lightning": {}}})
    error = caught.value.json
    assert error["status_code"] == 400
    assert "lightning" in error["extra"]["data"]
    assert error["explanation"]
    with pytest.raises(JHTTPBadRequest):
        es.get_collection(body={"query": {"lightning": {}}}, _count=True)


def test_an_error_of_a_server_that_is_not_there_is_one_that_applications_catch(app):
    """engine errors"""
    from nefertari import json_httpexceptions as json_errors

    assert issubclass(BadQuery, json_errors.JHTTPBadRequest)
    assert issubclass(SearchUnavailable, json_errors.JHTTPServiceUnavailable)
    assert issubclass(SearchTimeout, json_errors.JHTTPGatewayTimeout)
    assert issubclass(SearchRejected, json_errors.JHTTPInternalServerError)


# Names


def test_the_names_that_applications_import():
    """names"""
    import nefertari
    from nefertari.elasticsearch import (  # noqa: F401
        ES,
        ESHttpConnection,
        IndexNotFoundException,
        _bulk_body,
        _ESDocs,
        apply_sort,
        build_qs,
        build_terms,
        includeme,
        process_fields_param,
    )

    assert ES is drop_in.ES
    assert issubclass(IndexNotFoundException, Exception)
    assert nefertari.elasticsearch is sys.modules["nefertari.elasticsearch"] is drop_in
    documents = _ESDocs([1, 2])
    assert (documents, documents._total, documents._start) == ([1, 2], 0, 0)


def test_included_by_its_dotted_name():
    """``sys.modules`` and attribute"""
    config = Configurator(settings={"elasticsearch.hosts": "127.0.0.1:1"})
    before = drop_in.ES.settings
    try:
        config.include("nefertari.elasticsearch")
        assert drop_in.ES.settings.hosts == "127.0.0.1:1"
        assert drop_in.ES.settings.asint("chunk_size") == 500
    finally:
        drop_in.ES.settings = before


# The class


def test_the_class_and_its_settings(app, backend_url):
    """``ES``"""
    ES = drop_in.ES
    settings = search_of(app).settings
    assert ES.settings.index_name == settings.index_name
    assert ES.settings.asbool("enable_refresh_query") is True
    assert ES.src2type("Item") == "Item"
    es = ES(source="Item", chunk_size=2)
    assert (es.doc_type, es.index_name, es.chunk_size) == ("Item", settings.index_name, 2)
    assert ES("Item").chunk_size == 500
    assert ES().doc_type == ""
    with pytest.raises(JHTTPNotFound):
        ES("Nothing").get_collection()
    if backend_url.startswith("embedded:"):
        assert not ES.api
        with pytest.raises(AttributeError, match="embedded backend has no client"):
            _ = ES.api.indices
    else:
        params = ES("Item").build_search_params({"name": "owl", "_limit": 1})
        answer = ES.api.search(**params)
        assert answer["hits"]["hits"][0]["_source"]["id"] == 5


def test_a_subclass_may_be_set_up_by_itself(app):
    """``ES``"""

    class Own(drop_in.ES):
        pass

    Own.setup(dictset({"elasticsearch.chunk_size": "7"}))
    assert Own("Item").index_name == search_of(app).settings.index_name
    assert Own("Item").chunk_size == 7
    assert ids(Own("Item").get_collection(name="owl")) == [5]
    assert drop_in.ES("Item").chunk_size == 500


def test_index_name_of_another_application_is_where_it_is_read(app, es):
    """``ES``"""
    elsewhere = drop_in.ES("Item", index_name="nowhere")
    assert elsewhere.build_search_params({})["index"] == "nowhere-item"
    with pytest.raises(SearchUnavailable) as caught:
        elsewhere.get_collection()
    assert caught.value.reason == "no-index"
    with pytest.raises(ValueError, match="index_name"):
        elsewhere.index({"_pk": "1"})
    # The own one is known to be there still.
    assert es.get_collection(_count=True) == 5


# Indices


def indices_of(app):
    search = search_of(app)
    return {mirror.name: set(search.mirrors.indices_of(mirror)) for mirror in search.mirrors}


def test_index_methods_are_idempotent(app, es):
    """indices and mappings"""
    before = indices_of(app)
    drop_in.ES.create_index()
    drop_in.ES.create_index(es.index_name)
    drop_in.ES.setup_mappings()
    drop_in.ES.setup_mappings(force=True)
    es.put_mapping(body={"Item": {"properties": {}}})
    assert indices_of(app) == before
    assert es.get_collection(_count=True) == 5
    with pytest.raises(ValueError, match="index_name"):
        drop_in.ES.create_index("another")
    drop_in.ES.delete_index("another")
    assert indices_of(app) == before


@pytest.mark.slow
def test_deleted_indices_are_made_anew(app, es):
    """indices and mappings"""
    try:
        drop_in.ES.delete_index()
        assert set().union(*indices_of(app).values()) == set()
        with pytest.raises(SearchUnavailable):
            es.get_collection()
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=no-index"
        drop_in.ES.create_index()
        drop_in.ES.setup_mappings()
        # Those of empty tables: an empty one of a full table would answer wrongly.
        assert indices_of(app)["Node"]
        assert not indices_of(app)["Item"]
        assert drop_in.ES("Node").get_collection(_count=True) == 0
    finally:
        build_all(app)
    assert es.get_collection(_count=True) == 5


def build_all(app):
    from nefertari_search_tween.indexing.rebuild.rebuild import rebuild

    search = search_of(app)
    rebuild(search.mirrors, search.rebuild_locks, search.outbox, list(search.mirrors), 500)


# Writing


def document(app, pk, model="Item"):
    """Return it as indexed now, whatever is pending."""
    mirror = search_of(app).mirrors.get(model)
    return mirror.backend.multi_get(mirror.alias, [str(pk)])[str(pk)]


def spoil(app, pk, name="spoilt"):
    """Change a document behind everybody's back, as of now (a later claim overwrites it)."""
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    source = {**document(app, pk), "name": name}
    (target,) = search.indexer.write_targets(mirror)
    number = search.outbox.next_version("Item")
    body = json.dumps(source).encode()
    (outcome,) = mirror.backend.bulk([BulkAction(target, str(pk), number, body)], 1)
    assert outcome.indexed
    assert document(app, pk)["name"] == name


def remove(app, *pks):
    """The same: delete documents."""
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    (target,) = search.indexer.write_targets(mirror)
    number = search.outbox.next_version("Item")
    list(mirror.backend.bulk([BulkAction(target, str(pk), number, None) for pk in pks], 10))
    assert [document(app, pk) for pk in pks] == [None for _ in pks]


def test_documents_are_prepared_and_refused_as_ever(es):
    """writing"""
    prepared = es.prep_bulk_documents("index", [{"_pk": "1", "_type": "Tag"}, {"_pk": "2"}])
    assert [(each["_op_type"], each["_type"], each["_id"]) for each in prepared] == [
        ("index", "Tag", "1"),
        ("index", "Item", "2"),
    ]
    assert prepared[0]["_index"] == es.index_name
    assert len(es.prep_bulk_documents("delete", {"_pk": "1"})) == 1
    with pytest.raises(ValueError, match=r"^Document type must be `dict` not a `str`$"):
        es.prep_bulk_documents("index", ["text"])
    with pytest.raises(ValueError, match=r"^Document type must be `dict` not a `int`$"):
        es.index([1])
    with pytest.raises(ValueError, match="has no key 'x'"):
        es.index({"_pk": "x"})
    with pytest.raises(ValueError, match="`Plain` has no mirror"):
        es.index({"_pk": "1", "_type": "Plain"})


def test_documents_go_in_chunks():
    """writing"""
    chunks: list[list[int]] = []

    def operation(documents_actions):
        chunks.append(documents_actions)

    es = drop_in.ES("Item", chunk_size=2)
    es.process_chunks([1, 2, 3, 4, 5], operation)
    assert chunks == [[1, 2], [3, 4], [5]]
    es.process_chunks([], operation)
    assert len(chunks) == 3


def test_index_brings_a_document_to_the_primarys_state(app, es):
    """writing"""
    spoil(app, 1)
    # The caller's own values do not count, nor do unknown arguments.
    es.index({"_pk": "1", "name": "wrong"}, request=None, refresh=True, anything="goes")
    assert document(app, 1)["name"] == "Lion"
    for pk in (1, 2, 3):
        spoil(app, pk)
    drop_in.ES("Item", chunk_size=2).index([{"_pk": 1}, {"_pk": 2}, {"_pk": 3}])
    assert [document(app, pk)["name"] for pk in (1, 2, 3)] == ["Lion", "Tiger", "Sea Lion"]


def test_index_missing_documents_leaves_the_others_alone(app, es):
    """writing"""
    spoil(app, 1)
    remove(app, 2)
    es.index_missing_documents([{"_pk": "1"}, {"_pk": "2"}])
    assert document(app, 1)["name"] == "spoilt"
    assert document(app, 2)["name"] == "Tiger"
    es.index_missing_documents([])
    es.index({"_pk": "1"})


def test_delete_of_a_missing_document_is_no_error(app, es):
    """writing"""
    es.delete("99")
    es.delete(["98", 97, "no number"])
    # What the primary has, is: the document of an object that is there stays.
    es.delete(1)
    assert document(app, 1)["name"] == "Lion"
    # An orphan is deleted.
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    (target,) = search.indexer.write_targets(mirror)
    body = json.dumps({**document(app, 1), "id": 77, "_pk": "77"}).encode()
    list(
        mirror.backend.bulk([BulkAction(target, "77", search.outbox.next_version("Item"), body)], 1)
    )
    assert document(app, 77) is not None
    es.delete([77])
    assert document(app, 77) is None


def test_related_documents_are_indexed(app):
    """writing"""
    from tests.apps.every_field.models import Keeper

    spoil(app, 1)
    spoil(app, 3)
    drop_in.ES.index_relations(Keeper.get_item(code="ann"))
    assert [document(app, pk)["name"] for pk in (1, 3)] == ["Lion", "spoilt"]
    spoil(app, 1)
    keepers = [Keeper.get_item(code="ann"), Keeper.get_item(code="bob")]
    drop_in.ES.bulk_index_relations(keepers, request=None)
    assert [document(app, pk)["name"] for pk in (1, 3)] == ["Lion", "Sea Lion"]
    transaction.abort()


def test_indexing_inside_a_transaction_waits_for_its_end(app, es):
    """writing"""
    from tests.apps.every_field.models import Item

    item = Item(id=50, name="Heron")
    item.save()
    # On SQLite this transaction has the lock that any other writer needs.
    es.index(item.to_dict())
    assert document(app, 50) is None
    transaction.commit()
    assert document(app, 50)["name"] == "Heron"

    Item.get_item(id=50).delete()
    es.delete(50)
    es.index({"_pk": "1"})
    transaction.abort()
    assert document(app, 50)["name"] == "Heron"
    app.delete("/items/50")
    assert document(app, 50) is None
    assert search_of(app).outbox.pending_count() == 0


def test_bulk_body(app):
    """writing"""
    from nefertari.elasticsearch import _bulk_body

    spoil(app, 4)
    _bulk_body(drop_in.ES("Item").prep_bulk_documents("index", {"_pk": "4"}), None)
    assert document(app, 4)["name"] == "Bear"


# Reading


def test_documents_by_key(es):
    """``get_by_ids``, ``do_count``"""
    documents = [{"_type": "Item", "_id": "3"}, {"_type": "Keeper", "_id": "bob"}]
    results = es.get_by_ids([*documents, {"_type": "Item", "_id": 1}])
    assert [each._type for each in results] == ["Item", "Keeper", "Item"]
    assert [each.name for each in results] == ["Sea Lion", "Bob", "Lion"]
    assert results._nefertari_meta == {"start": 0, "fields": [], "total": 3}
    assert set(es.get_by_ids(documents[:1], _fields=["name"])[0].to_dict()) == {"name", "_type"}
    assert set(es.get_by_ids(documents[:1], _fields="name,id")[0].to_dict()) == {
        "name",
        "id",
        "_type",
    }
    assert es.get_by_ids([]) == []
    # All requested documents, whatever the page.
    assert len(es.get_by_ids(documents, _limit=1, _page=1)) == 2
    assert es.get_by_ids(documents, _limit=1, _page=1)._nefertari_meta["start"] == 1
    missing = {"_type": "Item", "_id": "99"}
    assert ids(es.get_by_ids([missing, documents[0]])) == [3]
    with pytest.raises(JHTTPNotFound, match=r"^ES: 'Item\(99\)' resource not found$"):
        es.get_by_ids([missing, documents[0]], _raise_on_empty=True)
    with pytest.raises(ValueError, match="same time"):
        es.get_by_ids(documents, _start=1, _page=1)


def test_one_document(es):
    """``get_item``"""
    item = es.get_item(id="1")
    assert (item._type, item.id, item.name, item.keeper.name) == ("Item", 1, "Lion", "Ann")
    # Ramses keeps what it reads of a document on it.
    item._acl = ["anything"]
    assert item._acl == ["anything"]
    with pytest.raises(JHTTPNotFound) as caught:
        es.get_item(id=99)
    assert caught.value.detail.startswith("'Item({")
    assert caught.value.detail.endswith("})' resource not found")
    assert "'id': 99" in caught.value.detail
    nothing = es.get_item(id=99, _raise_on_empty=False)
    assert nothing.to_dict() == {"_type": "Item"}


def test_counts(es):
    """``get_by_ids``, ``do_count``"""
    params = es.build_search_params({"kind": "red", "_limit": 1, "_start": 1, "_sort": "name"})
    assert es.do_count(params) == 2


def test_documents_by_key_are_as_the_last_commit_left_them(app, es):
    """``get_item``"""
    search = search_of(app)
    spoil(app, 1)
    search.outbox.enqueue([Key("Item", 1)])

    def later():
        time.sleep(0.2)
        search.indexer.drain()

    thread = threading.Thread(target=later)
    thread.start()
    assert es.get_item(id=1).name == "Lion"
    thread.join()


def test_a_collection(es):
    """``get_collection``"""
    documents = es.get_collection(name="lion", _limit=1, _start=1, _sort="id")
    assert isinstance(documents, drop_in._ESDocs)
    assert isinstance(documents[0], DataProxy)
    assert (documents[0].id, documents[0]._type) == (3, "Item")
    assert documents[0]._score is None or isinstance(documents[0]._score, float)
    meta = documents._nefertari_meta
    assert (meta["start"], meta["fields"], meta["total"]) == (1, "", 2)
    assert type(meta["total"]) is int
    assert type(meta["took"]) is int
    assert es.get_collection(name="lion", _count="") == 2
    assert es.get_collection(name="lion", _count=False, _limit=1) == 2
    assert es.get_collection(name="nobody") == []
    best = es.get_collection(q="lion", _search_fields="name,prose")
    assert best[0]._score >= best[-1]._score > 0


def test_raise_on_empty_in_python(es):
    """``get_collection``"""
    assert es.get_collection(name="nobody", _raise_on_empty=False) == []
    with pytest.raises(JHTTPNotFound, match="resource not found"):
        es.get_collection(name="nobody", _raise_on_empty=True)
    assert ids(es.get_collection(name="owl", _raise_on_empty=True)) == [5]


def test_raise_on_empty_is_pythons(app):
    """``_raise_on_empty`` over HTTP"""
    for value in ("true", "1", ""):
        message = app.get(f"/founds?name=nobody&_raise_on_empty={value}", status=400).json
        assert "'_raise_on_empty'" in message["message"]


def test_without_a_limit_python_gets_all_matches(es, app):
    """no ``_limit``"""
    search = search_of(app)
    window = search.settings.max_result_window
    assert len(es.get_collection()) == 5
    assert ids(es.get_collection(_sort="-id", _start=2)) == [3, 2, 1]
    search.settings.max_result_window = 2
    try:
        # Not bounded by the window of a search, which a page of a caller is.
        assert ids(es.get_collection(_sort="id")) == [1, 2, 3, 4, 5]
        with pytest.raises(BadQuery, match="_limit"):
            es.get_collection(_limit=3)
    finally:
        search.settings.max_result_window = window


# Parameters


def test_sort(es):
    """``_sort``"""
    apply_sort = drop_in.apply_sort
    assert apply_sort("-count, name,+id") == "count:desc,name:asc,id:asc"
    assert apply_sort("") == ""
    assert ids(es.get_collection(_sort="-count")) == [4, 5, 1, 3, 2]
    assert ids(es.get_collection(_sort="kind,-name")) == [5, 4, 2, 3, 1]
    assert ids(es.get_collection(_sort="+name")) == [4, 1, 5, 3, 2]
    # A text of several terms is sorted as a whole, by its keyword.
    assert [each.name for each in es.get_collection(_sort="name", name="lion")] == [
        "Lion",
        "Sea Lion",
    ]


def test_the_query_strings_of_subclasses_are_grouped():
    """lists, filters and ``q``"""
    build_qs, build_terms = drop_in.build_qs, drop_in.build_terms
    assert build_terms("a", [1, 2]) == "a:1 OR a:2"
    assert build_terms("a", [1, 2], operator="AND") == "a:1 AND a:2"
    params = dictset({"a": [1, 2], "b": 3})
    assert build_qs(params) == "(a:1 OR a:2) AND b:3"
    assert build_qs(dictset({"b": 3}), "x OR y") == "b:3 AND (x OR y)"
    assert build_qs(dictset(), "x OR y") == "x OR y"
    assert build_qs(dictset({"b": 3, "a": 1}), operator="OR") == "a:1 OR b:3"
    assert build_qs(dictset({"a": "x y"})) == "a:(x y)"
    assert build_qs(dictset({"a": "x OR y", "b": 3})) == "a:(x OR y) AND b:3"
    for whole in ('"x y"', "[1 TO 2]", "(x OR y)", '"x y"~2'):
        assert build_qs(dictset({"a": whole})) == f"a:{whole}"


def test_lists_filters_and_q_are_grouped_as_meant(app, es):
    """lists, filters and ``q``"""
    assert sorted(ids(es.get_collection(kind=["red", "green"], name="lion"))) == [1, 3]
    assert sorted(ids(es.get_collection(kind="red OR green", count="[2 TO *]"))) == [1, 3]
    assert sorted(ids(es.get_collection(kind=["green", "blue"], q="king OR owl"))) == [2, 5]
    assert sorted(ids_of(app, "/founds?kind=red&kind=green&count=1&count=2")) == [2, 3]


def test_all_is_no_filter(app, es):
    """``_all`` and ``__``"""
    params = dictset({"a": "_all", "__b": 1, "c": 2})
    assert drop_in.build_qs(params) == "c:2"
    assert "a" not in params
    assert es.get_collection(kind="_all", name="owl", _count=True) == 1
    assert es.get_collection(__anything="x", _count=True) == 5
    assert len(ids_of(app, "/founds?kind=_all&__x=1")) == 5


@pytest.mark.parametrize("request_", ["/founds", "/items?_search=true"])
def test_pages(app, es, request_):
    """``_page`` and ``_start``"""
    start = request_ + ("&" if "?" in request_ else "?")
    assert ids_of(app, f"{start}_sort=id&_limit=2&_page=0") == [1, 2]
    assert ids_of(app, f"{start}_sort=id&_limit=2&_page=1") == [3, 4]
    assert ids_of(app, f"{start}_sort=id&_limit=2&_start=3") == [4, 5]
    for wrong in ("_start=1&_page=1", "_start=-1", "_page=-1", "_limit=-1", "_start=x"):
        app.get(f"{start}{wrong}", status=400)
    for wrong in ({"_start": 1, "_page": 1}, {"_page": -1, "_limit": 2}, {"_limit": -1}):
        with pytest.raises(JHTTPBadRequest):
            es.get_collection(**wrong)


def test_search_fields(app, es):
    """``_search_fields``"""

    # "lion" is in the names of 1 and 3, and in the prose of 4.
    def scores(fields):
        return {each.id: each._score for each in es.get_collection(q="lion", _search_fields=fields)}

    first, last = scores("name,prose"), scores("prose,name")
    assert set(first) == set(last) == {1, 3, 4}
    assert first[1] == pytest.approx(2 * last[1])
    assert last[4] == pytest.approx(2 * first[4])
    assert sorted(ids(es.get_collection(q="lion", _search_fields="name"))) == [1, 3]
    assert es.get_collection(_search_fields="name", _count=True) == 5
    assert len(ids_of(app, "/items?_search_fields=name")) == 5


def test_fields(app, es):
    """``_fields=-x``"""
    process = drop_in.process_fields_param
    assert process("a, b") == {"_source_include": ["a", "b", "_type"], "_source": True}
    assert process(["a", "_type"]) == {"_source_include": ["a", "_type"], "_source": True}
    assert process("-a") == {"_source_exclude": ["a"], "_source": True}
    assert process("") == ""
    (owl,) = es.get_collection(name="owl", _fields="name,count")
    assert set(owl.to_dict()) == {"name", "count", "_type", "_score"}
    (owl,) = es.get_collection(name="owl", _fields="-name,-count")
    assert {"name", "count"} & set(owl.to_dict()) == set()
    assert {"kind", "prose", "_type"} <= set(owl.to_dict())
    item = {"_type": "Item", "_id": 5}
    assert "name" not in es.get_by_ids([item], _fields="-name")[0].to_dict()
    owl = app.get("/founds?name=owl&_fields=-name").json["data"][0]
    assert "name" not in owl
    assert owl["count"] == 4
    assert set(app.get("/founds?name=owl&_fields=name").json["data"][0]) >= {"name", "_type"}
