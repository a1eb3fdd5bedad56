"""What a search must have seen, and what one failure says of the server.

The index refreshes never by itself here: what is not made visible on purpose stays unseen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from webtest import TestApp

from nefertari_search_tween.exceptions import (
    BackendTimeout,
    BackendUnavailable,
    SearchTimeout,
    SearchUnavailable,
)
from nefertari_search_tween.interfaces.primary import Key
from tests.support.apps import index_everything, search_of, zoo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    app = zoo(primary_url, backend_url, module_prefix, **{"nefertari_search.sync": "worker"})
    search = search_of(app)
    for mirror in search.mirrors:
        for index in search.mirrors.indices_of(mirror):
            search.backend.put_settings(index, {"index.refresh_interval": "-1"})
    yield app
    transaction.abort()


@pytest.fixture
def tag(app: TestApp) -> Iterator[Any]:
    """Stores a tag with a name; the worker has not seen it yet."""
    from tests.apps.every_field.models import Tag

    search = search_of(app)

    def store(name: str) -> Key:
        with transaction.manager:
            stored = Tag(name=name).save()
            key = Key("Tag", stored.id)
        return key

    yield store
    with transaction.manager:
        for each in Tag.get_collection(_query_secondary=False):
            each.delete()
    search.indexer.drain()


def names(app: TestApp, query: str = "") -> list[str]:
    response = app.get(f"/tags?_search=true&_sort=name{query}")
    assert response.headers["X-Search-Engine"] == "mirror"
    return [each["name"] for each in response.json["data"]]


def test_a_search_sees_what_was_indexed_before_it(app: TestApp, tag: Any) -> None:
    for name in ("amber", "blue"):
        tag(name)
        index_everything(app)
        assert names(app)[-1] == name


def test_a_search_that_waited_sees_what_it_waited_for(app: TestApp, tag: Any) -> None:
    """Rows that no process had claimed have no version yet: the index is made visible whole."""
    search = search_of(app)
    assert names(app) == []
    tag("green")
    drained = threading.Timer(0.3, search.indexer.drain)
    drained.start()
    try:
        assert names(app) == ["green"]
    finally:
        drained.join()


def test_a_slow_query_says_nothing_of_the_server(app: TestApp) -> None:
    consistency = search_of(app).searcher.consistency
    mirror = search_of(app).mirrors.get("Tag")
    with pytest.raises(SearchTimeout), consistency.translate_errors({mirror: None}):
        raise BackendTimeout("a query that took too long")
    assert not mirror.breaker.open
    assert names(app) == []


def test_a_server_that_is_silent_is_left_alone(app: TestApp, monkeypatch: Any) -> None:
    consistency = search_of(app).searcher.consistency
    mirror = search_of(app).mirrors.get("Tag")
    # Pings find it silent, too; those of the breaker, which would close it again at once, as well.
    monkeypatch.setattr(search_of(app).mirrors.backend, "ping", lambda: False)
    with pytest.raises(SearchTimeout), consistency.translate_errors({mirror: None}):
        raise BackendTimeout("nothing comes back")
    assert mirror.breaker.open
    response = app.get("/tags?_search=true", status=503)
    assert response.headers["X-Search-Engine"] == "none; reason=unavailable"
    monkeypatch.undo()
    mirror.breaker.record_success()
    with pytest.raises(SearchUnavailable), consistency.translate_errors({mirror: None}):
        raise BackendUnavailable("gone")
    assert mirror.breaker.open
    mirror.breaker.record_success()
    assert names(app) == []
