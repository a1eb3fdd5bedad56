"""One behaviour on every backend: the conformance suite that ships with the package.

The last test prints how many cases each backend had; docs/backends.rst has a line for each
difference that is left, and this module a test for each line.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance import BackendConformance
from nefertari_search_tween.backends.conformance.corpus import Index
from nefertari_search_tween.backends.conformance.paging import PagingCases
from nefertari_search_tween.backends.conformance.versions import VersionCases
from nefertari_search_tween.backends.conformance.writes import WriteCases
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend
from nefertari_search_tween.backends.opensearch import OpenSearchBackend
from nefertari_search_tween.exceptions import BackendRejected, ConfigurationError
from tests.conftest import started
from tests.servers import OpenSearchServer, free_port

pytestmark = [pytest.mark.slow]

TIMEOUT = 30.0


def elasticsearch(urls: list[str], timeout: float = TIMEOUT) -> ElasticsearchBackend:
    return ElasticsearchBackend(Connection(tuple(urls), timeout))


def opensearch(urls: list[str], timeout: float = TIMEOUT) -> OpenSearchBackend:
    pytest.importorskip("opensearchpy", reason="the extra 'opensearch' is not installed")
    return OpenSearchBackend(Connection(tuple(urls), timeout))


MADE: dict[str, Any] = {"elasticsearch": elasticsearch, "opensearch": opensearch}


class TestElasticsearch(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, elasticsearch_url: str) -> Iterator[Backend]:
        backend = elasticsearch([elasticsearch_url])
        yield backend
        backend.client.close()

    def connect(self, url: str, timeout: float) -> Backend:
        return elasticsearch([url], timeout)


class TestOpenSearch(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, opensearch_url: str) -> Iterator[Backend]:
        backend = opensearch([opensearch_url])
        yield backend
        backend.client.close()

    def connect(self, url: str, timeout: float) -> Backend:
        return opensearch([url], timeout)

    # What is different from Elasticsearch

    def test_fewer_clauses_than_elasticsearch_takes(self, films: Index) -> None:
        """Numbers count twice; the limit is a setting of the cluster."""
        many = [{"term": {"year": {"value": number}}} for number in range(600)]
        with pytest.raises(BackendRejected, match="maxClauseCount is set to 1024"):
            films.matching_ids({"bool": {"should": many, "minimum_should_match": 1}})

    def test_more_than_two_edits_are_taken(self, films: Index) -> None:
        films.matching_ids({"match": {"title": {"query": "knight", "fuzziness": 7}}})


# The third, TestEmbedded, is in embedded/test_conformance.py: it needs no server.


@pytest.mark.long
@pytest.mark.server
class TestThreeNodes(WriteCases, VersionCases, PagingCases):
    """A part of the cases on a cluster: three shards, each with a copy on another node."""

    index_settings = {
        **BackendConformance.index_settings,
        "index.number_of_shards": 3,
        "index.number_of_replicas": 1,
    }

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Iterator[Backend]:
        pytest.importorskip("opensearchpy", reason="the extra 'opensearch' is not installed")
        for server in started(OpenSearchServer(nodes=3)):
            assert isinstance(server, OpenSearchServer)
            cls.urls = server.urls
            backend = opensearch(server.urls)
            yield backend
            backend.client.close()

    urls: ClassVar[list[str]]

    def test_the_other_nodes_are_found(self, backend: Backend) -> None:
        """Of three, one is named, and it is used only until the others are known."""
        sniffing = OpenSearchBackend(Connection((self.urls[0],), TIMEOUT, sniff=True))
        sniffing.indices("no-such-index-*")
        hosts = {each.host for each in sniffing.client.transport.connection_pool.connections}
        assert hosts == set(self.urls)
        for _ in range(6):
            assert sniffing.ping() is True
        sniffing.client.close()

    def test_a_node_that_is_away_is_found_out(self, backend: Backend) -> None:
        """The first of the hosts is none: the others say who there is."""
        away = f"http://127.0.0.1:{free_port()}"
        sniffing = OpenSearchBackend(Connection((away, self.urls[1]), TIMEOUT, sniff=True))
        for _ in range(6):
            assert sniffing.indices("no-such-index-*") == {}
        hosts = {each.host for each in sniffing.client.transport.connection_pool.connections}
        assert hosts == set(self.urls)
        sniffing.client.close()


class TestClients:
    """What the two clients do besides answering."""

    @pytest.fixture(params=["elasticsearch", "opensearch"])
    def backend(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        url = request.getfixturevalue(f"{request.param}_url")
        backend: Any = (
            ElasticsearchBackend(Connection((url,)))
            if request.param == "elasticsearch"
            else opensearch([url])
        )
        yield backend
        backend.client.close()

    def test_errors_that_are_answers_are_not_logged(
        self, backend: Backend, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        assert backend.get_mapping("no-such-index") is None
        assert backend.indices("no-such-index") == {}
        with pytest.raises(BackendRejected):
            backend.search("*", {"query": {"no_such_query": {}}})
        assert caplog.messages == []

    @pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
    def test_a_server_that_is_away_is_not_logged_each_time(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        urls = ["http://127.0.0.1:9", "http://localhost:9"]
        backend: Backend = (
            ElasticsearchBackend(Connection(tuple(urls)))
            if kind == "elasticsearch"
            else opensearch(urls)
        )
        for _ in range(3):
            assert backend.ping() is False
        assert caplog.messages == []

    def test_opensearch_without_its_client_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "opensearchpy", None)
        with pytest.raises(ConfigurationError, match=r"nefertari-search-tween\[opensearch\]"):
            OpenSearchBackend(Connection(("http://127.0.0.1:9200",)))


@pytest.mark.server
def test_every_backend_ran_the_same_cases(
    request: pytest.FixtureRequest, record_property: Any
) -> None:
    """Their number is printed at the end of the run."""
    cases = Counter(
        item.cls.__name__
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.cls is not None
        if issubclass(item.cls, BackendConformance) and item.originalname not in vars(item.cls)
    )
    for name, count in sorted(cases.items()):
        record_property("compared", f"conformance: {count} cases of {name}")
    assert len(set(cases.values())) <= 1, cases
