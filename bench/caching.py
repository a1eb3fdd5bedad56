"""What a kept answer saves: the same reads of the films with a cache and without.

    python -m bench.caching

With and without take turns in one process on one Elasticsearch. Each number is the median of a
whole request, through Pyramid and nefertari; beside it the part that the search is of it.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.turns import medians
from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.caching.region import make_region
from tests.servers import ElasticsearchServer, RedisServer, shared
from tests.support.apps import films, load_films, search_of

WARM_UP = 20
ROUNDS = 200
READS = {
    "a page": "/films?_limit=20&_sort=-year",
    "a filter": "/films?year=1994&_limit=20&_sort=title",
    "words": "/films?q=godfather&_limit=20",
    "a number": "/films?q=love&_count",
}


def measure(app: Any, path: str, places: dict[str, ResponseCache]) -> dict[str, dict[str, float]]:
    """Median seconds of a request, and of its search, by place."""
    searcher = search_of(app).searcher

    def turn(cache: ResponseCache) -> dict[str, float]:
        searcher.cache = cache
        began = time.perf_counter()
        response = app.get(path)
        whole = time.perf_counter() - began
        assert response.headers["X-Search-Engine"] == "mirror"
        timing = response.headers["Server-Timing"].partition("dur=")[2]
        return {"whole": whole, "search": float(timing.partition(",")[0]) / 1000}

    turns = {name: partial(turn, cache) for name, cache in places.items()}
    return medians(turns, WARM_UP, ROUNDS)


def main() -> None:
    with (
        shared.owned(),
        ElasticsearchServer() as server,
        RedisServer() as redis,
        tempfile.TemporaryDirectory() as folder,
    ):
        load_films(Path(folder), server.url, "bench")
        app = films(Path(folder), server.url, "bench")
        places = {
            "off": NO_CACHE,
            "memory": ResponseCache(partial(make_region, "memory", 64, 300), "bench"),
            "redis": ResponseCache(partial(make_region, redis.url, 64, 300), "bench"),
        }
        for read, path in READS.items():
            figures = measure(app, path, places)
            for name, each in figures.items():
                ratios = {part: each[part] / figures["off"][part] for part in each}
                print(
                    f"{read:<9} {name:<7} {1000 * each['whole']:6.2f} ms  ratio "
                    f"{ratios['whole']:.2f}   of it the search {1000 * each['search']:5.2f} ms  "
                    f"ratio {ratios['search']:.2f}"
                )
        search_of(app).stop()


if __name__ == "__main__":
    main()
