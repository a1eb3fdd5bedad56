"""Readers beside one writer that never pauses: pages and searches a second, and who answers them.

    python -m bench.beside [postgresql|sqlite]

A process of its own stores items, 22 a second, each of which it indexes itself (sync inline). This
process reads pages and searches, as fast as it can, with both settings of the consistency in turns:
what ``eventual`` gets is what the writer's use of the machine leaves.
"""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from typing import Any

from tests.servers import ElasticsearchServer, PostgresServer
from tests.support.apps import search_of, zoo

POSTS_PER_SECOND = 22
TURN_SECONDS = 3.0
ROUNDS = 8
ITEMS = 300
CONSISTENCIES = ("eventual", "read_your_writes")
PATHS = {
    "page": "/items?_limit=20&_sort=-id",
    "search": "/items?q=lion&_limit=20",
}


def write(database: str, url: str) -> None:
    """Store items until this process is ended."""
    app = zoo(database, url, "beside")
    began = time.monotonic()
    for number in itertools.count():
        app.post_json("/items", {"name": f"written {number}", "count": number})
        time.sleep(max(0.0, began + (number + 1) / POSTS_PER_SECOND - time.monotonic()))


def turn(app: Any, path: str) -> tuple[float, float]:
    """Read for a while; give requests a second, and the share that the mirror did not answer."""
    engines: Counter[str] = Counter()
    began = time.monotonic()
    while time.monotonic() - began < TURN_SECONDS:
        response = app.get(path, expect_errors=True)
        engines[response.headers.get("X-Search-Engine", response.status)] += 1
    total = sum(engines.values())
    return total / (time.monotonic() - began), 1 - engines["mirror"] / total


def measure(database: str, url: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    app = zoo(database, url, "beside")
    settings = search_of(app).settings
    for number in range(ITEMS):
        app.post_json("/items", {"name": f"lion {number}", "count": number})
    command = [sys.executable, "-W", "ignore", "-m", "bench.beside", "write", database, url]
    writer = subprocess.Popen(command)
    try:
        time.sleep(5)  # it has started
        turns = list(itertools.product(PATHS, CONSISTENCIES))
        results: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        chance = random.Random(0)
        for _ in range(1 + ROUNDS):
            chance.shuffle(turns)
            for kind, consistency in turns:
                settings.consistency = consistency
                results[kind, consistency].append(turn(app, PATHS[kind]))
        assert writer.poll() is None
    finally:
        writer.terminate()
        writer.wait()
    return {name: each[1:] for name, each in results.items()}


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["write"]:
        write(*arguments[1:])
        return
    kind = arguments[0] if arguments else "sqlite"
    with ElasticsearchServer() as server, tempfile.TemporaryDirectory() as folder:
        if kind == "postgresql":
            with PostgresServer() as primary:
                results = measure(primary.create_database("beside"), server.url)
        else:
            results = measure(f"sqlite:///{folder}/zoo.sqlite", server.url)
    for what in PATHS:
        rates = {each: [rate for rate, _ in results[what, each]] for each in CONSISTENCIES}
        floor = statistics.median(rates["eventual"])
        for each in CONSISTENCIES:
            rate = statistics.median(rates[each])
            others = statistics.median(share for _, share in results[what, each])
            print(
                f"{what:<6} {each:<16} {rate:6.1f}/s ({min(rates[each]):.0f} to "
                f"{max(rates[each]):.0f}), {rate / floor:.2f} of eventual, "
                f"{100 * others:.0f}% not by the mirror"
            )


if __name__ == "__main__":
    main()
