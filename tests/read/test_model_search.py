"""``Model.search``: searches from Python, without a request and with one."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from webtest import TestApp

from nefertari_search_tween import search_objects
from nefertari_search_tween.exceptions import BadQuery
from tests.support.apps import Films, films

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


@pytest.fixture
def film(app: TestApp) -> Any:
    from films.models import Film

    return Film


def titles(page: Any) -> list[str]:
    return [each.title for each in page]


def test_a_search_is_a_sequence_with_what_the_response_has(film: Any):
    page = film.search("godfather", limit=2, facets=["rating:1"], sort="year")
    assert titles(page) == [page[0].title, page[1].title]
    assert len(page) == 2 < page.total
    assert [each.year for each in page] == sorted(each.year for each in page)
    assert set(page.facets) == {"rating"}
    assert (page.matched, page.suggestions) == (1, [])
    assert page.took >= 0
    assert page[0:1][0].title == titles(page)[0]


def test_it_says_what_it_is(film: Any):
    page = film.search("kubrick shining")
    assert repr(page) == f"<1 Film for 'kubrick shining', 1 here: {page[0]._pk}>"


def test_the_mirror_and_the_function_search_the_same(film: Any):
    expected = titles(film.search("alien", limit=5))
    assert titles(film.secondary.search("alien", limit=5)) == expected
    assert titles(search_objects(film, "alien", limit=5)) == expected


def test_objects_are_the_primarys_in_the_same_order(film: Any):
    page = film.search("alien", limit=5)
    objects = page.objects()
    assert [type(each) for each in objects] == [film] * 5
    assert [each.title for each in objects] == titles(page)


def test_typos_highlights_and_suggestions(film: Any):
    page = film.search("godfahter", highlight=["title"], limit=1)
    assert page[0]._highlight == {"title": ["The <em>Godfather</em>"]}
    assert page.suggestions[0] == "godfather"
    assert film.search("godf", prefix=True, fields=["title"], limit=1).total >= 5


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({"year": 1979}, lambda film: film.year == 1979),
        ({"year": [1979, 1986]}, lambda film: film.year in (1979, 1986)),
        ({"year": {"gte": 1979, "lt": 1986}}, lambda film: 1979 <= film.year < 1986),
        ({"year": {"gt": 1979, "lte": 1986}}, lambda film: 1979 < film.year <= 1986),
        ({"rating": "R", "year": {"gte": 1990}}, lambda f: f.rating == "R" and f.year >= 1990),
        ({"rating": None}, lambda film: film.rating is None),
        (
            {"released": {"gte": datetime.date(1979, 1, 1), "lt": datetime.date(1987, 1, 1)}},
            lambda f: f.released is not None and "1979" <= f.released[:4] <= "1986",
        ),
        ({"title": "Aliens"}, lambda film: film.title == "Aliens"),
        # Never query syntax.
        ({"title": "Alien*"}, lambda film: False),
        ({"director.name": "Ridley Scott"}, lambda film: film.director.name == "Ridley Scott"),
    ],
)
def test_conditions(film: Any, where: dict[str, Any], matches: Any):
    every = film.search("alien", limit=None)
    page = film.search("alien", where=where, limit=None)
    # Without a result, similar words are looked for.
    exact = page if page.total and not page.suggestions else []
    expected = [each.title for each in every if each.year is not None and matches(each)]
    assert titles(exact) == expected


def test_pages(film: Any):
    every = titles(film.search("alien", limit=None))
    pages = [titles(film.search("alien", limit=4, offset=start)) for start in range(0, 12, 4)]
    assert [title for page in pages for title in page] == every[:12]


def test_no_text_is_all_objects(film: Any):
    assert film.search(where={"year": 1979}, limit=1).total == len(
        film.search("", where={"year": 1979}, limit=None)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"where": {"yaer": 1}}, "Film has no field 'yaer'; did you mean 'year'?"),
        ({"where": {"year": {"above": 1}}}, "year: bounds are gte, gt, lte, lt, not above"),
        ({"where": {"year": "x"}}, "year: 'x' is not a whole number"),
        ({"where": {"year": {"gte": "x"}}}, "year: 'x' is not a whole number"),
        ({"sort": "-yaer"}, "can't be sorted by 'yaer'; did you mean 'year'?"),
        ({"fields": ["titel"]}, "no searchable field 'titel'; did you mean 'title'?"),
        ({"facets": ["nope"]}, "has no field 'nope'"),
        ({"limit": -1}, "it can't be negative"),
    ],
)
def test_errors_are_one_line(film: Any, arguments: dict[str, Any], message: str):
    with pytest.raises(BadQuery) as raised:
        film.search("alien", **arguments)
    assert message in str(raised.value.message)
    assert "\n" not in str(raised.value.message)


def test_a_model_without_a_mirror():
    class Nobody:
        pass

    with pytest.raises(BadQuery):
        search_objects(Nobody, "x")
