"""Aggregations through the views that applications write, over every kind of field."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.documents.format import ANY_FIELD, INEXACT
from tests.apps.every_field.content import fill_zoo
from tests.servers.base import free_port
from tests.support import apps
from tests.support.reference_aggregations import counted, request

OWNERS = ["bob", "alice", None]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    on = {"elasticsearch.enable_aggregations": "true"}
    app = apps.zoo(primary_url, backend_url, module_prefix, **on)
    fill_zoo(60)
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    for at, item in enumerate(Session().query(Item).order_by(Item.id)):
        item.owner = OWNERS[at % 3]
    transaction.commit()
    yield app
    apps.forget_sessions()


@pytest.fixture
def items(app: TestApp) -> Iterator[list[Any]]:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    yield Session().query(Item).order_by(Item.id).all()
    transaction.abort()


OWNERS_TREE = {"o": {"terms": {"field": "owner"}}}


def pairs(result: Any) -> list[tuple[Any, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in result["buckets"]]


def owners(items: list[Any]) -> list[tuple[Any, int]]:
    return counted(item.owner for item in items if item.owner is not None)


def error_message(app: TestApp, url: str, status: int = 400) -> str:
    response = app.get(url, expect_errors=True)
    assert response.status_int == status, response.text[:300]
    return str(response.json["message"])


# Views


@pytest.mark.parametrize("path", ["/items", "/founds", "/touches"])
def test_a_plain_view(path: str, app: TestApp, items: list[Any]):
    """The last one writes through its objects, which there are none of: an error, no change."""
    if path == "/touches":
        message = error_message(app, request(path, OWNERS_TREE))
        assert message == "The request can't be answered with these parameters: _aggs.o.terms.field"
        return
    response = app.get(request(path, OWNERS_TREE))
    assert response.headers["X-Search-Engine"] == "mirror"
    assert pairs(response.json["o"]) == owners(items)


def test_a_view_whose_instance_chooses_the_model(app: TestApp, items: list[Any]):
    """The router knows of no model. The view answers, and its collection is aggregated."""
    assert len(app.get("/chosens?_limit=1000").json["data"]) == len(items)
    assert pairs(app.get(request("/chosens", OWNERS_TREE)).json["o"]) == owners(items)


def test_a_view_narrowed_by_an_argument(app: TestApp, items: list[Any]):
    """nefertari aggregates everybody's: its aggregator takes the view's place."""
    environ = {"REMOTE_USER": "bob"}
    own = [item for item in items if item.owner == "bob"]
    tree = {**OWNERS_TREE, "all": {"global": {}, "aggs": OWNERS_TREE}}
    for extra in ({}, {"owner": "alice"}, {"_search": "true", "owner": "*"}):
        response = app.get(request("/mine", tree, **extra), extra_environ=environ)
        assert pairs(response.json["o"]) == owners(own)
        assert response.json["all"]["doc_count"] == len(own)
        assert pairs(response.json["all"]["o"]) == owners(own)
    assert app.get(request("/mine", OWNERS_TREE)).json["o"]["buckets"] == []


def test_a_view_that_narrows_a_database_query(app: TestApp):
    message = error_message(app, request("/narrows", OWNERS_TREE))
    assert message == (
        "Bad parameter '_aggs': the view of this collection goes on with what it found "
        "(from_self), which aggregations can't follow"
    )


def test_a_view_that_leaves_some_out(app: TestApp):
    message = error_message(app, request("/sifteds", OWNERS_TREE))
    assert message == (
        "Bad parameter '_aggs': the view of this collection changes what it found, which "
        "aggregations can't follow"
    )


def test_a_view_that_knows_that_there_is_nothing(app: TestApp):
    tree = {**OWNERS_TREE, "n": {"value_count": {"field": "id"}}, "all": {"global": {}}}
    response = app.get(request("/barrens", tree))
    assert response.headers["X-Search-Engine"] == "mirror"
    assert response.json["o"]["buckets"] == []
    assert (response.json["n"]["value"], response.json["all"]["doc_count"]) == (0, 0)


@pytest.mark.parametrize(("path", "key"), [("/facets", "facets"), ("/rathers", "rather")])
def test_keys_of_the_views_own(path: str, key: str, app: TestApp, items: list[Any]):
    response = app.get(f"{path}?{key}.o.terms.field=owner&name=lion OR tiger OR *")
    assert response.headers["X-Search-Engine"] == "mirror"
    assert pairs(response.json["o"]) == owners([item for item in items if item.name is not None])
    assert error_message(app, f"{path}?{key}.o.terms.field=nope") == (
        f"Bad parameter '{key}.o.terms.field': there is no field 'nope'"
    )
    # nefertari's own names are nothing to this view.
    assert app.get(f"{path}?_aggs.o.terms.field=owner", expect_errors=True).status_int == 400
    assert error_message(app, f"{path}?{key}.o.terms.field=owner&_search=false").startswith(
        "Bad parameter '_search': the database has no aggregations"
    )


def test_an_aggregator_of_the_applications_own(app: TestApp, items: list[Any]):
    response = app.get(request("/renameds", OWNERS_TREE, **{"keeper.name": "keeper"}))
    items_with_keeper = [item for item in items if item.keeper is not None]
    assert pairs(response.json["renamed"]["o"]) == owners(items_with_keeper)
    assert response.headers["X-Search-Engine"] == "mirror"
    # Who asks for none gets the collection.
    assert app.get("/renameds?_limit=2").json["count"] == 2


def test_an_error_inside_is_an_error(app: TestApp):
    """nefertari took every KeyError for a request without aggregations."""
    assert "'mistake'" in error_message(app, request("/brokens", OWNERS_TREE))
    assert app.get("/brokens?_limit=2").json["count"] == 2


def test_a_view_without_aggregations(app: TestApp):
    assert error_message(app, request("/bares", OWNERS_TREE)) == (
        "Bad parameter '_aggs': the view of this collection has no aggregations"
    )
    assert app.get("/bares?_limit=2").json["count"] == 2


def test_a_model_without_a_mirror(app: TestApp):
    assert error_message(app, "/plains?_aggs.n.terms.field=name") == (
        "Bad parameter '_aggs': Plain has no mirror to aggregate"
    )


def test_aggregations_that_are_off(primary_url: str, backend_url: str, module_prefix: str, app):
    off = apps.zoo(primary_url, backend_url, module_prefix)
    try:
        for url in ("/items?_aggs.n.terms.field=name", "/facets?facets.n.terms.field=name"):
            root = url.partition("?")[2].partition(".")[0]
            assert error_message(off, url) == (
                f"Bad parameter '{root}': aggregations are off (elasticsearch.enable_aggregations)"
            )
        assert off.get("/items?_limit=2").json["count"] == 2
    finally:
        # This process has one application: the one made last.
        apps.search_of(app).install()


def test_what_was_just_written_is_there(app: TestApp, items: list[Any]):
    before = app.get(request("/items", {"n": {"value_count": {"field": "id"}}})).json["n"]["value"]
    app.post_json("/items", {"name": "new", "owner": "carol"})
    try:
        response = app.get(
            request("/items", {"n": {"value_count": {"field": "id"}}, **OWNERS_TREE})
        )
        assert response.json["n"]["value"] == before + 1
        assert ("carol", 1) in pairs(response.json["o"])
    finally:
        (new,) = app.get("/items?owner=carol").json["data"]
        app.delete(f"/items/{new['id']}")


def test_a_server_that_is_down(app: TestApp, primary_url: str, module_prefix: str):
    down = apps.zoo(
        primary_url,
        f"http://127.0.0.1:{free_port()}",
        module_prefix,
        **{"elasticsearch.enable_aggregations": "true", "elasticsearch.retries": "0"},
    )
    try:
        response = down.get(request("/items", OWNERS_TREE), expect_errors=True)
        assert response.status_int == 503
        assert response.headers["X-Search-Engine"].startswith("none; reason=")
        assert int(response.headers["Retry-After"]) > 0
    finally:
        apps.search_of(app).install()
    assert app.get(request("/items", OWNERS_TREE)).status_int == 200


# Fields of every kind


@pytest.mark.parametrize(
    "name", ["kind", "name", "word", "count", "small", "big", "flag", "owner", "keeper_code"]
)
def test_terms_of_every_kind(name: str, app: TestApp, items: list[Any]):
    tree = {"t": {"terms": {"field": name, "size": 100, "order": {"_key": "asc"}}}}
    buckets = app.get(request("/items", tree)).json["t"]["buckets"]
    expected = Counter(getattr(item, name) for item in items)
    del expected[None]
    assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == dict(expected)


def test_terms_of_lists(app: TestApp, items: list[Any]):
    tree = {"t": {"terms": {"field": "words", "size": 100}}}
    buckets = app.get(request("/items", tree)).json["t"]["buckets"]
    expected = Counter(word for item in items for word in set(item.words or []))
    assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == dict(expected)


@pytest.mark.parametrize("name", ["ratio", "price", "small", "span"])
def test_numbers_of_every_kind(name: str, app: TestApp, items: list[Any]):
    stats = app.get(request("/items", {"s": {"stats": {"field": name}}})).json["s"]
    values = [getattr(item, name) for item in items if getattr(item, name) is not None]
    if values and isinstance(values[0], datetime.timedelta):
        # What a response shows of an interval: its seconds, without whole days.
        values = [value.seconds for value in values]
    assert stats["count"] == len(values)
    assert stats["min"] == pytest.approx(float(min(values)))
    assert stats["max"] == pytest.approx(float(max(values)))
    assert stats["sum"] == pytest.approx(float(sum(values)), rel=1e-6)


def test_times_and_dates(app: TestApp, items: list[Any]):
    tree = {
        "clock": {"terms": {"field": "clock", "size": 100}},
        "day": {"max": {"field": "day"}},
        "moment": {"min": {"field": "moment"}},
    }
    results = app.get(request("/items", tree)).json
    clocks = Counter(
        item.clock.replace(microsecond=0).isoformat() for item in items if item.clock is not None
    )
    assert {b["key_as_string"]: b["doc_count"] for b in results["clock"]["buckets"]} == dict(clocks)
    latest = max(item.day for item in items if item.day is not None)
    assert results["day"]["value_as_string"] == f"{latest:%Y-%m-%d}T00:00:00.000Z"
    first = min(item.moment for item in items if item.moment is not None)
    assert results["moment"]["value_as_string"] == f"{first:%Y-%m-%dT%H:%M:%S}.000Z"


@pytest.mark.parametrize("name", ["blob", "thing", "options"])
def test_fields_that_have_no_values_to_aggregate(name: str, app: TestApp):
    message = error_message(app, request("/items", {"t": {"terms": {"field": name}}}))
    assert message.endswith(f"the values of '{name}' can't be aggregated")


def test_a_foreign_key_that_is_a_text(app: TestApp, items: list[Any]):
    """nefertari_sqla does not tell what type its key has."""
    for code in ("a", "B"):
        body = app.get(f"/items?_search=true&keeper_code={code}&_count").json
        assert body["data"] == sum(item.keeper_code == code for item in items) > 0


def test_relationships_by_themselves_are_keys(app: TestApp, items: list[Any]):
    keepers = counted(item.keeper.code for item in items if item.keeper is not None)
    tags = counted(tag.id for item in items for tag in item.tags)
    tree = {"k": {"terms": {"field": "keeper"}}, "t": {"terms": {"field": "tags"}}}
    results = app.get(request("/items", tree)).json
    assert sorted(pairs(results["k"])) == sorted(keepers)
    assert sorted(pairs(results["t"])) == sorted(tags)


def test_two_levels_of_nested_documents(app: TestApp):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Visit

    visits = Session().query(Visit).all()
    tree = {
        "k": {
            "terms": {"field": "item.keeper.name", "order": {"_key": "asc"}},
            "aggs": {
                "kinds": {"terms": {"field": "item.kind", "order": {"_key": "asc"}}},
                "guests": {"cardinality": {"field": "guest"}},
            },
        },
        "f": {"filter": {"nested": {"path": "item", "query": {"term": {"item.kind": "red"}}}}},
    }
    results = app.get(request("/visits", tree)).json
    expected = []
    for name in sorted({v.item.keeper.name for v in visits if v.item.keeper is not None}):
        keeper_visits = [
            v for v in visits if v.item.keeper is not None and v.item.keeper.name == name
        ]
        kinds = Counter(v.item.kind for v in keeper_visits if v.item.kind is not None)
        expected.append((name, sorted(kinds.items()), len({v.guest for v in keeper_visits})))
    assert [
        (bucket["key"], pairs(bucket["kinds"]), bucket["guests"]["value"])
        for bucket in results["k"]["buckets"]
    ] == expected
    assert results["f"]["doc_count"] == sum(v.item.kind == "red" for v in visits)
    transaction.abort()


def test_a_model_that_renders_itself(app: TestApp):
    """What its documents hold besides is shown, where nobody's rules are in the way."""
    tree = {"l": {"terms": {"field": "last"}}, "h": {"top_hits": {"size": 1}}}
    results = app.get(request("/customs", tree)).json
    assert sum(count for _, count in pairs(results["l"])) == 5
    (hit,) = results["h"]["hits"]["hits"]
    assert hit["_source"]["full_name"] == f"{hit['_source']['first']} {hit['_source']['last']}"


def test_documents_that_the_backend_refused_are_none(app: TestApp, caplog: Any):
    """A stub stands for them; nothing of it is counted."""
    search = apps.search_of(app)
    mirror = search.mirrors.get("Marked")
    before = app.get(request("/marked", {"all": {"global": {}}})).json
    body = f'{{"_pk": "9999", "_type": "Marked", "{INEXACT}": ["{ANY_FIELD}"]}}'.encode()
    with caplog.at_level(logging.ERROR):
        list(search.backend.bulk([BulkAction(mirror.alias, "9999", 1, body)], 10))
        search.backend.refresh(mirror.alias)
    try:
        tree = {"t": {"terms": {"field": "_type"}}, "all": {"global": {}}}
        results = app.get(request("/marked", tree)).json
        assert pairs(results["t"]) == [("Marked", before["all"]["doc_count"])]
        assert results["all"] == before["all"]
    finally:
        list(search.backend.bulk([BulkAction(mirror.alias, "9999", 2, None)], 10))
        search.backend.refresh(mirror.alias)
