"""What a write costs: POST of an item of the zoo with sync inline, worker, and off.

    python -m bench.writes [postgresql|sqlite]

The three take turns in one process on one database and one Elasticsearch, so what else the machine
does strikes all of them alike. Off: the package's hooks are taken off, nothing records or indexes.
"""

from __future__ import annotations

import functools
import itertools
import sys
import tempfile

from bench.turns import medians, seconds
from tests.servers import ElasticsearchServer, PostgresServer
from tests.support.apps import search_of, zoo

WARM_UP = 50
ROUNDS = 400


def measure(url: str, database: str) -> dict[str, float]:
    """Median seconds of a POST, by mode."""
    app = zoo(database, url, "bench")
    search = search_of(app)
    numbers = itertools.count()

    def turn(mode: str) -> float:
        search.outbox.inline = mode == "inline"
        item = {"name": f"{mode} {next(numbers)}", "count": 1}
        if mode == "off":
            search.capture.remove()
        duration = seconds(lambda: app.post_json("/items", item))
        if mode == "off":
            search.capture.install()
        if mode == "worker":
            search.indexer.drain()
        return duration

    turns = {mode: functools.partial(turn, mode) for mode in ("off", "worker", "inline")}
    return medians(turns, WARM_UP, ROUNDS)


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    with ElasticsearchServer() as server, tempfile.TemporaryDirectory() as folder:
        if kind == "postgresql":
            with PostgresServer() as primary:
                durations = measure(server.url, primary.create_database("bench"))
        else:
            durations = measure(server.url, f"sqlite:///{folder}/zoo.sqlite")
    off = durations["off"]
    for mode, each in durations.items():
        print(f"writes on {kind}: {mode:<6} {1000 * each:6.2f} ms  ratio {each / off:.2f}")


if __name__ == "__main__":
    main()
