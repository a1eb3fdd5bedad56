"""What a view does with its collection has the same result as on MongoDB itself.

The promises are those of read/test_observed_results.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from webtest import TestApp

from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of

pytestmark = [pytest.mark.mongodb, pytest.mark.every_backend]

DAY = datetime.datetime(2020, 2, 29)


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    yield app
    search_of(app).indexer.recovery.stop()


@pytest.fixture(autouse=True)
def _items(app: TestApp) -> None:
    from tests.apps.every_field_mongo.models import Item

    Item.objects.delete()
    for name in ("one", "two", "three"):
        Item(name=name, words=["b", "a"], options={"day": DAY, "x": [1]}).save()


@pytest.mark.parametrize("query", ["_sort=id", "_sort=id&_limit=2", "name=nobody"])
def test_a_view_sees_what_the_primary_has(app: TestApp, query: str) -> None:
    response = app.get(f"/probes?{query}")
    assert response.headers["X-Search-Engine"] == "primary; reason=used-as-query"
    assert response.json == app.get(f"/probes?{query}&_search=false").json


def test_what_a_view_writes_before_it_returns_is_shown(app: TestApp) -> None:
    assert app.get("/items").headers["X-Search-Engine"] == "mirror"
    response = app.get("/renames?_sort=id")
    assert response.headers["X-Search-Engine"] == "primary; reason=open-transaction"
    assert [each["name"] for each in response.json["data"]] == ["written"] * 3


def test_rows_have_the_values_of_the_primary(app: TestApp) -> None:
    """Moments in a dictionary are moments, which no document can say."""
    mirror = app.get("/items?_sort=id&_fields=options")
    assert mirror.headers["X-Search-Engine"] == "primary; reason=inexact-values"
    assert (
        mirror.json["data"] == app.get("/items?_sort=id&_fields=options&_search=false").json["data"]
    )
    assert app.get("/items?_fields=words").headers["X-Search-Engine"] == "mirror"
