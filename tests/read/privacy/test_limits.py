"""``public_max_limit`` bounds the documents of an answer, wherever in it they are."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

LIMIT = 2
TOP_HITS = "_aggs.a.top_hits.size=100"
IN_BUCKETS = "_aggs.a.terms.field=_pk&_aggs.a.aggs.b.top_hits.size=100"
AGGREGATIONS = (
    TOP_HITS,
    f"{TOP_HITS}&_aggs.b.top_hits.size=100",
    IN_BUCKETS,
    f"{TOP_HITS}&{IN_BUCKETS.replace('_aggs.a', '_aggs.c')}",
    f"{TOP_HITS}&_aggs.a.top_hits.from=1",
    f"{TOP_HITS.replace('100', '90')}&_aggs.a.top_hits.from=5",
    "_aggs.a.filters.filters.x.match_all=&_aggs.a.filters.filters.y.match_all=",
    "_aggs.a.global=&_aggs.a.aggs.b.top_hits.size=100",
    f"_aggs.a.global=&{IN_BUCKETS.replace('_aggs.a', '_aggs.a.aggs.b')}",
    "_aggs.a.top_metrics.metrics.0.field=title&_aggs.a.top_metrics.sort=id"
    "&_aggs.a.top_metrics.size=9",
)


def documents_in(value):
    """Return the number of documents in a result, and the largest total of documents."""
    if isinstance(value, list):
        parts = [documents_in(each) for each in value]
    elif isinstance(value, dict):
        parts = [documents_in(each) for each in value.values()]
        if isinstance(value.get("hits"), list):
            parts.append((len(value["hits"]), value.get("total", {}).get("value", 0)))
        if isinstance(value.get("top"), list):
            parts.append((len(value["top"]), 0))
    else:
        parts = []
    return sum(count for count, _ in parts), max([total for _, total in parts], default=0)


@pytest.mark.thorough
def test_documents_in_aggregations(club):
    try:
        club.start(public_max_limit=str(LIMIT))
        documents = 0
        for collection in ("/stories", "/members,stories", "/found_stories"):
            for aggregation in AGGREGATIONS:
                answer = club.ask(f"{collection}?{aggregation}")
                if answer.status != 200:
                    # Not every type exists for several collections and on every backend.
                    assert answer.status == 400, (aggregation, answer.text)
                    continue
                count, total = documents_in(answer.json)
                assert count <= LIMIT and total <= LIMIT, (collection, aggregation, answer.text)
                documents += count
        assert documents > 10
        many = club.ask(f"/stories?{TOP_HITS}", "ann").json
        assert documents_in(many) == (6, 6)
    finally:
        club.start()


@pytest.mark.parametrize("accept", [None, "application/json", "text/plain", "text/html"])
def test_collections_and_counts(club, accept):
    headers = {} if accept is None else {"Accept": accept}
    try:
        club.start(public_max_limit=str(LIMIT))
        for collection in ("/stories?", "/stories?_search=false&", "/found_stories?"):
            data = json.loads(club.ask(f"{collection}_limit=9", **headers).text)
            assert len(data["data"]) == data["total"] == LIMIT
            assert json.loads(club.ask(f"{collection}_count", **headers).text) == {"data": LIMIT}
    finally:
        club.start()


def test_no_walk_goes_past_the_limit(club):
    try:
        club.start(public_max_limit=str(LIMIT))
        for collection in ("/stories", "/members,stories"):
            walk = f"{collection}?_after=start&_limit=1"
            anonymous = club.ask(walk)
            assert anonymous.status == 400 and "'_after'" in anonymous.text
            assert "next" in club.ask(walk, "ann").json
    finally:
        club.start()


def test_a_cursor_has_no_hidden_value(club):
    """The view sorts by a field that is hidden from members."""
    walk = "/found_stories?_after=start&_limit=1"
    response = club.ask(walk, "ann")
    assert response.status == 400 and "'_after'" in response.text
    assert "shelf" not in response.text
    assert "next" in club.ask(f"{walk}&_sort=id", "ann").json
    assert "next" in club.ask(walk, "eve").json
