"""The documents that the cases search: some films, mapped like mirrors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from nefertari_search_tween.backends.base import Backend, BulkAction, BulkItemResult

KEYWORD = {"type": "keyword", "ignore_above": 8191}
TEXT = {"type": "text", "fields": {"keyword": KEYWORD}}
LONG = {"type": "long", "ignore_malformed": True}
DOUBLE = {"type": "double", "ignore_malformed": True}
DATE = {
    "type": "date",
    "format": "date_optional_time||epoch_millis",
    "ignore_malformed": True,
}
TIME = {"type": "date", "format": "HH:mm:ss", "ignore_malformed": True}
STORED_ONLY = {"type": "object", "enabled": False}

AWARDS = {"type": "nested", "properties": {"name": TEXT, "year": LONG}}
DIRECTORS = {"type": "nested", "properties": {"name": TEXT, "born": LONG, "awards": AWARDS}}
MAPPING: dict[str, Any] = {
    "dynamic": False,
    "_meta": {"model": "Film", "format": 1, "fingerprint": "f" * 64},
    "properties": {
        "id": LONG, "title": TEXT, "plot": TEXT, "genres": TEXT, "country": KEYWORD, "year": LONG,
        "rating": DOUBLE, "seen": {"type": "boolean"}, "released": DATE, "length": TIME,
        "directors": DIRECTORS,
        "extra": STORED_ONLY,
        "_exact": {"properties": {"released": {"type": "long"}, "rating": {"type": "double"}}},
        "_inexact": KEYWORD, "_pk": KEYWORD, "_type": KEYWORD, "_rejected": STORED_ONLY,
    },
}  # fmt: skip

MIYAZAKI = {
    "name": "Hayao Miyazaki",
    "born": 1941,
    "awards": [{"name": "Oscar", "year": 2003}, {"name": "Golden Bear", "year": 2002}],
}
NOLAN: dict[str, Any] = {"name": "Christopher Nolan", "born": 1970, "awards": []}
HENSON = {"name": "Jim Henson", "born": 1936, "awards": [{"name": "Hugo", "year": 1983}]}
OZ = {"name": "Frank Oz", "born": 1944, "awards": [{"name": "Oscar", "year": 1999}]}

#: Every film has its id as ``id``, ``_pk`` and document id; what is absent is null or missing.
FILMS: dict[str, dict[str, Any]] = {
    "1": {
        "title": "Spirited Away", "plot": "A girl wanders into a world of spirits.",
        "genres": ["animation", "family"], "country": "Japan", "year": 2001, "rating": 8.6,
        "seen": True, "released": "2001-07-20T00:00:00Z", "length": "02:05:00",
        "directors": [MIYAZAKI], "extra": {"b": [1, {"c": None}], "a": "not searched"},
        "_exact": {"released": 995_587_200_000_001},
    },
    "2": {
        "title": "The Dark Knight",
        "plot": "Batman faces the Joker in a dark city. The city of Gotham is dark.",
        "genres": ["action", "drama"], "country": "United States", "year": 2008, "rating": 9.0,
        "seen": True, "released": "2008-07-18T12:30:00Z", "length": "02:32:00",
        "directors": [NOLAN], "_exact": {"released": 1_216_384_200_000_000},
    },
    "3": {
        "title": "The Dark Crystal", "plot": "A Gelfling looks for a shard of a crystal.",
        "genres": ["family"], "country": "United States", "year": 1982, "rating": 7.1,
        "seen": False, "released": "1982-12-17T00:00:00Z", "length": "01:33:00",
        "directors": [HENSON, OZ],
    },
    "4": {
        "title": "Knight and Day", "plot": "An agent on the run, by day and by night.",
        "genres": ["action"], "country": "United States", "year": 2010, "rating": 6.3,
        "seen": None, "released": "2010-06-23T23:59:59Z", "directors": [],
    },
    "5": {
        "title": "Spider-Man", "plot": "A spider bites a shy boy.", "genres": ["action"],
        "country": "United States", "year": 2002, "rating": 7.4, "seen": True,
    },
    "6": {
        "title": "Amélie", "plot": "Une jeune fille change la vie des autres à Paris.",
        "genres": ["comedy", "drama"], "country": "France", "year": 2001, "rating": 8.3,
        "seen": False, "released": "2001-04-25T00:00:00Z",
    },
    "7": {
        "title": "千と千尋の神隠し", "genres": [], "country": "Japan", "year": 2001, "rating": None,
        "seen": True, "directors": [MIYAZAKI],
    },
    "8": {"title": "Ночной дозор", "country": "Russia", "year": 2004, "rating": 6.4},
    "9": {"title": "", "country": "", "year": None, "rating": 0.0, "seen": False},
    "10": {"year": -5, "rating": -0.0, "_inexact": ["title", "plot"]},
    "11": {"title": "dark knight", "plot": "knight dark", "year": 2012, "rating": 8.6},
    "12": {
        "title": "WALL·E", "plot": "A robot tidies the Earth; 2,805 AD. It can't stop.",
        "genres": ["animation"], "year": 2008, "rating": 8.4, "seen": True,
        "released": "2008-06-27T00:00:00.500Z",
    },
}  # fmt: skip
ALL = set(FILMS)


def film_ids(text: str) -> set[str]:
    """Return the ids that *text* lists, all of them for ``all``, the others for ``all but 1 2``."""
    if text.startswith("all"):
        return ALL - set(text.split()[2:])
    return set(text.split())


def document(key: str, film: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": int(key), "_pk": key, "_type": "Film", **film}


class Index:
    """One index of a case; like a mirror, it is searched by one alias and written by another.

    :param name: of the index; its two aliases begin with it.
    """

    def __init__(self, backend: Backend, name: str, alias: str) -> None:
        self.backend = backend
        self.name = name
        self.alias = alias
        self.write_alias = write_alias(name)

    def action(self, key: str, body: Optional[Mapping[str, Any]], version: int = 1) -> BulkAction:
        """Return a write of *body* (None: a delete)."""
        text = None if body is None else json.dumps(body).encode()
        return BulkAction(self.write_alias, key, version, text)

    def bulk(self, actions: Iterable[BulkAction], chunk_size: int = 500) -> list[BulkItemResult]:
        return list(self.backend.bulk(actions, chunk_size))

    def write(self, documents: Mapping[str, Mapping[str, Any]], version: int = 1) -> None:
        """Store all *documents* and make them visible."""
        results = self.bulk(self.action(key, body, version) for key, body in documents.items())
        errors = [result for result in results if result.error is not None]
        assert not errors
        self.backend.refresh(self.alias)

    def search(self, **body: Any) -> dict[str, Any]:
        return self.backend.search(self.alias, body)

    def hits(self, **body: Any) -> list[str]:
        """Return the ids of the hits, in order."""
        return [hit["_id"] for hit in self.search(**{"size": 100, **body})["hits"]["hits"]]

    def scores(self, query: Mapping[str, Any]) -> dict[str, float]:
        """Return ids and scores of the documents that match *query*, in order."""
        return {hit["_id"]: hit["_score"] for hit in self.search(query=query)["hits"]["hits"]}

    def highlights(self, query: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Return ids and highlights of the documents that match *query*."""
        hits = self.search(query=query, highlight=options)["hits"]["hits"]
        return {hit["_id"]: hit.get("highlight") for hit in hits}

    def matching_ids(self, query: Mapping[str, Any]) -> set[str]:
        """Return the ids of the documents that match *query*."""
        return set(self.hits(query=query))

    def total(self, query: Optional[Mapping[str, Any]] = None) -> int:
        """Return the exact number of documents, or of those that match *query*."""
        response = self.search(size=0, query=query or {"match_all": {}}, track_total_hits=True)
        total = response["hits"]["total"]
        assert total["relation"] == "eq"
        return int(total["value"])

    def aggregate(self, **aggregations: Any) -> dict[str, Any]:
        response = self.search(size=0, aggs=aggregations)
        results: dict[str, Any] = response["aggregations"]
        return results

    def scan(self, chunk_size: int, **body: Any) -> Iterator[list[str]]:
        for chunk in self.backend.scan(self.alias, body, chunk_size):
            yield [hit["_id"] for hit in chunk]

    def state(self, keys: Optional[list[str]] = None) -> dict[str, Any]:
        """Refresh, and return all documents, or those of *keys*: id -> source."""
        self.backend.refresh(self.alias)
        query = {"match_all": {}} if keys is None else {"ids": {"values": keys}}
        hits = self.search(size=1000, query=query)["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}


def write_alias(index: str) -> str:
    """Return the alias that is written to.

    Its upper-case letters keep a server from creating an index of that name if the alias does
    not exist: see docs/backends.rst.
    """
    return f"{index}-WRITE"


def by_key(*keys: str) -> list[dict[str, Any]]:
    """Return the sort by *keys*, ascending, and then by id."""
    return [*({key: {"order": "asc"}} for key in keys), {"id": {"order": "asc"}}]
