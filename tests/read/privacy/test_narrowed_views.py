"""A view that narrows its collection stays narrow: in every way of narrowing, on every path.

Each collection of tests/apps/narrowed is narrowed to what its caller owns, in a way of its own.
Some owners have names that are query syntax. What aggregations tell is compared with what they
tell when nobody else's objects exist.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween import QueryText
from nefertari_search_tween.exceptions import SearchRejected
from nefertari_search_tween.search.aggregations.types import KINDS, PIPELINE
from nefertari_search_tween.search.query.visibility import WITHIN_BUCKET, require_visible
from tests.apps.narrowed.objects import OWNERS, fill
from tests.support import apps
from tests.support.reference_aggregations import request as request_of
from tests.support.tiers import backend_kind

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.narrowed(primary_url, backend_url, module_prefix)
    fill()
    transaction.commit()
    yield app
    apps.forget_sessions()


def get(app: TestApp, url: str, who: str = "bob") -> Any:
    return app.get(url, extra_environ={"REMOTE_USER": who}, expect_errors=True)


def owners(response: Any) -> list[str]:
    assert response.status_int == 200, response.text
    return sorted({each["owner"] for each in response.json["data"]})


#: name of the way -> the parameters that its caller must give, by the caller's name
GIVEN: dict[str, dict[str, str]] = {
    **{way: {} for way in ("parameter", "list", "tuple", "class", "body", "body_and_parameter")},
    **{way: {} for way in ("subclass", "forgetful", "nested", "keys", "outer")},
    "other_name": {"who": ""},
    "name_list": {"who": ""},
    "changed": {"owner": ""},
    "model": {"_search": "true"},
    "model_other_name": {"who": "", "_search": "true"},
}
WAYS = sorted(GIVEN)
#: what else the caller may write
ATTACKS: list[dict[str, str]] = [
    {},
    {"_search": "true"},
    {"owner": "*"},
    {"owner": "_all"},
    {"q": "common"},
    {"q": "title1000 OR common"},
    {"prose": "common OR *"},
    {"_exists_": "owner"},
    {"_missing_": "lent OR owner"},
    {"_missing_": "owner) OR (title:*"},
    {"_sort": "-year", "_limit": "50"},
    {"body": '{"query": {"match_all": {}}}'},
    {"_raw_terms": "*"},
]


def url(way: str, who: str, **more: str) -> str:
    required = {name: value or who for name, value in GIVEN[way].items()}
    return f"/{way}s?{urlencode({'_limit': '50', **more, **required})}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", OWNERS)
def test_a_value_of_the_views_means_itself(who: str, way: str, app: TestApp):
    response = get(app, url(way, who), who)
    assert owners(response) == [who]
    assert (response.json["total"], response.json["count"]) == (3, 3)
    counted = get(app, url(way, who, _count=""), who)
    assert counted.json in (3, {"data": 3})


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_caller_adds_widens_it(way: str, app: TestApp):
    for attack, who in itertools.product(ATTACKS, ("bob", "*", "ann OR bob")):
        if set(attack) & set(GIVEN[way]):
            continue
        response = get(app, url(way, who, **attack), who)
        if response.status_int == 200:
            assert owners(response) in ([], [who]), attack
            assert response.json["total"] <= 3
        else:
            assert response.status_int == 400, response.text


def test_a_caller_who_types_their_own_name_gets_no_query_syntax(app: TestApp):
    """The value is equal to the typed one, but it is the view's."""
    for who in OWNERS:
        for way in ("parameter", "list", "class"):
            assert owners(get(app, url(way, who, owner=who), who)) == [who]


def test_what_the_caller_types_is_query_syntax(app: TestApp):
    response = get(app, "/opens?owner=ann OR bob&_limit=50")
    assert set(owners(response)) >= {"ann", "bob", "ann OR bob"}
    assert owners(get(app, "/parameters?title=title1010 OR title1011 OR title1000")) == ["bob"]
    assert get(app, "/parameters?title=title1010 OR title1011").json["total"] == 2
    assert get(app, "/parameters?title=_all").json["total"] == 3


def test_a_part_of_the_path_means_itself(app: TestApp):
    for who in OWNERS:
        if "/" not in who:
            assert owners(get(app, f"/owners/{quote(who)}/paths")) == [who]


@pytest.mark.parametrize("way", ["marked", "query"])
def test_what_the_view_looks_for_is_not_highlighted(way: str, app: TestApp):
    for more in ("", "&title=title1010"):
        items = get(app, f"/{way}s?_search=true&_highlight=true{more}").json["data"]
        assert items
        assert [item["_highlight"].get("prose") for item in items] == [None] * len(items)
        assert not more or items[0]["_highlight"]["title"] == ["<em>title1010</em>"]


@pytest.mark.parametrize("way", ["marked", "query"])
def test_a_view_can_mark_query_syntax(way: str, app: TestApp):
    assert owners(get(app, f"/{way}s?_limit=50")) == ["bob"]
    tree = {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "owner"}}}}}
    response = get(app, request_of(f"/{way}s", tree, q="nothing"))
    assert [each["key"] for each in response.json["g"]["t"]["buckets"]] == ["bob"]


def test_the_name_of_everything_is_refused_where_the_database_answers(app: TestApp):
    """nefertari's engines take the value ``_all`` for no filter."""
    assert owners(get(app, "/models", "bob")) == ["bob"]
    response = get(app, "/models", "_all")
    assert response.status_int == 400
    assert response.json["message"] == (
        "Bad parameter 'owner': the view of this collection filters it by the value '_all', "
        "which means no filter"
    )
    assert get(app, "/models?_search=false", "_all").status_int == 400


def test_one_document_and_counts(app: TestApp):
    from pyramid_sqlalchemy import Session

    from tests.apps.narrowed.models import Volume

    for who in OWNERS:
        keys = [row.id for row in Session().query(Volume).filter(Volume.owner == who)]
        others = [row.id for row in Session().query(Volume).filter(Volume.owner != who)]
        response = get(app, f"/items?key={keys[0]}", who)
        assert [each["owner"] for each in response.json["data"]] == [who]
        assert get(app, f"/items?key={others[0]}", who).status_int == 404
        assert get(app, "/counts", who).json["data"][0]["n"] == 3
        assert owners(get(app, "/seconds", who)) == [who]
    transaction.abort()


def test_several_collections(app: TestApp):
    for who in OWNERS:
        response = get(app, "/pairs?_limit=50", who)
        assert owners(response) == [who]
        assert response.json["total"] == 5
        # Another query of the documents than of the page: a deep one.
        assert owners(get(app, "/pairs?_limit=120&_sort=title", who)) == [who]
        tree = {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "owner"}}}}}
        result = get(app, request_of("/pairs", tree, q="nothing"), who).json["g"]
        assert result["doc_count"] == 5
        assert [each["key"] for each in result["t"]["buckets"]] == [who]


def test_only_what_the_view_shows_is_changed(app: TestApp):
    for who in ("*", "ann OR bob"):
        response = app.patch_json(
            f"/parameters?{urlencode({'owner': who})}",
            {"lent": True},
            extra_environ={"REMOTE_USER": who},
        )
        assert "3" in response.text
    response = get(app, "/opens?lent=true&_limit=50").json["data"]
    assert sum(each["owner"] in ("*", "ann OR bob") for each in response) == 6
    assert len(response) == 6 + len(OWNERS) - 2


# Values of all kinds


#: conditions of a view, and the years of the volumes that meet them
VALUES: list[tuple[dict[str, Any], list[int]]] = [
    ({"year": 1010}, [1010]),
    ({"year": "1010"}, [1010]),
    ({"year": [1010, "1011", 7]}, [1010, 1011]),
    ({"year": {1010}}, [1010]),
    ({"year": []}, []),
    ({"weight": 1010 / 8}, [1010]),
    ({"price": decimal.Decimal("252.50")}, [1010]),
    ({"price": "252.5"}, [1010]),
    ({"price": 253}, [1012]),
    ({"bought": datetime.date(1010, 1, 1)}, [1010]),
    ({"bought": "1010-01-01"}, [1010]),
    ({"bought": "1010-01-01T00:00:00Z"}, [1010]),
    ({"due": datetime.datetime(1010, 1, 1, 12, 30, 0, 5)}, [1010]),
    ({"due": datetime.datetime(1010, 1, 1, 12, 30)}, []),
    ({"due": "1010-01-01 12:30:00.000005"}, [1010]),
    ({"title": "title1010"}, [1010]),
    ({"title": "Title1010"}, []),
    ({"title": "title"}, []),
    ({"title": None}, []),
    ({"tags": "tag1010"}, [1010]),
    ({"tags": ["tag1010", "tag1012"]}, [1010, 1012]),
    ({"writer.name": "writer of bob"}, [1010, 1011, 1012]),
    ({"writer.name": "writer"}, []),
    ({"title": QueryText("title1010 OR title1012")}, [1010, 1012]),
    ({"title": [QueryText("title1010*"), "title1011"]}, [1010, 1011]),
    ({"_type": "Volume OR Leaflet"}, []),
    ({"_pk": "* OR 1"}, []),
    ({"price": "1e400"}, []),
]
REFUSED: list[dict[str, Any]] = [
    {"year": "[1 TO 3000]"},
    {"year": "*"},
    {"year": 1010.5},
    {"year": {"gte": 1}},
    {"price": "*"},
    {"price": "NaN"},
    {"lent": "maybe"},
    {"bought": "1010"},
    {"bought": "[* TO *]"},
    {"due": "1010"},
    {"due": 5},
    {"extra": "x"},
    {"nothing": "x"},
    {"title": "x" * 9000},
    {"title": b"title1010"},
    {"writer.name": None},
]


@pytest.fixture
def conditions(monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.apps.narrowed.views import ValueView

    return lambda value: monkeypatch.setattr(ValueView, "conditions", value)


@pytest.mark.parametrize(("value", "years"), VALUES, ids=str)
def test_a_value_of_any_kind(value: dict, years: list[int], conditions: Any, app: TestApp):
    conditions(value)
    bobs = [1010, 1011, 1012]
    for more in ({}, dict.fromkeys(value, "*")):
        response = get(app, f"/values?{urlencode({'_limit': '50', **more})}")
        assert response.status_int == 200, response.text
        assert (
            sorted(each["year"] for each in response.json["data"] if each["year"] in bobs) == years
        )
        assert len(response.json["data"]) == len(years)


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: str(value)[:40])
def test_what_can_not_be_exact_is_an_error(value: dict, conditions: Any, app: TestApp):
    conditions(value)
    response = get(app, "/values")
    assert response.status_int == 400
    assert response.json["message"].startswith(f"Bad parameter '{next(iter(value))}")


# Aggregations

TERMS = {"terms": {"field": "title"}}
FILTER = {"range": {"year": {"gte": "1"}}}
#: one aggregation of each type, over fields that differ from owner to owner
TREES: dict[str, Any] = {
    **{
        name: {name: {"field": "year"}}
        for name in ("avg", "sum", "min", "max", "stats", "extended_stats", "value_count")
    },
    **{
        name: {name: {"field": "year"}}
        for name in ("median_absolute_deviation", "cardinality", "percentiles", "boxplot")
    },
    "percentile_ranks": {"percentile_ranks": {"field": "year", "values": [1011]}},
    "weighted_avg": {"weighted_avg": {"value": {"field": "year"}, "weight": {"field": "weight"}}},
    "string_stats": {"string_stats": {"field": "title"}},
    "matrix_stats": {"matrix_stats": {"fields": ["year", "weight"]}},
    "top_metrics": {"top_metrics": {"metrics": [{"field": "year"}], "sort": "-year"}},
    "top_hits": {"top_hits": {"size": 50}},
    "filter": {"filter": FILTER},
    "filters": {"filters": {"filters": {"a": FILTER}, "other_bucket": True}},
    "adjacency_matrix": {"adjacency_matrix": {"filters": {"a": FILTER, "b": {"match_all": {}}}}},
    "missing": {"missing": {"field": "extra_year"}},
    "sampler": {"sampler": {}, "aggs": {"t": TERMS}},
    "diversified_sampler": {"diversified_sampler": {"field": "title"}, "aggs": {"t": TERMS}},
    "random_sampler": {"random_sampler": {"probability": 1, "seed": 1}, "aggs": {"t": TERMS}},
    "nested": {"nested": {"path": "writer"}, "aggs": {"t": {"terms": {"field": "writer.name"}}}},
    "reverse_nested": {
        "nested": {"path": "writer"},
        "aggs": {"r": {"reverse_nested": {}, "aggs": {"t": TERMS, "h": {"top_hits": {}}}}},
    },
    "terms": {**TERMS, "aggs": {"h": {"top_hits": {}}}},
    "multi_terms": {"multi_terms": {"terms": [{"field": "title"}, {"field": "owner"}]}},
    "rare_terms": {"rare_terms": {"field": "title"}},
    **{
        name: {name: {"field": "prose" if "text" in name else "owner", "min_doc_count": 1}}
        for name in ("significant_terms", "significant_text")
    },
    "range": {"range": {"field": "year", "ranges": [{"from": 1000, "to": 1011}]}},
    "date_range": {"date_range": {"field": "bought", "ranges": [{"from": "1000-01-01"}]}},
    "histogram": {"histogram": {"field": "year", "interval": 10}},
    "date_histogram": {"date_histogram": {"field": "bought", "calendar_interval": "year"}},
    "auto_date_histogram": {"auto_date_histogram": {"field": "bought"}},
    "variable_width_histogram": {"variable_width_histogram": {"field": "year"}},
    "composite": {"composite": {"sources": [{"t": {"terms": {"field": "title"}}}]}},
    "rate": {
        "date_histogram": {"field": "bought", "calendar_interval": "year"},
        "aggs": {"r": {"rate": {"unit": "year", "field": "year"}}},
    },
}
TREES["missing"] = {"missing": {"field": "title"}}
PLAIN = {name: {"a": tree} for name, tree in TREES.items()}
MATCH_ALL = {"match_all": {}}


def nestings(tree: dict[str, Any]) -> dict[str, Any]:
    """The aggregation *tree* in what may lead it out of the view's collection."""
    return {
        "alone": tree,
        "in global": {"g": {"global": {}, "aggs": tree}},
        "in a filter in global": {
            "g": {"global": {}, "aggs": {"f": {"filter": MATCH_ALL, "aggs": tree}}}
        },
        "in terms in global": {
            "g": {"global": {}, "aggs": {"o": {"terms": {"field": "owner"}, "aggs": tree}}}
        },
        "in filters in global": {
            "g": {
                "global": {},
                "aggs": {"f": {"filters": {"filters": {"all": MATCH_ALL}}, "aggs": tree}},
            }
        },
    }


AGGREGATED = ("parameter", "other_name", "class", "model", "body_and_parameter", "subclass")
AGGREGATED += ("forgetful", "nested", "marked", "query", "outer", "pair", "open")
#: of which everything is asked; all others build the same request
IN_FULL = {"parameter", "pair", "open"}
TELLING = {"value_count", "terms", "top_hits", "significant_terms"}
#: needs a parent of its own; on servers others need the top level, or one bucket around them
ALONE = {"rate"}
if backend_kind() != "embedded":
    ALONE |= {"random_sampler", "variable_width_histogram", "composite"}
#: the request matches less than the view shows: what escapes it shows more
NARROWER = {"title": "title1010"}


def answers_of(app: TestApp) -> dict[tuple[str, str, str], Any]:
    """All answers about aggregations, without times."""
    answers = {}
    for way, (kind, plain) in itertools.product(AGGREGATED, PLAIN.items()):
        if way not in IN_FULL and kind not in TELLING:
            continue
        required = {name: value or "bob" for name, value in GIVEN.get(way, {}).items()}
        for nesting, tree in nestings(plain).items():
            response = get(app, request_of(f"/{way}s", tree, **{**NARROWER, **required}))
            body = response.json
            if response.status_int == 400:
                body = {"message": body["message"]}
            assert response.status_int in (200, 400), response.text
            text = json.dumps(body, sort_keys=True)
            # Scores weigh words by how rare they are in all objects.
            answers[way, kind, nesting] = re.sub(r'"(_score|max_score)": [^,}]+', "", text)
    return answers


def test_every_type_is_asked_for():
    assert set(TREES) == {name for name in KINDS if KINDS[name].category != PIPELINE} - {"global"}


def test_every_type_is_known_to_the_proof():
    """An aggregation that joins the table must join the proof, with its argument."""
    assert set(KINDS) - {"global"} == set(WITHIN_BUCKET)


@pytest.mark.thorough
def test_aggregations_tell_nothing_of_what_the_view_does_not_show(app: TestApp):
    """This test comes last: it deletes all that bob does not own."""
    before = answers_of(app)
    refused = {key: body for key, body in before.items() if "message" in body}
    # Server versions lack types; but what works alone works in a global, hits without a sort, too.
    assert [
        (way, kind, nesting, body["message"])
        for (way, kind, nesting), body in refused.items()
        if (way, kind, "alone") not in refused and kind not in ALONE
    ] == []
    lacking = {kind for _, kind, _ in refused}
    assert not lacking & {"top_hits", "terms", "nested", "filters", "value_count"}
    from tests.apps.narrowed.models import Leaflet, Volume

    for model in (Volume, Leaflet):
        others = model.get_collection(_query_secondary=False).filter(model.owner != "bob")
        model._delete_many(others)
    transaction.commit()
    after = answers_of(app)
    changed = [key for key in before if before[key] != after[key]]
    assert [key for key in changed if key[0] != "open"] == []
    # A view that is not narrowed tells it: the questions would.
    kinds = {kind for way, kind, nesting in changed if nesting != "alone"}
    assert kinds >= {*TELLING, "composite", "nested", "histogram"} - lacking


# The proof itself

CONDITION = {"term": {"owner.keyword": "bob"}}
BELOW = {"bool": {"filter": [CONDITION]}}
SHOWN: list[dict[str, Any]] = [
    {"query": BELOW},
    {"query": {"bool": {"must": [BELOW, {"match_all": {}}]}}},
    {"query": {"bool": {"must": BELOW}}},
    {"query": {"match_none": {}}},
    {"query": {"bool": {"should": [BELOW, CONDITION], "minimum_should_match": 1}}},
    {"query": BELOW, "aggs": {"t": {"terms": {"field": "title"}}}},
    {"query": BELOW, "aggs": {"g": {"global": {}, "aggs": {"g": {"filter": BELOW}}}}},
    {"query": BELOW, "aggs": {"s": {"significant_terms": {"background_filter": BELOW}}}},
]
ESCAPES: list[dict[str, Any]] = [
    {},
    {"query": {"match_all": {}}},
    {"query": {"bool": {"should": [BELOW]}}},
    {"query": {"bool": {"should": [BELOW, {"match_all": {}}], "minimum_should_match": 1}}},
    {"query": {"bool": {"must_not": [BELOW]}}},
    {"query": {"nested": {"path": "writer", "query": CONDITION}}},
    {"query": BELOW, "suggest": {"s": {}}},
    {"query": BELOW, "knn": {}},
    {"query": BELOW, "aggs": {"g": {"global": {}}}},
    {"query": BELOW, "aggs": {"g": {"global": {}, "aggs": {"t": TERMS}}}},
    {
        "query": BELOW,
        "aggs": {"g": {"global": {}, "aggs": {"f": {"filter": BELOW}, "t": TERMS}}},
    },
    {"query": BELOW, "aggs": {"c": {"children": {"type": "x"}}}},
    {"query": BELOW, "aggs": {"n": {"filter": BELOW, "aggs": {"x": {"unheard_of": {}}}}}},
    {"query": BELOW, "aggregations": {"s": {"significant_terms": {"field": "title"}}}},
    {"query": BELOW, "aggs": {"t": {"terms": {"field": "title", "min_doc_count": 0}}}},
]


@pytest.mark.parametrize("body", SHOWN, ids=str)
def test_what_is_below_the_conditions_is_proved(body: dict[str, Any]):
    require_visible([("a", body)], {"a": [CONDITION]})


@pytest.mark.parametrize("body", ESCAPES, ids=str)
def test_what_is_not_proved_is_not_sent(body: dict[str, Any]):
    with pytest.raises(SearchRejected):
        require_visible([("a", body)], {"a": [CONDITION]})
    require_visible([("a", body)], {"a": []})


def test_each_of_several_indices_has_its_own_conditions():
    of_a = {"bool": {"filter": [{"terms": {"_index": ["a"]}}, CONDITION]}}
    of_b = {"bool": {"filter": [{"terms": {"_index": ["b"]}}]}}
    query = {"bool": {"should": [of_a, of_b], "minimum_should_match": 1}}
    visible: dict[str, list[Any]] = {"a": [CONDITION], "b": []}
    require_visible([("a,b", {"query": query})], visible)
    for bad in (of_b, CONDITION, {"match_all": {}}):
        body = {"query": {"bool": {"should": [bad, of_a], "minimum_should_match": 1}}}
        with pytest.raises(SearchRejected):
            require_visible([("a,b", body)], {"a": [CONDITION], "b": [{"term": {"x": 1}}]})
