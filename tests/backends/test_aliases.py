"""The name of a mirror: the alias of one index, or nothing is read by it.

Aliases are changed by hand, by a restored snapshot, or by a program that writes to a name that does
not exist, of which a server makes an index.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from webtest import TestApp

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.exceptions import ConfigurationError, NameConflict
from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
from tests.support.apps import forget_sessions, search_of, zoo
from tests.support.compare_answers import engine_of
from tests.support.tiers import mostly_long

pytestmark = [pytest.mark.every_backend]

SETTINGS = {
    "elasticsearch.enable_aggregations": "true",
    # An index of each model takes a server a second.
    "nefertari_search.models": "Item, Keeper",
}
TRANSPARENT = ("/items?_sort=id", "/items?_count", "/items?name=Lion&_limit=1", "/items?_limit=0")
SEARCHES = (
    "/items?q=lion",
    "/items?_search=true&_count",
    "/items?_search=true&_sort=-id",
    "/items?_aggs.n.value_count.field=id",
    "/founds",
)


@pytest.fixture
def database(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/zoo.sqlite"


@pytest.fixture
def app(database: str, backend_url: str, index_prefix: str) -> Iterator[TestApp]:
    app = zoo(database, backend_url, index_prefix, **SETTINGS)
    app.post_json("/items", {"id": 1, "name": "Lion"})
    app.post_json("/items", {"id": 2, "name": "Tiger"})
    yield app
    forget_sessions()


def add_index(app: TestApp, name: str) -> None:
    """Put the alias of the items on the index *name*, too, which has one of them."""
    mirror = search_of(app).mirrors.get("Item")
    backend = mirror.backend
    writing = f"{name}-WRITE"
    backend.create_index(name, mirror.mapping, mirror.settings, [mirror.alias, writing])
    document = backend.multi_get(next(iter(search_of(app).mirrors.indices_of(mirror))), ["1"])["1"]
    (result,) = backend.bulk([BulkAction(writing, "1", 1, json.dumps(document).encode())], 1)
    assert result.indexed
    backend.refresh(name)


def rebuild_items(app: TestApp) -> None:
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], 500)


@pytest.mark.on_servers_too
@pytest.mark.parametrize("name", ["{alias}-000077", "{prefix}-another"])
@pytest.mark.parametrize("first", mostly_long([*TRANSPARENT, *SEARCHES], 4))
def test_an_alias_of_two_indices_is_not_read(
    app: TestApp, index_prefix: str, name: str, first: str
) -> None:
    """From the first request on, whether its response has hits or only numbers."""
    alias = search_of(app).mirrors.get("Item").alias
    before = {path: app.get(path) for path in (*TRANSPARENT, *SEARCHES)}
    assert {engine_of(each) for each in before.values()} == {"mirror"}
    add_index(app, name.format(alias=alias, prefix=index_prefix))
    for path in (first, *TRANSPARENT, *SEARCHES):
        if path in TRANSPARENT:
            response = app.get(path)
            assert engine_of(response) == "primary; reason=name-conflict"
            assert response.json == before[path].json
        else:
            response = app.get(path, status=503)
            assert engine_of(response) == "none; reason=name-conflict"
            assert "is that of another or of several" in response.json["message"]

    rebuild_items(app)
    assert list(search_of(app).backend.entries(alias)) != []
    for path in (*TRANSPARENT, *SEARCHES):
        response = app.get(path)
        assert engine_of(response) == "mirror"
        assert response.json.get("total") == before[path].json.get("total")


def test_an_alias_of_two_indices_at_the_start(
    app: TestApp,
    database: str,
    backend_url: str,
    index_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alias = search_of(app).mirrors.get("Item").alias
    add_index(app, f"{alias}-000077")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        again = zoo(database, backend_url, index_prefix, **SETTINGS)
    (line,) = [each for each in caplog.messages if alias in each]
    assert line.startswith(
        f"the search index of Item is not the only one with the alias {alias}: run "
        "`nefertari-search rebuild`; until then single objects"
    )
    assert "views that read with get_collection_es) get a 503" in line
    response = again.get("/items?_sort=id")
    assert engine_of(response) == "primary; reason=name-conflict"
    assert [each["id"] for each in response.json["data"]] == [1, 2]
    rebuild_items(again)
    assert engine_of(again.get("/items")) == "mirror"


def test_an_index_that_has_the_aliass_own_name(
    app: TestApp,
    database: str,
    backend_url: str,
    index_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No rebuild helps: what helps is said at the start, by commands, and not in a circle."""
    mirror = search_of(app).mirrors.get("Item")
    backend, alias = mirror.backend, mirror.alias
    for index in search_of(app).mirrors.indices_of(mirror):
        backend.delete_index(index)
    backend.create_index(alias, {"dynamic": False}, {}, [])
    advice = (
        f"an index is called {alias}, which must be the alias of the index of Item, and no rebuild "
        "can make it one: delete or rename that index, or set another elasticsearch.index_name"
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        again = zoo(database, backend_url, index_prefix, **SETTINGS)
    assert [each.partition(";")[0] for each in caplog.messages if alias in each] == [advice]
    for path in TRANSPARENT:
        assert engine_of(again.get(path)) == "primary; reason=name-conflict"
    for path in SEARCHES:
        assert engine_of(again.get(path, status=503)) == "none; reason=name-conflict"
    with pytest.raises(NameConflict) as caught:
        rebuild_items(again)
    assert str(caught.value) == advice
    with pytest.raises(ConfigurationError) as refused:
        zoo(database, backend_url, index_prefix, **{"nefertari_search.schema": "validate"})
    assert advice in str(refused.value)

    backend.delete_index(alias)
    rebuild_items(again)
    response = again.get("/items?_sort=id")
    assert engine_of(response) == "mirror"
    assert [each["id"] for each in response.json["data"]] == [1, 2]


def test_an_index_of_more_shards_is_no_other(app: TestApp) -> None:
    """A rebuild with other settings, which this process has not heard of."""
    assert engine_of(app.get("/items")) == "mirror"
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    before = dict(mirror.settings)
    mirror.settings["index.number_of_shards"] = 3
    try:
        rebuild_items(app)
    finally:
        mirror.settings.clear()
        mirror.settings.update(before)
    for path in (*TRANSPARENT, *SEARCHES):
        assert engine_of(app.get(path)) == "mirror"
