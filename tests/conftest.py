"""Fixtures of the whole suite: real servers, started once, and names of their own to test under."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.servers import (
    ElasticsearchServer,
    FerretdbServer,
    MariadbServer,
    OpenSearchServer,
    PostgresServer,
    RedisServer,
    Server,
    ServerMissing,
    shared,
)
from tests.servers.base import JAVA_OPTIONS
from tests.support import tiers
from tests.support.apps import Films, load_films
from tests.support.tiers import PRIMARY

S = TypeVar("S", bound=Server)

GIVEN_ELASTICSEARCH = "NEFERTARI_SEARCH_TEST_ELASTICSEARCH"
GIVEN_OPENSEARCH = "NEFERTARI_SEARCH_TEST_OPENSEARCH"

# A machine that other things run on is no reason to fail.
hypothesis_settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("any-machine")

_servers = contextlib.ExitStack()
# The URLs of those that this process has used.
_search_servers: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make a run that is terminated tear its fixtures down, or servers would outlive it.

    Servers live for minutes here: what Java's second compiler takes to make them fast is more than
    it saves. (Measured: 60 indices made, filled, searched and deleted, start included: 41 s and
    28.8 s of computing with it, 16 s and 15.4 s without.)
    """
    os.environ.setdefault(JAVA_OPTIONS, "-XX:TieredStopAtLevel=1")
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
    _servers.enter_context(shared.owned())


def pytest_unconfigure(config: pytest.Config) -> None:
    _servers.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Figures that a green line does not tell."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "compared":
                terminalreporter.write_line(value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests before -m selects, slow modules first: none is left alone at the end.

    The order within a module stays: a process has one application, the one that was made last.
    """
    tiers.add_marks(items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def started(server: S) -> Iterator[S]:
    """Start a server for a fixture, and stop it."""
    with _or_skip(server.name):
        server.start()
    yield server
    server.stop()


@contextlib.contextmanager
def _or_skip(name: str) -> Iterator[None]:
    """A server that can't be had skips the test, and fails it in CI."""
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{name}: {missing}")
        pytest.skip(f"{name}: {missing}")


def _shared(kind: type[S]) -> S:
    """The run's server of this kind, which no test may hurt."""
    with _or_skip(kind.name):
        return shared.start_or_attach(kind)


@pytest.fixture(scope="session")
def elasticsearch_url() -> str:
    """URL of an Elasticsearch: the one named by the environment, or else the run's."""
    return _search_server(os.environ.get(GIVEN_ELASTICSEARCH), ElasticsearchServer)


@pytest.fixture(scope="session")
def own_elasticsearch() -> Iterator[ElasticsearchServer]:
    """An Elasticsearch of this process alone. A test that hurts it must bring it back."""
    yield from started(ElasticsearchServer())


@pytest.fixture(scope="session")
def opensearch_url() -> str:
    """URL of an OpenSearch: the one named by the environment, or else the run's."""
    return _search_server(os.environ.get(GIVEN_OPENSEARCH), OpenSearchServer)


def _search_server(address: str | None, kind: type[Server]) -> str:
    url = address.rstrip("/") if address else _shared(kind).url
    _search_servers.append(url)
    return url


@pytest.fixture(scope="session")
def backend_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The backend that suites of every backend run on: what NEFERTARI_SEARCH_TEST_BACKEND says."""
    kind = tiers.backend_kind()
    if kind == "embedded":
        return f"embedded:{tmp_path_factory.mktemp('embedded')}"
    url = str(request.getfixturevalue(f"{kind}_url"))
    return url if kind == "elasticsearch" else f"{kind}+{url}"


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The run's PostgreSQL; `create_database(name)` gives a test one of its own."""
    return _shared(PostgresServer)


@pytest.fixture(scope="session")
def mariadb_server() -> MariadbServer:
    """The run's MariaDB; `create_database(name)` gives a test one of its own."""
    return _shared(MariadbServer)


@pytest.fixture(scope="session")
def ferretdb_server() -> FerretdbServer:
    """The run's MongoDB-protocol server."""
    return _shared(FerretdbServer)


@pytest.fixture(scope="session")
def redis_server() -> RedisServer:
    """The run's Redis."""
    return _shared(RedisServer)


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
    kind = tiers.primary_kind()
    if kind == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('primary')}/test.sqlite"
    assert kind == "postgresql", f"{PRIMARY}={kind}"
    server = request.getfixturevalue("postgres_server")
    return str(server.create_database(f"test_{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="session")
def loaded_films(tmp_path_factory: pytest.TempPathFactory, backend_url: str) -> Iterator[Films]:
    """The films, loaded and indexed, for all modules that only read them."""
    directory = tmp_path_factory.mktemp("films")
    if backend_url.startswith("embedded:"):
        # Files: one process of the run makes them.
        with shared.made_once("indexed-films", lambda path: load_films(*_embedded(path))) as source:
            shutil.copytree(source, directory, dirs_exist_ok=True)
        yield _embedded(directory)
        return
    for prefix in _prefix():
        loaded = Films(directory, backend_url, prefix)
        load_films(*loaded)
        yield loaded


def _embedded(directory: Path) -> Films:
    directory.mkdir(exist_ok=True)
    return Films(directory, f"embedded:{directory}/search", "films")


@pytest.fixture(scope="module")
def module_prefix() -> Iterator[str]:
    """A name that no index begins with; what the module makes under it is deleted afterwards."""
    yield from _prefix()


@pytest.fixture
def index_prefix() -> Iterator[str]:
    """The same for one test."""
    yield from _prefix()


def _prefix() -> Iterator[str]:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield prefix
    for url in _search_servers:
        for index in indices_of(url, prefix):
            _call("DELETE", f"{url}/{index}")


def indices_of(url: str, prefix: str) -> list[str]:
    """The names of the indices at *url* that begin with *prefix*."""
    # Wildcards in a DELETE are refused by default, so each index goes by its own name.
    listing = _call("GET", f"{url}/_cat/indices/{prefix}*?format=json&h=index&expand_wildcards=all")
    return [entry["index"] for entry in json.loads(listing)]


def _call(method: str, url: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return bytes(answer.read())
