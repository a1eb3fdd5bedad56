"""Queries, scores and highlights, on the films."""

from __future__ import annotations

from typing import Any

import pytest

from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import ALL, Index, film_ids
from nefertari_search_tween.backends.conformance.query_examples import (
    DARK,
    HENSON,
    KNIGHT,
    MALFORMED,
    QUERIES,
    Query,
    any_of,
    both,
    director,
    every,
    fuzzy,
    none_of,
    pattern,
    term,
    words,
)
from nefertari_search_tween.exceptions import BackendRejected

#: query, options of the highlight, the highlights of each hit
HIGHLIGHTS: list[tuple[Query, dict[str, Any], dict[str, dict[str, list[str]]]]] = [
    # every occurrence
    ({"match": {"plot": {"query": "dark city", "operator": "and"}}},
        {"fields": {"plot": {"number_of_fragments": 0}}},
        {"2": {"plot": ["Batman faces the Joker in a <em>dark</em> <em>city</em>. "
                        "The <em>city</em> of Gotham is <em>dark</em>."]}}),
    # tags of their own
    (words("title", "amélie"),
        {"pre_tags": ["<b>"], "post_tags": ["</b>"], "fields": {"title": {}}},
        {"6": {"title": ["<b>Amélie</b>"]}}),
    # only fields with a match
    (KNIGHT, {"fields": {"plot": {}, "title": {}}}, {
        "2": {"title": ["The Dark <em>Knight</em>"]},
        "4": {"title": ["<em>Knight</em> and Day"]},
        "11": {"title": ["dark <em>knight</em>"]}}),
    # patterns and near words
    *((query, {"fields": {"title": {}}}, {"3": {"title": ["The Dark <em>Crystal</em>"]}})
        for query in (pattern("title", "cryst*"), fuzzy("title", "cristal", "AUTO"))),
]  # fmt: skip


class QueryCases(Cases):
    @pytest.mark.parametrize(("query", "expected"), QUERIES, ids=str)
    def test_queries(self, films: Index, query: Query, expected: str) -> None:
        assert films.matching_ids(query) == film_ids(expected)

    @pytest.mark.parametrize(("query", "expected"), QUERIES, ids=str)
    def test_each_query_has_its_opposite(self, films: Index, query: Query, expected: str) -> None:
        """The query as a filter, negated, and counted."""
        matching = film_ids(expected)
        response = films.search(query=every(filter=[query]), size=0, track_total_hits=True)
        assert response["hits"]["total"] == {"value": len(matching), "relation": "eq"}
        assert films.matching_ids(none_of(query)) == ALL - matching

    @pytest.mark.parametrize("body", MALFORMED, ids=str)
    def test_a_malformed_search_is_refused_with_the_reason(
        self, films: Index, body: dict[str, Any]
    ) -> None:
        with pytest.raises(BackendRejected) as raised:
            films.search(**body)
        assert raised.value.status == 400
        assert raised.value.details
        assert str(raised.value.details) in str(raised.value)

    def test_deep_queries_are_answered(self, films: Index) -> None:
        query = KNIGHT
        for _ in range(20):
            query = both(query)
        assert films.matching_ids(query) == {"2", "4", "11"}

    def test_broad_queries_are_answered(self, films: Index) -> None:
        many = [term("year", number) for number in range(255)] + [term("year", 2012)]
        assert films.matching_ids(any_of(*many)) == {"11"}
        texts = [words("title", f"word{number}") for number in range(1000)] + [DARK]
        assert films.matching_ids(any_of(*texts)) == {"2", "3", "11"}
        years = {"terms": {"year": list(range(-10, 2002))}}
        assert films.matching_ids(years) == {"1", "3", "6", "7", "10"}

    # Scores

    def test_every_hit_of_a_query_has_a_score(self, films: Index) -> None:
        scores = list(films.scores(KNIGHT).values())
        assert all(score > 0 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert films.search(query=KNIGHT)["hits"]["max_score"] == scores[0]

    def test_filters_give_no_score(self, films: Index) -> None:
        assert set(films.scores(every(filter=[KNIGHT])).values()) == {0.0}

    def test_a_boost_multiplies_the_score(self, films: Index) -> None:
        tripled = {key: 3 * score for key, score in films.scores(KNIGHT).items()}
        boosted = films.scores(every(must=[KNIGHT], boost=3.0))
        assert boosted == pytest.approx(tripled, rel=1e-4)

    def test_the_best_part_of_a_disjunction_counts(self, films: Index) -> None:
        title, plot = words("title", "spider"), words("plot", "spider")
        parts = [films.scores(title)["5"], films.scores(plot)["5"]]
        best = films.scores({"dis_max": {"queries": [title, plot]}})
        assert best == {"5": pytest.approx(max(parts), rel=1e-4)}
        assert films.scores(any_of(title, plot)) == {"5": pytest.approx(sum(parts), rel=1e-4)}

    def test_the_heavier_field_ranks_first(self, films: Index) -> None:
        def query(title: float, plot: float) -> Query:
            in_title = every(must=[words("title", "knight")], boost=title)
            in_plot = every(must=[words("plot", "dark")], boost=plot)
            return {"dis_max": {"queries": [in_title, in_plot]}}

        assert set(films.hits(query=query(100.0, 1.0))[:3]) == {"2", "4", "11"}
        assert set(films.hits(query=query(1.0, 100.0))[:2]) == {"2", "11"}

    def test_rare_words_and_short_texts_rank_higher(self, empty: Index) -> None:
        titles = {
            "short": "rare",
            "long": "rare among many other words of a longer title",
            **dict.fromkeys(("common", "common2", "common3"), "common"),
        }
        empty.write({key: {"title": title} for key, title in titles.items()})
        hits = empty.hits(query=any_of(words("title", "rare"), words("title", "common")))
        assert hits[0] == "short"
        assert hits.index("short") < hits.index("common")

    def test_the_best_nested_document_counts(self, films: Index) -> None:
        scores = films.scores(director(HENSON))
        assert set(scores) == {"3"}
        assert scores["3"] > 0

    # Highlights

    @pytest.mark.parametrize(("query", "options", "expected"), HIGHLIGHTS)
    def test_highlights(
        self, films: Index, query: Query, options: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert films.highlights(query, **options) == expected

    def test_words_of_a_phrase_are_highlighted(self, films: Index) -> None:
        highlights = films.highlights(words("title", "dark knight"), fields={"title": {}})
        # Some put tags around the phrase, others around each word.
        texts = {key: each["title"][0] for key, each in highlights.items()}
        assert {key: text.replace("</em> <em>", " ") for key, text in texts.items()} == {
            "2": "The <em>Dark Knight</em>",
            "11": "<em>dark knight</em>",
        }

    def test_words_of_a_phrase_are_not_highlighted_alone(self, empty: Index) -> None:
        empty.write({"1": {"title": "dark night, a knight, dark knight"}})
        highlights = empty.highlights(
            words("title", "dark knight"), number_of_fragments=0, fields={"title": {}}
        )
        text = highlights["1"]["title"][0].replace("</em> <em>", " ")
        assert text == "dark night, a knight, <em>dark knight</em>"

    def test_another_query_may_be_highlighted(self, films: Index) -> None:
        options = {"fields": {"title": {}}, "highlight_query": words("title", "dark")}
        assert films.highlights(KNIGHT, **options) == {
            "2": {"title": ["The <em>Dark</em> Knight"]},
            "4": None,
            "11": {"title": ["<em>dark</em> knight"]},
        }

    def test_html_is_escaped_when_asked_for(self, empty: Index) -> None:
        empty.write({"1": {"title": "Tom & <i>Jerry</i>"}})
        highlights = empty.highlights(words("title", "jerry"), encoder="html", fields={"title": {}})
        assert highlights == {"1": {"title": ["Tom &amp; &lt;i&gt;<em>Jerry</em>&lt;&#x2F;i&gt;"]}}
