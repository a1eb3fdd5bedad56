"""What a write costs: POST of an item of the zoo with sync inline, worker, and off.

    python -m bench.writes [postgresql|sqlite]

The three take turns in one process on one database and one Elasticsearch, so what else the machine
does strikes all of them alike. Off: the package's hooks are taken off, nothing records or indexes.
A plain item has one document; one with a related object (its keeper) changes that one's document,
too. Then four threads write at once.
"""

from __future__ import annotations

import functools
import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.turns import medians, seconds
from tests.servers import ElasticsearchServer, PostgresServer
from tests.support.apps import search_of, zoo

WARM_UP = 50
ROUNDS = 400
MODES = ("off", "worker", "inline")
KINDS = ("plain", "related")
# Each lists its items: so many that no list becomes long.
KEEPERS = 200
WRITERS = 4
WRITERS_SECONDS = 2.0
WRITERS_ROUNDS = 8


class Writes:
    """An application whose items are written."""

    def __init__(self, url: str, database: str) -> None:
        self.app = zoo(database, url, "bench")
        self.search = search_of(self.app)
        self.numbers = itertools.count()
        for number in range(KEEPERS):
            self.app.post_json("/keepers", {"code": f"k{number}", "name": "Ann"})

    @contextmanager
    def mode(self, mode: str) -> Iterator[None]:
        self.search.outbox.inline = mode == "inline"
        if mode == "off":
            self.search.capture.remove()
        yield
        if mode == "off":
            self.search.capture.install()
        if mode == "worker":
            self.search.indexer.drain()

    def post(self, kind: str) -> None:
        number = next(self.numbers)
        item: dict[str, Any] = {"name": f"{kind} {number}", "count": 1}
        if kind == "related":
            item["keeper_code"] = f"k{number % KEEPERS}"
        self.app.post_json("/items", item)

    def turn(self, mode: str, kind: str) -> float:
        with self.mode(mode):
            return seconds(lambda: self.post(kind))

    def posts_per_second(self, mode: str) -> float:
        """Of all writers together."""
        until = time.monotonic() + WRITERS_SECONDS
        counts: list[int] = []

        def work() -> None:
            count = 0
            while time.monotonic() < until:
                self.post("plain")
                count += 1
            counts.append(count)

        with self.mode(mode):
            threads = [threading.Thread(target=work) for _ in range(WRITERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(counts) == WRITERS
        return sum(counts) / WRITERS_SECONDS


def measure(url: str, database: str, name: str) -> None:
    writes = Writes(url, database)
    for kind in KINDS:
        turns = {mode: functools.partial(writes.turn, mode, kind) for mode in MODES}
        durations = medians(turns, WARM_UP, ROUNDS)
        for mode, each in durations.items():
            ratio = each / durations["off"]
            print(f"{kind:<7} on {name}: {mode:<6} {1000 * each:6.2f} ms  ratio {ratio:.2f}")
    rates: dict[str, list[float]] = defaultdict(list)
    order, chance = list(MODES), random.Random(0)
    for _ in range(1 + WRITERS_ROUNDS):
        chance.shuffle(order)
        for mode in order:
            rates[mode].append(writes.posts_per_second(mode))
    off = statistics.median(rates["off"][1:])
    for mode in MODES:
        counted = rates[mode][1:]
        rate = statistics.median(counted)
        print(
            f"{WRITERS} writers on {name}: {mode:<6} {rate:6.1f} posts/s ({min(counted):.0f} to "
            f"{max(counted):.0f})  ratio {rate / off:.2f}"
        )


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    with ElasticsearchServer() as server, tempfile.TemporaryDirectory() as folder:
        if kind == "postgresql":
            with PostgresServer() as primary:
                measure(server.url, primary.create_database("bench"), kind)
        else:
            measure(server.url, f"sqlite:///{folder}/zoo.sqlite", kind)


if __name__ == "__main__":
    main()
