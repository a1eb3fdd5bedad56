"""What callers see that are not logged in, where authentication is on.

The first line of a test's docstring is the row of the table in docs/migrating.rst.
"""

from __future__ import annotations

import pytest
import transaction

from tests.support.apps import zoo

PUBLIC = 2


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        auth="true",
        **{"public_max_limit": str(PUBLIC), "database_acls": "false"},
    )
    for number in range(5):
        app.post_json("/items", {"id": number + 1, "name": "Lion"})
    yield app
    transaction.abort()


@pytest.mark.parametrize("path", ["/founds?_sort=_pk", "/items?_search=true", "/items?_limit=20"])
def test_public_limits(app, path):
    """public limits"""
    body = app.get(path).json
    assert (body["total"], body["count"], len(body["data"])) == (PUBLIC, PUBLIC, PUBLIC)
    assert app.get(f"{path}&_count").json == {"data": PUBLIC}
    assert app.get(f"{path}&_start=2").json["data"] == []
