"""The requests of nefertari's own documentation: each is sent, and finds what it says.

They are those of its page on requests, and of the two pages of Elasticsearch that it refers to:
the syntax of query strings, and date arithmetic. Names of fields are those of the zoo.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import transaction
from webtest import TestApp

from tests.compat.test_requests import TWEENS
from tests.support.apps import zoo

pytestmark = pytest.mark.every_backend

NOW = datetime.datetime.utcnow().replace(microsecond=0)
HOUR = datetime.timedelta(hours=1)
ITEMS: list[dict[str, Any]] = [
    {
        "id": 1,
        "name": "quick brown fox",
        "story": "John Smith",
        "kind": "red",
        "count": 5,
        "moment": datetime.datetime(2012, 6, 30, 12),
        "words": ["alpha", "beta"],
        "prose": "the quick brown fox jumps",
    },
    {
        "id": 2,
        "name": "quick news",
        "story": "Jon Smythe",
        "kind": "green",
        "count": 10,
        "moment": datetime.datetime(2015, 3, 1),
        "words": ["omega"],
    },
    {"id": 3, "name": "brown fox news", "kind": "red", "count": 20, "moment": NOW - 2 * HOUR},
    {"id": 4, "name": "slow (1+1)=2", "count": 1, "moment": NOW + 48 * HOUR},
]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{
            "pyramid.includes": "",
            "pyramid.tweens": TWEENS,
            "enable_get_tunneling": "true",
            "elasticsearch.enable_refresh_query": "true",
            "elasticsearch.enable_aggregations": "true",
            "nefertari_search.allow_regular_expressions": "true",
        },
    )
    from tests.apps.every_field.models import Item

    app.post_json("/keepers", {"code": "ann", "name": "Alice"})
    for item in ITEMS:
        Item(**item, keeper_code="ann" if item["id"] < 3 else None).save()
    transaction.commit()
    yield app
    transaction.abort()


def ids_of(app: TestApp, path: str) -> list[int]:
    return sorted(each["id"] for each in app.get(path).json["data"])


SYNTAX: dict[str, list[int]] = {
    # of nefertari
    "name=fox AND brown": [1, 3],
    "name=(!fox)": [2, 4],
    "q=fox": [1, 3],
    "q=fox&_search_fields=prose": [1],
    "q=fox&_search_fields=prose,name": [1, 3],
    "_missing_=prose": [2, 3, 4],
    "name=quikc~": [1, 2],
    "moment=[2015-01-01 TO *]": [2, 3, 4],
    "_limit=2&_sort=id": [1, 2],
    "_limit=2&_sort=-id": [3, 4],
    "_sort=id&_start=3": [4],
    "_sort=id&_limit=3&_page=1": [4],
    # names of fields
    "q=kind:red": [1, 3],
    "q=name:(slow OR news)": [2, 3, 4],
    "q=name:(slow news)": [],
    'q=story:"John Smith"': [1],
    "q=keeper.name:Alice": [1, 2],
    "q=_exists_:story": [1, 2],
    "q=_missing_:story": [3, 4],
    "q=NOT _exists_:keeper.name": [3, 4],
    "q=_exists_:(story AND prose)": [1],
    "_exists_=words": [1, 2],
    # wildcards, regular expressions, fuzziness, proximity
    "q=qu?ck bro*": [1, 2, 3],
    "q=story:/joh?n/": [1, 2],
    "q=story:/smyth?e/ AND story:/joh?n(ath[oa]n)?/": [2],
    "q=quikc~ brwn~ foks~": [1, 2, 3],
    "q=name:quikc~1": [1, 2],
    'q="fox quick"~5': [1],
    # ranges
    "q=moment:[2012-01-01 TO 2012-12-31]": [1],
    "q=count:[1 TO 5]": [1, 4],
    "q=words:{alpha TO omega}": [1],
    "q=count:[10 TO *]": [2, 3],
    "q=moment:{* TO 2012-01-01}": [],
    "q=moment:{* TO 2013-01-01}": [1],
    "q=count:[1 TO 5}": [4],
    "q=count:>10": [3],
    "q=count:>=10": [2, 3],
    "q=count:<10": [1, 4],
    "q=count:<=10": [1, 2, 4],
    "q=count:(>=10 AND <20)": [2],
    "q=count:(+>=10 +<20)": [2],
    # boosts, operators, groups
    "q=quick^2 fox": [1, 2, 3],
    'q="john smith"^2 (slow news)^4': [1, 2, 3, 4],
    "q=quick brown +fox -news": [1],
    "q=((quick AND fox) OR (brown AND fox) OR fox) AND NOT news": [1],
    "q=(quick OR brown) AND fox": [1, 3],
    "q=kind:(red OR green) name:(full text search)^2": [1, 2, 3],
    "q=quick && !news": [1],
    "q=slow || jumps": [1, 4],
    # reserved characters
    r"q=name:\(1\+1\)\=2": [4],
    r"q=news\!": [2, 3],
    # dates
    "moment=2012-06-30T14:00:00+02:00": [1],
    "moment=[2012-06-30T09:00:00-05:00 TO 2015-03-01T01:00:00+01:00]": [2],
    "moment=[now-1d TO now]": [3],
    "q=moment:[now-1d/d TO now+1h]": [3],
    "q=moment:{now TO now+3d/d]": [4],
    "moment=2012-06-01||+1M-1d": [],
    "moment=2012-06-01||+1M-1d/d": [1],
    "moment=2015-01-01||/y": [2],
    "moment=[2012-05-31||+1M/d TO 2015-03-01||+1h+1m]": [1, 2],
    "q=moment:>now+1h": [4],
}


@pytest.mark.parametrize("query", SYNTAX)
@pytest.mark.parametrize("path", ["/founds?", "/items?_search=true&"])
def test_a_documented_search(app: TestApp, path: str, query: str) -> None:
    name, _, value = query.partition("=")
    value, more, rest = value.partition("&_")
    url = f"{path}{name}={quote(value)}{more}{rest}"
    response = app.get(url)
    assert sorted(each["id"] for each in response.json["data"]) == SYNTAX[query]
    assert response.headers["X-Search-Engine"] == "mirror"


def test_presence_needs_no_flag(app: TestApp) -> None:
    """No database knows these parameters."""
    assert ids_of(app, "/items?_missing_=prose") == [2, 3, 4]
    assert ids_of(app, "/items?_exists_=prose&kind=red") == [1]
    assert app.get("/items?_missing_=prose&_count").json == {"data": 3}
    app.get("/items?_missing_=prose&_search=false", status=400)


def test_fields(app: TestApp) -> None:
    (item,) = app.get("/founds?name=jumps OR brown&q=jumps&_fields=name,kind").json["data"]
    assert set(item) == {"name", "kind", "_type"}
    (item,) = app.get("/founds?q=jumps&_fields=-prose").json["data"]
    assert "prose" not in item and item["name"] == "quick brown fox"


@pytest.mark.parametrize("root", ["_aggregations", "_aggs"])
def test_aggregations(app: TestApp, root: str) -> None:
    buckets = app.get(f"/founds?{root}.my_agg.terms.field=kind").json["my_agg"]["buckets"]
    assert [(each["key"], each["doc_count"]) for each in buckets] == [("red", 2), ("green", 1)]
    filtered = app.get(f"/founds?{root}.a.value_count.field=kind&_missing_=prose").json
    assert filtered["a"]["value"] == 2
    query = "filter.query_string.query=_exists_:prose AND kind:red"
    assert app.get(f"/founds?{root}.a.{query}").json["a"]["doc_count"] == 1
    bounds = "date_range.field=moment"
    ranges = f"{root}.a.date_range.ranges.0.from=now-1d%2Fd"
    (bucket,) = app.get(f"/founds?{root}.a.{bounds}&{ranges}").json["a"]["buckets"]
    assert bucket["doc_count"] == 2


def test_writes_to_what_a_search_finds(app: TestApp) -> None:
    app.post_json("/items?_refresh_index=true", {"id": 20, "name": "mule", "word": "x"})
    app.post_json("/items?_refresh_index=true", {"id": 21, "name": "mule"})
    app.patch_json("/items?q=mule&_refresh_index=true", {"owner": "ann"})
    assert ids_of(app, "/founds?owner=ann") == [20, 21]
    assert app.delete("/items?_missing_=word&owner=ann").json["message"].startswith("Deleted 1")
    assert ids_of(app, "/founds?owner=ann") == [20]
    app.get("/items?_m=DELETE&_exists_=owner")
    assert ids_of(app, "/items") == [1, 2, 3, 4]


def test_items_of_list_fields(app: TestApp) -> None:
    app.post_json("/items", {"id": 30, "words": ["a", "b"]})
    try:
        for words, expected in ((["-a"], ["b"]), (["c", "-b"], ["c"]), ("", []), (None, [])):
            app.patch_json("/items/30", {"words": words})
            assert sorted(app.get("/items/30").json["words"] or []) == expected
            more = "".join(f"&words={each}" for each in expected) or "&_missing_=words"
            assert ids_of(app, f"/founds?id=30{more}") == [30]
    finally:
        app.delete("/items/30")
