"""Several searches in one request, each with its own index and body."""

from __future__ import annotations

from typing import Any

import pytest

from nefertari_search_tween.backends.base import Backend, sort_value
from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import (
    FILMS,
    KEYWORD,
    LONG,
    MAPPING,
    TEXT,
    Index,
    by_key,
    document,
)
from nefertari_search_tween.backends.conformance.query_examples import any_of, every
from nefertari_search_tween.exceptions import BackendRejected, IndexMissing

PEOPLE: dict[str, Any] = {
    "dynamic": False,
    "properties": {"id": LONG, "name": TEXT, "year": TEXT, "_pk": KEYWORD, "_type": KEYWORD},
}
NAMES = {"1": "Akira Kurosawa", "2": "Agn\u00e8s Varda", "3": None}

PLAYS_MAPPING: dict[str, Any] = {
    "dynamic": False,
    "properties": {
        "id": LONG, "title": TEXT, "genres": TEXT, "country": KEYWORD, "rating": LONG,
        "year": TEXT, "acts": LONG, "directors": {"type": "nested", "properties": {"name": TEXT}},
        "_pk": KEYWORD, "_type": KEYWORD,
    },
}  # fmt: skip
PLAYS: dict[str, dict[str, Any]] = {
    "21": {
        "title": "A Dark Knight", "genres": ["drama", "family"], "country": "France", "rating": 9,
        "year": "about 1600", "acts": 5,
        "directors": [{"name": "Jim Henson"}, {"name": "Ariane Mnouchkine"}],
    },
    "22": {"title": "Knights", "genres": ["comedy"], "country": "Greece", "rating": 7, "acts": 1},
    "23": {"title": "Night", "acts": 3, "directors": []},
}  # fmt: skip
IN_FRANCE = {"term": {"country": "France"}}
LOWEST_RATING = {"min": {"field": "rating"}}
#: what both kinds have in common, asked in every way
AGGREGATIONS: dict[str, dict[str, Any]] = {
    "terms": {"terms": {"field": "country", "size": 20}},
    "few terms": {"terms": {"field": "country", "size": 1}},
    "lists": {"terms": {"field": "genres.keyword", "size": 20}},
    "types": {
        "terms": {"field": "_type"},
        "aggs": {"best": {"max": {"field": "rating"}}, "acts": {"sum": {"field": "acts"}}},
    },
    "average": {"avg": {"field": "rating"}},
    "stats": {"extended_stats": {"field": "rating"}},
    "percentiles": {"percentiles": {"field": "rating", "percents": [50]}},
    "different": {"cardinality": {"field": "directors.name.keyword"}},
    "histogram": {"histogram": {"field": "rating", "interval": 2}},
    "ranges": {"range": {"field": "rating", "ranges": [{"to": 7.0}, {"from": 7.0}]}},
    "missing": {"missing": {"field": "rating"}},
    "one that few have": {"avg": {"field": "acts"}},
    "text": {"filter": {"match": {"title": "knight"}}},
    "filters": {"filters": {"filters": {"a": IN_FRANCE, "b": {"match_all": {}}}}},
    "nested": {
        "nested": {"path": "directors"},
        "aggs": {
            "names": {
                "terms": {"field": "directors.name.keyword", "size": 20},
                "aggs": {"back": {"reverse_nested": {}, "aggs": {"rating": LOWEST_RATING}}},
            }
        },
    },
    "all": {"global": {}, "aggs": {"n": {"value_count": {"field": "_pk"}}}},
}

#: sort key, what a film has under it, and as what it is given
VALUES: list[tuple[str, str, Any]] = [
    ("title.keyword", "title", str),
    ("year", "year", int),
    ("rating", "rating", float),
    ("seen", "seen", int),
    ("released", "released", None),
    ("country", "country", str),
]


class MultiSearchCases(Cases):
    @pytest.fixture(scope="class")
    @classmethod
    def people(cls, backend: Backend, prefix: str) -> Index:
        people = cls.create(backend, prefix, PEOPLE)
        persons = {key: {"_type": "Person", "name": name} for key, name in NAMES.items()}
        people.write({key: document(key, person) for key, person in persons.items()})
        return people

    @pytest.fixture(scope="class")
    @classmethod
    def plays(cls, backend: Backend, prefix: str) -> Index:
        plays = cls.create(backend, prefix, PLAYS_MAPPING)
        plays.write({key: {**document(key, play), "_type": "Play"} for key, play in PLAYS.items()})
        return plays

    @pytest.fixture(scope="class")
    @classmethod
    def both(cls, backend: Backend, prefix: str) -> Index:
        """Films and plays in one index."""
        properties = {**PLAYS_MAPPING["properties"], **MAPPING["properties"]}
        both = cls.create(backend, prefix, {**MAPPING, "properties": properties})
        both.write({key: document(key, film) for key, film in FILMS.items()})
        for key, play in PLAYS.items():
            fields = {name: value for name, value in play.items() if name != "year"}
            both.write({key: {**document(key, fields), "_type": "Play"}})
        return both

    # Aggregations of several indices

    @pytest.mark.parametrize("name", AGGREGATIONS)
    def test_several_indices_are_aggregated_as_one(
        self, films: Index, plays: Index, both: Index, name: str
    ) -> None:
        aggs = {"found": AGGREGATIONS[name]}
        queries: list[dict[str, Any]] = [{"match_all": {}}, {"range": {"rating": {"gte": 7}}}]
        for query in queries:
            body = {"size": 0, "query": query, "aggs": aggs, "track_total_hits": True}
            together = films.backend.search(f"{films.alias},{plays.alias}", body)
            alone = both.search(**body)
            assert together["aggregations"] == alone["aggregations"]
            assert together["hits"]["total"] == alone["hits"]["total"]
            assert alone["hits"]["total"]["value"] > 3

    def test_conditions_tell_indices_apart(self, films: Index, plays: Index) -> None:
        """By alias or name, on documents and nested ones.

        The fields of a query for one index need not exist in the other.
        """

        def only(name: str, *more: Any) -> dict[str, Any]:
            return every(filter=[{"terms": {"_index": [name]}}, *more])

        awards = {"term": {"directors.awards.year": 1999}}
        nested = {"nested": {"path": "directors.awards", "query": awards, "ignore_unmapped": True}}
        body = {
            "size": 0,
            "query": any_of(only(films.alias, nested), only(plays.name)),
            "aggs": {
                "films": {"filter": only(films.name), "aggs": {"n": {"avg": {"field": "rating"}}}},
                "plays": {"filter": only(plays.alias), "aggs": {"n": {"sum": {"field": "acts"}}}},
                "none": {"filter": {"term": {"_index": "nothing"}}},
                "people": {
                    "nested": {"path": "directors"},
                    "aggs": {"of plays": {"filter": only(plays.alias)}},
                },
            },
        }
        results = films.backend.search(f"{films.alias},{plays.alias}", body)["aggregations"]
        assert (results["films"]["doc_count"], results["films"]["n"]["value"]) == (1, 7.1)
        assert (results["plays"]["doc_count"], results["plays"]["n"]["value"]) == (3, 9.0)
        assert results["none"]["doc_count"] == 0
        assert results["people"]["doc_count"] == 4
        assert results["people"]["of plays"]["doc_count"] == 2

    def test_hits_of_several_indices_say_which_they_are_of(
        self, films: Index, plays: Index
    ) -> None:
        # Whole numbers here, others there.
        best = {"order": "desc", "missing": "_last", "numeric_type": "double"}
        sort = [{"rating": best}, {"id": {"order": "asc"}}]
        body = {"size": 0, "aggs": {"best": {"top_hits": {"size": 2, "sort": sort}}}}
        results = films.backend.search(f"{films.alias},{plays.alias}", body)["aggregations"]
        hits = results["best"]["hits"]["hits"]
        assert [(hit["_index"], hit["_id"], hit["_source"]["title"]) for hit in hits] == [
            (films.name, "2", "The Dark Knight"),
            (plays.name, "21", "A Dark Knight"),
        ]

    def test_one_of_several_indices_that_is_missing(self, films: Index, prefix: str) -> None:
        with pytest.raises(IndexMissing) as raised:
            films.backend.search(f"{films.alias},{prefix}-nothing", {"size": 0})
        assert f"{prefix}-nothing" in str(raised.value)

    # Several searches

    def test_each_search_is_answered_in_its_place(self, films: Index, people: Index) -> None:
        by_id = [{"id": {"order": "asc"}}]
        responses = films.backend.multi_search(
            [
                (people.alias, {"query": {"match": {"name": "akira"}}, "sort": by_id}),
                (films.alias, {"query": {"match": {"title": "knight"}}, "sort": by_id, "size": 2}),
                (films.alias, {"query": {"match": {"name": "akira"}}, "size": 0}),
                (people.alias, {"sort": [{"name.keyword": {"order": "desc"}}], "_source": ["id"]}),
            ]
        )
        ids = [[hit["_id"] for hit in response["hits"]["hits"]] for response in responses]
        assert ids == [["1"], ["2", "4"], [], ["1", "2", "3"]]
        assert [response["hits"]["total"]["value"] for response in responses] == [1, 3, 0, 3]
        assert responses[3]["hits"]["hits"][0]["_source"] == {"id": 1}
        assert {hit["_index"] for hit in responses[0]["hits"]["hits"]} == {people.name}
        assert all(response["took"] >= 0 for response in responses)

    def test_none_is_no_error(self, backend: Backend) -> None:
        assert backend.multi_search([]) == []

    def test_each_answer_is_what_its_search_alone_gives(self, films: Index, people: Index) -> None:
        bodies: list[tuple[Index, dict[str, Any]]] = [
            (films, {"query": {"match": {"plot": "dark city"}}}),
            (people, {"query": {"match_all": {}}, "from": 1, "size": 1, "sort": by_key()}),
            (films, {"size": 0, "aggs": {"years": {"max": {"field": "year"}}}}),
        ]
        responses = films.backend.multi_search([(index.alias, body) for index, body in bodies])
        for (index, body), response in zip(bodies, responses):
            alone = index.search(**body)
            assert response["hits"] == alone["hits"]
            assert response.get("aggregations") == alone.get("aggregations")

    def test_one_that_is_missing_fails_all(
        self, backend: Backend, films: Index, prefix: str
    ) -> None:
        with pytest.raises(IndexMissing) as raised:
            backend.multi_search([(films.alias, {}), (f"{prefix}-nothing", {})])
        assert f"{prefix}-nothing" in str(raised.value)

    def test_one_that_is_refused_fails_all(self, backend: Backend, films: Index) -> None:
        broken: dict[str, Any] = {"query": {"no_such_query": {}}}
        with pytest.raises(BackendRejected) as raised:
            backend.multi_search([(films.alias, {}), (films.alias, broken)])
        assert raised.value.status == 400
        assert "no_such_query" in str(raised.value)

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize(("key", "name", "kind"), VALUES)
    def test_hits_say_what_they_were_sorted_by(
        self, films: Index, key: str, name: str, kind: Any, order: str
    ) -> None:
        """Also missing ones, so that hits of several searches can be merged into one order."""
        sort = [{key: {"order": order, "missing": "_last"}}]
        hits = films.search(sort=sort, size=100)["hits"]["hits"]
        values = [sort_value(hit["sort"][0], order == "desc", key == "seen") for hit in hits]
        for hit, value in zip(hits, values):
            stored = FILMS[hit["_id"]].get(name)
            assert (value is None) == (stored is None)
            if stored is not None and kind is not None:
                assert value == kind(stored)
        present = [value for value in values if value is not None]
        assert present == sorted(present, reverse=order == "desc")

    def test_a_number_beyond_all_whole_ones_is_there(self, empty: Index) -> None:
        empty.write({"1": {"rating": 1e20}, "2": {"rating": None}, "3": {"rating": -1e20}})
        for order, expected in (("asc", [-1e20, 1e20, None]), ("desc", [1e20, -1e20, None])):
            hits = empty.search(sort=[{"rating": {"order": order, "missing": "_last"}}])["hits"]
            values = [sort_value(hit["sort"][0], order == "desc") for hit in hits["hits"]]
            assert values == expected

    def test_a_sort_by_a_field_that_is_not_mapped_may_be_asked_for(self, films: Index) -> None:
        clause = {"order": "desc", "missing": "_last", "unmapped_type": "keyword"}
        hits = films.search(sort=[{"nothing": clause}, *by_key()], size=3)["hits"]["hits"]
        assert [sort_value(hit["sort"][0], True) for hit in hits] == [None] * 3
        assert [hit["_id"] for hit in hits] == ["1", "2", "3"]

    def test_hits_say_what_they_scored(self, films: Index) -> None:
        query = {"match": {"title": "knight"}}
        hits = films.search(query=query, sort=[{"_score": {"order": "desc"}}, *by_key()])["hits"]
        assert [hit["sort"][0] for hit in hits["hits"]] == [hit["_score"] for hit in hits["hits"]]

    def test_documents_are_found_by_their_ids(self, empty: Index) -> None:
        empty.write({key: {"title": key} for key in ("1", "a b", "\u00e9/?")})
        assert empty.matching_ids({"ids": {"values": ["1", "\u00e9/?", "no"]}}) == {"1", "\u00e9/?"}
