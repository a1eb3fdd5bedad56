"""What the tests of caches share."""

from __future__ import annotations

import json

from nefertari_search_tween.caching import cache as caching
from nefertari_search_tween.interfaces.process_counts import CACHE_HIT, CACHE_MISS
from tests.support.apps import search_of

# What tells the time of an answer.
OF_THE_MOMENT = ("took", "timestamp")


def cache_of(app):
    return search_of(app).cache


def figures(app):
    """Hits and misses of all models so far."""
    numbers = search_of(app).counts.numbers()
    return tuple(
        sum(number for (_, name), number in numbers.items() if name == kind)
        for kind in (CACHE_HIT, CACHE_MISS)
    )


def plain(app, path):
    """The answer without the cache."""
    searcher = search_of(app).searcher
    cache, searcher.cache = searcher.cache, caching.NO_CACHE
    try:
        return lasting(app.get(path, expect_errors=True))
    finally:
        searcher.cache = cache


def lasting(response):
    """Status, who answered, and all of the body but what is of the moment."""
    assert response.content_type == "application/json", response.text
    body = {name: each for name, each in response.json.items() if name not in OF_THE_MOMENT}
    # The order of fields is a part of the answer.
    return response.status_int, response.headers["X-Search-Engine"], json.dumps(body)


def answer_of(app, path):
    return lasting(app.get(path, expect_errors=True))


def second_is_kept(app, path):
    first = answer_of(app, path)
    assert first[:2] == (200, "mirror"), first
    hits, misses = figures(app)
    second = app.get(path)
    assert figures(app)[0] > hits
    assert figures(app)[1] == misses
    assert "search-backend;dur=0" in second.headers["Server-Timing"]
    assert first == lasting(second) == plain(app, path)
