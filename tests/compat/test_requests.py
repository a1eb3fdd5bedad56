"""Settings, requests, responses and views of applications that search as nefertari documents it.

The first line of a test's docstring is the row of the table in docs/migrating.rst.
"""

from __future__ import annotations

import json

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.settings.settings import Settings
from tests.support.apps import search_of, zoo

# An explicit list, as production ini files have it; the package is named here alone.
TWEENS = """
    pyramid_tm.tm_tween_factory
    pyramid.tweens.excview_tween_factory
    nefertari.tweens.cache_control
    nefertari.tweens.get_tunneling
    nefertari_search_tween.tween_factory
"""
ITEMS = [
    {"id": 1, "name": "Lion King", "kind": "red", "count": 3, "prose": "the plains"},
    {"id": 2, "name": "Tiger", "kind": "green", "count": -1, "prose": "king of the woods"},
    {"id": 3, "name": "Sea Lion", "kind": "red", "count": 2, "prose": "king size"},
]


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix, tmp_path_factory):
    settings_file = tmp_path_factory.mktemp("settings") / "index.json"
    # As production forks have it: an analyzer of their own for every text (which files have not).
    analyzer = {"type": "standard", "stopwords": ["silence"]}
    analysis = {"analysis": {"analyzer": {"default": analyzer}}}
    own = {} if backend_url.startswith("embedded:") else analysis
    settings_file.write_text(json.dumps({"number_of_replicas": 0, **own}))
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{
            "pyramid.includes": "",
            "pyramid.tweens": TWEENS,
            "elasticsearch.index.settings_file": str(settings_file),
            "elasticsearch.index.disable": "false",
            "elasticsearch.chunk_size": "2",
            "elasticsearch.sniff": "false",
            "database_acls": "false",
            "enable_get_tunneling": "true",
        },
    )
    for keeper in ("ann", "bob"):
        app.post_json("/keepers", {"code": keeper, "name": keeper.title()})
    for item in ITEMS:
        app.post_json("/items", {**item, "keeper_code": "ann" if item["id"] < 3 else "bob"})
    yield app
    transaction.abort()


def ids_of(app: TestApp, request: str) -> list[int]:
    return sorted(each["id"] for each in app.get(request).json["data"])


# Settings


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("a:9200", ["http://a:9200"]),
        ("a:9200,b:9201", ["http://a:9200", "http://b:9201"]),
        ("https://a:9200, https://b:9200/path", ["https://a:9200", "https://b:9200/path"]),
    ],
)
def test_hosts(text, urls):
    """``elasticsearch.hosts``"""
    settings = Settings({"elasticsearch.hosts": text, "elasticsearch.index_name": "x"})
    assert list(settings.connection.hosts) == urls


@pytest.mark.slow
def test_names_chunks_and_sniffing(app):
    """``.sniff``, ``.index_name``, ``.chunk_size``"""
    from nefertari.elasticsearch import ES

    search = search_of(app)
    assert search.indexer.chunk_size == 2
    assert ES("Item").chunk_size == 2
    assert {mirror.alias.rpartition("-")[0] for mirror in search.mirrors} == {
        search.settings.index_name
    }
    asking = {"elasticsearch.hosts": "a:1", "elasticsearch.index_name": "x"}
    assert Settings({**asking, "elasticsearch.sniff": "true"}).connection.sniff is True
    assert Settings(asking).chunk_size == 500


def test_settings_that_ini_templates_hold(app):
    """``.index.disable`` and other settings of ini templates"""
    assert app.app.registry.settings["elasticsearch.index.disable"] == "false"
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"


def test_settings_file(app, backend_url):
    """``elasticsearch.index.settings_file``"""
    assert search_of(app).mirrors.get("Item").settings["index.number_of_replicas"] == 0
    app.post_json("/items", {"id": 20, "name": "Silence Fox"})
    try:
        assert ids_of(app, "/founds?name=fox") == [20]
        own_analyzer = not backend_url.startswith("embedded:")
        assert ids_of(app, "/founds?name=silence") == ([] if own_analyzer else [20])
    finally:
        app.delete("/items/20")


def test_tunneled_requests(app):
    """``enable_get_tunneling``"""
    app.get("/items?_m=POST&name=Tunnel", status=201)
    (pk,) = ids_of(app, "/founds?name=tunnel")
    app.get(f"/items/{pk}?_m=PATCH&name=Burrow")
    assert ids_of(app, "/founds?name=burrow") == [pk]
    app.get("/items?_m=DELETE&name=burrow")
    assert ids_of(app, "/founds?name=burrow") == []
    assert len(ids_of(app, "/items")) == len(ITEMS)


# Requests


def test_reserved_parameters_are_no_filters(app):
    """reserved parameters"""
    query = "_start=0&_limit=5&_fields=id,name&_sort=-name&_search_fields=name&_refresh_index=true"
    response = app.get(f"/founds?{query}&q=lion")
    assert [each["name"] for each in response.json["data"]] == ["Sea Lion", "Lion King"]
    assert app.get("/founds?_count&_page=0&q=lion").json == {"data": 2}


def test_the_default_limit(app):
    """default ``_limit``"""
    for number in range(100, 120):
        app.post_json("/tags", {"id": number, "name": f"many {number}"})
    app.post_json("/tags", {"id": 120, "name": "many 120"})
    response = app.get("/tags?q=many")
    assert (response.json["total"], response.json["count"]) == (21, 20)
    assert len(app.get("/tags?q=many&_limit=21").json["data"]) == 21
    # Requests that write are about all that match.
    assert app.delete("/tags?name=many").json["message"].startswith("Deleted 21")
    assert app.get("/tags?_count").json == {"data": 0}


def test_a_collection(app):
    """collections"""
    body = app.get("/founds?name=lion&_sort=id&_limit=1&_start=1").json
    assert {"data", "start", "fields", "total", "took", "count"} == set(body)
    assert (body["start"], body["total"], body["count"], body["fields"]) == (1, 2, 1, "")
    assert type(body["took"]) is int
    (item,) = body["data"]
    plain = app.get("/items/3").json
    assert item["_self"] == plain["_self"]
    assert item["_self"].endswith("/3")
    assert (item["_pk"], item["_type"]) == ("3", "Item")
    assert set(item) == {*plain, "_score"}
    assert app.get("/founds?name=lion&_count").json == {"data": 2}
    (few,) = app.get("/founds?name=lion&_limit=1&_fields=name").json["data"]
    assert set(few) == {"name", "_type"}


def test_values_are_as_the_primary_shows_them(app):
    """dates, times, intervals, decimals"""
    import datetime
    from decimal import Decimal

    from tests.apps.every_field.models import Item

    Item(
        id=40,
        name="Clockwork",
        day=datetime.date(2015, 3, 1),
        moment=datetime.datetime(2015, 3, 1, 12, 30, 5),
        clock=datetime.time(23, 5, 9),
        span=datetime.timedelta(seconds=90),
        price=Decimal("12.5"),
    ).save()
    transaction.commit()
    try:
        (item,) = app.get("/founds?name=clockwork").json["data"]
        values = {name: item[name] for name in ("day", "moment", "clock", "span", "price")}
        assert values == {
            "day": "2015-03-01T00:00:00Z",
            "moment": "2015-03-01T12:30:05Z",
            "clock": "23:05:09",
            "span": 90,
            "price": 12.5,
        }
        plain = app.get("/items?id=40&_search=false").json["data"][0]
        assert {name: item[name] for name in plain} == {**plain, "_self": item["_self"]}
    finally:
        app.delete("/items/40")


def test_errors(app):
    """errors"""
    for path, status in (("/founds?nope=1", 400), ("/founds?q=%28", 400), ("/items/99", 404)):
        body = app.get(path, status=status).json
        assert {
            "status_code",
            "explanation",
            "message",
            "title",
            "timestamp",
            "request_url",
        } <= set(body)
        assert body["status_code"] == status
        assert body["request_url"].endswith(path)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=lion AND king", [1]),
        ("name=lion OR tiger", [1, 2, 3]),
        ("name=(lion) AND (!king)", [3]),
        ("name=lion -king", [3]),
        ("name=NOT lion", [2]),
        ("name=tigar~", [2]),
        ("name=lion king", [1]),
        ('name="lion king"', [1]),
        ('name="king lion"', []),
        ('q="king size"', [3]),
        ("q=king -size", [1, 2]),
        ("count=[2 TO *]", [1, 3]),
        ('count="-1"', [2]),
        ("keeper.name=ann", [1, 2]),
        ("q=keeper.name:bob", [3]),
        ("q=keeper.name:ann AND king -tiger", [1]),
        ("keeper=bob", [3]),
        ("name=_all&kind=red", [1, 3]),
    ],
)
def test_values_are_lucene_syntax(app, query, expected):
    """Lucene syntax"""
    assert ids_of(app, f"/founds?{query}") == expected
    assert ids_of(app, f"/items?_search=true&{query}") == expected


def test_nested_filters_of_requests_that_write(app):
    """Lucene syntax"""
    # nefertari makes {"keeper": {"name": "bob"}} of it there.
    app.patch_json("/items?keeper.name=bob", {"count": 77})
    try:
        assert ids_of(app, "/items?count=77") == [3]
    finally:
        app.patch_json("/items/3", {"count": 2})


def test_fields_with_relationships(app):
    """``_fields`` with relationships"""
    for engine in ("", "&_search=false"):
        (lion, *_), total = collection(app, f"/items?_fields=keeper,tags&_sort=id{engine}")
        assert total == len(ITEMS)
        assert lion["keeper"]["name"] == "Ann" and lion["tags"] == [] and lion["_pk"] == 1
        (ann, bob), total = collection(app, f"/keepers?_fields=-name&_sort=code{engine}")
        assert (sorted(ann["items"]), bob["items"], total) == ([1, 2], [3], 2)


def collection(app, request):
    body = app.get(request).json
    return body["data"], body["total"]


def test_a_model_that_renders_itself_is_searched_if_it_is_trusted(app):
    """models with their own ``to_dict``"""
    app.post_json("/customs", {"first": "Ada", "last": "Lovelace"})
    assert app.get("/customs?q=lovelace").json["data"][0]["full_name"] == "Ada Lovelace"
    hooks = search_of(app).mirrors.get("Custom").hooks
    trusted, hooks.trusted = hooks.trusted, frozenset()
    try:
        answer = app.get("/customs?q=lovelace", status=503)
        assert answer.headers["X-Search-Engine"] == "none; reason=custom-to-dict"
        assert app.get("/customs").json["data"][0]["full_name"] == "Ada Lovelace"
    finally:
        hooks.trusted = trusted


# Views


def test_get_collection_es(app):
    """``get_collection_es()``"""
    from nefertari.view import BaseView

    from tests.apps.every_field.views import FoundView

    class Mine(FoundView):
        """As Ramses and nefertari-guards override it."""

        def get_collection_es(self):
            self._query_params["kind"] = "red"
            return super().get_collection_es()

    assert BaseView.get_collection_es is FoundView.get_collection_es
    request = pyramid_request(app)
    view = Mine(None, request)
    view._query_params["name"] = "lion OR tiger"
    assert sorted(each.id for each in view.get_collection_es()) == [1, 3]


def pyramid_request(app):
    from pyramid.request import Request

    request = Request.blank("/founds")
    request.registry = app.app.registry
    return request


def test_the_flag_sends_a_search_view_to_the_primary(app):
    """``get_collection_es()``"""
    plain = app.get("/founds?name=Tiger&_search=false")
    assert plain.headers["X-Search-Engine"] == "primary; reason=search-false"
    assert [each["id"] for each in plain.json["data"]] == [2]
    assert app.get("/founds?name=tiger&_search=false").json["data"] == []
