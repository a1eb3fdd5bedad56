"""Answers that are kept, on nefertari_mongodb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from webtest import TestApp

from nefertari_search_tween.interfaces.process_counts import (
    CACHE_HIT,
    CACHE_MISS,
    KEPT_MILLISECONDS,
    hit_rate,
    sums,
)
from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of
from tests.support.caching import answer_of, figures, plain, second_is_kept

pytestmark = pytest.mark.mongodb
PATHS = ("/keepers?_limit=5&_sort=code", "/keepers?q=ann&_limit=5", "/keepers?q=ann&_count")


@pytest.fixture(scope="module")
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Iterator[TestApp]:
    cached = {"nefertari_search.cache": "memory"}
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix, **cached)
    yield app
    search_of(app).stop()


@pytest.mark.parametrize("path", PATHS)
def test_the_second_answer_is_kept_until_something_is_written(app: TestApp, path: str) -> None:
    from tests.apps.every_field_mongo.models import Keeper

    number = PATHS.index(path)
    Keeper(code=f"k{number}", name="Ann").save()
    second_is_kept(app, path)
    changes: list[Any] = [
        lambda: Keeper.objects(code=f"k{number}").update(set__name=f"Ann {number}"),
        lambda: Keeper.objects.get(code=f"k{number}").delete(),
        lambda: Keeper(code=f"l{number}", name="Ann again").save(),
    ]
    for change in changes:
        before = answer_of(app, path)
        change()
        after = answer_of(app, path)
        assert after == plain(app, path)
        assert answer_of(app, path) == after
        assert "_count" in path or after != before


def test_what_was_found_is_told(app: TestApp) -> None:
    search = search_of(app)
    for _ in range(2):
        app.get(PATHS[0])
    hits, misses = figures(app)
    search.counts.report()
    numbers = sums(search.process_counts.read_all())["Keeper"]
    assert (numbers[CACHE_HIT], numbers[CACHE_MISS]) == (hits, misses)
    assert numbers["read: mirror"] >= hits + misses
    assert hit_rate(numbers) == hits / (hits + misses)
    # Of the same process, again: what it told before is replaced.
    app.get(PATHS[0])
    search.counts.report()
    assert sums(search.process_counts.read_all())["Keeper"][CACHE_HIT] == hits + 1


def test_who_was_not_heard_of_for_a_day_is_forgotten(app: TestApp) -> None:
    store = search_of(app).process_counts
    rows = store.rows
    long_ago = time.time_ns() // 1_000_000 - KEPT_MILLISECONDS - 1000
    counts = [{"model": "Keeper", "name": CACHE_HIT, "number": 1}]
    rows.insert_one({"_id": "gone", "counts": counts, "reported_at": long_ago})
    assert "gone" not in {each.process for each in store.read_all()}
    app.get(PATHS[0])
    search_of(app).counts.report()
    assert rows.find_one({"_id": "gone"}) is None
