"""Which tests run in which tier, and how long random ones draw.

``make test-quick``, ``make test``, ``make test-all`` and ``make test-matrix`` each run what the
one before runs, and more (tests/run.py). Marks say what a test needs:

- ``server``: a server process: not in ``make test-quick``. Set here, by the names of fixtures and
  parameters.
- ``slow``: takes seconds (its module: minutes), so it is started first, and not in
  ``make test-quick``.
- ``thorough``: from ``make test-all`` on: a case that others stand for in ``make test``.
- ``long``: in ``make test-matrix`` only, such as the rest of many similar cases.
- ``every_backend``, ``every_primary``: repeated on each of them. In ``make test`` the suites of
  every backend run on the embedded one, and on Elasticsearch if they are ``on_servers_too``; those
  of every database that need a server run on PostgreSQL, and on SQLite in ``make test-all``.
- ``mongodb``: needs a process whose engine is nefertari_mongodb.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

BACKEND = "NEFERTARI_SEARCH_TEST_BACKEND"
PRIMARY = "NEFERTARI_SEARCH_TEST_PRIMARY"
#: environment variable: a factor of the number of examples of random tests
EXAMPLES = "NEFERTARI_SEARCH_TEST_EXAMPLES"
#: the fixtures that need a server process
SERVER_FIXTURES = {
    "elasticsearch_url",
    "ferretdb_server",
    "mariadb_server",
    "opensearch_url",
    "own_elasticsearch",
    "postgres_server",
    "redis_server",
    "server",
}
#: parameters by which a test chooses a server
SERVERS = {
    "elasticsearch",
    "mariadb",
    "mongodb",
    "nefertari_mongodb",
    "opensearch",
    "postgres",
    "postgresql",
    "redis",
}


def backend_kind() -> str:
    """Return the name of the backend that any backend's tests run on."""
    return os.environ.get(BACKEND, "embedded")


def primary_kind() -> str:
    """Return the name of the database that any database's tests run on."""
    return os.environ.get(PRIMARY, "sqlite")


def examples(count: int) -> int:
    """Return how many examples to draw where the whole suite draws *count*."""
    return max(1, round(count * float(os.environ.get(EXAMPLES, "1"))))


def mostly_long(cases: Iterable[Any], every: int, mark: Any = pytest.mark.long) -> list[Any]:
    """Return *cases* as parameters: one of *every* of them for each run, the others have *mark*."""
    parameters = []
    for at, case in enumerate(cases):
        values = case if isinstance(case, tuple) else (case,)
        marks = () if at % every == 0 else (mark,)
        parameters.append(pytest.param(*values, marks=marks))
    return parameters


def add_marks(items: list[pytest.Item]) -> None:
    """Mark what needs a server or is thorough here, and skip what this process can't run."""
    for item in items:
        if _needs_server(item):
            item.add_marker("server")
            if item.get_closest_marker("every_primary") and primary_kind() == "sqlite":
                item.add_marker("thorough")
        elif (
            backend_kind() != "embedded"
            and item.get_closest_marker("every_backend")
            and not item.get_closest_marker("on_servers_too")
        ):
            item.add_marker("thorough")
        if item.get_closest_marker("mongodb") and primary_kind() != "mongodb":
            item.add_marker(pytest.mark.skip(reason=f"{PRIMARY} is not mongodb"))


def _needs_server(item: pytest.Item) -> bool:
    if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return True
    parameters = getattr(item, "callspec", None)
    values = parameters.params.values() if parameters is not None else ()
    return any(isinstance(each, str) and not SERVERS.isdisjoint(each.split()) for each in values)
