"""Fixtures of the whole suite: real servers, started once, and names of their own to test under."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import (
    ElasticsearchServer,
    FerretdbServer,
    MariadbServer,
    OpenSearchServer,
    PostgresServer,
    RedisServer,
    Server,
    ServerMissing,
)
from tests.servers.base import JAVA_OPTIONS

GIVEN_ELASTICSEARCH = "NEFERTARI_SEARCH_TEST_ELASTICSEARCH"
GIVEN_OPENSEARCH = "NEFERTARI_SEARCH_TEST_OPENSEARCH"
SLOWEST = (
    "engine/test_contract",
    "engine/test_races",
    "compat/test_guards",
    "engine/test_scaffolds",
    "write/test_worker",
    "faults/test_faults",
    "commands/test_commands",
    "write/test_rebuild",
    "faults/test_campaign",
    "read/test_equality",
    "backends/test_security",
    "backends/test_conformance",
    "write/test_verify",
    "primaries/test_triggers",
    "acceptance/test_scaffolds",
    "compat/test_ramses",
    "primaries/mongodb/test_ramses",
    "read/aggregations/test_types",
    "read/test_multi_collection",
    "commands/test_nefertari_scripts",
    "compat/test_dropin",
    "read/privacy/test_hidden_fields",
)
BACKEND = "NEFERTARI_SEARCH_TEST_BACKEND"
PRIMARY = "NEFERTARI_SEARCH_TEST_PRIMARY"


def pytest_configure() -> None:
    """Make a run that is terminated tear its fixtures down, or servers would outlive it.

    Servers live for minutes here: what Java's second compiler takes to make them fast is more than
    it saves. (Measured: 60 indices made, filled, searched and deleted, start included: 41 s and
    28.8 s of computing with it, 16 s and 15.4 s without.)
    """
    os.environ.setdefault(JAVA_OPTIONS, "-XX:TieredStopAtLevel=1")
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Figures that a green line does not tell."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "compared":
                terminalreporter.write_line(value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first: with two processes, none is left alone at the end."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    here = Path(__file__).parent
    items.sort(
        key=lambda item: order.get(
            item.path.relative_to(here).with_suffix("").as_posix(), len(order)
        )
    )


def started(server: Server) -> Iterator[Server]:
    """Start a server for a fixture; one that can't be had skips the test, and fails it in CI."""
    try:
        server.start()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{server.name}: {missing}")
        pytest.skip(f"{server.name}: {missing}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """The session's Elasticsearch. A test that hurts it must bring it back (`restart`)."""
    if os.environ.get(GIVEN_ELASTICSEARCH):
        pytest.skip(f"{GIVEN_ELASTICSEARCH} is set: its process is not ours to touch")
    yield from started(ElasticsearchServer())


@pytest.fixture(scope="session")
def elasticsearch_url(request: pytest.FixtureRequest) -> str:
    """URL of an Elasticsearch: the one named by the environment, or else the session's."""
    given = os.environ.get(GIVEN_ELASTICSEARCH)
    if given:
        return given.rstrip("/")
    return request.getfixturevalue("elasticsearch_server").url


@pytest.fixture(scope="session")
def opensearch_server() -> Iterator[OpenSearchServer]:
    """The session's OpenSearch. A test that hurts it must bring it back (`restart`)."""
    if os.environ.get(GIVEN_OPENSEARCH):
        pytest.skip(f"{GIVEN_OPENSEARCH} is set: its process is not ours to touch")
    yield from started(OpenSearchServer())


@pytest.fixture(scope="session")
def opensearch_url(request: pytest.FixtureRequest) -> str:
    """URL of an OpenSearch: the one named by the environment, or else the session's."""
    given = os.environ.get(GIVEN_OPENSEARCH)
    if given:
        return given.rstrip("/")
    return request.getfixturevalue("opensearch_server").url


@pytest.fixture(scope="session")
def backend_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The backend that suites of every backend run on: what NEFERTARI_SEARCH_TEST_BACKEND says."""
    kind = os.environ.get(BACKEND, "elasticsearch")
    if kind == "embedded":
        return f"embedded:{tmp_path_factory.mktemp('embedded')}"
    url = str(request.getfixturevalue(f"{kind}_url"))
    return url if kind == "elasticsearch" else f"{kind}+{url}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; `create_database(name)` gives a test one of its own."""
    yield from started(PostgresServer())


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """The session's MariaDB; `create_database(name)` gives a test one of its own."""
    yield from started(MariadbServer())


@pytest.fixture(scope="session")
def ferretdb_server() -> Iterator[FerretdbServer]:
    """The session's MongoDB-protocol server. A test that hurts it must bring it back."""
    yield from started(FerretdbServer())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis. A test that hurts it must bring it back."""
    yield from started(RedisServer())


@pytest.fixture(scope="module", params=["memory", "redis"])
def cache_place(request: pytest.FixtureRequest) -> str:
    """What ``nefertari_search.cache`` says: each place, one after the other."""
    if request.param == "memory":
        return "memory"
    return str(request.getfixturevalue("redis_server").url)


@pytest.fixture(scope="module")
def mongodb(ferretdb_server: FerretdbServer) -> dict[str, str]:
    """The ``mongodb.*`` settings of a database of the module's own."""
    return ferretdb_server.settings(f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def primary_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of the module's own: SQLite, or what NEFERTARI_SEARCH_TEST_PRIMARY says.

    One process has one of them: a ListField of nefertari_sqla keeps the type of the database
    that it met first.
    """
    kind = os.environ.get(PRIMARY, "sqlite")
    if kind == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('primary')}/test.sqlite"
    assert kind == "postgresql", f"{PRIMARY}={kind}"
    server = request.getfixturevalue("postgres_server")
    return str(server.create_database(f"test_{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def index_prefix(elasticsearch_url: str) -> Iterator[str]:
    """A name that no index begins with; what the test makes under it is deleted afterwards."""
    yield from _own_prefix(elasticsearch_url)


@pytest.fixture(scope="module")
def module_prefix(backend_url: str) -> Iterator[str]:
    """The same, for a whole module, on the backend that suites of every backend run on."""
    if backend_url.startswith("embedded:"):
        yield f"test-{uuid.uuid4().hex[:12]}"
    else:
        yield from _own_prefix(backend_url.rpartition("+")[2])


def _own_prefix(url: str) -> Iterator[str]:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield prefix
    for index in _indices(url, prefix):
        _call("DELETE", f"{url}/{index}")


def _indices(url: str, prefix: str) -> list[str]:
    # Wildcards in a DELETE are refused by default, so each index goes by its own name.
    listing = _call("GET", f"{url}/_cat/indices/{prefix}*?format=json&h=index&expand_wildcards=all")
    return [entry["index"] for entry in json.loads(listing)]


def _call(method: str, url: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return bytes(answer.read())
