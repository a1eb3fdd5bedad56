"""What a read costs beside its floor, and what the package adds to requests that it leaves alone.

    python -m bench.reads

Everything takes turns in one process, on one Elasticsearch and the films' database.

A read of the mirror goes through the whole application. Its floor is the client's search with the
same body, and the same request through an application without the package, whose model gives the
documents of an earlier answer: what any search would have to do. Where the database can answer the
request, too, what it takes is shown beside it.

Of other requests the package's share is what they take more than without the package: without its
tween, its hooks of sessions, and its part of ``get_collection``.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from pyramid.interfaces import ITweens

from bench.turns import medians
from nefertari_search_tween import TWEEN
from tests.servers import ElasticsearchServer, shared
from tests.support.apps import films, load_films, search_of

WARM_UP = 30
ROUNDS = 300
READS = (
    "/films?_limit=20&_sort=-year,id",
    "/films?year=1994&_limit=20&_sort=title,id",
    "/films?_limit=100&_sort=-year,id",
    "/films?q=godfather&_limit=20",
    "/films?q=love%20war&_search_fields=title,director.name&_limit=20",
    "/films?q=love&_count",
)
OTHERS = ("/films/238", "/films/999999999", "/nothing/here")


def spent(what: Callable[[], Any], expected: Any = None) -> float:
    """Milliseconds that *what* takes; what it answers is compared, when it is known."""
    began = time.perf_counter()
    answer = what()
    milliseconds = 1000 * (time.perf_counter() - began)
    assert expected is None or answer.json["data"] == expected
    return milliseconds


class Bench:
    """The application, with the package and without."""

    def __init__(self, app: Any) -> None:
        from nefertari_sqla import BaseMixin

        self.app = app
        self.search = search_of(app)
        self.base = BaseMixin
        self.with_it = app.app.handle_request
        self.without_it = app.app.orig_handle_request
        registry = app.app.registry
        tweens = registry.getUtility(ITweens)
        for name, factory in reversed(tweens.explicit or tweens.implicit()):
            if name != TWEEN:
                self.without_it = factory(self.without_it, registry)
        self.intercepted = BaseMixin.__dict__["get_collection"]

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Without the package."""
        self.app.app.handle_request = self.without_it
        self.base.get_collection = classmethod(self.intercepted.__func__.intercepts)
        self.search.capture.remove()
        try:
            yield
        finally:
            self.search.capture.install()
            self.base.get_collection = self.intercepted
            self.app.app.handle_request = self.with_it

    def get(self, path: str) -> Any:
        return self.app.get(path, expect_errors=True)

    def search_and_documents(self, path: str) -> tuple[str, dict[str, Any], Any]:
        """Index and body of the search that *path* makes, and the documents that it gives."""
        searches: list[tuple[str, dict[str, Any]]] = []
        results: list[Any] = []
        backend, function = self.search.backend, self.intercepted.__func__

        def search(index: str, body: dict[str, Any]) -> Any:
            searches.append((index, body))
            return type(backend).search(backend, index, body)

        def get_collection(cls: Any, **params: Any) -> Any:
            results.append(function(cls, **params))
            return results[-1]

        for mirror in self.search.mirrors:
            # A search goes around an application's own get_collection: not around this one.
            mirror.hooks.trusted |= {f"{__name__}.{get_collection.__qualname__}"}
        backend.search = search
        self.base.get_collection = classmethod(get_collection)
        try:
            response = self.get(path)
        finally:
            self.base.get_collection = self.intercepted
            del backend.search
        assert response.headers["X-Search-Engine"] == "mirror", response.text
        ((index, body),) = searches
        (documents,) = results
        return index, body, documents

    def read(self, path: str) -> None:
        """Measure one read of the mirror, and print it."""
        index, body, documents = self.search_and_documents(path)
        client = self.search.backend.client
        answered = self.get(path).json["data"]

        def canned() -> float:
            with self.off():
                self.base.get_collection = classmethod(lambda cls, **params: documents)
                return spent(lambda: self.get(path), answered)

        turns: dict[str, Callable[[], float]] = {
            "whole": lambda: spent(lambda: self.get(path)),
            "search": lambda: spent(lambda: client.search(index=index, body=body)),
            "rendering": canned,
        }
        durations = medians(turns, WARM_UP, ROUNDS)
        floor = durations["search"] + durations["rendering"]
        if "q=" not in path:
            # By itself: it takes so long that the server falls asleep.
            forced = f"{path}&_search=false"
            durations |= medians(
                {"database": lambda: spent(lambda: self.get(forced))}, WARM_UP, ROUNDS
            )
        parts = ", ".join(
            f"{name} {each:.2f}" for name, each in durations.items() if name != "whole"
        )
        ratio = durations["whole"] / floor
        print(f"{path}\n    {durations['whole']:.2f} ms, {ratio:.3f} of the floor ({parts})")

    def other(self, path: str) -> None:
        """Measure one request that no mirror answers, and print it."""

        def without() -> float:
            with self.off():
                return spent(lambda: self.get(path))

        turns = {"with": lambda: spent(lambda: self.get(path)), "without": without}
        durations = medians(turns, WARM_UP, ROUNDS)
        ours, theirs = durations["with"], durations["without"]
        print(f"{path}\n    {ours:.3f} ms, {ours / theirs:.3f} of {theirs:.3f} without")


def main() -> None:
    with (
        shared.owned(),
        ElasticsearchServer() as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        load_films(Path(folder), server.url, "bench")
        bench = Bench(films(Path(folder), server.url, "bench"))
        for path in READS:
            bench.read(path)
        for path in OTHERS:
            bench.other(path)
        bench.search.stop()


if __name__ == "__main__":
    main()
