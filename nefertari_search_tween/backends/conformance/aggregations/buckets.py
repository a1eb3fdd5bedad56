"""Buckets by filter, value, range and nesting."""

from __future__ import annotations

from typing import Any

import pytest

from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import Index, by_key

TWO_THOUSANDS = {"range": {"year": {"gte": 2000}}}


def counts(aggregation: dict[str, Any]) -> list[tuple[Any, int]]:
    """Key and number of documents of every bucket, in order."""
    return [(bucket["key"], bucket["doc_count"]) for bucket in aggregation["buckets"]]


class BucketCases(Cases):
    # The counter of the exact reads

    def test_a_filter_counts(self, films: Index) -> None:
        watched = {"terms": {"_inexact": ["*", "title", "year"]}}
        result = films.aggregate(inexact={"filter": watched})
        assert result == {"inexact": {"doc_count": 1}}

    def test_an_aggregation_looks_at_what_the_query_matches(self, films: Index) -> None:
        response = films.search(
            query=TWO_THOUSANDS,
            size=2,
            sort=by_key(),
            track_total_hits=True,
            aggs={"seen": {"filter": {"term": {"seen": True}}}},
        )
        assert response["aggregations"]["seen"]["doc_count"] == 5
        assert response["hits"]["total"]["value"] == 9
        assert len(response["hits"]["hits"]) == 2

    def test_aggregations_is_the_long_name(self, films: Index) -> None:
        response = films.search(size=0, aggregations={"all": {"value_count": {"field": "id"}}})
        assert response["aggregations"] == {"all": {"value": 12}}

    def test_an_aggregation_of_nothing(self, empty: Index) -> None:
        results = empty.aggregate(
            terms={"terms": {"field": "country"}},
            stats={"stats": {"field": "year"}},
            most={"max": {"field": "year"}},
            inexact={"filter": {"terms": {"_inexact": ["*"]}}},
            years={"histogram": {"field": "year", "interval": 10}},
        )
        assert results["terms"]["buckets"] == []
        assert results["stats"] == {"count": 0, "min": None, "max": None, "avg": None, "sum": 0.0}
        assert results["most"] == {"value": None}
        assert results["inexact"] == {"doc_count": 0}
        assert results["years"] == {"buckets": []}

    # Terms

    def test_terms_of_a_keyword(self, films: Index) -> None:
        countries = films.aggregate(country={"terms": {"field": "country"}})["country"]
        assert countries == {
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": 0,
            "buckets": [
                {"key": "United States", "doc_count": 4},
                {"key": "Japan", "doc_count": 2},
                {"key": "", "doc_count": 1},
                {"key": "France", "doc_count": 1},
                {"key": "Russia", "doc_count": 1},
            ],
        }

    def test_terms_of_several_values(self, films: Index) -> None:
        genres = films.aggregate(genres={"terms": {"field": "genres.keyword"}})["genres"]
        assert counts(genres) == [
            ("action", 3),
            ("animation", 2),
            ("drama", 2),
            ("family", 2),
            ("comedy", 1),
        ]

    def test_the_most_frequent_terms(self, films: Index) -> None:
        countries = films.aggregate(country={"terms": {"field": "country", "size": 2}})["country"]
        assert counts(countries) == [("United States", 4), ("Japan", 2)]
        assert countries["sum_other_doc_count"] == 3

    def test_terms_of_numbers(self, films: Index) -> None:
        results = films.aggregate(
            years={"terms": {"field": "year", "size": 3}}, ratings={"terms": {"field": "rating"}}
        )
        assert counts(results["years"]) == [(2001, 3), (2008, 2), (-5, 1)]
        assert counts(results["ratings"])[0] == (8.6, 2)

    def test_terms_of_true_and_false(self, films: Index) -> None:
        result = films.aggregate(seen={"terms": {"field": "seen"}})["seen"]
        assert result["buckets"] == [
            {"key": 1, "key_as_string": "true", "doc_count": 5},
            {"key": 0, "key_as_string": "false", "doc_count": 3},
        ]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"order": {"_key": "asc"}, "size": 3}, [("", 1), ("France", 1), ("Japan", 2)]),
            ({"order": {"_key": "desc"}, "size": 2}, [("United States", 4), ("Russia", 1)]),
            (
                {"order": {"_count": "asc"}},
                [("", 1), ("France", 1), ("Russia", 1), ("Japan", 2), ("United States", 4)],
            ),
            (
                {"order": [{"_count": "desc"}, {"_key": "desc"}], "size": 3},
                [("United States", 4), ("Japan", 2), ("Russia", 1)],
            ),
            ({"missing": "nowhere", "size": 2}, [("United States", 4), ("nowhere", 3)]),
            ({"min_doc_count": 2}, [("United States", 4), ("Japan", 2)]),
            ({"include": ["Japan", "France"]}, [("Japan", 2), ("France", 1)]),
            ({"exclude": ["United States", "Japan", ""]}, [("France", 1), ("Russia", 1)]),
        ],
    )
    def test_terms_are_ordered_and_narrowed(
        self, films: Index, options: dict[str, Any], expected: list[tuple[str, int]]
    ) -> None:
        countries = films.aggregate(country={"terms": {"field": "country", **options}})["country"]
        assert counts(countries) == expected

    def test_terms_ordered_by_what_is_inside(self, films: Index) -> None:
        countries = films.aggregate(
            country={
                "terms": {"field": "country", "order": {"newest": "desc"}, "size": 3},
                "aggs": {"newest": {"max": {"field": "year"}}},
            }
        )["country"]
        assert [(b["key"], b["newest"]["value"]) for b in countries["buckets"]] == [
            ("United States", 2010.0),
            ("Russia", 2004.0),
            ("France", 2001.0),
        ]

    def test_terms_of_an_unknown_field_are_none(self, films: Index) -> None:
        assert films.aggregate(none={"terms": {"field": "no_such_field"}})["none"]["buckets"] == []

    # Ranges and histograms

    def test_ranges(self, films: Index) -> None:
        ranges = [{"to": 2001}, {"from": 2001, "to": 2008}, {"key": "new", "from": 2008}]
        years = films.aggregate(years={"range": {"field": "year", "ranges": ranges}})["years"]
        assert years["buckets"] == [
            {"key": "*-2001.0", "to": 2001.0, "doc_count": 2},
            {"key": "2001.0-2008.0", "from": 2001.0, "to": 2008.0, "doc_count": 5},
            {"key": "new", "from": 2008.0, "doc_count": 4},
        ]

    def test_keyed_ranges(self, films: Index) -> None:
        options = {"field": "rating", "keyed": True, "ranges": [{"to": 7}, {"from": 7}]}
        buckets = films.aggregate(ratings={"range": options})["ratings"]["buckets"]
        assert {key: bucket["doc_count"] for key, bucket in buckets.items()} == {
            "*-7.0": 4,
            "7.0-*": 7,
        }

    def test_ranges_of_dates(self, films: Index) -> None:
        options = {
            "field": "released",
            "format": "yyyy-MM-dd",
            "ranges": [{"to": "2001-06-01"}, {"from": "2001-06-01"}],
        }
        buckets = films.aggregate(released={"date_range": options})["released"]["buckets"]
        assert buckets == [
            {
                "key": "*-2001-06-01",
                "to": 991_353_600_000.0,
                "to_as_string": "2001-06-01",
                "doc_count": 2,
            },
            {
                "key": "2001-06-01-*",
                "from": 991_353_600_000.0,
                "from_as_string": "2001-06-01",
                "doc_count": 4,
            },
        ]

    # Filters and what is inside

    def test_named_filters(self, films: Index) -> None:
        filters = {
            "knights": {"match_phrase": {"title": {"query": "knight"}}},
            "japan": {"term": {"country": "Japan"}},
        }
        result = films.aggregate(some={"filters": {"filters": filters}})["some"]
        assert result == {"buckets": {"japan": {"doc_count": 2}, "knights": {"doc_count": 3}}}

    def test_filters_and_the_rest(self, films: Index) -> None:
        filters = [{"term": {"country": "Japan"}}, {"term": {"seen": True}}]
        options = {"filters": filters, "other_bucket": True}
        result = films.aggregate(some={"filters": options})["some"]
        assert [each["doc_count"] for each in result["buckets"]] == [2, 5, 7]

    def test_documents_without_a_value(self, films: Index) -> None:
        assert films.aggregate(none={"missing": {"field": "seen"}}) == {"none": {"doc_count": 4}}

    def test_the_whole_index(self, films: Index) -> None:
        response = films.search(
            query={"term": {"country": "Japan"}},
            size=0,
            aggs={"all": {"global": {}, "aggs": {"years": {"max": {"field": "year"}}}}},
        )
        assert response["aggregations"] == {"all": {"doc_count": 12, "years": {"value": 2012.0}}}

    def test_three_levels(self, films: Index) -> None:
        buckets = films.aggregate(
            seen={
                "terms": {"field": "seen"},
                "aggs": {
                    "decade": {
                        "histogram": {"field": "year", "interval": 10, "min_doc_count": 1},
                        "aggs": {
                            "rating": {"avg": {"field": "rating"}},
                            "countries": {"terms": {"field": "country"}},
                        },
                    }
                },
            }
        )["seen"]["buckets"]
        assert [
            (
                each["key_as_string"],
                [
                    (decade["key"], decade["rating"]["value"], counts(decade["countries"]))
                    for decade in each["decade"]["buckets"]
                ],
            )
            for each in buckets
        ] == [
            (
                "true",
                [(2000.0, pytest.approx(8.35), [("Japan", 2), ("United States", 2)])],
            ),
            (
                "false",
                [
                    (1980.0, pytest.approx(7.1), [("United States", 1)]),
                    (2000.0, pytest.approx(8.3), [("France", 1)]),
                ],
            ),
        ]

    def test_buckets_of_nested_documents(self, films: Index) -> None:
        directors = films.aggregate(
            directors={
                "nested": {"path": "directors"},
                "aggs": {
                    "names": {"terms": {"field": "directors.name.keyword"}},
                    "oldest": {"min": {"field": "directors.born"}},
                    "awards": {
                        "nested": {"path": "directors.awards"},
                        "aggs": {"names": {"terms": {"field": "directors.awards.name.keyword"}}},
                    },
                },
            }
        )["directors"]
        assert directors["doc_count"] == 5
        assert directors["oldest"] == {"value": 1936.0}
        assert counts(directors["names"]) == [
            ("Hayao Miyazaki", 2),
            ("Christopher Nolan", 1),
            ("Frank Oz", 1),
            ("Jim Henson", 1),
        ]
        assert directors["awards"]["doc_count"] == 6
        assert counts(directors["awards"]["names"]) == [
            ("Oscar", 3),
            ("Golden Bear", 2),
            ("Hugo", 1),
        ]

    def test_from_nested_documents_back_to_the_films(self, films: Index) -> None:
        oscars = films.aggregate(
            awards={
                "nested": {"path": "directors.awards"},
                "aggs": {
                    "oscars": {
                        "filter": {"term": {"directors.awards.name.keyword": "Oscar"}},
                        "aggs": {
                            "films": {
                                "reverse_nested": {},
                                "aggs": {"rating": {"max": {"field": "rating"}}},
                            }
                        },
                    }
                },
            }
        )["awards"]["oscars"]
        assert oscars == {
            "doc_count": 3,
            "films": {"doc_count": 3, "rating": {"value": 8.6}},
        }

    def test_the_first_documents_of_each(self, films: Index) -> None:
        best = {"size": 1, "sort": [{"rating": {"order": "desc"}}], "_source": ["title"]}
        bucket = films.aggregate(
            country={
                "terms": {"field": "country", "size": 1},
                "aggs": {"best": {"top_hits": best}},
            }
        )["country"]["buckets"][0]
        (hit,) = bucket["best"]["hits"]["hits"]
        assert hit["_source"] == {"title": "The Dark Knight"}
