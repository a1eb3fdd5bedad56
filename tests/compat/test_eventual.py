"""Requests that wait for the mirror although ``nefertari_search.consistency`` is ``eventual``,
and the use of ``_refresh_index`` there.

The first line of a test's docstring is the row of the table in docs/migrating.rst.
"""

from __future__ import annotations

import json
import threading
import time

import pytest
import transaction

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.interfaces.primary import Key
from tests.support.apps import search_of, zoo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{
            "nefertari_search.consistency": "eventual",
            "elasticsearch.enable_refresh_query": "true",
        },
    )
    for pk, name in ((1, "Lion"), (2, "Tiger"), (3, "Bear")):
        app.post_json("/items", {"id": pk, "name": name, "count": pk})
    yield app
    transaction.abort()


@pytest.fixture
def mirror(app):
    """Return the mirror of the items, whose index is only refreshed on request."""
    search = search_of(app)
    mirror = search.mirrors.get("Item")
    (index,) = search.mirrors.indices_of(mirror)
    mirror.backend.put_settings(index, {"index.refresh_interval": "-1"})
    mirror.backend.refresh(mirror.alias)
    return mirror


def make_stale(app, mirror, pk, name):
    """Store an older state of the document *pk*; its change is claimed, but not indexed yet.

    :returns: that claim.
    """
    search = search_of(app)
    document = mirror.backend.multi_get(mirror.alias, [str(pk)])[str(pk)]
    (target,) = search.indexer.write_targets(mirror)
    body = json.dumps({**document, "name": name}).encode()
    action = BulkAction(target, str(pk), search.outbox.next_version("Item"), body)
    (outcome,) = mirror.backend.bulk([action], 1)
    assert outcome.indexed
    mirror.backend.refresh(mirror.alias)
    while True:
        # The sweeper of this process may be faster.
        search.outbox.enqueue([Key("Item", pk)])
        claim = search.outbox.claim("Item", 10)
        if claim is not None:
            return claim
        (outcome,) = mirror.backend.bulk([replaced(action, search.outbox.next_version("Item"))], 1)
        mirror.backend.refresh(mirror.alias)


def replaced(action, version):
    return BulkAction(action.index, action.id, version, action.body)


class done_later:
    """Who has claimed it is done a moment from now."""

    def __init__(self, app, claim):
        self.indexer, self.claim = search_of(app).indexer, claim

    def __enter__(self):
        self.thread = threading.Thread(target=self.finish)
        self.thread.start()

    def finish(self):
        time.sleep(0.3)
        self.indexer.process_claim(self.claim)

    def __exit__(self, *_exc):
        self.thread.join()


def counts(app):
    return {
        each["id"]: each["count"] for each in app.get("/items?_search=false&_sort=id").json["data"]
    }


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_update_many_and_delete_many_select_is_never_stale(app, mirror, method):
    """update-many and delete-many"""
    before = counts(app)
    claim = make_stale(app, mirror, 1, "Tiger")
    # A read may be.
    assert app.get("/founds?name=tiger&_count").json == {"data": 2}
    with done_later(app, claim):
        if method == "PATCH":
            app.patch_json("/items?name=tiger", {"count": 50})
            expected = {**before, 2: 50}
        else:
            app.delete("/items?name=tiger")
            expected = {pk: count for pk, count in before.items() if pk != 2}
    try:
        assert counts(app) == expected
    finally:
        if method == "DELETE":
            app.post_json("/items", {"id": 2, "name": "Tiger", "count": 2})
        else:
            app.patch_json("/items/2", {"count": 2})
    assert counts(app) == before


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_if_the_mirror_stays_behind_nothing_is_changed(app, mirror, method):
    """update-many and delete-many"""
    before = counts(app)
    claim = make_stale(app, mirror, 1, "Tiger")
    if method == "PATCH":
        response = app.patch_json("/items?name=tiger", {"count": 50}, status=503)
    else:
        response = app.delete("/items?name=tiger", status=503)
    assert int(response.headers["Retry-After"]) > 0
    assert counts(app) == before
    search_of(app).indexer.process_claim(claim)


def test_look_ups_of_requests_that_read_may_be_stale(app, mirror):
    """``get_by_ids``, ``do_count``"""
    from nefertari.elasticsearch import ES

    item = [{"_type": "Item", "_id": 1}]
    claim = make_stale(app, mirror, 1, "Old")
    assert [each.name for each in ES("Item").get_by_ids(item)] == ["Old"]
    # What decides about one object is never stale.
    assert ES("Item").get_item(id=1).name == "Lion"
    search_of(app).indexer.process_claim(claim)
    assert [each.name for each in ES("Item").get_by_ids(item)] == ["Lion"]
    assert ES("Item").get_item(id=1).name == "Lion"


def name_of(app, name):
    """Return it as indexed now, without waiting."""
    return app.get(f"/founds?name={name}&_count").json["data"]


def test_refresh_index(app, mirror, backend_url):
    """``_refresh_index``"""
    app.post_json("/items", {"id": 10, "name": "Quiet"})
    app.post_json("/items?_refresh_index=false", {"id": 11, "name": "Quiet"})
    if not backend_url.startswith("embedded:"):
        assert name_of(app, "quiet") == 0
    app.post_json("/items?_refresh_index=true", {"id": 12, "name": "Quiet"})
    assert name_of(app, "quiet") == 3
    app.patch_json("/items/12?_refresh_index=true", {"name": "Loud"})
    assert (name_of(app, "quiet"), name_of(app, "loud")) == (2, 1)
    app.delete("/items?name=quiet OR loud&_refresh_index=true")
    assert (name_of(app, "quiet"), name_of(app, "loud")) == (0, 0)


def test_refresh_index_only_where_it_is_enabled(app, mirror, backend_url):
    """``_refresh_index``"""
    if backend_url.startswith("embedded:"):
        pytest.skip("what is written to files is visible at once")
    settings = search_of(app).settings
    settings.enable_refresh_query = False
    try:
        app.post_json("/items?_refresh_index=true", {"id": 20, "name": "Silent"})
        assert name_of(app, "silent") == 0
    finally:
        settings.enable_refresh_query = True
    app.delete("/items/20?_refresh_index=true")


def test_refresh_index_of_python_calls(app, mirror, backend_url):
    """``_refresh_index``"""
    from nefertari.elasticsearch import ES
    from pyramid.request import Request

    claims = [make_stale(app, mirror, 3, "Old")]
    assert name_of(app, "bear") == 0
    ES("Item").index({"_pk": "3"}, request=Request.blank("/"))
    if not backend_url.startswith("embedded:"):
        assert name_of(app, "bear") == 0
    claims.append(make_stale(app, mirror, 3, "Old"))
    ES("Item").index({"_pk": "3"}, request=Request.blank("/?_refresh_index=true"))
    assert name_of(app, "bear") == 1
    for claim in claims:
        search_of(app).indexer.process_claim(claim)
