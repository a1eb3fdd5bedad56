"""Answers that are kept: the same as without a cache, whatever is written, whoever asks."""

from __future__ import annotations

import random

import pytest
import transaction
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.search import consistency
from nefertari_search_tween.search.query.search_request import SearchRequest
from tests.apps.every_field.content import WRITES, change_zoo, fill_zoo, values_of
from tests.support import apps
from tests.support.apps import search_of
from tests.support.caching import answer_of, cache_of, figures, plain, second_is_kept
from tests.support.compare_answers import Comparison
from tests.support.random_requests import Catalogue, drawn, paths_of
from tests.support.tiers import examples

EXAMPLES = examples(20)
STEPS = 15

SEARCHES = [
    "/items?q=quick",
    "/items?q=lion&_limit=3&_sort=-id",
    "/items?_search=true&name=lion OR l%C3%B6we&_limit=5",
    "/items?_search=true&_fields=name,keeper&_limit=4",
    "/items?q=a&_count",
    "/items?_search=true&_limit=0",
    "/items?_search=true",
    "/keepers?q=keeper&_sort=name",
    "/items?_aggs.kinds.terms.field=kind",
    "/items?q=lion&_aggs.most.max.field=count",
]


@pytest.fixture(scope="module")
def zoo(cache_place, tmp_path_factory, backend_url, module_prefix):
    name = "redis" if cache_place != "memory" else cache_place
    file = tmp_path_factory.mktemp(name) / "zoo.sqlite"
    app = apps.zoo(
        f"sqlite:///{file}",
        backend_url,
        f"{module_prefix}-{name}",
        **{
            "nefertari_search.cache": cache_place,
            "elasticsearch.enable_aggregations": "true",
        },
    )
    app.file = file
    fill_zoo(60)
    yield app
    apps.forget_sessions()


@pytest.mark.parametrize("path", ["/items?kind=red", "/items?_count", *SEARCHES])
def test_the_second_answer_is_kept(zoo, path):
    second_is_kept(zoo, path)


def test_all_of_a_collection_is_not_kept(zoo):
    """It is read in pieces, however large it is."""
    items = search_of(zoo).mirrors.get("Item")
    searcher, before = search_of(zoo).searcher, figures(zoo)
    for _ in range(2):
        results, _took = searcher.search([items], SearchRequest({"_sort": "id"}, searcher.settings))
        assert len(results) == results._nefertari_meta["total"] >= 60
    assert figures(zoo) == before


def test_what_is_read_to_be_changed_is_not_kept(zoo):
    items = search_of(zoo).mirrors.get("Item")
    searcher, before = search_of(zoo).searcher, figures(zoo)
    request = SearchRequest({"q": "lion", "_limit": 2}, searcher.settings, current=True)
    for _ in range(2):
        searcher.search([items], request)
    assert figures(zoo) == before


def test_documents_are_kept_by_their_keys(zoo):
    from nefertari_search_tween.compat.elasticsearch import ES

    keys = [row["_pk"] for row in zoo.get("/items?_limit=3&_sort=id").json["data"]]
    first = [dict(each.to_dict()) for each in ES("Item").get_by_ids(ids(keys))]
    hits, misses = figures(zoo)
    again = [dict(each.to_dict()) for each in ES("Item").get_by_ids(ids(keys))]
    assert again == first
    assert figures(zoo) == (hits + 3, misses)
    change("update", 1)
    assert figures(zoo) == (hits + 3, misses)
    ES("Item").get_by_ids(ids(keys))
    assert figures(zoo) == (hits + 3, misses + 3)


def ids(keys):
    return [{"_id": key, "_type": "Item"} for key in keys]


def change(kind, number):
    """A write of the zoo that is committed."""
    change_zoo(kind, number * 4 + 1)


@pytest.mark.parametrize("kind", WRITES)
def test_what_was_written_is_seen_at_once(zoo, kind):
    for path in SEARCHES:
        zoo.get(path)
    for number in range(3):
        change(kind, 20 + number)
        for path in SEARCHES:
            assert answer_of(zoo, path) == plain(zoo, path), path


def test_what_was_rolled_back_changes_nothing(zoo):
    before = answer_of(zoo, "/items?kind=red")
    hits, misses = figures(zoo)
    change_zoo("update", 8)
    change_zoo("create", 12)
    assert answer_of(zoo, "/items?kind=red") == before
    assert figures(zoo) == (hits + 1, misses)


# The random write test, with the cache on and off


@pytest.fixture(scope="module")
def catalogue(zoo):
    from tests.apps.every_field import models

    paths = paths_of({"/items": models.Item, "/keepers": models.Keeper}, values_of)
    transaction.abort()
    comparison = Comparison(zoo, frozenset({"items", "tags", "children"}), opaque="thing")
    return Catalogue(comparison, paths, ["0", "1", "3", "20", "abc"])


@pytest.mark.slow
@drawn(EXAMPLES)
@given(data=st.data())
def test_random_writes_and_reads(zoo, catalogue, data):
    """Transparent reads equal the primary's; searches, those without the cache. Each is asked
    twice: the second answer is a kept one unless something was written."""
    kind = data.draw(st.sampled_from([None, *WRITES]))
    if kind is not None:
        change_zoo(kind, data.draw(st.integers(0, 100_000)))
    for _ in range(STEPS):
        catalogue.step(data)
        path = data.draw(st.sampled_from(SEARCHES))
        expected = plain(zoo, path)
        assert answer_of(zoo, path) == expected
        assert answer_of(zoo, path) == expected


@pytest.mark.slow
def test_many_of_these_answers_were_kept(zoo, catalogue, record_property):
    hits, misses = figures(zoo)
    comparison = catalogue.comparison
    record_property(
        "compared", f"{comparison.report('zoo with a cache')}; {hits} answers kept, {misses} asked"
    )
    assert comparison.by_mirror > comparison.requests / 5
    assert hits > EXAMPLES * STEPS
    assert misses > EXAMPLES


# What an answer depends on besides the index


def test_an_answer_that_depends_on_the_time_is_not_kept(zoo):
    """Callers can't ask so; what subclasses of ES build, and aggregations of them, can."""
    mirror = search_of(zoo).mirrors.get("Item")
    for body in (
        {"query": {"range": {"moment": {"gte": "now-3s"}}}},
        {"query": {"query_string": {"query": "moment:[now-1d/d TO now]"}}},
        {"query": {"function_score": {"random_score": {}}}},
        {"query": {"script": {"script": {"source": "1 < 2"}}}},
        {"sort": [{"_script": {"type": "number"}}]},
    ):
        answers = [
            cache_of(zoo).get_or_search(
                [mirror], body, "1", lambda: {"hits": random.random(), "took": 1}
            )
            for _ in range(2)
        ]
        assert answers[0] != answers[1], body
    query = {"query": {"match": {"name": "snow knows nothing"}}}
    answers = [
        cache_of(zoo).get_or_search(
            [mirror], query, "1", lambda: {"hits": random.random(), "took": 0}
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_a_caller_may_change_the_answer(zoo):
    """What views and wrappers do to documents stays with their request."""
    cache = cache_of(zoo)
    mirror = search_of(zoo).mirrors.get("Item")
    asked_for = {"query": {"match_none": {}}, "size": 7}
    answer = cache.get_or_search(
        [mirror], asked_for, "1", lambda: {"hits": {"hits": [1]}, "took": 3}
    )
    answer["hits"]["hits"].append(2)
    cached = cache.get_or_search([mirror], asked_for, "1", lambda: {"hits": None})
    assert cached == {"hits": {"hits": [1]}, "took": 0}
    cached["hits"]["hits"].clear()
    assert cache.get_or_search([mirror], asked_for, "1", dict)["hits"] == {"hits": [1]}


def test_another_state_another_answer(zoo):
    cache = cache_of(zoo)
    items, keepers = (search_of(zoo).mirrors.get(name) for name in ("Item", "Keeper"))

    def answer(mirrors, body, version):
        return cache.get_or_search(
            mirrors, body, version, lambda: {"hits": random.random(), "took": 1}
        )

    body = {"query": {"term": {"_acl": "a"}}}
    first = answer([items], body, "1")["hits"]
    assert answer([items], body, "1")["hits"] == first
    assert answer([items], {"query": {"term": {"_acl": "b"}}}, "1")["hits"] != first
    assert answer([keepers], body, "1")["hits"] != first
    assert answer([items, keepers], body, "1 1")["hits"] != first
    assert answer([items], body, "2")["hits"] != first
    # It has taken the place of the old one.
    assert answer([items], body, "1")["hits"] != first
    unknown = answer([items], body, None)["hits"]
    assert answer([items], body, None)["hits"] != unknown


def test_an_old_version_of_the_application_has_answers_of_its_own(zoo, monkeypatch):
    mirror = search_of(zoo).mirrors.get("Item")
    body = {"query": {"match_none": {}}, "size": 8}
    cache_of(zoo).get_or_search([mirror], body, "1", lambda: {"hits": "new", "took": 1})
    monkeypatch.setattr(mirror, "fingerprint", "another")
    answer = cache_of(zoo).get_or_search([mirror], body, "1", lambda: {"hits": "old", "took": 1})
    assert answer["hits"] == "old"


# Changes that no claim tells of


def test_a_rebuild_makes_answers_old(zoo):
    """A row that was changed behind the package's back is in the new index: so it is seen."""
    from nefertari_search_tween.indexing.rebuild.rebuild import rebuild

    search = search_of(zoo)
    path = "/keepers?_search=true&_sort=name&_limit=1"
    before = zoo.get(path).json["data"][0]
    engine = create_engine(f"sqlite:///{zoo.file}")
    engine.execute("UPDATE zoo_keepers SET name = 'AAA first' WHERE code = ?", [before["_pk"]])
    assert zoo.get(path).json["data"][0] == before
    keepers = search.mirrors.get("Keeper")
    rebuild(search.mirrors, search.rebuild_locks, search.outbox, [keepers], 100)
    assert zoo.get(path).json["data"][0]["name"] == "AAA first"


# A change while a search runs


@pytest.fixture(params=["eventual", "read_your_writes"])
def overtaken(request, cache_place, tmp_path, backend_url, index_prefix, monkeypatch):
    """A zoo with one keeper, and what lets a change be indexed while its next search runs: after
    the backend has answered, before the answer is cached."""
    app = apps.zoo(
        f"sqlite:///{tmp_path}/zoo.sqlite",
        backend_url,
        index_prefix,
        **{
            "nefertari_search.cache": cache_place,
            "nefertari_search.consistency": request.param,
            "nefertari_search.sync": "worker",
        },
    )
    # Each read asks for the state: one of a second ago would hide which version it took.
    monkeypatch.setattr(consistency, "STATE_AGE_SECONDS", 0)
    search = search_of(app)
    engine, backend = search.outbox.engine, search.searcher.backend
    app.post_json("/keepers", {"code": "k", "name": "old"})
    search.indexer.drain()

    def index_new():
        engine.execute("UPDATE zoo_keepers SET name = 'new'")
        search.outbox.enqueue([Key("Keeper", "k")])
        search.indexer.drain()

    def overtake():
        real = backend.search

        def answer_then_index(*arguments):
            monkeypatch.setattr(backend, "search", real)
            response = real(*arguments)
            index_new()
            return response

        monkeypatch.setattr(backend, "search", answer_then_index)

    yield app, overtake
    apps.forget_sessions()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/keepers?_limit=5", "/keepers?_search=true&_limit=5"])
def test_an_answer_that_a_change_overtook_is_not_kept_as_a_newer_one(overtaken, path):
    """Its version is that of the state before the search: of any later one it may know nothing."""
    app, overtake = overtaken

    def name():
        response = app.get(path)
        assert response.headers["X-Search-Engine"] == "mirror"
        return response.json["data"][0]["name"]

    overtake()
    assert name() == "old"
    assert name() == "new"
    hits, misses = figures(app)
    assert (name(), figures(app)) == ("new", (hits + 1, misses))
