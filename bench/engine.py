"""What this package's engine costs as the only database, beside nefertari_sqla on SQLite.

    python -m bench.engine

Create, change, get and list of the library's books, over WSGI. nefertari's engines are global, so
each one runs in a process of its own; they take turns, and what else the machine does strikes all
of them alike. nefertari_sqla runs without any search: this package's hooks are taken off, and its
reads go to the database.
"""

from __future__ import annotations

import functools
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from typing import Any

from bench.turns import medians
from tests.servers import ElasticsearchServer

AUTHORS = 20
BOOKS = 200
WARM_UP = 5
ROUNDS = 60
PAGE = 20
KINDS = ("create", "change", "get", "list", "search")
REFERENCE = "nefertari_sqla, SQLite"


class Engine:
    """The library on one engine, in a process that does what it is told."""

    def __init__(self, **settings: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "bench.engine", json.dumps(settings)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.requests: Counter[str] = Counter()
        assert self.answer() == "ready"

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"an engine's process ended: {self.process.wait()}")
        return json.loads(line)

    def next_seconds(self, kind: str) -> float:
        """How long one more request takes."""
        assert self.process.stdin is not None
        number = self.requests[kind]
        self.requests[kind] += 1
        self.process.stdin.write(f"{kind} {number}\n")
        return float(self.answer())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def child(settings: dict[str, str]) -> None:
    """Serve the commands of :class:`Engine`."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from webtest import TestApp

    from tests.apps.any_engine import main as library

    app = TestApp(library({}, **settings))
    if settings["nefertari.engine"] == "nefertari_sqla":
        app.app.registry.nefertari_search.hooks.remove()
    for number in range(AUTHORS):
        app.post_json("/authors", {"code": f"a{number}", "name": "Virginia Woolf"}, status=201)
    for number in range(BOOKS):
        app.post_json("/books", _book(f"b{number}", number), status=201)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        began = time.perf_counter()
        _request(app, kind, int(number))
        print(json.dumps(time.perf_counter() - began), flush=True)


def _book(code: str, number: int) -> dict[str, Any]:
    title = f"The {number * 7919 % BOOKS:04} Waves"
    return {"code": code, "title": title, "pages": 1 + number, "author": f"a{number % AUTHORS}"}


def _request(app: Any, kind: str, number: int) -> None:
    if kind == "create":
        app.post_json("/books", _book(f"new{number}", number), status=201)
    elif kind == "change":
        app.patch_json(f"/books/b{number % BOOKS}", {"pages": 1 + number % 9999}, status=200)
    elif kind == "get":
        body = app.get(f"/books/b{number % BOOKS}").json
        assert body["author"]["name"] == "Virginia Woolf"
    else:
        path = "/founds?q=waves&" if kind == "search" else "/books?"
        body = app.get(f"{path}_sort=title&_limit={PAGE}&_start={number % 100}").json
        assert body["count"] == PAGE
        assert body["data"][0]["author"]["name"] == "Virginia Woolf"


def measure(engines: dict[str, Engine]) -> dict[str, dict[str, float]]:
    """Median seconds by kind of request and engine."""
    figures: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        turns = {
            name: functools.partial(engine.next_seconds, kind)
            for name, engine in engines.items()
            if kind != "search" or name != REFERENCE
        }
        figures[kind] = medians(turns, WARM_UP, ROUNDS)
    return figures


def main() -> None:
    alone = {"nefertari.engine": "nefertari_search_tween.engine", "auth": "false"}
    with ElasticsearchServer() as server, tempfile.TemporaryDirectory() as folder:
        engines = {
            REFERENCE: Engine(
                **{
                    "nefertari.engine": "nefertari_sqla",
                    "auth": "false",
                    "sqlalchemy.url": f"sqlite:///{folder}/library.sqlite",
                    "pyramid.includes": "nefertari_search_tween",
                    "nefertari_search.read_from": "primary",
                    "nefertari_search.backend": f"embedded:{folder}/mirrors",
                    "elasticsearch.index_name": "bench",
                }
            ),
            "engine, embedded": Engine(
                **alone,
                **{
                    "nefertari_search.backend": f"embedded:{folder}/data",
                    "elasticsearch.index_name": "bench",
                },
            ),
            "engine, Elasticsearch": Engine(
                **alone,
                **{
                    "elasticsearch.hosts": server.url.partition("://")[2],
                    "elasticsearch.index_name": "bench",
                },
            ),
        }
        try:
            figures = measure(engines)
        finally:
            for engine in engines.values():
                engine.end()
    for kind, seconds in figures.items():
        reference = seconds.get(REFERENCE)
        for name, each in seconds.items():
            ratio = "" if reference is None else f"  ratio {each / reference:5.2f}"
            print(f"{kind:<7} {name:<23} {1000 * each:7.2f} ms{ratio}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(json.loads(sys.argv[1]))
    else:
        main()
