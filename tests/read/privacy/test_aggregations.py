"""Who may aggregate what: by the caller's scope, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from nefertari.json_httpexceptions import JHTTPForbidden
from webtest import TestApp

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.aggregations.execute import PreparedAggregation
from nefertari_search_tween.search.aggregations.request import AggregationRequest
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query.fields import FieldScope
from tests.apps.every_field.content import fill_zoo
from tests.read.aggregations.test_types import CASES
from tests.support import apps

ANONYMOUS, USER, ADMIN = Caller(True, False), Caller(True, True), Caller(False, True)


@pytest.fixture(scope="module")
def film_app(
    tmp_path_factory: pytest.TempPathFactory, backend_url: str, module_prefix: str
) -> Iterator[TestApp]:
    """The film catalogue without films: only its models matter."""
    yield apps.films(tmp_path_factory.mktemp("films"), backend_url, module_prefix)
    apps.forget_sessions()


def ready(
    app: TestApp, model: str, tree: Any, caller: Caller, filters: Any = ()
) -> PreparedAggregation:
    search = apps.search_of(app)
    scope = FieldScope(search.mirrors.get(model).document_cls, caller)
    return PreparedAggregation(
        AggregationRequest("_aggs", tree), scope, scope, caller, search.settings, list(filters)
    )


def document(app: TestApp, model: str) -> Any:
    return apps.search_of(app).mirrors.get(model).document_cls


@pytest.fixture
def private(film_app: TestApp, monkeypatch: pytest.MonkeyPatch) -> TestApp:
    """Films of which anonymous callers see the key alone, and users some more."""
    film, person = document(film_app, "Film"), document(film_app, "Person")
    monkeypatch.setattr(film, "_public_fields", ["id"])
    monkeypatch.setattr(film, "_auth_fields", ["id", "title", "year", "rating", "director"])
    monkeypatch.setattr(film, "_hidden_fields", ["rating"])
    monkeypatch.setattr(person, "_public_fields", [])
    monkeypatch.setattr(person, "_auth_fields", ["id"])
    return film_app


def fields_in(tree: Any) -> set[str]:
    """Fields of films that a tree names anywhere, by the words in it."""
    fields = {
        *("year", "runtime", "oscars", "released", "rating", "box_office", "metacritic"),
        *("tomato_rating", "reviews", "director_id", "title", "director", "genres"),
    }
    if isinstance(tree, dict):
        names = {name for name in tree if name.partition(".")[0] in fields}
        return names.union(*(fields_in(each) for each in tree.values())) if tree else names
    if isinstance(tree, list):
        return set().union(*(fields_in(each) for each in tree))
    parts = [part.strip().lstrip("-") for part in str(tree).split(",")]
    return {part for part in parts if part.partition(".")[0] in fields}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_no_type_names_a_field_that_may_not_be_seen(kind: str, private: TestApp):
    tree = CASES[kind][0]
    hidden = fields_in(tree)
    if not hidden:
        assert kind == "global" or "sampler" in kind
        ready(private, "Film", tree, ANONYMOUS)
        return
    with pytest.raises(JHTTPForbidden) as caught:
        ready(private, "Film", tree, ANONYMOUS)
    message = str(caught.value.detail or caught.value)
    assert message.startswith("Not enough permissions to aggregate on fields: ")
    fields = {name.replace("._pk", "") for name in message.partition(": ")[2].split(", ")}
    # Paths are told by themselves; names behind a path, with it.
    assert fields & hidden, (fields, hidden)
    assert fields <= hidden | {name.partition(".")[0] for name in hidden}
    # Who may see all of it may ask for all of it.
    ready(private, "Film", tree, ADMIN)


PROBES: list[Any] = [
    {"terms": {"field": "F"}},
    {"terms": {"field": "F.keyword"}},
    {"terms": {"field": "year", "order": {"m": "asc"}}, "aggs": {"m": {"max": {"field": "F"}}}},
    {"filter": {"term": {"F": "1"}}},
    {"filter": {"terms": {"F": ["1", "2"]}}},
    {"filter": {"range": {"F": {"gte": "1"}}}},
    {"filter": {"exists": {"field": "F"}}},
    {"filter": {"match": {"F": "1"}}},
    {"filter": {"match_phrase": {"F": {"query": "1"}}}},
    {"filter": {"bool": {"must_not": {"term": {"F": "1"}}}}},
    {"filter": {"bool": {"should": [{"term": {"year": 1}}, {"exists": {"field": "F"}}]}}},
    {"filter": {"query_string": {"query": "x", "default_field": "F"}}},
    {"filter": {"query_string": {"query": "x", "fields": ["year", "F"]}}},
    {"filters": {"filters": {"a": {"term": {"F": "1"}}}}},
    {"filters": {"filters": [{"term": {"F": "1"}}]}},
    {"adjacency_matrix": {"filters": {"a": {"term": {"F": "1"}}}}},
    {"missing": {"field": "F"}},
    {"significant_terms": {"field": "year", "background_filter": {"term": {"F": "1"}}}},
    {"top_hits": {"sort": "F"}},
    {"top_hits": {"sort": {"F": {"order": "asc"}}}},
    {"top_hits": {"_source": "F"}},
    {"top_hits": {"_source": {"includes": ["F"]}}},
    {"top_hits": {"_source": {"excludes": ["F"]}}},
    {"top_metrics": {"metrics": {"field": "F"}, "sort": "year"}},
    {"top_metrics": {"metrics": {"field": "year"}, "sort": "F"}},
    {"weighted_avg": {"value": {"field": "F"}, "weight": {"field": "year"}}},
    {"weighted_avg": {"value": {"field": "year"}, "weight": {"field": "F"}}},
    {"matrix_stats": {"fields": "year,F"}},
    {"multi_terms": {"terms": [{"field": "year"}, {"field": "F"}]}},
    {"composite": {"sources": [{"a": {"terms": {"field": "F"}}}]}},
    {"diversified_sampler": {"field": "F"}, "aggs": {"n": {"value_count": {"field": "id"}}}},
    {"global": {}, "aggs": {"a": {"terms": {"field": "F"}}}},
    {"rate": {"field": "F", "unit": "year"}},
]


def replaced(tree: Any, name: str) -> Any:
    if isinstance(tree, dict):
        return {replaced(key, name): replaced(each, name) for key, each in tree.items()}
    if isinstance(tree, list):
        return [replaced(each, name) for each in tree]
    if isinstance(tree, str):
        return ",".join(
            name + part[1:] if part == "F" or part.startswith("F.") else part
            for part in tree.split(",")
        )
    return tree


def answer(app: TestApp, tree: Any, caller: Caller, name: str) -> str:
    """What the caller is told, but for the field's own name."""
    with pytest.raises((JHTTPForbidden, BadQuery)) as caught:
        ready(app, "Film", {"x": replaced(tree, name)}, caller)
    status = caught.value.status_int
    return f"{status} {caught.value}".replace(name, "F")


@pytest.mark.parametrize("probe", PROBES, ids=str)
@pytest.mark.parametrize("caller", [ANONYMOUS, USER], ids=["anonymous", "user"])
def test_a_hidden_field_is_as_one_that_there_is_not(probe: Any, caller: Caller, private: TestApp):
    """Of a field that is never shown, not even its being there is told, nor its type."""
    unknown = answer(private, probe, caller, "nosuchfield")
    assert unknown.startswith("403 Not enough permissions to aggregate on fields: ")
    for hidden in ("rating", "box_office", "released", "tomato_rating", "_exact.released"):
        assert answer(private, probe, caller, hidden) == unknown
    # By the rules of the nested documents' own model.
    for hidden in ("director.name", "director.films", "genres.name"):
        assert answer(private, probe, caller, hidden) == unknown


def test_an_admin_is_told_what_is_wrong(private: TestApp):
    with pytest.raises(BadQuery, match="there is no field 'nosuchfield'"):
        ready(private, "Film", {"x": {"terms": {"field": "nosuchfield"}}}, ADMIN)
    ready(private, "Film", {"x": {"terms": {"field": "rating"}}}, ADMIN)


def test_what_may_be_seen_may_be_aggregated(private: TestApp):
    tree = {
        "y": {"stats": {"field": "year"}},
        "t": {"terms": {"field": "title"}, "aggs": {"d": {"terms": {"field": "director.id"}}}},
        "n": {"nested": {"path": "director"}},
        "d": {"cardinality": {"field": "director"}},
        "f": {"filter": {"query_string": {"query": "heat"}}},
    }
    body = ready(private, "Film", tree, USER).body
    assert body["t"]["terms"]["field"] == "title.keyword"
    # A text without a field looks into what the caller may see.
    assert "rating" not in str(body["f"])
    assert "title" in str(body["f"])


def test_nested_documents_of_a_hidden_relationship(private: TestApp):
    for tree in ({"nested": {"path": "genres"}}, {"nested": {"path": "nosuchfield"}}):
        with pytest.raises(JHTTPForbidden):
            ready(private, "Film", {"x": tree}, USER)


def test_what_is_always_so_is_asked_with_everything(film_app: TestApp):
    own = [{"term": {"director_id": 7437}}]
    for tree in (
        {"global": {}},
        {"significant_terms": {"field": "year"}},
        {"significant_text": {"field": "title"}},
    ):
        body = ready(film_app, "Film", {"x": tree}, ADMIN, own).body
        assert str(own) in str(body)
        assert "'_inexact': '*'" in str(body)


# Documents of a top_hits, on a real backend


@pytest.fixture(scope="module")
def zoo_app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = apps.zoo(primary_url, backend_url, f"{module_prefix}z")
    fill_zoo(60)
    yield app
    apps.forget_sessions()
    search = apps.search_of(app)
    for mirror in search.mirrors:
        for index in search.mirrors.indices_of(mirror):
            search.backend.delete_index(index)


def hits(app: TestApp, tree: Any, caller: Caller) -> list[dict[str, Any]]:
    search = apps.search_of(app)
    aggregation = ready(app, "Item", tree, caller)
    search.backend.refresh(search.mirrors.get("Item").alias)
    body = {"size": 0, "aggs": aggregation.body}
    answer = search.backend.search(search.mirrors.get("Item").alias, body)
    results = aggregation.result(answer["aggregations"])
    return list(results["x"]["hits"]["hits"])


@pytest.mark.slow
def test_documents_show_what_their_reader_may_see(
    zoo_app: TestApp, monkeypatch: pytest.MonkeyPatch
):
    item, keeper = document(zoo_app, "Item"), document(zoo_app, "Keeper")
    label = item.related("label")
    monkeypatch.setattr(item, "_public_fields", ["id", "name", "keeper", "options"])
    monkeypatch.setattr(item, "_auth_fields", ["id", "name", "kind", "keeper", "label", "tags"])
    monkeypatch.setattr(item, "_hidden_fields", ["kind"])
    monkeypatch.setattr(keeper, "_public_fields", ["code"])
    monkeypatch.setattr(keeper, "_auth_fields", ["code", "name"])
    monkeypatch.setattr(label, "_auth_fields", ["text"])
    tree = {"x": {"top_hits": {"size": 60, "sort": "id"}}}
    always = {"_type", "_pk"}
    names = {name for hit in hits(zoo_app, tree, ADMIN) for name in hit["_source"]}
    assert {"kind", "price", "keeper", "label", "tags", "options"} < names
    assert not {"_exact", "_inexact", "_rejected"} & names
    documents = hits(zoo_app, tree, ANONYMOUS)
    assert len(documents) == 60
    for hit in documents:
        assert set(hit["_source"]) == always | {"id", "name", "keeper", "options"}
    keepers = [
        hit["_source"]["keeper"] for hit in documents if hit["_source"]["keeper"] is not None
    ]
    assert keepers and all(set(each) == always | {"code"} for each in keepers)
    users = hits(zoo_app, tree, USER)
    labels = [hit["_source"]["label"] for hit in users if hit["_source"]["label"]]
    assert labels and all(set(each) == always | {"text"} for each in labels)
    for hit in users:
        assert set(hit["_source"]) == always | {"id", "name", "keeper", "label", "tags"}
    transaction.abort()


def test_chosen_fields_are_those_alone(zoo_app: TestApp):
    tree = {"x": {"top_hits": {"size": 1, "_source": "name,keeper.code"}}}
    (hit,) = hits(zoo_app, tree, ADMIN)
    assert set(hit["_source"]) <= {"name", "keeper", "_type", "_pk"}
    tree = {"x": {"top_hits": {"size": 1, "_source": "false"}}}
    (hit,) = hits(zoo_app, tree, ADMIN)
    assert "_source" not in hit
