"""The drop-in for ``nefertari.elasticsearch``, row by row of the table in docs/migrating.rst.

The first line of a test's docstring is the row that it is for.
"""

from __future__ import annotations

import pytest
import transaction
from nefertari.json_httpexceptions import JHTTPBadRequest
from webtest import TestApp

import nefertari_search_tween.compat.elasticsearch as drop_in
from nefertari_search_tween.exceptions import BadQuery
from tests.applications import search_of, zoo

ITEMS = [
    {"id": 1, "name": "Lion", "kind": "red", "count": 3, "prose": "king of the plains"},
    {"id": 2, "name": "Tiger", "kind": "green", "count": 1, "prose": "king of the woods"},
    {"id": 3, "name": "Sea Lion", "kind": "red", "count": 2, "prose": "a swimmer"},
    {"id": 4, "name": "Bear", "kind": "blue", "count": 5, "prose": "lion of the north"},
    {"id": 5, "name": "Owl", "kind": "blue", "count": 4, "prose": "sees at night"},
]


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    made = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{"elasticsearch.enable_refresh_query": "true"},
    )
    for keeper in ("ann", "bob"):
        made.post_json("/keepers", {"code": keeper, "name": keeper.title()})
    for item in ITEMS:
        made.post_json("/items", {**item, "keeper_code": "ann" if item["id"] < 3 else "bob"})
    yield made
    transaction.abort()


@pytest.fixture
def es(app) -> drop_in.ES:
    return drop_in.ES("Item")


def ids(documents) -> list[int]:
    return [document.id for document in documents]


def asked(app: TestApp, request: str, **options) -> list[int]:
    return [each["id"] for each in app.get(request, **options).json["data"]]


# build_search_params


def test_build_search_params(es, app):
    """``build_search_params``"""
    mirror = search_of(app).mirrors.get("Item")
    given = es.build_search_params(
        {"name": "lion", "_limit": 2, "_page": 1, "_sort": "-count,name", "_fields": "name"}
    )
    assert given.pop("body")["query"]
    assert given == {
        "index": mirror.alias,
        "from_": 2,
        "size": 2,
        "sort": "count:desc,name:asc",
        "fields": "name",
    }
    everything = es.build_search_params({})
    assert set(everything) == {"index", "body", "from_", "size"}
    assert everything["size"] is None


class Narrowed(drop_in.ES):
    """As nefertari-guards does: a parameter of its own, and a condition around the query."""

    def build_search_params(self, params):
        kind = params.pop("_kind", None)
        given = super().build_search_params(params)
        if kind is not None:
            must = [{"term": {"kind.keyword": kind}}, given["body"]["query"]]
            given["body"] = {"query": {"bool": {"must": must}}}
        return given


def test_a_subclass_that_changes_the_body_has_its_way(app):
    """``build_search_params``"""
    narrowed = Narrowed("Item")
    assert sorted(ids(narrowed.get_collection())) == [1, 2, 3, 4, 5]
    assert sorted(ids(narrowed.get_collection(_kind="red"))) == [1, 3]
    assert ids(narrowed.get_collection(_kind="blue", name="bear OR lion")) == [4]
    found = narrowed.get_collection(_kind="red", _limit=1, _sort="-name")
    assert (ids(found), found._nefertari_meta["total"]) == ([3], 2)
    assert narrowed.get_collection(_kind="red", _count=True) == 2
    assert narrowed.do_count(narrowed.build_search_params({"_kind": "blue"})) == 2


class Changed(drop_in.ES):
    """Changes one part after the other."""

    change: dict = {}

    def build_search_params(self, params):
        given = super().build_search_params(params)
        given.update(self.change)
        return dict(given)


@pytest.mark.parametrize(
    ("change", "params", "found"),
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
def test_every_part_that_a_subclass_changes_counts(app, monkeypatch, change, params, found):
    """``build_search_params``"""
    monkeypatch.setattr(Changed, "change", change)
    assert ids(Changed("Item").get_collection(**params)) == found


def test_fields_that_a_subclass_changes_are_those_that_are_shown(app, monkeypatch):
    """``build_search_params``"""
    monkeypatch.setattr(Changed, "change", {"fields": "name"})
    (found,) = Changed("Item").get_collection(name="owl", _fields="count")
    assert set(found.to_dict()) == {"name", "_type", "_score"}
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
    # What it says of filters beside it is as ever: it stands in their place.
    assert sorted(ids(es.get_collection(body=body, name="lion"))) == [4, 5]
    assert "'body'" in app.get("/founds?body=x", status=400).json["message"]
    for name in ("body.query.match_all.boost", "body.query"):
        message = app.get(f"/founds?{name}=1", status=400).json["message"]
        assert f"'{name}'" in message
    # Requests that write turn dotted names into dicts.
    message = app.patch_json("/items?body.query.match_all.boost=1", {"count": 9}, status=400)
    assert "'body.query.match_all.boost'" in message.json["message"]
    assert asked(app, "/items?count=9") == []


# Errors


def test_engine_errors_become_json_errors_of_the_same_status(es):
    """engine errors"""
    with pytest.raises(JHTTPBadRequest) as caught:
        es.get_collection(body={"query": {"lightning": {}}})
    told = caught.value.json
    assert told["status_code"] == 400
    assert "lightning" in told["extra"]["data"]
    assert told["explanation"]
    with pytest.raises(JHTTPBadRequest):
        es.get_collection(body={"query": {"lightning": {}}}, _count=True)
