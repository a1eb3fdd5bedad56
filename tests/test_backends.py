"""One behaviour on every backend: the conformance suite that ships with the package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance import BackendConformance
from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend
from nefertari_search_tween.backends.opensearch import OpenSearchBackend

TIMEOUT = 30.0


class TestElasticsearch(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, elasticsearch_url: str) -> Iterator[Backend]:
        backend = ElasticsearchBackend([elasticsearch_url], timeout=TIMEOUT)
        yield backend
        backend.client.close()

    def connect(self, url: str, timeout: float) -> Backend:
        return ElasticsearchBackend([url], timeout=timeout)


class TestOpenSearch(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, opensearch_url: str) -> Iterator[Backend]:
        backend = OpenSearchBackend([opensearch_url], timeout=TIMEOUT)
        yield backend
        backend.client.close()

    def connect(self, url: str, timeout: float) -> Backend:
        return OpenSearchBackend([url], timeout=timeout)
