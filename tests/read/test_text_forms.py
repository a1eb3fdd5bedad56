"""One text in several forms: an accent with its letter, or as a character of its own.

Searches take all forms for one text. What is shown is what is stored, and what the database tells
apart is told apart wherever the mirror answers in its place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import transaction
from webtest import TestApp

from tests.support.apps import search_of, zoo

pytestmark = pytest.mark.every_backend

COMPOSED = "Café Nguyễn"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
#: in between: one accent of two is with its letter
MIXED = "Cafe\u0301 Nguyê\u0303n"
NAMES = {1: DECOMPOSED, 2: COMPOSED, 3: MIXED, 4: "Cafe", 5: unicodedata.normalize("NFD", "한국")}
KEEPERS = {"ann": unicodedata.normalize("NFD", "Zoë"), "bob": "Zoë", "cid": "Zoe"}
DESSERTS = [unicodedata.normalize("NFD", "crème brûlée"), "tarte"]
CAFES = [1, 2, 3]


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{
            "nefertari_search.allow_regular_expressions": "true",
            "elasticsearch.enable_aggregations": "true",
        },
    )
    for code, name in KEEPERS.items():
        app.post_json("/keepers", {"code": code, "name": name})
    for key, name in NAMES.items():
        keeper = "ann" if key == 1 else "bob" if key == 2 else "cid"
        words = DESSERTS if key == 4 else []
        app.post_json("/items", {"id": key, "name": name, "keeper_code": keeper, "words": words})
    yield app
    transaction.abort()


def ids_of(app: TestApp, path: str, value: str, more: str = "") -> list[int]:
    response = app.get(f"{path}{quote(value, safe='')}{more}")
    assert response.headers["X-Search-Engine"] == "mirror"
    return sorted(each["id"] for each in response.json["data"])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("name", "café", CAFES),
        ("name", "CAFÉ", CAFES),
        ("name", "cafe", [4]),
        ("name", '"café nguyễn"', CAFES),
        ("name", "nguyễn café", CAFES),
        ("name", "café AND NOT cafe", CAFES),
        ("name", "NOT café", [4, 5]),
        ("name", "한국", [5]),
        # Patterns and edits count characters of the composed form.
        ("name", "caf?", [1, 2, 3, 4]),
        ("name", "caf??", []),
        ("name", "ca*é", CAFES),
        ("name", "cafe*", [4]),
        ("name", "/caf./", [1, 2, 3, 4]),
        ("name", "/caf[éè]/", CAFES),
        ("name", "safé~1", CAFES),
        ("name", "nguyen~1", CAFES),
        ("q", "café", CAFES),
        ("q", "name:café AND name:nguyễn", CAFES),
        ("words", "brûlée", [4]),
        ("words", '"crème brûlée"', [4]),
        ("words", "tarte", [4]),
        # nested documents, and patterns of them
        ("keeper.name", "zoë", [1, 2]),
        ("keeper.name", "zo?", [1, 2, 3, 4, 5]),
        ("q", "zoë", [1, 2]),
    ],
)
def test_a_search_finds_all_forms(
    app: TestApp, parameter: str, value: str, expected: list[int], form: str
) -> None:
    typed = unicodedata.normalize(form, value)
    assert ids_of(app, f"/items?_search=true&{parameter}=", typed) == expected


def test_fields_to_search(app: TestApp) -> None:
    assert ids_of(app, "/items?_search_fields=keeper.name,name&q=", "zoë") == [1, 2]


@pytest.mark.parametrize("more", ["", "&_search=true", "&_search=true&_fields=id,name,keeper"])
def test_what_is_shown_is_what_is_stored(app: TestApp, more: str) -> None:
    for item in app.get(f"/items?_sort=id{more}").json["data"]:
        assert item["name"] == NAMES[item["id"]]
        assert item["keeper"]["name"] in KEEPERS.values()
        for each in (item, item["keeper"]):
            assert [name for name in each if name.startswith("_comp")] == []


def test_filters_of_transparent_reads_are_the_databases(app: TestApp) -> None:
    for key, name in NAMES.items():
        assert ids_of(app, "/items?name=", name) == [key]
    for order in ("name", "-name"):
        responses = [app.get(f"/items?_sort={order}{more}") for more in ("", "&_search=false")]
        transparent, primary = ([each["id"] for each in r.json["data"]] for r in responses)
        assert transparent == primary


@pytest.mark.parametrize(
    ("query", "value", "count"),
    [
        ("match.name", "café", 3),
        ("match_phrase.name", "café nguyễn", 3),
        ("query_string.query", "keeper.name:zoë", 2),
        # The whole value is that of the database.
        ("term.name", COMPOSED, 1),
        ("term.name", DECOMPOSED, 1),
    ],
)
def test_filters_of_aggregations(app: TestApp, query: str, value: str, count: int) -> None:
    path = f"/items?_aggs.a.filter.{query}={quote(value)}"
    assert app.get(path).json["a"]["doc_count"] == count


def test_only_texts_in_another_form_are_stored_twice(app: TestApp) -> None:
    mirror = search_of(app).mirrors.get("Item")
    hits = mirror.backend.search(mirror.alias, {"size": 10})["hits"]["hits"]
    forms = {hit["_source"]["id"]: hit["_source"].get("_composed") for hit in hits}
    assert forms == {
        1: {"name": COMPOSED},
        2: None,
        3: {"name": COMPOSED},
        4: {"words": ["crème brûlée", "tarte"]},
        5: {"name": "한국"},
    }
    keepers = {hit["_source"]["id"]: hit["_source"]["keeper"].get("_composed") for hit in hits}
    assert keepers[1] == {"name": "Zoë"} and keepers[2] is None
