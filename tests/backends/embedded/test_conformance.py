"""The embedded backend passes the suite that every backend passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance import BackendConformance
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend


class TestEmbedded(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
        backend = EmbeddedBackend(str(tmp_path_factory.mktemp("mirrors")), timeout=30.0)
        yield backend
        backend.close()
