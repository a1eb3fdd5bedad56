"""Which tests run in which tier, and how long random ones draw.

``make test-quick`` runs what needs no server, ``make test`` all but the long ones, and
``make test-all`` everything (tests/run.py). Marks say what a test needs:

- ``server``: a server process. Set here, by the names of fixtures and parameters.
- ``long``: a test of ``make test-all`` only, such as the rest of many similar cases.
- ``slow``: takes minutes with its module, so it is started first, and not in ``make test-quick``.
- ``every_backend``, ``every_primary``: repeated on each of them.
- ``mongodb``: needs a process whose engine is nefertari_mongodb.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import pytest

C = TypeVar("C")

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


def examples(count: int) -> int:
    """Return how many examples to draw where the whole suite draws *count*."""
    return max(1, round(count * float(os.environ.get(EXAMPLES, "1"))))


def sample(cases: Sequence[C], group: Callable[[C], Hashable], most: int) -> list[C]:
    """Return all *cases* in the whole suite, otherwise at most *most* of each group."""
    if float(os.environ.get(EXAMPLES, "1")) >= 1:
        return list(cases)
    groups: dict[Hashable, list[C]] = {}
    for case in cases:
        groups.setdefault(group(case), []).append(case)
    # Spread over the group: neighbours are alike.
    return [case for each in groups.values() for case in each[:: -(-len(each) // most)]]


def mostly_long(cases: Iterable[Any], every: int) -> list[Any]:
    """Return *cases* as parameters: one of *every* of them for each run, the others are long."""
    parameters = []
    for at, case in enumerate(cases):
        values = case if isinstance(case, tuple) else (case,)
        marks = () if at % every == 0 else (pytest.mark.long,)
        parameters.append(pytest.param(*values, marks=marks))
    return parameters


def add_marks(items: list[pytest.Item]) -> None:
    """Mark what needs a server, and skip what this process can't run."""
    for item in items:
        if _needs_server(item):
            item.add_marker("server")
        if item.get_closest_marker("mongodb") and os.environ.get(PRIMARY) != "mongodb":
            item.add_marker(pytest.mark.skip(reason=f"{PRIMARY} is not mongodb"))


def _needs_server(item: pytest.Item) -> bool:
    if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return True
    parameters = getattr(item, "callspec", None)
    values = parameters.params.values() if parameters is not None else ()
    return any(isinstance(each, str) and not SERVERS.isdisjoint(each.split()) for each in values)
