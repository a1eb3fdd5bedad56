"""What a kept answer saves: the same reads of the films with a cache and without.

    python -m bench.caching

With and without take turns in one process on one Elasticsearch. Each number is the median of a
whole request, through Pyramid and nefertari; beside it the part that the search is of it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.caching.region import make_region
from tests.servers import ElasticsearchServer, RedisServer
from tests.support.apps import films, load_films, search_of

WARM_UP = 20
ROUNDS = 200
READS = {
    "a page": "/films?_limit=20&_sort=-year",
    "a filter": "/films?year=1994&_limit=20&_sort=title",
    "words": "/films?q=godfather&_limit=20",
    "a number": "/films?q=love&_count",
}


def measure(
    app: Any, path: str, places: dict[str, ResponseCache]
) -> dict[str, tuple[float, float]]:
    """Median seconds of a request, and of its search, by place."""
    searcher = search_of(app).searcher
    whole: dict[str, list[float]] = {name: [] for name in places}
    search: dict[str, list[float]] = {name: [] for name in places}
    for _ in range(WARM_UP + ROUNDS):
        for name, answers in places.items():
            searcher.cache = answers
            began = time.perf_counter()
            response = app.get(path)
            whole[name].append(time.perf_counter() - began)
            assert response.headers["X-Search-Engine"] == "mirror"
            timing = response.headers["Server-Timing"]
            search[name].append(float(timing.partition("dur=")[2].partition(",")[0]) / 1000)
    return {
        name: (statistics.median(whole[name][WARM_UP:]), statistics.median(search[name][WARM_UP:]))
        for name in places
    }


def main() -> None:
    with (
        ElasticsearchServer() as server,
        RedisServer() as redis,
        tempfile.TemporaryDirectory() as folder,
    ):
        load_films(Path(folder), server.url, "bench")
        app = films(Path(folder), server.url, "bench")
        places = {
            "off": NO_CACHE,
            "memory": ResponseCache(make_region("memory", 64, 300), "bench"),
            "redis": ResponseCache(make_region(redis.url, 64, 300), "bench"),
        }
        for read, path in READS.items():
            found = measure(app, path, places)
            for name, (whole, search) in found.items():
                print(
                    f"{read:<9} {name:<7} {1000 * whole:6.2f} ms  ratio "
                    f"{whole / found['off'][0]:.2f}   of it the search {1000 * search:5.2f} ms  "
                    f"ratio {search / found['off'][1]:.2f}"
                )
        search_of(app).stop()


if __name__ == "__main__":
    main()
