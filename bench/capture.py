"""What the capture of changes costs: POST with sync off and worker, with and without relationships.

    python -m bench.capture [postgresql|sqlite]

Off: the package's hooks are taken off, nothing is recorded. Both take turns in one process on one
database. `marked` has no relationships; an item has five, and belongs to a keeper.
"""

from __future__ import annotations

import functools
import itertools
import sys
import tempfile

from bench.turns import medians, seconds
from tests.servers import PostgresServer
from tests.support.apps import search_of, zoo

WARM_UP = 50
ROUNDS = 400
COLLECTIONS = {
    "marked": lambda number: {"name": f"name {number}"},
    "items": lambda number: {"name": f"name {number}", "keeper_code": "k"},
}


def measure(database: str, folder: str) -> dict[str, float]:
    """Median seconds of a POST, by collection and mode."""
    app = zoo(database, f"embedded:{folder}", "bench")
    search = search_of(app)
    search.outbox.inline = False
    search.indexer.recovery.stop()
    app.post_json("/keepers", {"code": "k"})
    numbers = itertools.count()

    def turn(collection: str, mode: str) -> float:
        if mode == "off":
            search.capture.remove()
        body = COLLECTIONS[collection](next(numbers))
        duration = seconds(lambda: app.post_json(f"/{collection}", body))
        if mode == "off":
            search.capture.install()
        return duration

    turns = {
        f"{collection} {mode}": functools.partial(turn, collection, mode)
        for collection in COLLECTIONS
        for mode in ("off", "worker")
    }
    return medians(turns, WARM_UP, ROUNDS)


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    with tempfile.TemporaryDirectory() as folder:
        if kind == "postgresql":
            with PostgresServer() as primary:
                durations = measure(primary.create_database("bench"), folder)
        else:
            durations = measure(f"sqlite:///{folder}/zoo.sqlite", folder)
    for collection in COLLECTIONS:
        off, worker = (durations[f"{collection} {mode}"] for mode in ("off", "worker"))
        print(
            f"POST {collection} on {kind}: off {1000 * off:.2f} ms, "
            f"worker {1000 * worker:.2f} ms, ratio {worker / off:.3f}"
        )


if __name__ == "__main__":
    main()
