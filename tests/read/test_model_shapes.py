"""Shapes of values that few models have: lists in nested documents, lists of numbers, a field with
the name of a parameter, nulls over many pages, characters of two UTF-16 units."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import transaction
from sqlalchemy import Column, Integer
from sqlalchemy.ext.declarative import declarative_base
from webtest import TestApp

from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.search import searcher
from tests.support.apps import forget_sessions, search_of, zoo

pytestmark = pytest.mark.every_backend

#: pen -> of its meals: what is fed
FOODS = {
    "split": [["quick brown", "fox jumps"]],
    "whole": [["the brown fox jumps", "quick"]],
    "apart": [["brown"], ["fox"]],
    "other": [["cat"], []],
}
RANKS = [None, 3, None, 1, None, 2, None, 2, None, 0, None]
#: three equal numbers, none, negative ones, and those that no float holds
DOSES: list[list[int]] = [[3, 1, 3], [], [5], [-2, 5], [2**53 + 1], [3]]
WEIGHTS: list[list[float]] = [[0.5, 0.5], [], [-1.5], [1e9, 0.25], [0.5], [2.0]]

# U+10330, a letter: one character of two UTF-16 units, four bytes of UTF-8.
GOTHIC = "\U00010330"
#: 8,190 and 8,192 UTF-16 units: the index holds texts of up to 8,191 as a whole
FITTING, LONG = GOTHIC * 4095, GOTHIC * 4096


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = zoo(
        primary_url, backend_url, module_prefix, **{"elasticsearch.enable_aggregations": "true"}
    )
    yield app
    forget_sessions()


@pytest.fixture
def store(app: TestApp) -> Iterator[Any]:
    """Stores objects of the zoo in one transaction; they are gone after the test."""
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field import models

    def empty() -> None:
        transaction.abort()
        with transaction.manager:
            for model in (models.Meal, models.Pen):
                Session().query(model).delete(synchronize_session=False)

    def add(*objects: Any) -> None:
        with transaction.manager:
            Session().add_all(objects)

    empty()
    yield add
    empty()


def both(app: TestApp, path: str, engine: str = "mirror") -> list[Any]:
    """The mirror's objects, which must be the primary's."""
    mirrored, primary = app.get(path), app.get(f"{path}&_search=false")
    assert mirrored.headers["X-Search-Engine"] == engine
    assert mirrored.body == primary.body
    return list(mirrored.json["data"])


# Lists in nested documents


@pytest.fixture
def pens(store: Any) -> None:
    from tests.apps.every_field.models import Meal, Pen

    store(
        *(
            Pen(name=name, meals=[Meal(foods=each) for each in foods])
            for name, foods in FOODS.items()
        )
    )


def names(app: TestApp, path: str) -> list[str]:
    return [each["name"] for each in app.get(f"{path}&_sort=name").json["data"]]


@pytest.mark.usefixtures("pens")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("brown", ["apart", "split", "whole"]),
        # A phrase is in one value of one list.
        ('"brown fox"', ["whole"]),
        ('"quick brown"', ["split"]),
        ('"jumps quick"', []),
        # Terms of one value may be in several of the list's.
        ("quick jumps", ["split", "whole"]),
        # Ranges compare whole values.
        ('["quick" TO "quick"]', ["whole"]),
        ('["quick brown" TO "quick brown"]', ["split"]),
        ("*", ["apart", "other", "split", "whole"]),
    ],
)
def test_a_value_of_a_nested_list(app: TestApp, value: str, expected: list[str]) -> None:
    assert names(app, f"/pens?_search=true&meals.foods={quote(value)}") == expected


@pytest.mark.usefixtures("pens")
def test_whole_values_of_a_nested_list(app: TestApp) -> None:
    """Aggregated as they are stored; each nested document counts in each of its values."""
    expected = Counter(food for meals in FOODS.values() for foods in meals for food in set(foods))
    for field in ("meals.foods", "meals.foods.keyword"):
        answer = app.get(f"/pens?_aggs.foods.terms.field={field}&_aggs.foods.terms.size=50")
        buckets = answer.json["foods"]["buckets"]
        assert {each["key"]: each["doc_count"] for each in buckets} == expected
    filtered = "_aggs.f.filter.term.meals.foods="
    counts = {
        value: app.get(f"/pens?{filtered}{quote(value)}").json["f"]["doc_count"]
        for value in ("quick", "quick brown", "brown fox", "brown")
    }
    assert counts == {"quick": 1, "quick brown": 1, "brown fox": 0, "brown": 1}


# A field with the name of a parameter


def test_a_field_with_the_name_of_a_parameter(app: TestApp, store: Any) -> None:
    """Without a flag it is a filter, as in the database; in a search it is the search text."""
    from tests.apps.every_field.models import Meal

    store(Meal(id=1, q="hay"), Meal(id=2, q="green hay"), Meal(id=3, foods=["hay"]), Meal(id=4))
    ids = lambda rows: [each["id"] for each in rows]  # noqa: E731
    assert ids(both(app, "/meals?q=hay&_sort=id")) == [1]
    assert ids(both(app, "/meals?_sort=-q,id")) == [1, 2, 3, 4]
    picked = both(app, "/meals?_fields=q&_sort=id")
    assert [each["q"] for each in picked] == ["hay", "green hay", None, None]

    def searched_ids(query: str) -> list[int]:
        answer = app.get(f"/meals?_search=true&_sort=id&{query}")
        assert answer.headers["X-Search-Engine"] == "mirror"
        return ids(answer.json["data"])

    assert searched_ids("q=hay") == [1, 2, 3]
    assert searched_ids("q=q:hay") == [1, 2]
    assert searched_ids("q=q:(green hay)") == [2]
    assert searched_ids("q=hay&_search_fields=q") == [1, 2]
    assert searched_ids("_sort=-q") == [1, 2, 3, 4]


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("name", ["fields", "_score", "related", "primary_object"])
def test_a_field_with_the_name_of_a_member_of_mirrors(name: str) -> None:
    """Its model has no mirror, and the start says so: the two would hide each other."""
    from nefertari_sqla.documents import BaseMixin

    def address(column: str) -> Any:
        members = {"id": Column(Integer, primary_key=True), column: Column(Integer)}
        bases = (BaseMixin, declarative_base())
        return type("Address", bases, {"__tablename__": "addresses", **members})

    assert [schema.unusable(address(each)) for each in (name, "town", "primary", "a.b")] == [
        f"has a field called {name}, as a member of every mirror is",
        None,
        None,
        "has a field called a.b, whose dot means nesting",
    ]


# Lists of numbers


@pytest.mark.parametrize(("name", "lists"), [("doses", DOSES), ("weights", WEIGHTS)])
def test_lists_of_numbers_are_aggregated_by_each_of_their_values(
    app: TestApp, store: Any, name: str, lists: list[list[Any]]
) -> None:
    """Sums take a value as often as a list has it; buckets count an object once."""
    from tests.apps.every_field.models import Meal

    store(*(Meal(**{name: each}) for each in lists))
    values = [float(value) for each in lists for value in each]

    def answer(kind: str, **options: Any) -> Any:
        query = "&".join(f"_aggs.a.{kind}.{key}={each}" for key, each in options.items())
        return app.get(f"/meals?_aggs.a.{kind}.field={name}&{query}").json["a"]

    expected = {
        "count": len(values),
        "sum": math.fsum(values),
        "min": min(values),
        "max": max(values),
        "avg": statistics.fmean(values),
    }
    assert answer("stats") == pytest.approx(expected)
    for kind in ("sum", "min", "max", "avg"):
        assert answer(kind)["value"] == pytest.approx(expected[kind])
    assert answer("value_count")["value"] == len(values)
    assert answer("cardinality")["value"] == len(set(values))
    assert answer("missing")["doc_count"] == sum(not each for each in lists)
    objects = Counter(value for each in lists for value in set(each))
    terms = {each["key"]: each["doc_count"] for each in answer("terms", size=50)["buckets"]}
    assert terms == objects
    low, high = 0, 4
    (bucket,) = answer("range", **{"ranges.0.from": low, "ranges.0.to": high})["buckets"]
    assert bucket["doc_count"] == sum(any(low <= value < high for value in each) for each in lists)


def test_a_value_of_a_list_of_numbers_is_found(app: TestApp, store: Any) -> None:
    from tests.apps.every_field.models import Meal

    store(*(Meal(id=at, doses=each) for at, each in enumerate(DOSES)))
    for query, expected in (
        ("doses=3", [0, 5]),
        ("doses=[4 TO *]", [2, 3, 4]),
        (f"doses={2**53 + 1}", [4]),
        (f"doses={2**53}", []),
        ('doses="-2" AND 5', [3]),
        ("doses=NOT *", [1]),
    ):
        answer = app.get(f"/meals?_search=true&_sort=id&{query.replace(' ', '%20')}")
        assert [each["id"] for each in answer.json["data"]] == expected, query


# Nulls over many pages


@pytest.fixture
def ranked(store: Any) -> None:
    from tests.apps.every_field.models import Meal

    store(*(Meal(id=at, rank=rank) for at, rank in enumerate(RANKS)))


@pytest.mark.usefixtures("ranked")
@pytest.mark.parametrize("sort", ["rank", "-rank", "rank,-id", "-rank,-id", "q,rank", "-q,-rank"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_go_through_nulls_without_a_loss(app: TestApp, sort: str, size: int) -> None:
    whole = [row["id"] for row in both(app, f"/meals?_sort={sort},id&_limit=50")]
    assert sorted(whole) == list(range(len(RANKS)))
    for search in ("", "&_search=true"):
        pages = [
            app.get(f"/meals?_sort={sort}&_limit={size}&_start={start}{search}").json["data"]
            for start in range(0, len(RANKS) + size, size)
        ]
        ids = [row["id"] for page in pages for row in page]
        assert sorted(ids) == list(range(len(RANKS)))
        if not search:
            assert ids == whole


@pytest.mark.usefixtures("ranked")
@pytest.mark.parametrize("sort", ["rank", "-rank", "rank,-id", "-rank,-id", "q,rank", "-q,-rank"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_index_is_read_through_nulls_without_a_loss(
    app: TestApp, sort: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks; a server's are each after the last document of the one before."""
    from tests.apps.every_field.models import Meal

    whole = [row["id"] for row in both(app, f"/meals?_sort={sort},id&_limit=50")]
    monkeypatch.setattr(searcher, "SCAN_CHUNK", size)
    results = Meal.get_collection(_sort=sort, _query_secondary=True)
    assert type(results[0]) is Meal.secondary
    assert [each.id for each in results] == whole


@pytest.mark.usefixtures("ranked")
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("missing", ["_first", "_last"])
def test_search_after_goes_through_nulls_without_a_loss(
    app: TestApp, order: str, missing: str
) -> None:
    """What servers' scans are made of, page after page."""
    mirror = search_of(app).mirrors.get("Meal")
    mirror.backend.refresh(mirror.alias)
    body = {"sort": [{"rank": {"order": order, "missing": missing}}, {"id": "asc"}]}
    whole = mirror.backend.search(mirror.alias, {**body, "size": 50})["hits"]["hits"]
    assert len(whole) == len(RANKS)
    for size in (1, 2, 3):
        hits: list[Any] = []
        while True:
            after = {"search_after": hits[-1]["sort"]} if hits else {}
            page = mirror.backend.search(mirror.alias, {**body, "size": size, **after})
            if not page["hits"]["hits"]:
                break
            hits.extend(page["hits"]["hits"])
            assert len(hits) <= len(whole)
        assert [hit["_id"] for hit in hits] == [hit["_id"] for hit in whole]


# Characters of two UTF-16 units


def test_texts_of_thousands_of_astral_characters(app: TestApp, store: Any) -> None:
    from tests.apps.every_field.models import Meal

    texts = [FITTING, "\uffff", GOTHIC, f"{GOTHIC} {FITTING[:4093]}", "", "z"]
    store(*(Meal(id=at, q=each) for at, each in enumerate(texts)))
    by_code_point = sorted(range(len(texts)), key=texts.__getitem__)
    assert [row["id"] for row in both(app, "/meals?_sort=q")] == by_code_point
    for at, text in enumerate(texts):
        # (A query string holds no more than some hundreds of them.)
        if len(text) <= 300:
            assert [row["id"] for row in both(app, f"/meals?q={quote(text)}&_sort=id")] == [at]
    mirrored = Meal.get_collection(q=FITTING, _query_secondary=True)
    assert type(mirrored[0]) is Meal.secondary
    assert [each.id for each in mirrored] == [0]
    # As a word of its own, not as a part of a longer one.
    answer = app.get(f"/meals?_search=true&q=q:{quote(GOTHIC)}&_sort=id")
    assert [row["id"] for row in answer.json["data"]] == [2, 3]


def test_a_text_that_no_index_holds_as_a_whole(app: TestApp, store: Any) -> None:
    """It is the primary's to sort, and is read and searched as others are."""
    from tests.apps.every_field.models import Meal

    store(Meal(id=1, q=LONG), Meal(id=2, q=FITTING), Meal(id=3, q=f"hay {LONG}"))
    order = both(app, "/meals?_sort=q", "primary; reason=inexact-values")
    assert [row["id"] for row in order] == [3, 2, 1]
    for text, expected in ((LONG, [1]), (FITTING, [2])):
        result = Meal.get_collection(q=text, _query_secondary=True)
        assert [each.id for each in result] == expected
    assert both(app, "/meals?_sort=id")[0]["q"] == LONG
    answer = app.get("/meals?_search=true&q=hay")
    assert [row["id"] for row in answer.json["data"]] == [3]
    assert answer.json["data"][0]["q"] == f"hay {LONG}"
