"""nefertari_mongodb as primary: every way of writing reaches the mirror."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests import mongo
from tests.applications import search_of

pytestmark = mongo.only_on_mongodb


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> TestApp:
    return mongo.zoo(mongodb, backend_url, module_prefix)


def mirrored(app: TestApp, path: str, **params: Any) -> Any:
    """The collection as the mirror gives it."""
    before = mongo.COMMANDS.count
    response = app.get(path, params)
    assert response.headers["X-Search-Engine"] == "mirror", response.headers["X-Search-Engine"]
    assert mongo.COMMANDS.count == before, mongo.COMMANDS.last
    return response.json


def test_a_created_object_is_found(app: TestApp) -> None:
    created = app.post_json("/items", {"name": "Lion", "amount": 3}).json
    found = mirrored(app, "/items", name="Lion")
    assert [each["amount"] for each in found["data"]] == [3]
    primary = app.get("/items", {"name": "Lion", "_search": "false"})
    assert found == primary.json
    assert created
    assert search_of(app).outbox.waiting() == 0
