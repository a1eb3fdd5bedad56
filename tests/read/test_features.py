"""``_highlight``, ``_facets``, and the nearest names in messages, on the example application."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from webtest import TestApp

from nefertari_search_tween.search.features.highlights import HighlightOptions, highlights_of
from tests.read.test_search_reads import encoded
from tests.support.apps import Films, films

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


def get(app: TestApp, request: str) -> Any:
    response = app.get(encoded(request))
    assert response.headers["X-Search-Engine"] == "mirror"
    return response.json


def message(app: TestApp, request: str) -> str:
    response = app.get(encoded(request), expect_errors=True)
    assert response.status_int == 400
    return response.json["message"]


# Highlights


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("_query=godfather&_highlight=title", {"title": ["The <em>Godfather</em>"]}),
        ("_query=amelie&_highlight=title", {"title": ["<em>Am\u00e9lie</em>"]}),
        ("_query=AM\u00c9LIE&_highlight=title", {"title": ["<em>Am\u00e9lie</em>"]}),
        ("_query=godfahter&_highlight=title", {"title": ["The <em>Godfather</em>"]}),
        (
            "_query=schindlers list&_highlight=title",
            {"title": ["<em>Schindler&#x27;s</em> <em>List</em>"]},
        ),
        ("q=title:godf*&_highlight=title", {"title": ["The <em>Godfather</em>"]}),
        (
            "_query=kubrick shining&_highlight=title,director.name",
            {"title": ["The <em>Shining</em>"], "director.name": ["Stanley <em>Kubrick</em>"]},
        ),
        (
            '_search=true&title="space odyssey"&_highlight=title',
            {"title": ["2001: A <em>Space</em> <em>Odyssey</em>"]},
        ),
        ("_query=alien&_highlight=writer", {}),
    ],
)
def test_highlights(app: TestApp, request_: str, expected: dict[str, list[str]]):
    (item,) = get(app, f"/films?_limit=1&{request_}")["data"]
    highlights = item["_highlight"]
    assert {name: each for name, each in highlights.items() if name != "cast"} == expected


def test_highlights_of_all_searched_fields_whatever_is_selected(app: TestApp):
    (item,) = get(app, "/films?_limit=1&_query=kubrick shining&_highlight=true&_fields=year")[
        "data"
    ]
    assert set(item) == {"year", "_type", "_highlight"}
    assert item["_highlight"]["title"] == ["The <em>Shining</em>"]


def test_no_highlights_unless_they_are_asked_for(app: TestApp):
    (item,) = get(app, "/films?_limit=1&_query=alien")["data"]
    assert "_highlight" not in item


def test_a_long_text_has_fragments_of_whole_words(app: TestApp):
    (item,) = get(app, "/films?_limit=1&_query=godfather pacino&_highlight=cast")["data"]
    (fragment,) = item["_highlight"]["cast"]
    plain = fragment.replace("<em>", "").replace("</em>", "")
    assert "Al <em>Pacino</em>" in fragment
    assert plain in item["cast"]
    assert len(plain) < 160


@pytest.mark.parametrize(
    ("text", "marked", "expected"),
    [
        ("<b>Tom & 'Jerry'</b>", ["<b>\ue000Tom\ue001 & 'Jerry'</b>"],
         ["&lt;b&gt;[Tom] &amp; &#x27;Jerry&#x27;&lt;/b&gt;"]),
        ("a b c", [], []),
        # Of another text of the list.
        ("a b c", ["\ue000x\ue001 y z"], []),
        ("one two three four five six seven",
         ["\ue000one\ue001 two three four five six \ue000seven\ue001"],
         ["[one] two", "six [seven]"]),
    ],
)  # fmt: skip
def test_fragments(text: str, marked: list[str], expected: list[str]):
    hit = {"_source": {"a": [{"b": text}]}, "highlight": {"a.b": marked}}
    options = HighlightOptions("[", "]", 10 if "seven" in text else 100, 5)
    assert highlights_of(hit, ["a.b"], options) == ({"a.b": expected} if expected else {})


# Facets


def counted(app: TestApp, request: str, name: str) -> dict[Any, int]:
    return {each["value"]: each["count"] for each in get(app, request)["facets"][name]}


def test_facets_are_the_counts_of_the_results(app: TestApp):
    page = get(app, "/films?_query=war&_facets=rating:100,year:200,genres.name:100&_limit=10000")
    items = page["data"]
    assert len(items) == page["total"]
    for name in ("rating", "year"):
        values = Counter(item[name] for item in items if item[name] is not None)
        assert {each["value"]: each["count"] for each in page["facets"][name]} == values
    genres = Counter(name for item in items for name in {each["name"] for each in item["genres"]})
    assert {each["value"]: each["count"] for each in page["facets"]["genres.name"]} == genres


def test_facets_of_similar_words(app: TestApp):
    page = get(app, "/films?_query=kubrik shinning&_facets=director.name")
    assert page["facets"]["director.name"] == [
        {"value": "Stanley Kubrick", "count": 1, "selected": False}
    ]


def test_a_filtered_facet_leaves_its_own_filter_out(app: TestApp):
    free = counted(app, "/films?_query=war&_facets=genres.name:5&_limit=1", "genres.name")
    page = get(app, "/films?_query=war&genres.name=Drama&_facets=genres.name:5,rating&_limit=1")
    facet = page["facets"]["genres.name"]
    assert {each["value"]: each["count"] for each in facet} == free
    assert [each["value"] for each in facet if each["selected"]] == ["Drama"]
    assert sum(each["count"] for each in page["facets"]["rating"]) <= page["total"]
    two = get(app, "/films?_query=war&genres.name=Drama&genres.name=Action&_facets=genres.name:5")
    selected = {each["value"] for each in two["facets"]["genres.name"] if each["selected"]}
    assert selected == {"Drama", "Action"}


@pytest.mark.parametrize(
    ("facet", "name"),
    [
        ("released:year", "released"),
        ("released:month", "released"),
        ("released:day", "released"),
        ("box_office:ranges(..1000000,1000000..50000000,50000000..)", "box_office"),
        ("released:ranges(..1980,1980..1990-06,1990-06..)", "released"),
        ("runtime:3", "runtime"),
        ("rating", "rating"),
    ],
)
def test_a_value_is_a_filter_that_finds_as_many(app: TestApp, facet: str, name: str):
    counts = counted(app, f"/films?_query=godfather&_facets={facet}&_limit=1", name)
    assert counts
    for value, count in counts.items():
        text = f'"{value}"' if name == "rating" else str(value)
        found_again = get(app, f"/films?_query=godfather&_search=true&_count&{name}={text}")["data"]
        # A term matches within a longer value ("PG" in "PG-13").
        assert found_again == count or (name == "rating" and found_again >= count)


def test_nothing_has_no_facets(app: TestApp):
    page = get(app, "/films?_query=zzzzqqqq&_facets=rating,genres.name")
    assert page["facets"] == {"rating": [], "genres.name": []}


def test_facets_of_several_collections(app: TestApp):
    response = app.get("/films?_query=a&_facets=year:2&_limit=1&_start=5")
    assert [set(each) for each in response.json["facets"]["year"]] == [
        {"value", "count", "selected"}
    ] * 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "names of fields are expected"),
        ("yaer", "no field 'yaer' to count values of; did you mean 'year'?"),
        ("year:0", "after the colon"),
        ("year:x", "after the colon"),
        ("year:ranges(1)", "'1' is no range"),
        ("year:ranges(a..b)", "'a' is not a whole number"),
        ("year:month", "'year' holds no dates"),
        ("title:ranges(1..2)", "holds neither numbers nor dates"),
        ("year:(", "is none"),
        ("year:20000", "more than 10000 values"),
        ("director", "no field 'director'"),
    ],
)
def test_bad_facets(app: TestApp, value: str, problem: str):
    text = message(app, f"/films?_query=a&_facets={value}")
    assert "'_facets'" in text
    if value != "director":
        assert problem in text


# Nearest names


@pytest.mark.parametrize(
    ("request_", "meant"),
    [
        ("/films?_search=true&titel=x", "title"),
        ("/films?_search=true&director.nmae=x", "director.name"),
        ("/films?q=titel:x", "title"),
        ("/films?q=x&_sort=yaer", "year"),
        ("/films?q=x&_fields=titel", "title"),
        ("/films?q=x&_search_fields=titel", "title"),
        ("/films?q=x&_highlight=titel", "title"),
        ("/films?q=x&_facets=genre.name", "genres.name"),
        ("/films?_missing_=titel", "title"),
        ("/films?q=x&_facet=year", "_facets"),
        ("/films?q=x&_higlight=title", "_highlight"),
        ("/films?q=x&_qeury=title", "_query"),
    ],
)
def test_the_nearest_name_is_in_the_message(app: TestApp, request_: str, meant: str):
    assert message(app, request_).endswith(f"; did you mean '{meant}'?")


def test_a_name_that_is_like_none_has_none(app: TestApp):
    assert "did you mean" not in message(app, "/films?_search=true&zzzz=1")
