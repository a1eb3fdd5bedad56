"""The search box, facets, highlights, walks and ``Model.search``, with nefertari_mongodb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from webtest import TestApp

from tests.primaries.mongodb.test_sync import mirrored
from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of

pytestmark = pytest.mark.mongodb

NAMES = ["The Godfather", "The Godfather Part II", "Am\u00e9lie", "Spider-Man", "Alien", "Aliens"]


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    for number, name in enumerate(NAMES):
        app.post_json("/items", {"name": name, "amount": number % 2})
    yield app
    search_of(app).indexer.recovery.stop()


def names(body: Any) -> list[str]:
    return [each["name"] for each in body["data"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("godfather part", ["The Godfather Part II"]),
        ("amelie", ["Am\u00e9lie"]),
        ("godfahter", ["The Godfather", "The Godfather Part II"]),
        ("spiderman", ["Spider-Man"]),
        ("alien zzzzqqq", ["Alien"]),
    ],
)
def test_what_is_meant_is_found(app: TestApp, text: str, expected: list[str]) -> None:
    assert names(mirrored(app, "/items", _query=text)) == expected


def test_facets_highlights_and_suggestions(app: TestApp) -> None:
    body = mirrored(app, "/items", _query="godfahter", _facets="amount", _highlight="name")
    counts = {each["value"]: each["count"] for each in body["facets"]["amount"]}
    assert counts == {0: 1, 1: 1}
    assert body["data"][0]["_highlight"] == {"name": ["The <em>Godfather</em>"]}
    assert body["suggestions"] == ["godfather"]


def test_a_walk(app: TestApp) -> None:
    walked, after = [], "start"
    while after:
        body = mirrored(app, "/items", _search="true", _limit=4, _after=after)
        walked += names(body)
        after = body.get("next", "").rpartition("_after=")[2].replace("%3D", "=")
    assert sorted(walked) == sorted(NAMES)


def test_from_python(app: TestApp) -> None:
    from tests.apps.every_field_mongo.models import Item

    page = Item.search("godfather", where={"amount": {"gte": 1}})
    assert [each.name for each in page] == ["The Godfather Part II"]
    (item,) = page.objects()
    assert isinstance(item, Item)
    assert item.name == "The Godfather Part II"
