"""What the capture of changes costs: POST with sync off and worker, with and without relationships.

    python -m bench.capture [postgresql|sqlite|films]

Off: the package's hooks are taken off, nothing is recorded. Both take turns in one process on one
database. `marked` has no relationships; an item has five, and belongs to a keeper. The films (on
SQLite, 17,472 of them) have a director, who lists them, genres and countries.
"""

from __future__ import annotations

import functools
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

from webtest import TestApp

from bench.turns import medians, seconds
from tests.servers import PostgresServer, shared
from tests.support.apps import films, load_films, search_of, zoo

WARM_UP = 50
ROUNDS = 400
#: name of a collection -> the body of its POST with a number
Collections = dict[str, Callable[[int], dict[str, Any]]]
COLLECTIONS: Collections = {
    "marked": lambda number: {"name": f"name {number}"},
    "items": lambda number: {"name": f"name {number}", "keeper_code": "k"},
}
FILMS: Collections = {
    "films": lambda number: {"title": f"Film {number}", "year": 2000, "director_id": 1 + number},
    "genres": lambda number: {"name": f"genre {number}"},
}


def measure(app: TestApp, collections: Collections) -> dict[str, float]:
    """Median seconds of a POST, by collection and mode."""
    search = search_of(app)
    search.outbox.inline = False
    search.indexer.recovery.stop()
    numbers = itertools.count()

    def turn(collection: str, mode: str) -> float:
        if mode == "off":
            search.capture.remove()
        body = collections[collection](next(numbers))
        duration = seconds(lambda: app.post_json(f"/{collection}", body))
        if mode == "off":
            search.capture.install()
        return duration

    turns = {
        f"{collection} {mode}": functools.partial(turn, collection, mode)
        for collection in collections
        for mode in ("off", "worker")
    }
    return medians(turns, WARM_UP, ROUNDS)


def zoo_of(database: str, folder: str) -> TestApp:
    app = zoo(database, f"embedded:{folder}", "bench")
    app.post_json("/keepers", {"code": "k"})
    return app


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    collections = FILMS if kind == "films" else COLLECTIONS
    with tempfile.TemporaryDirectory() as folder, shared.owned():
        if kind == "postgresql":
            with PostgresServer() as primary:
                durations = measure(zoo_of(primary.create_database("bench"), folder), collections)
        elif kind == "films":
            url = f"embedded:{folder}/search"
            load_films(Path(folder), url, "bench")
            durations = measure(films(Path(folder), url, "bench"), collections)
        else:
            durations = measure(zoo_of(f"sqlite:///{folder}/zoo.sqlite", folder), collections)
    for collection in collections:
        off, worker = (durations[f"{collection} {mode}"] for mode in ("off", "worker"))
        print(
            f"POST {collection} on {kind}: off {1000 * off:.2f} ms, "
            f"worker {1000 * worker:.2f} ms, ratio {worker / off:.3f}"
        )


if __name__ == "__main__":
    main()
