"""``nefertari_search.max_result_window`` below the chunks that indices are read by."""

from __future__ import annotations

import pytest
import transaction

from nefertari_search_tween.exceptions import BadQuery
from tests.support.apps import zoo

WINDOW, ITEMS = 5, 12


@pytest.fixture(scope="module")
def app(primary_url, backend_url, module_prefix):
    app = zoo(
        primary_url,
        backend_url,
        module_prefix,
        **{"nefertari_search.max_result_window": str(WINDOW)},
    )
    for pk in range(1, ITEMS + 1):
        app.post_json("/items", {"id": pk, "name": "Lion", "count": pk})
    yield app
    transaction.abort()


@pytest.mark.slow
def test_a_search_without_a_limit_gives_all_matches(app):
    from nefertari.elasticsearch import ES

    results = ES("Item").get_collection(name="lion", _sort="-id")
    assert [each.id for each in results] == list(range(ITEMS, 0, -1))
    assert results._nefertari_meta["total"] == ITEMS


def test_pages_end_at_the_window(app):
    from nefertari.elasticsearch import ES

    assert len(ES("Item").get_collection(name="lion", _limit=WINDOW)) == WINDOW
    with pytest.raises(BadQuery, match="max_result_window"):
        ES("Item").get_collection(name="lion", _limit=WINDOW, _start=1)
