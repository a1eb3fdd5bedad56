"""What the embedded backend does differently from Elasticsearch: a test for each line of the docs.

Both are asked in every test, so that a difference that goes away, on either side, is seen.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from nefertari_search_tween.backends.base import Backend, BulkAction
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.exceptions import BackendRejected
from tests.support.paths import TOP

DOCUMENTED = TOP / "docs" / "backends.rst"
MAPPING = {
    "dynamic": False,
    "properties": {
        "text": {"type": "text"},
        "number": {"type": "long"},
        "size": {"type": "double"},
    },
}


class Both:
    """The two backends, each with an index of its own."""

    def __init__(self, embedded: Backend, server: Backend, **settings: Any) -> None:
        self.embedded = embedded
        self.server = server
        self.alias = f"test-{uuid.uuid4().hex[:12]}"
        for backend in (embedded, server):
            backend.create_index(
                f"{self.alias}-000001",
                MAPPING,
                {"index.number_of_replicas": 0, **settings},
                [self.alias, f"{self.alias}-W"],
            )

    def write(self, documents: dict[str, Optional[dict[str, Any]]], version: int = 1) -> Any:
        """Write to both; the status of the last document in the embedded one, and in the other."""
        actions = [
            BulkAction(f"{self.alias}-W", key, version, None if body is None else _json(body))
            for key, body in documents.items()
        ]
        responses = []
        for backend in (self.embedded, self.server):
            responses.append(list(backend.bulk(actions, 1000))[-1].status)
            backend.refresh(self.alias)
        return tuple(responses)

    def search(self, body: dict[str, Any]) -> tuple[Any, Any]:
        """The answers of the embedded one, and of the server."""
        return self.embedded.search(self.alias, body), self.server.search(self.alias, body)

    def scores(self, word: str) -> tuple[list[float], list[float]]:
        """The scores of the documents with *word*, best first."""
        mine, theirs = self.search({"query": {"match_phrase": {"text": {"query": word}}}})
        return _scores(mine), _scores(theirs)

    def close(self) -> None:
        self.server.delete_index(f"{self.alias}-000001")


@pytest.fixture(scope="module")
def backends(
    elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Backend, Backend]]:
    embedded = EmbeddedBackend(str(tmp_path_factory.mktemp("mirrors")), timeout=30.0)
    server = ElasticsearchBackend(Connection((elasticsearch_url,), search_timeout=30.0))
    yield embedded, server
    embedded.close()
    server.client.close()


@pytest.fixture
def both(backends: tuple[Backend, Backend]) -> Iterator[Both]:
    pair = Both(*backends)
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def many(backends: tuple[Backend, Backend]) -> Iterator[tuple[Both, list[float]]]:
    """20,000 documents, and their sizes."""
    pair = Both(*backends)
    dice = random.Random(1)
    sizes = [dice.gauss(0, 1000) for _ in range(20_000)]
    pair.write({str(n): {"number": n, "size": size} for n, size in enumerate(sizes)})
    yield pair, sizes
    pair.close()


def _scores(answer: dict[str, Any]) -> list[float]:
    return [hit["_score"] for hit in answer["hits"]["hits"]]


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


TEXTS = ["dark knight", "dark city", "the knight of the round table", "crystal night"]


def test_scores_after_deletes(both: Both) -> None:
    both.write({str(number): {"text": text} for number, text in enumerate(TEXTS)})
    mine, theirs = both.scores("knight")
    assert mine == pytest.approx(theirs, rel=1e-5)

    both.write({"1": None}, version=2)
    after, unmoved = both.scores("knight")
    assert unmoved == theirs
    assert after != pytest.approx(mine, rel=1e-5)


def test_deleted_versions(backends: tuple[Backend, Backend]) -> None:
    both = Both(*backends, **{"index.gc_deletes": "0s"})
    both.write({"1": {"text": "dark"}}, version=1)
    assert both.write({"1": None}, version=5) == (200, 200)
    time.sleep(1.5)
    assert both.write({"1": {"text": "old"}}, version=3) == (409, 201)
    both.close()


def test_totals(many: tuple[Both, list[float]]) -> None:
    mine, theirs = many[0].search({"size": 0})
    assert mine["hits"]["total"] == {"value": 20_000, "relation": "eq"}
    assert theirs["hits"]["total"] == {"value": 10_000, "relation": "gte"}


def test_percentiles_and_cardinality(many: tuple[Both, list[float]]) -> None:
    both, sizes = many
    body = {
        "size": 0,
        "aggs": {
            "sizes": {"percentiles": {"field": "size", "percents": [25.0, 50.0, 75.0]}},
            "numbers": {"cardinality": {"field": "number"}},
        },
    }
    mine, theirs = (each["aggregations"] for each in both.search(body))
    assert mine["numbers"]["value"] == 20_000
    assert theirs["numbers"]["value"] != 20_000
    exact = statistics.quantiles(sizes, n=4, method="inclusive")
    assert list(mine["sizes"]["values"].values()) == pytest.approx(exact, abs=1e-6)
    assert list(theirs["sizes"]["values"].values()) != pytest.approx(exact, abs=1e-6)


def test_sort_values_of_documents_without_one(both: Both) -> None:
    both.write({"1": {"text": "no number"}})
    body = {"sort": [{"number": {"order": "asc", "missing": "_last"}}]}
    mine, theirs = (each["hits"]["hits"][0]["sort"] for each in both.search(body))
    assert mine == [None]
    assert theirs == [2**63 - 1]


# Arabic of Unicode 13, Yezidi of 13, Cypro-Minoan of 14.
@pytest.mark.parametrize("letter", ["\u08be", "\U00010e80", "\U00012f90"])
def test_letters_that_are_newer_than_unicode_12(both: Both, letter: str) -> None:
    both.write({"1": {"text": f"{letter} abc"}})
    mine, theirs = both.search({"query": {"match_phrase": {"text": {"query": letter}}}})
    assert (mine["hits"]["total"]["value"], theirs["hits"]["total"]["value"]) == (1, 0)


def test_fragments_of_highlights(both: Both) -> None:
    before, after = "Mr. Smith spoke of the city. It rained again. " * 5, "Dark. " * 30
    both.write({"1": {"text": f"{before}The knight came. {after}"}})
    body = {
        "query": {"match_phrase": {"text": {"query": "knight"}}},
        "highlight": {"fields": {"text": {}}},
    }
    mine, theirs = (each["hits"]["hits"][0]["highlight"]["text"] for each in both.search(body))
    assert len(mine) == len(theirs) == 1
    assert "<em>knight</em>" in mine[0] and "<em>knight</em>" in theirs[0]
    assert theirs[0].startswith("The <em>knight</em> came.")
    assert not mine[0].startswith("The <em>knight</em> came.")


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        (
            {"suggest": {"it": {"text": "knigt", "term": {"field": "text"}}}},
            "'suggest' in a search",
        ),
        (
            {"aggs": {"it": {"significant_text": {"field": "text"}}}},
            "aggregation 'significant_text'",
        ),
        (
            {"query": {"more_like_this": {"fields": ["text"], "like": "dark", "min_doc_freq": 1}}},
            "query 'more_like_this'",
        ),
        (
            {"query": {"match_all": {}}, "collapse": {"field": "number"}},
            "'collapse' in a search",
        ),
    ],
)
def test_what_searches_never_ask_for(both: Both, body: dict[str, Any], feature: str) -> None:
    both.server.search(both.alias, body)
    with pytest.raises(BackendRejected) as raised:
        both.embedded.search(both.alias, body)
    assert f"the embedded backend has no {feature}; Elasticsearch has it" in str(raised.value)


def test_every_documented_difference_names_its_test() -> None:
    """The lines of the list of the docs, and the tests of this module, are the same."""
    section = DOCUMENTED.read_text(encoding="utf-8").partition("Known differences: embedded\n")[2]
    documented = re.findall(
        r"``(test_\w+)``", section.partition("\nKnown differences: OpenSearch")[0]
    )
    tests = [name for name in globals() if name.startswith("test_")]
    assert sorted(documented) == sorted(
        set(tests) - {"test_every_documented_difference_names_its_test"}
    )
