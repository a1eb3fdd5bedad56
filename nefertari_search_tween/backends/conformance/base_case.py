"""The fixtures of all cases: unique names, an empty index, the films."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.corpus import (
    FILMS,
    MAPPING,
    Index,
    document,
    write_alias,
)


def unique_name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def run_together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return the results of *calls*, which start together in threads."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


class Cases:
    """Fixtures of the cases; they take ``backend`` from the subclass."""

    #: of every index that the cases create
    index_settings: dict[str, Any] = {
        "index.gc_deletes": "1h",
        "index.max_result_window": 10_000,
        "index.number_of_replicas": 0,
    }

    def connect(self, url: str, timeout: float) -> Backend:
        """Return a backend whose server is at *url*; for faults forced at the wire."""
        pytest.skip(f"{type(self).__name__} has no server: connect() is not defined")

    @classmethod
    def create(cls, backend: Backend, prefix: str, mapping: dict[str, Any] = MAPPING) -> Index:
        """Create an index with its two aliases."""
        alias = unique_name(prefix)
        name = f"{alias}-000001"
        backend.create_index(name, mapping, cls.index_settings, [alias, write_alias(name)])
        return Index(backend, name, alias)

    @pytest.fixture(scope="class")
    @classmethod
    def prefix(cls, backend: Backend) -> Iterator[str]:
        """Prefix of the names of a class's indices, which are deleted afterwards."""
        prefix = unique_name("conformance")
        yield prefix
        for name in backend.indices(f"{prefix}*"):
            backend.delete_index(name)

    @pytest.fixture(scope="class")
    @classmethod
    def films(cls, backend: Backend, prefix: str) -> Index:
        """The films; cases only read them."""
        films = cls.create(backend, prefix)
        films.write({key: document(key, film) for key, film in FILMS.items()})
        return films

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, backend: Backend, prefix: str) -> Index:
        """An index to which cases write under keys of their own."""
        return cls.create(backend, prefix)

    @pytest.fixture
    def empty(self, backend: Backend, prefix: str) -> Iterator[Index]:
        """An empty index for one case."""
        index = self.create(backend, prefix)
        yield index
        backend.delete_index(index.name)
