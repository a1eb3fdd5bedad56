"""Queries, scores and highlights, on the films."""

from __future__ import annotations

from typing import Any

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import ALL, Index
from nefertari_search_tween.backends.conformance.query_examples import (
    DARK,
    EXACT,
    JOINED,
    KNIGHT,
    MALFORMED,
    NESTED,
    TEXTS,
    Query,
    every,
    nested,
    term,
    words,
)
from nefertari_search_tween.exceptions import BackendRejected


class QueryCases(Cases):
    @pytest.mark.parametrize(("query", "expected"), EXACT)
    def test_exact_values(self, films: Index, query: Query, expected: set[str]) -> None:
        assert films.matching_ids(query) == expected

    @pytest.mark.parametrize(("query", "expected"), TEXTS)
    def test_texts(self, films: Index, query: Query, expected: set[str]) -> None:
        assert films.matching_ids(query) == expected

    @pytest.mark.parametrize(("query", "expected"), JOINED)
    def test_joined_queries(self, films: Index, query: Query, expected: set[str]) -> None:
        assert films.matching_ids(query) == expected

    @pytest.mark.parametrize(("query", "expected"), NESTED)
    def test_nested_documents(self, films: Index, query: Query, expected: set[str]) -> None:
        assert films.matching_ids(query) == expected

    @pytest.mark.parametrize(("query", "expected"), EXACT + TEXTS + JOINED + NESTED)
    def test_each_query_has_its_opposite(
        self, films: Index, query: Query, expected: set[str]
    ) -> None:
        """The query as a filter, negated, and counted."""
        response = films.search(query=every(filter=[query]), size=0, track_total_hits=True)
        assert response["hits"]["total"] == {"value": len(expected), "relation": "eq"}
        assert films.matching_ids(every(must_not=[query])) == ALL - expected

    @pytest.mark.parametrize("query", MALFORMED)
    def test_a_malformed_query_is_refused_with_the_reason(self, films: Index, query: Query) -> None:
        with pytest.raises(BackendRejected) as raised:
            films.search(query=query)
        assert raised.value.status == 400
        assert raised.value.details
        assert str(raised.value.details) in str(raised.value)

    @pytest.mark.parametrize(
        "body",
        [
            {"no_such_part": 1},
            {"size": -1},
            {"from": -1},
            {"sort": [{"title": {"order": "asc"}}]},
            {"sort": [{"no_such_field": {"order": "asc"}}]},
            {"aggs": {"a": {"no_such_aggregation": {}}}},
        ],
    )
    def test_a_malformed_search_is_refused(self, films: Index, body: dict[str, Any]) -> None:
        with pytest.raises(BackendRejected) as raised:
            films.search(**body)
        assert raised.value.status == 400

    def test_deep_queries_are_answered(self, films: Index) -> None:
        query = KNIGHT
        for _ in range(20):
            query = every(must=[query])
        assert films.matching_ids(query) == {"2", "4", "11"}

    def test_broad_queries_are_answered(self, films: Index) -> None:
        many = [term("year", number) for number in range(255)] + [term("year", 2012)]
        assert films.matching_ids(every(should=many, minimum_should_match=1)) == {"11"}
        texts = [words("title", f"word{number}") for number in range(1000)] + [DARK]
        assert films.matching_ids(every(should=texts, minimum_should_match=1)) == {"2", "3", "11"}
        years = {"terms": {"year": list(range(-10, 2002))}}
        assert films.matching_ids(years) == {"1", "3", "6", "7", "10"}

    # Scores

    def test_every_hit_of_a_query_has_a_score(self, films: Index) -> None:
        response = films.search(query=KNIGHT)
        scores = [hit["_score"] for hit in response["hits"]["hits"]]
        assert all(score > 0 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert response["hits"]["max_score"] == scores[0]

    def test_filters_give_no_score(self, films: Index) -> None:
        hits = films.search(query=every(filter=[KNIGHT]))["hits"]["hits"]
        assert {hit["_score"] for hit in hits} == {0.0}

    def test_a_boost_multiplies_the_score(self, films: Index) -> None:
        def scores(query: Query) -> dict[str, float]:
            return {hit["_id"]: hit["_score"] for hit in films.search(query=query)["hits"]["hits"]}

        plain = scores(KNIGHT)
        boosted = scores(every(must=[KNIGHT], boost=3.0))
        assert boosted == pytest.approx({key: 3 * score for key, score in plain.items()}, rel=1e-4)

    def test_the_best_part_of_a_disjunction_counts(self, films: Index) -> None:
        def score(query: Query) -> float:
            return float(films.search(query=every(must=[query]))["hits"]["hits"][0]["_score"])

        title, plot = words("title", "spider"), words("plot", "spider")
        parts = [score(title), score(plot)]
        assert score({"dis_max": {"queries": [title, plot]}}) == pytest.approx(max(parts), rel=1e-4)
        both = score(every(should=[title, plot], minimum_should_match=1))
        assert both == pytest.approx(sum(parts), rel=1e-4)

    def test_the_heavier_field_ranks_first(self, films: Index) -> None:
        def query(title: float, plot: float) -> Query:
            return {
                "dis_max": {
                    "queries": [
                        every(must=[words("title", "knight")], boost=title),
                        every(must=[words("plot", "dark")], boost=plot),
                    ]
                }
            }

        assert set(films.hits(query=query(100.0, 1.0))[:3]) == {"2", "4", "11"}
        assert set(films.hits(query=query(1.0, 100.0))[:2]) == {"2", "11"}

    def test_rare_words_and_short_texts_rank_higher(self, backend: Backend, empty: Index) -> None:
        empty.write(
            {
                "short": {"title": "rare"},
                "long": {"title": "rare among many other words of a longer title"},
                "common": {"title": "common"},
                "common2": {"title": "common"},
                "common3": {"title": "common"},
            }
        )
        either = every(
            should=[words("title", "rare"), words("title", "common")], minimum_should_match=1
        )
        hits = empty.hits(query=either)
        assert hits[0] == "short"
        assert hits.index("short") < hits.index("common")

    def test_the_best_nested_document_counts(self, films: Index) -> None:
        def scored(query: Query) -> dict[str, float]:
            return {hit["_id"]: hit["_score"] for hit in films.search(query=query)["hits"]["hits"]}

        names = words("directors.name", "henson")
        scores = scored(nested("directors", names))
        assert set(scores) == {"3"}
        assert scores["3"] > 0

    # Highlights

    def highlights(self, films: Index, query: dict[str, Any], **options: Any) -> dict[str, Any]:
        response = films.search(query=query, highlight=options)
        return {hit["_id"]: hit.get("highlight") for hit in response["hits"]["hits"]}

    def test_words_are_highlighted(self, films: Index) -> None:
        query = {"match_phrase": {"title": {"query": "dark knight"}}}
        highlights = self.highlights(films, query, fields={"title": {}})
        assert {
            key: value["title"][0].replace("</em> <em>", " ") for key, value in highlights.items()
        } == {
            "2": "The <em>Dark Knight</em>",
            "11": "<em>dark knight</em>",
        }

    def test_every_occurrence_is_highlighted(self, films: Index) -> None:
        query = {"match": {"plot": {"query": "dark city", "operator": "and"}}}
        highlights = self.highlights(films, query, fields={"plot": {"number_of_fragments": 0}})
        assert highlights == {
            "2": {
                "plot": [
                    "Batman faces the Joker in a <em>dark</em> <em>city</em>. "
                    "The <em>city</em> of Gotham is <em>dark</em>."
                ]
            }
        }

    def test_highlights_have_tags_of_their_own(self, films: Index) -> None:
        query = {"match_phrase": {"title": {"query": "amélie"}}}
        highlights = self.highlights(
            films, query, pre_tags=["<b>"], post_tags=["</b>"], fields={"title": {}}
        )
        assert highlights == {"6": {"title": ["<b>Amélie</b>"]}}

    def test_fields_without_a_match_are_not_highlighted(self, films: Index) -> None:
        query = {"match_phrase": {"title": {"query": "knight"}}}
        highlights = self.highlights(films, query, fields={"plot": {}, "title": {}})
        assert highlights["4"] == {"title": ["<em>Knight</em> and Day"]}
        assert set(highlights) == {"2", "4", "11"}

    def test_prefixes_and_near_words_are_highlighted(self, films: Index) -> None:
        query: dict[str, Any] = {
            "wildcard": {"title": {"value": "cryst*", "case_insensitive": True}}
        }
        highlights = self.highlights(films, query, fields={"title": {}})
        assert highlights == {"3": {"title": ["The Dark <em>Crystal</em>"]}}
        query = {"match": {"title": {"query": "cristal", "fuzziness": "AUTO", "operator": "and"}}}
        highlights = self.highlights(films, query, fields={"title": {}})
        assert highlights == {"3": {"title": ["The Dark <em>Crystal</em>"]}}

    def test_html_is_escaped_when_asked_for(self, empty: Index) -> None:
        empty.write({"1": {"title": "Tom & <i>Jerry</i>"}})
        query = {"match_phrase": {"title": {"query": "jerry"}}}
        highlights = self.highlights(empty, query, encoder="html", fields={"title": {}})
        assert highlights == {"1": {"title": ["Tom &amp; &lt;i&gt;<em>Jerry</em>&lt;&#x2F;i&gt;"]}}
